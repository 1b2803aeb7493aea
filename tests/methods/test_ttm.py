"""Time-to-Move: the two clocks against loops, its mask, and where the mask comes from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fastvmt.backbones import card
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.denoise import denoise
from fastvmt.errors import SpecError
from fastvmt.methods.controls import SDEdit
from fastvmt.methods.ttm import TTM, TTMParams, latent_mask
from fastvmt.model import Reference
from fastvmt.plugins import labels, registry
from fastvmt.plugins.method import Context, Shape
from fastvmt.plugins.tracker import masks_of


def made(ctx: Context, **changes: Any) -> TTM:
    return TTM(TTM.resolve(TTMParams(**changes), ctx.backbone.card.shape(32, 32, 17, ctx.sigmas)))


def moving_box(frames: int = 17, side: int = 32) -> np.ndarray:
    mask = np.zeros((frames, side, side), bool)
    for t in range(frames):
        mask[t, 8:20, t : t + 11] = True
    return mask


def test_a_latent_frame_has_the_mask_of_its_first_frame_and_pixel() -> None:
    mask, found = moving_box(), latent_mask(moving_box(), 4, 4)
    assert found.shape == (1, 1, 5, 8, 8)
    for f, t in enumerate((0, 1, 5, 9, 13)):
        for row in range(8):
            for column in range(8):
                assert float(found[0, 0, f, row, column]) == mask[t, 4 * row, 4 * column]
    assert 0 < float(found.mean()) < 1


@pytest.mark.parametrize(("weak", "strong"), [(0, 2), (1, 3), (0, 0), (2, 2)])
def test_two_clocks_are_the_ones_in_a_plain_loop(weak: int, strong: int, context: Context) -> None:
    context.masks = moving_box
    clean, noise, sigmas, texts = context.reference(), context.noise, context.sigmas, context.texts
    held = latent_mask(moving_box(), 4, 4).bool().expand(clean.shape)
    x = (1 - sigmas[weak]) * clean + sigmas[weak] * noise
    with torch.no_grad():
        for i in range(weak, 4):
            positive, negative = (context.backbone.velocity(x, sigmas[i], texts[k]) for k in ("target", "negative"))
            x = x + (sigmas[i + 1] - sigmas[i]) * (negative + 3.0 * (positive - negative))
            if i < strong:
                x = torch.where(held, (1 - sigmas[i + 1]) * clean + sigmas[i + 1] * noise, x)
    found = denoise(made(context, weak=weak, strong=strong), context, 3.0)
    torch.testing.assert_close(found, x, atol=1e-4, rtol=1e-4)
    assert context.log["mask"] == "the suite's"


def test_over_the_whole_frame_it_is_sdedit_from_the_strong_clock(context: Context) -> None:
    plain = SDEdit(SDEdit.Params(sigma=context.sigmas[2]))
    assert torch.allclose(
        denoise(made(context, weak=1, strong=2, mask="frame"), context, 3.0), denoise(plain, context, 3.0), atol=1e-5
    )


@pytest.mark.parametrize(
    ("masks", "mask", "said"),
    [(None, "suite", "the whole frame, as the suite has no masks"), (moving_box(), "frame", "the whole frame")],
)
def test_without_a_mask_the_whole_frame_is_held_and_that_is_said(
    masks: np.ndarray | None, mask: str, said: str, context: Context
) -> None:
    context.masks = lambda: masks
    assert bool((made(context, mask=mask).fit(context) == 1).all())
    assert (context.log["mask"], context.log["mask_share"]) == (said, 1.0)


def test_authors_steps_on_wan_1b() -> None:
    shape = card.load("wan2.1-1.3b").shape(832, 480, 81, sigma_grid(50, 3.0))
    steps = {}
    for label in ("ttm", "ttm:camera", "ttm:weak=4:strong=9", "ttm:weak=0"):
        p = TTMParams.model_validate(labels.resolve(label, shape, {}).params)
        steps[label] = (p.weak, p.strong, TTM.cost(p, shape))
    assert list(steps.values()) == [(3, 7, 94), (2, 5, 96), (4, 9, 92), (0, 7, 100)]


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("ttm:weak=5:strong=3", "weak is step 5 and strong is step 3; need weak <= strong < 10"),
        ("ttm:strong=10", "strong < 10, the run's steps"), ("ttm:mask=hand", "'suite' or 'frame'"),
    ],
)  # fmt: skip
def test_clocks_in_the_wrong_order_are_refused(label: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        labels.resolve(label, Shape(5, 3, (9, 8, 8), sigma_grid(10, 3.0)), {})


def drawn(source: str, side: int = 64) -> Reference:
    return Reference(frames_digest="", width=side, height=side, frames=33, source=source)


def test_drawn_clips_have_masks_and_others_have_none() -> None:
    known = masks_of(drawn("drawn:shapes/single-object-100"))
    assert known is not None and known.shape == (33, 64, 64) and 0.01 < known.mean() < 0.5
    twice = masks_of(drawn("drawn:shapes/single-object-100", 128))
    assert twice is not None and twice.shape == (33, 128, 128) and twice.mean() == pytest.approx(known.mean(), rel=0.05)
    assert masks_of(drawn("clips/cow.mp4")) is None


def test_a_suites_masks_have_to_be_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.suites.get("shapes"), "masks", lambda self, reference: np.ones((3, 64, 64), bool))
    with pytest.raises(SpecError, match=r"masks.*booleans of shape \(33, 64, 64\)"):
        masks_of(drawn("drawn:shapes/single-object-100"))

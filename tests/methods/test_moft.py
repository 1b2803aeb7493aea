"""MOFT: its features and channel filter against a literal form, what its switches do, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fastvmt.backbones import card
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.methods import moft
from fastvmt.methods._math.inversion import inverted
from fastvmt.methods.ditflow import DiTFlow, DiTFlowParams
from fastvmt.methods.moft import MOFT, MOFTParams
from fastvmt.plugins.method import Context, Shape


def shape_of(ctx: Context) -> Shape:
    return ctx.backbone.card.shape(32, 32, 17, ctx.sigmas)


def made(ctx: Context, **changes: Any) -> MOFT:
    return MOFT(MOFT.resolve(MOFTParams.model_validate(changes), shape_of(ctx)))


def fitted(ctx: Context, **changes: Any) -> MOFT:
    found = made(ctx, **changes)
    with torch.no_grad():
        ctx.state = found.fit(ctx)
    return found


def features(ctx: Context, x: torch.Tensor, level: float, text: str, block: int) -> np.ndarray:
    """Output of a block by a hook of the test's own, (F, P, D), from a whole forward pass."""
    seen: list[torch.Tensor] = []
    handle = ctx.backbone.transformer.blocks[block].register_forward_hook(lambda module, args, out: seen.append(out))
    with torch.no_grad():
        ctx.backbone.velocity(x, level, ctx.texts[text])
    handle.remove()
    return seen[0][0].double().numpy().reshape(x.shape[2], -1, seen[0].shape[-1])


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("keep", [0.04, 0.25])
def test_filter_and_loss_are_what_the_words_say(keep: float, standardise: bool, context: Context) -> None:
    """The definition place by place in numpy, the axis as a singular vector of all tokens."""
    found = fitted(context, keep=keep, standardise=standardise, block=1)
    reference = features(context, context.reference(), 0.0, "null", 1)
    reference = reference - reference.mean(axis=0, keepdims=True)
    flat = reference.reshape(-1, reference.shape[-1])
    spread = flat.std(axis=0, ddof=1) if standardise else np.ones(flat.shape[1])
    loading = np.abs(np.linalg.svd(flat / spread, full_matrices=False)[2][0])
    channels = sorted(np.argsort(loading)[::-1][: max(2, int(keep * flat.shape[1]))])
    assert context.state.channels.tolist() == channels

    level = context.sigmas[1]
    target = features(context, context.noise, level, "target", 1)
    target = target - target.mean(axis=0, keepdims=True)
    total, count = 0.0, 0
    for f in range(target.shape[0]):
        for p in range(target.shape[1]):
            a, b = (target[f, p] / spread)[channels], (reference[f, p] / spread)[channels]
            total += 1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
            count += 1
    assert float(found.loss(context, 0, context.noise, level)) == pytest.approx(total / count, abs=1e-4)


def test_the_originals_loss_is_a_weighted_squared_error_of_means_over_a_region(context: Context) -> None:
    found = fitted(context, keep=0.25, block=1, compare="region", region_weight=6.0)
    level, channels = context.sigmas[1], context.state.channels.tolist()
    means = []
    for x, text, at in ((context.reference(), "null", 0.0), (context.noise, "target", level)):
        seen = features(context, x, at, text, 1)[..., channels]
        means.append((seen - seen.mean(axis=0, keepdims=True)).mean(axis=1))
    wanted = 6 * ((means[0] - means[1]) ** 2).mean()
    assert float(found.loss(context, 0, context.noise, level)) == pytest.approx(wanted, rel=1e-4) and wanted > 0
    assert MOFT.variants["original"]["compare"] == "region" and 6 <= MOFTParams().region_weight <= 8


def test_a_place_without_motion_pulls_nowhere(context: Context) -> None:
    """Its cosine is 0 by definition: the loss stays finite, the gradient is zero and not NaN."""
    found = fitted(context)
    context.state = replace(context.state, motion=torch.zeros_like(context.state.motion))
    x = context.noise.clone().requires_grad_(True)
    loss = found.loss(context, 0, x, 0.9)
    (gradient,) = torch.autograd.grad(loss, x)
    assert float(loss.detach()) == pytest.approx(1.0) and not bool(gradient.any())


@pytest.mark.parametrize("changes", [{}, {"updater": "sgd", "step": 50.0}, {"channels": "pans"}, {"standardise": True}])
def test_a_guided_step_lowers_the_loss(changes: dict[str, Any], context: Context) -> None:
    found = fitted(context, **{"keep": 0.25, "lr_first": 0.02} | changes)
    level = context.sigmas[0]
    with torch.no_grad():
        x = found.adjust(context, 0, context.noise)
        before, after = (float(found.loss(context, 0, v, level)) for v in (context.noise, x))
    assert after < before - 1e-3
    assert not x.requires_grad and x.dtype == torch.float32
    assert context.log["loss"]["0"][0] == pytest.approx(before) and all(n > 0 for n in context.log["gradients"]["0"]["norm"])
    assert len(context.log["path"]["sketch"]) == len(context.log["loss"]["0"])


def test_without_an_optimiser_the_step_is_the_gradient(context: Context) -> None:
    found = fitted(context, updater="sgd", repeats=1, step=3.0)
    x = context.noise.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(found.loss(context, 0, x, context.sigmas[0]), x)
    with torch.no_grad():
        moved = found.adjust(context, 0, context.noise)
    torch.testing.assert_close(moved, context.noise - 3.0 * gradient)
    assert found.adjust(context, 3, context.noise) is context.noise  # share:0.2 of 4 steps is the first one


def test_the_filter_of_pans_belongs_to_the_model(context: Context) -> None:
    """Another reference and other noise: the same channels; with channels=reference others."""
    kept = []
    for channels in ("pans", "reference"):
        for sign in (1, -1):
            clean = torch.randn(context.noise.shape, generator=torch.Generator().manual_seed(5 + sign))
            context.reference = lambda clean=clean: clean
            fitted(context, channels=channels, keep=0.25)
            kept.append(context.state.channels.tolist())
    assert kept[0] == kept[1] and kept[2] != kept[3]
    assert len(kept[0]) == 12 and context.log["filter"]["channels"] == 12


def test_pans_translate_and_nothing_else() -> None:
    videos = moft.pans(9, 24, 48)
    assert len(videos) == 2 * moft.SCENES and all(v.shape == (9, 24, 48, 3) and v.dtype == np.uint8 for v in videos)
    for left, right in zip(videos[::2], videos[1::2], strict=True):
        assert np.array_equal(left[0], right[0])
        for t in range(9):
            assert np.array_equal(left[t][:, : 48 - 3 * t], left[0][:, 3 * t :])
            assert np.array_equal(right[t], np.roll(right[0], 3 * t, axis=1))
    assert not np.array_equal(videos[0][0], videos[2][0]) and min(v.std() for v in videos) > 30
    assert np.array_equal(moft.pans(9, 24, 48)[3], videos[3]) and len(moft.pans(1, 8, 8)[0]) == 1


def test_an_inverted_reference_lies_on_the_runs_own_levels(context: Context) -> None:
    found = made(context, ref_sigma=0.8, ref_path="inverted", inject=False)
    levels = [0.8, *(s for s in context.sigmas if s < 0.8)]
    assert moft._levels(found.params, context.sigmas) == levels and levels[-1] == 0.0 and len(levels) >= 3
    with torch.no_grad():
        latent = inverted(context.backbone, context.reference(), levels, context.texts["null"])[0]
        hidden = torch.from_numpy(features(context, latent, 0.8, "null", found.params.block))
        seen = found._motion(context, context.reference())
    torch.testing.assert_close(seen.double(), hidden - hidden.mean(0), atol=1e-5, rtol=1e-4)
    clean = made(context, ref_path="inverted")
    torch.testing.assert_close(clean._motion(context, context.reference()), made(context)._motion(context, context.reference()))


def test_injection_is_ditflows_and_ends_with_the_step(context: Context) -> None:
    text = context.texts["target"]
    with torch.no_grad():
        before = context.backbone.velocity(context.noise, 0.9, text)
        during = []
        theirs = DiTFlow(DiTFlow.resolve(DiTFlowParams(guided="steps:1-2"), shape_of(context)))
        for method in (made(context, guided="steps:1-2"), theirs):
            with method.scope(context, 1):
                during.append(context.backbone.velocity(context.noise, 0.9, text))
        assert torch.equal(*during) and not torch.equal(before, during[0])
        for method, i in ((made(context, guided="steps:1-2"), 3), (made(context, inject=False), 0)):
            with method.scope(context, i):
                assert torch.equal(context.backbone.velocity(context.noise, 0.9, text), before)
    assert theirs.injection_cost(theirs.params, shape_of(context)) == pytest.approx(2 * 0.2 / 3)


def test_the_ports_values_on_wan() -> None:
    wan = card.load("wan2.1-1.3b")
    shape = wan.shape(832, 480, 81, sigma_grid(50, 3.0))
    p = MOFT.resolve(MOFTParams(), shape)
    wanted = {
        "block": 14, "guided": "steps:0-9", "channels": "reference", "keep": 0.04, "ref_sigma": 0.0, "updater": "adam",
        "inner": 5, "lr_first": 0.002, "lr_last": 0.001, "inject": True, "standardise": False,
    }  # fmt: skip
    assert p.model_dump(include=set(wanted)) == wanted
    assert MOFT.cost(p, shape) == pytest.approx(100 + 0.5 * (50 * 3 + 1) + 10 * 0.2 / 30)
    original = MOFT.resolve(MOFTParams.model_validate(MOFT.variants["original"]), shape)
    assert (original.guided, original.repeats, original.step) == ("steps:12-27", 2, 0.5)

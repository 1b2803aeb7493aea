"""SMM: its loss as written down, what leaves it unchanged, its start, and where it spends forwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fastvmt.backbones import card
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.denoise import denoise
from fastvmt.methods.smm import SMM, Signal, SMMParams, difference_loss, low_frequencies
from fastvmt.plugins.method import Context


def smm(ctx: Context, **changes: Any) -> SMM:
    shape = ctx.backbone.card.shape(32, 32, 17, ctx.sigmas)
    return SMM(SMM.resolve(SMMParams(**({"guided": "steps:0-1", "inner": 3} | changes)), shape))


def by_hand(own: np.ndarray, known: np.ndarray) -> float:
    """The published loss, pair by pair; a difference without length has cosine 0."""
    frames, total = len(own), 0.0
    for i in range(frames):
        for j in range(frames):
            a, b = own[j] - own[i], known[j] - known[i]
            lengths = np.sqrt((a**2).sum()) * np.sqrt((b**2).sum())
            total += 1 - (float(a @ b) / lengths if lengths > 0 else 0.0)
    return total / frames**2


# --- the loss ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [2, 5, 9])
def test_the_loss_pair_by_pair(frames: int) -> None:
    rng = np.random.default_rng(frames)
    own, known = rng.normal(size=(2, frames, 24)).astype(np.float32)
    found = float(difference_loss(torch.from_numpy(own), torch.from_numpy(known)))
    assert found == pytest.approx(by_hand(own.astype(float), known.astype(float)), abs=1e-5)


# --- the update -------------------------------------------------------------------------------------------------------


def test_the_gradient_is_finite_and_the_update_lowers_the_loss(context: Context) -> None:
    method = smm(context, inner=10)
    with torch.no_grad():
        context.state = method.fit(context)
        x, _ = method.start(context)
        moved = method.adjust(context, 0, x)
    losses, norms = context.log["loss"]["0"], context.log["gradients"]["0"]["norm"]
    assert np.isfinite(norms).all() and min(norms) > 0
    after = float(method.compare(context, context.sigmas[0], context.state.means[0], moved))
    assert len(losses) == 10 and 1 / 5 < after < losses[0]
    assert moved.dtype == torch.float32 and not moved.requires_grad
    assert torch.equal(method.adjust(context, 2, x), x)  # not guided


# --- the start --------------------------------------------------------------------------------------------------------


def pass_matrix(side: int, factor: int) -> np.ndarray:
    """Down to side / factor samples and up again: triangle filters whose step is that of aligned corners, cut at the edges."""
    passes = []
    for given, wanted in ((side, side // factor), (side // factor, side)):
        step = (given - 1) / (wanted - 1) if wanted > 1 else 0.0
        reach, matrix = max(step, 1.0), np.zeros((wanted, given))
        for o in range(wanted):
            centre = (o + 0.5) * step
            near = np.arange(max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), given))
            weight = np.maximum(0, 1 - np.abs(near + 0.5 - centre) / reach)
            matrix[o, near] = weight / weight.sum()
        passes.append(matrix)
    return passes[1] @ passes[0]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (12, 20)])
def test_low_frequencies_are_those_of_each_frame_alone(height: int, width: int) -> None:
    x = torch.randn(1, 3, 4, height, width)
    wanted = np.einsum("ab,ncfbd,ed->ncfae", pass_matrix(height, 4), x.double().numpy(), pass_matrix(width, 4))
    np.testing.assert_allclose(low_frequencies(x, 4).numpy(), wanted, atol=1e-5)


def test_the_start_takes_low_from_the_inverted_and_high_from_the_drawn_noise(context: Context) -> None:
    method = smm(context)
    context.state = Signal((), context.noise + 2.0)
    x, first = method.start(context)
    assert first == 0
    torch.testing.assert_close(x, context.noise + 2.0)  # an offset is a low frequency
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
    context.state = Signal((), context.noise + board)
    torch.testing.assert_close(method.start(context)[0], context.noise, atol=0.1, rtol=0)  # a checkerboard is a high one
    assert smm(context, begin="noise").start(context)[0] is context.noise


def test_inversion_is_charged_to_the_reference(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    stages: list[str] = []
    plain = context.backbone.velocity

    def spy(*args: Any) -> torch.Tensor:
        stages.append(context.stages.current)
        return plain(*args)

    monkeypatch.setattr(context.backbone, "velocity", spy)
    denoise(smm(context), context, 3.0)
    assert stages == ["reference"] * 4 + ["denoise"] * 8


def test_published_values_on_wan_1b() -> None:
    wan = card.load("wan2.1-1.3b")
    sigmas = sigma_grid(50, 3.0)
    shape = wan.shape(832, 480, 33, sigmas)
    p = SMM.resolve(SMMParams(), shape)
    assert p.model_dump(exclude={"grid"}) == {
        "block": 14, "guided": "steps:0-19", "inner": 10, "lr_first": 0.007, "lr_last": 0.004, "ref": "inverted",
        "begin": "low_frequency", "low_factor": 4, "restart": False,
    }  # fmt: skip
    assert SMM.cost(p, shape) == pytest.approx(100 + 50 + 20 * 0.5 * (10 * 3 + 1))
    assert [SMM.version_of({"begin": begin}) for begin in ("low_frequency", "noise")] == [2, 1]
    matched = SMM.resolve(SMMParams(**SMM.variants["matched-window"]), shape)
    assert matched.guided == "steps:10-28"

"""FlowMotion: loss, gradient and a whole guided step against loops, and what its switches do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fastvmt.backbones import card
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.denoise import denoise
from fastvmt.errors import SpecError
from fastvmt.methods._math.guided import other_noise
from fastvmt.methods.flowmotion import FlowMotion, FlowMotionParams, Target, difference_loss
from fastvmt.plugins import labels
from fastvmt.plugins.method import Context, Shape

Array = NDArray[np.float64]


def made(ctx: Context, **changes: Any) -> FlowMotion:
    params = FlowMotionParams(**({"guided": "steps:0-2"} | changes))
    return FlowMotion(FlowMotion.resolve(params, ctx.backbone.card.shape(32, 32, 17, ctx.sigmas)))


def maps(x: Array) -> list[tuple[int, int, Array]]:
    """Signed differences behind every map of the published loss: neighbours first, then each frame against all others."""
    frames = x.shape[1]
    pairs = [(f + 1, f) for f in range(frames - 1)]
    pairs += [(f, g) for f in range(frames) for g in range(frames) if f != g]
    return [(f, g, x[:, f] - x[:, g]) for f, g in pairs]


def looped(seen: Array, wanted: Array, alpha: float = 20.0, beta: float = 5.0) -> tuple[float, Array]:
    """Loss and its gradient to what is seen, map by map; both (C, F, H, W)."""
    own, other = maps(seen), maps(wanted)
    numbers = sum(d.size for _, _, d in own)
    value = alpha * float(((seen - wanted) ** 2).mean())
    slope = alpha * 2 * (seen - wanted) / seen.size
    for (f, g, mine), (_, _, theirs) in zip(own, other, strict=True):
        gap = np.abs(mine) - np.abs(theirs)
        value += beta * float((gap**2).sum()) / numbers
        push = beta * 2 * gap * np.sign(mine) / numbers
        slope[:, f] += push
        slope[:, g] -= push
    return value, slope


def split(velocity: Array, along: Array, across: float) -> Array:
    """Place by place: the projection on the mean velocity's channels, and a part of the rest."""
    out = np.empty_like(velocity)
    for place in np.ndindex(velocity.shape[1:]):
        v, a = velocity[(slice(None), *place)], along[(slice(None), *place)]
        near = (v @ a) / (a @ a + 1e-8) * a
        out[(slice(None), *place)] = near + across * (v - near)
    return out


def plain(x: torch.Tensor) -> Array:
    return np.asarray(x[0].double().numpy())


@pytest.mark.parametrize("frames", [2, 3, 5])
def test_frame_differences_are_the_published_maps(frames: int) -> None:
    seen, wanted = (torch.randn(1, 3, frames, 2, 4, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    assert float(difference_loss(seen, wanted)) == pytest.approx(looped(plain(seen), plain(wanted), 0.0, 1.0)[0], rel=1e-5)


@pytest.mark.parametrize(
    ("step", "source", "across"), [(0, "predicted", 0.1), (1, "predicted", 0.1), (2, "clean", 0.3), (2, "predicted", 1.0)]
)
def test_a_guided_step_is_the_one_in_loops(step: int, source: str, across: float, context: Context) -> None:
    """Adam on a gradient that takes the velocity as constant; the regularised velocity from the second step on."""
    context.guidance = 6.0
    method = made(context, source=source, across=across, lr_first=0.01, lr_last=0.01)
    level, texts, model = context.sigmas[step], context.texts, context.backbone
    x = torch.randn(context.noise.shape, generator=torch.Generator().manual_seed(3))
    target = plain(context.reference())
    if source == "predicted":
        noised = (1 - level) * context.reference() + level * other_noise(context, step)
        with torch.no_grad():
            target = plain(noised - level * model.velocity(noised, level, texts["null"]))
    latent, first, second = plain(x), np.zeros(x.shape[1:]), np.zeros(x.shape[1:])
    along = (plain(x) - plain(context.noise)) / (level - context.sigmas[0]) if step else None
    losses = []
    for n in range(1, 4):
        told = torch.from_numpy(latent).float()[None]
        with torch.no_grad():
            for_prompt, without = (plain(model.velocity(told, level, texts[k])) for k in ("target", "negative"))
        velocity = without + 6.0 * (for_prompt - without)
        value, slope = looped(latent - level * (velocity if along is None else split(velocity, along, across)), target)
        losses.append(value)
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        latent = latent - 0.01 * (first / (1 - 0.9**n)) / (np.sqrt(second / (1 - 0.999**n)) + 1e-8)
    with torch.no_grad():
        found = method.adjust(context, step, x)
    np.testing.assert_allclose(plain(found), latent, atol=2e-4)
    assert context.log["loss"][str(step)] == pytest.approx(losses, rel=1e-4)


def test_no_gradient_goes_through_the_model(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = []
    run = context.backbone.velocity
    monkeypatch.setattr(context.backbone, "velocity", lambda *a: recorded.append(torch.is_grad_enabled()) or run(*a))
    denoise(made(context), context, 3.0)
    assert recorded and not any(recorded)


def test_each_step_has_noise_of_its_own_and_every_job_the_same(context: Context) -> None:
    one, again, other = (other_noise(context, i) for i in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other) and not torch.equal(one, context.noise)


@pytest.mark.parametrize(
    ("label", "forwards"), [("flowmotion", 170), ("flowmotion:clean-latent", 160), ("flowmotion:inner=1", 130)]
)
def test_work_on_wan_1b(label: str, forwards: float) -> None:
    shape = card.load("wan2.1-1.3b").shape(832, 480, 81, sigma_grid(50, 3.0))
    spec = labels.resolve(label, shape, {})
    assert spec.params["guided"] == "steps:0-9" and "block" not in spec.params
    assert FlowMotion.cost(FlowMotionParams.model_validate(spec.params), shape) == forwards


def test_frames_that_swap_are_alike_and_that_is_said_on_the_card() -> None:
    """A difference's size has no sign: the first term alone tells two clips from one another that mirror their changes."""
    clip = torch.zeros(1, 1, 3, 1, 2)
    clip[0, 0, :, 0, 0] = torch.tensor([0.0, 1.0, 2.0])
    assert float(difference_loss(clip, -clip)) == 0 and Target(clip).along is None


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("flowmotion:latent_weight=0:difference_weight=0", "both 0"), ("flowmotion:across=2", "from 0 to 1"),
        ("flowmotion:block=2", "no parameter 'block'"),
    ],
)  # fmt: skip
def test_what_would_do_nothing_is_refused(label: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        labels.resolve(label, Shape(5, 3, (9, 8, 8), sigma_grid(10, 3.0)), {})


def test_a_single_latent_frame_is_refused() -> None:
    with pytest.raises(SpecError, match="at least 2 latent frames"):
        FlowMotion.resolve(FlowMotionParams(), Shape(30, 12, (1, 30, 52), sigma_grid(50, 3.0)))

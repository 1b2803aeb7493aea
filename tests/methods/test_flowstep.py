"""FlowStep against its equations, written once more in loops, and what its parts promise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fastvmt.denoise import denoise
from fastvmt.methods.controls import NoTransfer
from fastvmt.methods.flowstep import FlowStep, FlowStepParams, plain_step
from fastvmt.plugins.method import Context, Params

GUIDANCE = 3.0


def made(context: Context, **changes: Any) -> FlowStep:
    frames, height, width = context.noise.shape[2:]
    shape = context.backbone.card.shape(8 * width, 8 * height, 4 * frames - 3, context.sigmas)
    params = FlowStepParams(**{"block": 1, "guided": "steps:0-1", "window": 0, "tile": (2, 2), "span": 9} | changes)
    return FlowStep(FlowStep.resolve(params, shape))


def displacements(context: Context, x: Tensor, level: float, text: str) -> dict[tuple[int, int], Tensor]:
    """Expected displacement of every token from one frame to another, (S, 2), by ordered pair."""
    taps = context.backbone.taps(x, level, context.texts[text], ("q@1", "k@1"))
    frames, height, width = context.backbone.tokens(x)
    places = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), -1).reshape(-1, 2).float()
    q, k = (taps[n][0].unflatten(0, (frames, -1)) for n in ("q@1", "k@1"))
    found = {}
    for i in range(frames):
        for j in range(frames):
            if i != j:
                logits = torch.einsum("shd,thd->sth", q[i], k[j]).mean(-1) / q.shape[-1] ** 0.5
                found[i, j] = logits.softmax(-1) @ places - places
    return found


@pytest.mark.parametrize("directions", ["both", "forward"])
def test_the_loss_is_the_distance_of_moving_tokens_over_all_pairs(directions: str, context: Context) -> None:
    x, level = context.noise * 0.9, context.sigmas[1]
    there, here = displacements(context, context.reference(), 0.0, "null"), displacements(context, x, level, "target")
    lengths = torch.cat([*there.values()]).norm(dim=1).sort().values
    limit = float(lengths[len(lengths) // 2 :][:2].mean())  # between two of them: no rounding decides which tokens move
    method = made(context, directions=directions, moving=limit)
    wanted, total, count = method.fit(context), 0.0, 0
    for (i, j), reference in there.items():
        if directions == "forward" and j < i:
            continue
        moving = reference.norm(dim=1) > limit
        total += float((reference - here[i, j]).square().sum(1)[moving].sum())
        count += int(moving.sum())
    assert float(method.compare(context, level, wanted, x)) == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize("shared", [True, False])
def test_a_guided_step_follows_the_gradient_behind_or_before_the_sampling_step(shared: bool, context: Context) -> None:
    method = made(context, shared=shared, guided="steps:0-0", spread=False, lr_first=0.05, lr_last=0.05, moving=0.0)
    model, x, (level, below) = context.backbone, context.noise, context.sigmas[:2]
    wanted = method.fit(context)
    at = x.clone().requires_grad_(True)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(method.compare(context, level, wanted, at), at)
    move = -0.05 * gradient / gradient.square().mean().sqrt()

    def stepped(latent: Tensor) -> Tensor:
        positive, negative = (model.velocity(latent, level, context.texts[t]) for t in ("target", "negative"))
        return latent + (below - level) * (negative + GUIDANCE * (positive - negative))

    with torch.no_grad():
        by_hand = stepped(x) + move if shared else stepped(x + move)
    found: list[Tensor] = []
    method.settle = lambda *a, plain=method.settle: found.append(plain(*a)) or found[-1]  # type: ignore[method-assign, func-returns-value]
    denoise(method, context, GUIDANCE)
    torch.testing.assert_close(found[0], by_hand, rtol=1e-4, atol=1e-5)


def test_where_nothing_moves_the_video_is_that_of_no_transfer(context: Context) -> None:
    still = context.reference()[:, :, :1].expand_as(context.noise).contiguous()
    context.reference = lambda: still
    method = made(context, moving=100.0)
    assert torch.equal(denoise(method, context, GUIDANCE), denoise(NoTransfer(Params()), context, GUIDANCE))
    assert context.log["moving_share"] == 0


def test_a_step_has_the_length_of_the_rate_and_keeps_what_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    x, gradient = (torch.randn(1, 3, 2, 4, 4, generator=generator) for _ in range(2))
    plain = plain_step(x, 7.0 * gradient, 0.3, spread=False)
    assert float(plain.square().mean().sqrt()) == pytest.approx(0.3) and float((plain * gradient).sum()) < 0
    kept = x + plain_step(x, gradient, 0.3, spread=True)
    torch.testing.assert_close(kept.std((0, 2, 3, 4)), x.std((0, 2, 3, 4)))
    assert not plain_step(x, torch.zeros_like(x), 0.3, spread=True).any()

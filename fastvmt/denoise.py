"""The one denoise loop. It hosts every method by six hooks and has no branch on any of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor

from fastvmt.errors import NonFinite, WrongOutput
from fastvmt.plugins.method import Context, Method


@torch.no_grad()
def denoise(method: Method, ctx: Context, guidance: float, tick: Callable[[int, int], None] = lambda i, n: None) -> Tensor:
    """Sample one latent.

    Args:
        method: whose hooks run.
        ctx: noise, reference, texts, grid, clock.
        guidance: classifier-free scale g; v = v_neg + g (v_pos - v_neg), the two passes one after the other.
        tick: called with (step, steps) before each step.

    Returns:
        The latent at noise level 0, fp32, same shape as ``ctx.noise``.

    Raises:
        NonFinite: as soon as a latent holds NaN or infinity, naming step and hook.
        WrongOutput: when a hook returns another shape, or whole numbers.
    """
    sigmas, backbone, stages = ctx.sigmas, ctx.backbone, ctx.stages
    ctx.guidance = guidance
    with stages("reference"):
        ctx.state = method.fit(ctx)
        x, first = method.start(ctx)
    steps = len(sigmas) - 1
    for i in range(first, steps):
        tick(i, steps)
        with ExitStack() as scope:
            with stages("guidance"):
                scope.enter_context(method.scope(ctx, i))
                x = _checked(method.adjust(ctx, i, x), ctx, i, "adjust")
            with stages("denoise"):
                positive = backbone.velocity(x, sigmas[i], ctx.texts["target"])
                negative = backbone.velocity(x, sigmas[i], ctx.texts["negative"])
                v = negative + guidance * (positive - negative)
            with stages("guidance"):
                v = v + method.steer(ctx, i, x)
            # In float32 throughout, as FlowMatchEulerDiscreteScheduler does it: bit for bit its step.
            step = torch.tensor(sigmas[i + 1], dtype=torch.float32) - torch.tensor(sigmas[i], dtype=torch.float32)
            x_next = x + step.to(x.device) * v
            with stages("guidance"):
                x = _checked(method.settle(ctx, i, x, x_next), ctx, i, "settle")
                scope.close()  # what a method takes out of the model again is its time as well
    return x


def _checked(x: Tensor, ctx: Context, i: int, hook: str) -> Tensor:
    if x.shape != ctx.noise.shape:
        raise WrongOutput(f"{hook} at step {i} returned shape {tuple(x.shape)}, need {tuple(ctx.noise.shape)}")
    if not x.is_floating_point():
        raise WrongOutput(f"{hook} at step {i} returned {x.dtype}, need floating point numbers")
    if not bool(torch.isfinite(x).all()):
        raise NonFinite(f"{hook} at step {i} left NaN or infinity in the latent")
    return x.detach().float()

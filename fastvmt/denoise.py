"""The one denoise loop. It hosts every method by six hooks and has no branch on any of them."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from fastvmt.backbones.acceleration import Sampled
from fastvmt.core.spelling import value_shown
from fastvmt.errors import NonFinite, WrongOutput
from fastvmt.model.profile import Profile
from fastvmt.plugins.blame import defined, note_hook
from fastvmt.plugins.method import Context, Method


@torch.no_grad()
def denoise(
    method: Method, ctx: Context, guidance: float | Callable[[float], float],
    tick: Callable[[int, int], None] = lambda i, n: None,
    profile: Profile = Profile(), guided: range = range(0),  # noqa: B008 - both are immutable
) -> Tensor:  # fmt: skip
    """Sample one latent.

    Args:
        method: whose hooks run.
        ctx: noise, reference, texts, grid, clock.
        guidance: classifier-free scale g, or a function of the noise level that says it; v = v_neg + g (v_pos - v_neg), the two
            passes one after the other.
        tick: called with (step, steps) before each step.
        profile: says at which noise levels there are two passes; at the others v = v_pos.
        guided: steps in which the method guides, whose passes no cache serves.

    Returns:
        The latent at noise level 0, fp32, same shape as ``ctx.noise``.

    Raises:
        NonFinite: as soon as a latent holds NaN or infinity, naming step and hook.
        WrongOutput: when a hook returns nothing, another shape, or no floating-point numbers.
        Exception: whatever a hook raises, with a note of the hook and the step (``blame.note_hook``).
    """
    at = _At(method, tuple(ctx.noise.shape))
    try:
        return _loop(method, ctx, guidance, tick, at, profile, guided)
    except BaseException as error:
        if not isinstance(error, NonFinite | WrongOutput):
            note_hook(error, at.hook, at.step)
        raise


def _loop(
    method: Method,
    ctx: Context,
    guidance: float | Callable[[float], float],
    tick: Callable[[int, int], None],
    at: _At,
    profile: Profile,
    guided: range,
) -> Tensor:
    sigmas, backbone, stages = ctx.sigmas, ctx.backbone, ctx.stages
    scale = guidance if callable(guidance) else lambda level: guidance
    ctx.guidance = scale(sigmas[0])
    steps = len(sigmas) - 1
    with stages("reference"):
        at.hook = "fit"
        ctx.state = method.fit(ctx)
        at.hook = "start"
        x, first = at.started(method.start(ctx), steps)
    for i in range(first, steps):
        at.step = i
        tick(i, steps)
        ctx.guidance = scale(sigmas[i])
        with ExitStack() as scope:
            with stages("guidance"):
                at.hook = "scope"
                scope.enter_context(at.entered(method.scope(ctx, i)))
                at.hook = "adjust"
                x = at.checked(method.adjust(ctx, i, x))
            with stages("denoise"):
                at.hook = "the model"
                of = [None if i in guided else Sampled(text, i, steps) for text in ("cond", "uncond")]
                v = positive = negative = backbone.velocity(x, sigmas[i], ctx.texts["target"], of[0])
                if profile.guides(sigmas[i]):
                    negative = backbone.velocity(x, sigmas[i], ctx.texts["negative"], of[1])
                    v = negative + ctx.guidance * (positive - negative)
            with stages("guidance"):
                at.hook = "steer"
                term = at.added(method.steer(ctx, i, x))
                v = v + term
            # In float32 throughout, as FlowMatchEulerDiscreteScheduler does it: bit for bit its step.
            step = torch.tensor(sigmas[i + 1], dtype=torch.float32) - torch.tensor(sigmas[i], dtype=torch.float32)
            x_next = x + step.to(x.device) * v
            with stages("guidance"):
                at.hook = "settle"
                came_from = ("steer", term), ("the model", positive), ("the model", negative), ("steer", x, x_next)
                x = at.checked(method.settle(ctx, i, x, x_next), came_from)
                at.hook = "scope"
                scope.close()  # what a method takes out of the model again is its time as well
    return x


class _At:
    """Where the loop is, and whether what a hook returned can go on from there. Nothing here waits for the device, but for the
    one look at each latent whether its numbers are finite."""

    def __init__(self, method: Method, shape: tuple[int, ...]) -> None:
        self.method, self.shape = method, shape
        self.hook = ""
        self.step: int | None = None

    def _returned(self, found: Any, wanted: str) -> WrongOutput:
        shown = f"shape {tuple(found.shape)}, {found.dtype}" if isinstance(found, Tensor) else value_shown(found)
        return WrongOutput(f"{self._where(self.hook)} returned {shown}; need {wanted}{self._defined(self.hook)}")

    def _where(self, hook: str) -> str:
        return hook if self.step is None else f"{hook} at step {self.step}"

    def _defined(self, hook: str) -> str:
        """In which file, where the method has the hook from another class than the one that does nothing."""
        own = getattr(type(self.method), hook, None)
        return f" ({defined(own)})" if own is not None and own is not getattr(Method, hook, None) else ""

    def _latent(self, x: Any) -> Tensor:
        if not isinstance(x, Tensor) or tuple(x.shape) != self.shape or not x.is_floating_point():
            raise self._returned(x, f"floating-point numbers of shape {self.shape}")
        return x

    def started(self, found: Any, steps: int) -> tuple[Tensor, int]:
        """What ``start`` returned: the first latent and the first step."""
        pair = isinstance(found, tuple | list) and len(found) == 2 and hasattr(found[1], "__index__")
        if not pair or not 0 <= found[1] <= steps:
            raise self._returned(found, f"a latent and the first step, 0 to {steps}")
        if not bool(torch.isfinite(self._latent(found[0])).all()):
            raise self._not_finite("start")
        return found[0], int(found[1])

    def entered(self, found: Any) -> Any:
        """What ``scope`` returned."""
        if not hasattr(type(found), "__enter__"):
            raise self._returned(found, "a context manager")
        return found

    def added(self, term: Any) -> Any:
        """What ``steer`` returned: a number, or a tensor that leaves the velocity its shape."""
        if isinstance(term, Tensor):
            sides = zip(term.shape[::-1], self.shape[::-1], strict=False)
            if term.ndim <= len(self.shape) and all(a in (1, b) for a, b in sides) and not term.is_complex():
                return term
        elif isinstance(term, numbers.Real):
            return term
        raise self._returned(term, f"a number, or a tensor that can be added to shape {self.shape}")

    def checked(self, x: Any, came_from: Iterable[tuple[Any, ...]] = ()) -> Tensor:
        """A latent that a hook returned.

        Args:
            came_from: whose, and what went into it before; the first with nothing finite is to blame.
        """
        x = self._latent(x)
        if not bool(torch.isfinite(x).all()):
            raise self._not_finite(next((whose for whose, *what in came_from if not any(map(_finite, what))), self.hook))
        return x.detach().float()

    def _not_finite(self, hook: str) -> NonFinite:
        if hook == "settle" and type(self.method).settle is Method.settle:  # nobody's: the sum is beyond float32
            hook = "steer" if type(self.method).steer is not Method.steer else "the model"
        left = "NaN or infinity in the " + ("velocity" if hook in ("steer", "the model") else "latent")
        return NonFinite(f"{self._where(hook)} left {left}{self._defined(hook)}")


def _finite(value: Any) -> bool:
    return bool(torch.isfinite(value).all()) if isinstance(value, Tensor) else math.isfinite(value)

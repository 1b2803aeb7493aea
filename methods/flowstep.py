"""FlowStep: attention motion flow where the reference moves, both ways in time, followed by plain steps that share a pass.

The descriptor is FastVMT's windowed flow of a clean reference. What differs, each a parameter:

``directions``  every pair of frames is looked at both ways. The same queries and keys serve both, so no pass is added.
``moving``      the loss counts only tokens that the reference displaces by more than this. Still tokens agree whatever the
                reference is: their gradient is about the video itself.
``inner``       gradients a guided step. Each is divided by its root mean square and followed at once, at a rate that falls over
                the guided steps: no optimiser state, nothing to reuse.
``shared``      a step's last gradient is followed behind the sampling step. It is then of the latent that the sampling step
                starts from, so the guided pass, finished without gradients, is that step's conditional pass.
``spread``      after each gradient every channel has the spread that it had, which a shape needs and motion does not change.

With m the moving entries (direction, pair, token) of the reference's flow A, B(x) the video's in the same windows, v the
velocity under guidance, and [.]_x a rescaling of each channel to the standard deviation that x has there:

    L(x) = sum_m |A - B(x)|^2 / |m|,   g = dL/dx,   d_n(x) = [x - r_n g / rms(g)]_x - x
    shared:  x <- x + (s' - s) v(x) + d_n(x)         apart:  x <- x + d_n(x),  then  x <- x + (s' - s) v(x)

where r_n falls linearly from ``lr_first`` at the first guided step to ``lr_last`` behind the last. A guided step costs, with a
block at depth b of the model, 2b forward-equivalents shared and 3b apart; FastVMT's 12b.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field

from fastvmt.backbones.token_grid import VELOCITY
from fastvmt.methods._math import flow, windowed
from fastvmt.methods._math.guided import (
    AdamMethod,
    AdamParams,
    Guided,
    Inner,
    Rate,
    Temperature,
    Tile,
    needs_latent_frames,
)
from fastvmt.methods._math.updater import StepLog
from fastvmt.plugins.method import GRADIENT_COST, TAP_SHARE, Context, Shape, Study

if TYPE_CHECKING:
    from torch import Tensor


class FlowStepParams(AdamParams):
    inner: Inner = 1
    guided: Guided = "share:0.2"
    lr_first: Rate = 0.04
    lr_last: Rate = 0.02
    shared: bool = Field(True, description="a step's last gradient from the pass that the sampling step needs anyway")
    spread: bool = Field(True, description="keep every channel's standard deviation")
    directions: Literal["both", "forward"] = Field("both", description="pairs of frames forward in time, or both ways")
    moving: float = Field(0.25, ge=0, le=10_000, description="displacement in tokens beyond which a reference token counts")
    span: int = Field(5, ge=2, le=10_000, description="temporal span: offsets 1 .. span - 1")
    window: int = Field(21, ge=0, le=10_000, description="window side in tokens; 0 means the whole frame")
    tile: Tile = Field((3, 4), description="rows x columns of a tile, in tokens")
    temperature: Temperature = 1.0
    heads: Literal["mean_logits", "mean_qk"] = "mean_logits"
    rope: bool = Field(True, description="queries and keys after rotary embedding, as attention sees them, or before")


@dataclass
class Wanted:
    """Of the reference, by direction: windows, and displacements and moving tokens of all pairs, (pairs, S, 2) and (pairs, S).

    Attributes:
        due: what is added to the latent behind the sampling step.
    """

    windows: list[list[flow.Windows]]
    flows: list[Tensor]
    moving: list[Tensor]
    due: Tensor | None = None


class FlowStep(AdamMethod):
    id = "flowstep"
    summary = "motion flow of moving tokens, both ways in time, by plain steps that share the sampling pass"
    source = "this package; descriptor: FastVMT, arXiv 2602.05551, sections 3.2 and 3.3"
    Params = FlowStepParams
    variants = {
        "full": {"guided": "share:0.9"},
        "apart": {"shared": False},
        "forward": {"directions": "forward"},
        "all-tokens": {"moving": 0.0},
        "any-spread": {"spread": False},
        "no-window": {"window": 0},
    }
    study = Study({
        "shared": ("apart",), "directions": ("forward",), "moving": ("all-tokens", "moving=0.12", "moving=0.5"),
        "spread": ("any-spread",), "window": ("no-window",), "heads": ("heads=mean_qk",), "inner": ("inner=2",),
        "span": ("span=3", "span=5"),
    })  # fmt: skip

    @classmethod
    def resolve(cls, params: FlowStepParams, shape: Shape) -> FlowStepParams:
        needs_latent_frames(cls.id, shape)
        _, height, width = shape.grid
        longest = max(height, width)
        tile = (min(params.tile[0], height), min(params.tile[1], width))
        side = min(params.window or longest, longest)
        resolved: FlowStepParams = super().resolve(params, shape)
        return resolved.model_copy(update={"window": side, "tile": tile})

    @classmethod
    def cost(cls, params: FlowStepParams, shape: Shape) -> float:
        guided, depth = cls.guided_steps(params, shape), shape.share(params.block + TAP_SHARE)
        sharing = sum(cls.shares(params, i, len(shape.sigmas)) for i in guided)
        passes = len(guided) * params.inner * GRADIENT_COST - sharing + (1 if guided else 0)
        return cls.sampling_cost(params, shape) + depth * passes

    @classmethod
    def reach(cls, params: FlowStepParams, shape: Shape) -> float | None:
        return None  # a step's root mean square is bounded, and no single number of it

    @staticmethod
    def shares(params: FlowStepParams, i: int, levels: int) -> bool:
        """Whether step ``i`` shares its pass; behind the run's last step nothing would follow a gradient any more."""
        return params.shared and i + 2 < levels

    def mirror(self, ctx: Context, i: int) -> tuple[Tensor, float, str]:
        return ctx.reference(), 0.0, "null"

    def fit(self, ctx: Context) -> Wanted:
        """The clean reference's flows, and where they move."""
        if not self.window(ctx.sigmas):
            return Wanted([], [], [])
        seen = [self._describe(ctx, q, k) for q, k in self._ways(*self._features(ctx, ctx.reference(), 0.0, "null"))]
        flows = [torch.cat(way.flows) for way in seen]
        moving = [(each.square().sum(-1) > self.params.moving**2).float() for each in flows]
        ctx.log["moving_share"] = round(float(torch.cat(moving).mean()), 4)
        return Wanted([way.windows for way in seen], flows, moving)

    def compare(self, ctx: Context, level: float, wanted: Wanted, x: Tensor, beside: dict[str, Tensor] | None = None) -> Tensor:
        total, count = x.new_zeros(()), x.new_zeros(())
        ways = self._ways(*self._features(ctx, x, level, "target", beside))
        for (q, k), windows, there, moving in zip(ways, wanted.windows, wanted.flows, wanted.moving, strict=True):
            here = torch.cat(self._describe(ctx, q, k, windows).flows)
            total = total + ((here - there).square().sum(-1) * moving).sum()
            count = count + moving.sum()
        return total / count.clamp(min=1)

    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        window, level, wanted, log = self.window(ctx.sigmas), ctx.sigmas[i], self.wanted(ctx, i), StepLog(ctx.log, i)
        if i not in window:
            return x
        rate, latent = self.rate(self.params, i - window.start, len(window)), x
        sharing = self.params.inner - 1 if self.shares(self.params, i, len(ctx.sigmas)) else None
        for j in range(self.params.inner):
            beside: dict[str, Tensor] | None = {} if j == sharing else None
            with torch.enable_grad():
                at = latent.clone().requires_grad_(True)
                loss = self.compare(ctx, level, wanted, at, beside)
                (gradient,) = torch.autograd.grad(loss, at)
            log.fresh(j, loss.detach(), gradient)
            move = plain_step(latent, gradient, rate, self.params.spread)
            log.moved(x, latent + move)
            if beside is None:
                latent = latent + move
            else:
                wanted.due = move
                ctx.backbone.foretell(latent, level, ctx.texts["target"], beside[VELOCITY])
        return latent

    def settle(self, ctx: Context, i: int, x: Tensor, x_next: Tensor) -> Tensor:
        due, ctx.state.due = ctx.state.due, None
        return x_next if due is None else x_next + due

    @classmethod
    def held(cls, params: Any, shape: Shape, width: int) -> int:
        features = width if params.heads == "mean_logits" else width // shape.heads
        return (1 + (params.directions == "both")) * windowed.held(shape, params.window, params.span - 1, features)

    def _ways(self, q: Tensor, k: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        yield q, k
        if self.params.directions == "both":
            yield q.flip(0), k.flip(0)

    def _describe(self, ctx: Context, q: Tensor, k: Tensor, given: list[flow.Windows] | None = None) -> windowed.Seen:
        p, (_, height, width) = self.params, ctx.backbone.tokens(ctx.noise)
        tiles = flow.Tiles((height, width), *p.tile)
        return windowed.describe(q, k, tiles, p.window, range(1, p.span), self._scale(ctx), True, given)


def plain_step(x: Tensor, gradient: Tensor, rate: float, spread: bool) -> Tensor:
    """What a step adds to a latent (1, C, F, H, W): root mean square ``rate``, against the gradient; zeros where that is zero.

    Args:
        spread: rescale each channel to the standard deviation that it had.
    """
    size = gradient.square().mean().sqrt()
    if not bool(size > 0):
        return torch.zeros_like(x)
    moved = x - rate * gradient / size
    if spread:
        had, has = (latent.std((0, 2, 3, 4), keepdim=True) for latent in (x, moved))
        moved = moved * torch.where(has > 0, had / has, torch.ones_like(had))
    return moved - x

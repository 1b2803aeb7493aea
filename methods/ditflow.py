"""DiTFlow (Pondaven et al., CVPR 2025): dense attention motion flow on the latent.

As its authors define it: clean reference at t = 0 with an empty prompt and hard displacements, mean of logits over
heads, temperature 2, all ordered pairs of frames, loss where the reference moves, Adam for 5 inner steps on the first
fifth of the steps, keys and values of block 0 taken from the noised reference in guided steps.

What had to change for Wan: no text tokens to slice off; the tapped block is a fraction of the depth.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from fastvmt.methods import amf
from fastvmt.methods.injection import reference_attended, step_cost
from fastvmt.methods.updater import LatentUpdate, StepLog
from pydantic import Field

from fastvmt.method import GRADIENT_COST, TAP_SHARE, Context, Method, Params, Shape
from fastvmt.sigmas import resolve_steps

if TYPE_CHECKING:
    from torch import Tensor


class DiTFlowParams(Params):
    block: int | float = Field(0.5, description="index of the tapped block, or a fraction of the depth")
    guided: str = Field("share:0.2", description="steps:0-9, share:0.2 or sigma:1.0-0.9")
    inner: int = Field(5, ge=1, description="Adam steps per guided step")
    lr_first: float = Field(0.002, gt=0, description="in the first guided step")
    lr_last: float = Field(0.001, gt=0, description="one step behind the last guided step")
    temperature: float = Field(2.0, gt=0)
    heads: Literal["mean_logits", "mean_qk"] = "mean_logits"
    rope: bool = Field(True, description="queries and keys after rotary embedding, as attention sees them, or before")
    reference: Literal["argmax", "soft"] = Field("argmax", description="hard or expected reference displacement")
    moving_only: bool = Field(True, description="loss only where the reference displacement is not zero")
    pairs: Literal["all", "span"] = Field("all", description="all ordered pairs, or offsets 1 .. span - 1 forward")
    span: int = Field(5, ge=2)
    inject: bool = Field(True, description="keys and values of block 0 from the noised reference in guided steps")


class DiTFlow(Method):
    id = "ditflow"
    summary = "dense attention motion flow over all frame pairs"
    source = "DiTFlow, CVPR 2025 (arXiv 2412.07776)"
    Params: ClassVar[type[Params]] = DiTFlowParams
    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "forward-span": {"pairs": "span", "reference": "soft", "moving_only": False, "heads": "mean_qk", "temperature": 1.0},
        "no-injection": {"inject": False},
    }

    @classmethod
    def resolve(cls, params: DiTFlowParams, shape: Shape) -> DiTFlowParams:
        return params.model_copy(
            update={
                "block": shape.block_index(params.block),
                "guided": shape.steps(params.guided),
                "span": min(params.span, shape.grid[0]),
            }
        )

    @classmethod
    def cost(cls, params: DiTFlowParams, shape: Shape) -> float:
        first, last = resolve_steps(params.guided, shape.sigmas)
        steps, share = last - first + 1, (params.block + TAP_SHARE) / shape.blocks
        injected = steps * step_cost(shape) if params.inject else 0.0
        return super().cost(params, shape) + share * (steps * params.inner * GRADIENT_COST + 1) + injected

    def fit(self, ctx: Context) -> Tensor:
        """The reference's displacements, (pairs, S, 2)."""
        reference = ctx.reference()
        q, k = self._features(ctx, reference, 0.0, "null")
        first, second, _ = self._pairs(q.shape[0], q.device)
        grid = ctx.backbone.tokens(reference)[1:]
        if self.params.reference == "argmax":
            return amf.hard_flow(q[first], k, second, grid)
        return amf.dense_flow(q[first], k, second, grid, self._scale(ctx))

    def scope(self, ctx: Context, i: int) -> AbstractContextManager[Any]:
        first, last = resolve_steps(self.params.guided, ctx.sigmas)
        return reference_attended(ctx, i) if self.params.inject and first <= i <= last else nullcontext()

    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        p = self.params
        first, last = resolve_steps(p.guided, ctx.sigmas)
        if not first <= i <= last:
            return x
        rate = p.lr_first + (p.lr_last - p.lr_first) * (i - first) / (last - first + 1)
        update = LatentUpdate(p.inner, 1, rate, rate, 1, weight_decay=0.0, decoupled=False)
        return update(x, partial(self._loss, ctx, ctx.sigmas[i]), StepLog(ctx.log, i))

    def _loss(self, ctx: Context, level: float, x: Tensor) -> Tensor:
        q, k = self._features(ctx, x, level, "target")
        first, second, weight = self._pairs(q.shape[0], q.device)
        moved = amf.dense_flow(q[first], k, second, ctx.backbone.tokens(x)[1:], self._scale(ctx))
        error = (moved - ctx.state).square()
        if self.params.moving_only:
            moving = (ctx.state != 0).any(-1, keepdim=True).expand_as(error)
            return error[moving].mean() if bool(moving.any()) else error.sum() * 0
        return (error.mean((1, 2)) * weight).mean()

    def _pairs(self, frames: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """First and second frame and weight of every pair."""
        every = torch.arange(frames, device=device)
        first, second = every.repeat_interleave(frames), every.repeat(frames)
        if self.params.pairs == "all":
            return first, second, torch.ones(len(first), device=device)
        offset = second - first
        inside = (offset >= 1) & (offset < self.params.span)
        weight = 1 - 0.2 * (offset[inside] - 1) / max(1, self.params.span - 2)
        return first[inside], second[inside], weight

    def _features(self, ctx: Context, x: Tensor, sigma: float, text: str) -> tuple[Tensor, Tensor]:
        """Queries and keys (F, S, D): all heads side by side (their dot product is the sum of the heads' logits)."""
        names = (f"q@{self.params.block}", f"k@{self.params.block}")
        taps = ctx.backbone.taps(x, sigma, ctx.texts[text], names, rope=self.params.rope)
        frames = ctx.backbone.tokens(x)[0]
        q, k = (taps[n][0].float().unflatten(0, (frames, -1)) for n in names)
        return (q.mean(2), k.mean(2)) if self.params.heads == "mean_qk" else (q.flatten(2), k.flatten(2))

    def _scale(self, ctx: Context) -> float:
        card = ctx.backbone.card
        heads = card.heads if self.params.heads == "mean_logits" else 1
        return float(self.params.temperature / (heads * card.head_dim**0.5))

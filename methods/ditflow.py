"""DiTFlow (Pondaven et al., CVPR 2025): dense attention motion flow on the latent.

As its authors define it: clean reference at t = 0 with an empty prompt and hard displacements, mean of logits over
heads, temperature 2, all ordered pairs of frames, loss where the reference moves, Adam for 5 inner steps on the first
fifth of the steps, keys and values of block 0 taken from the noised reference in guided steps.

What had to change for Wan: no text tokens to slice off; the tapped block is a fraction of the depth.

``fork`` and ``fork-motionclone`` are what a public fork of FastVMT's code runs under the names ``ditflow`` and
``motionclone``: heads averaged before the product, offsets 0 to 3 forward, soft displacements of a reference noised to
the step's level, a sum over tokens, AdamW on a bf16 latent with rates that fall within a guided step, no injection, and the
noised reference as the start, on the fork's own noise levels. The second keeps the eight strongest keys only, which makes it
a sparse DiTFlow and not MotionClone. They show what these choices do to a number; they are no method of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field

from fastvmt.methods._math import flow
from fastvmt.methods._math.guided import FROM_NOISE, AdamParams, Inject, InjectingMethod, Temperature, needs_latent_frames
from fastvmt.methods._math.updater import LatentUpdate
from fastvmt.plugins.method import GRADIENT_COST, TAP_SHARE, Context, Shape, Study

if TYPE_CHECKING:
    from torch import Tensor

FORK: dict[str, Any] = {
    "heads": "mean_qk", "temperature": 1.0, "pairs": "span_and_same", "span": 4, "reference": "soft", "ref_level": "matched",
    "moving_only": False, "tokens_mean": False, "amf_weight": 5.0, "updater": "adamw", "guided": "share:0.2", "inner": 10,
    "lr_first": 0.003, "lr_last": 0.002, "inject": False, "begin": "reference", "begin_sigma": 0.981,
    "grid": "7:0.88",
}  # fmt: skip
"""0.981 is the first level of the fork's grid."""


class DiTFlowParams(AdamParams):
    temperature: Temperature = 2.0
    heads: Literal["mean_logits", "mean_qk"] = "mean_logits"
    rope: bool = Field(True, description="queries and keys after rotary embedding, as attention sees them, or before")
    reference: Literal["argmax", "soft"] = Field("argmax", description="hard or expected reference displacement")
    ref_level: Literal["clean", "matched"] = Field("clean", description="reference clean, or noised to each step's level")
    moving_only: bool = Field(True, description="loss only where the reference displacement is not zero")
    pairs: Literal["all", "span", "span_and_same"] = Field(
        "all", description="all ordered pairs, or offsets 1 (0 with span_and_same) .. span - 1 forward"
    )
    span: int = Field(5, ge=2, le=10_000)
    top: int = Field(0, ge=0, le=1_000_000, description="only so many of the strongest keys of a query and frame; 0 for all")
    tokens_mean: bool = Field(True, description="mean over tokens and axes, or their sum (without moving_only)")
    amf_weight: float = Field(1.0, gt=0, le=1e6, description="factor of the loss; Adam hardly sees it")
    updater: Literal["adam", "adamw"] = Field(
        "adam", description="Adam, rates falling over the guided steps; or AdamW on a bf16 latent, falling within each"
    )
    inject: Inject = True
    begin: Literal["noise", "reference"] = "noise"
    begin_sigma: float = Field(0.981, gt=0, le=1, description="with begin=reference: start at this noise level or below")


class DiTFlow(InjectingMethod):
    id = "ditflow"
    summary = "dense attention motion flow over all frame pairs"
    source = "DiTFlow, CVPR 2025 (arXiv 2412.07776)"
    role = "baseline"
    Params = DiTFlowParams
    variants = {
        "forward-span": {"pairs": "span", "reference": "soft", "moving_only": False, "heads": "mean_qk", "temperature": 1.0},
        "no-injection": {"inject": False},
        "fork": FORK,
        "fork-motionclone": FORK | {"top": 8},
    }
    protocols = FROM_NOISE
    study = Study(floor_when={"reference": "soft", "moving_only": False})

    @classmethod
    def resolve(cls, params: DiTFlowParams, shape: Shape) -> DiTFlowParams:
        needs_latent_frames(cls.id, shape)
        return super().resolve(params, shape)

    @classmethod
    def cost(cls, params: DiTFlowParams, shape: Shape) -> float:
        steps, share = len(cls.guided_steps(params, shape)), shape.share(params.block + TAP_SHARE)
        looks = 1 if params.ref_level == "clean" else steps
        guiding = share * (steps * params.inner * GRADIENT_COST + looks)
        return cls.sampling_cost(params, shape) + guiding + cls.injection_cost(params, shape)

    @classmethod
    def reach(cls, params: DiTFlowParams, shape: Shape) -> float | None:
        return None if params.updater == "adamw" else super().reach(params, shape)  # bf16 rounds by more than a rate

    @classmethod
    def held(cls, params: DiTFlowParams, shape: Shape, width: int) -> int:
        (frames, *grid), p = shape.grid, params
        pairs = frames**2 if p.pairs == "all" else frames * min(p.span, frames)
        return flow.dense_bytes(pairs, grid[0] * grid[1], width if p.heads == "mean_logits" else width // shape.heads)

    def fit(self, ctx: Context) -> Tensor | None:
        """The reference's displacements, (pairs, S, 2); None when every step has its own."""
        return self._displacements(ctx, 0.0) if self.params.ref_level == "clean" else None

    def wanted(self, ctx: Context, i: int) -> Tensor:
        if self.params.ref_level == "clean":
            return ctx.state
        with ctx.stages("reference"), torch.no_grad():
            return self._displacements(ctx, ctx.sigmas[i])

    def mirror(self, ctx: Context, i: int) -> tuple[Tensor, float, str]:
        level = 0.0 if self.params.ref_level == "clean" else ctx.sigmas[i]
        return self._noised(ctx, level), level, "null"

    def update(self, n: int, steps: int) -> LatentUpdate:
        p = self.params
        if p.updater == "adam":
            return super().update(n, steps)
        return LatentUpdate(p.inner, 1, p.lr_first, p.lr_last, p.inner, weight_decay=0.01, dtype=torch.bfloat16)

    def _displacements(self, ctx: Context, level: float) -> Tensor:
        q, k = self._features(ctx, self._noised(ctx, level), level, "null")
        if self.params.reference == "soft":
            return self._moved(ctx, q, k)
        first, second, _ = self._pairs(q.shape[0], q.device)
        return flow.hard_flow(q, k, second, ctx.backbone.tokens(ctx.noise)[1:], first)

    def _moved(self, ctx: Context, q: Tensor, k: Tensor) -> Tensor:
        """Expected displacements of every pair, (pairs, S, 2)."""
        first, second, _ = self._pairs(q.shape[0], q.device)
        grid = ctx.backbone.tokens(ctx.noise)[1:]
        return flow.dense_flow(q, k, second, grid, self._scale(ctx), self.params.top, first)

    def compare(self, ctx: Context, level: float, wanted: Tensor, x: Tensor) -> Tensor:
        p = self.params
        q, k = self._features(ctx, x, level, "target")
        error = (self._moved(ctx, q, k) - wanted).square()
        if p.moving_only:
            moving = (wanted != 0).any(-1, keepdim=True).expand_as(error)
            return p.amf_weight * error[moving].mean() if bool(moving.any()) else error.sum() * 0
        weight = self._pairs(q.shape[0], q.device)[2]
        each = error.mean((1, 2)) if p.tokens_mean else error.sum((1, 2))
        return p.amf_weight * (each * weight).mean()

    def _pairs(self, frames: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """First and second frame and weight of every pair."""
        every = torch.arange(frames, device=device)
        first, second = every.repeat_interleave(frames), every.repeat(frames)
        if self.params.pairs == "all":
            return first, second, torch.ones(len(first), device=device)
        offset = second - first
        nearest, span = 0 if self.params.pairs == "span_and_same" else 1, min(self.params.span, frames)
        inside = (offset >= nearest) & (offset < span)
        weight = 1 - 0.2 * (offset[inside] - nearest) / max(1, span - 1 - nearest)
        return first[inside], second[inside], weight

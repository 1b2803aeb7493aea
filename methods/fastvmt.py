"""FastVMT (arXiv 2602.05551): windowed attention motion flow, corresponding-window loss, reused gradients.

Two presets, never mixed in a table:

``paper``     sections 3.2-3.4, B.1 and B.4 as written: heads averaged, absolute displacement, windows whole inside the
              frame, mean over tokens, fp32 latent and moments.
``released``  the authors' code with its oddities (``released.py``): token-group means instead of head means, clamped
              slots, residual displacement, sums over tokens, bf16 latent, rounded times, start from the noised reference on
              their own noise levels. ``heads=mean_qk`` takes a true mean over heads in it.

Where the paper disagrees with itself, the default is the first of each pair and the second is a parameter:
reference noised to the current level (4.1, Algorithm 1) or clean (3.2): ``reference``; plain norm (B.4) or square
(equation 7): ``window_power``; soft window centre (equation 2) or best key (equation 4): ``centre``; offsets 1..s_f-1
(B.4) or with 0 (equation 3): ``include_same``; weights 1 to 0.8 over the offsets (B.1) or equation 6: ``weights``;
mean over tokens (B.1) or sum (equation 5): ``tokens_mean``; Gaussian start (4.1) or the noised reference (the released
code): ``begin``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field, model_validator

from fastvmt.methods._math import flow, released, windowed
from fastvmt.methods._math.guided import (
    FROM_NOISE,
    AdamMethod,
    AdamParams,
    Inner,
    Rate,
    Temperature,
    Tile,
    Weight,
    needs_latent_frames,
    other_noise,
)
from fastvmt.methods._math.updater import LatentUpdate
from fastvmt.plugins.method import GRADIENT_COST, TAP_SHARE, Context, Shape, Study

if TYPE_CHECKING:
    from torch import Tensor

UNREAD: dict[str, Any] = {
    "centre": "soft", "centre_from": "own", "reference": "matched", "include_same": True, "weights": "b1",
    "tokens_mean": False, "window_power": "norm",
}  # fmt: skip
"""What the authors' code does in one way only."""
RELEASED: dict[str, Any] = {
    "span": 4, "include_same": True, "tokens_mean": False, "begin": "reference", "grid": "7:0.75",
    "heads": "groups",
}  # fmt: skip
"""What the authors' code has in place of the paper's values."""


TIME = "condition_embedder.timesteps_proj"
"""Where the transformer is told the noise level, times 1000."""


class FastVMTParams(AdamParams):
    preset: Literal["paper", "released"] = Field("paper", description="never mixed in a table")
    inner: Inner = 10
    interval: int = Field(3, ge=1, le=10_000, description="a fresh gradient every so many inner steps; 1 never reuses")
    lr_first: Rate = 0.003
    lr_last: Rate = 0.002
    weight_decay: float = Field(0.01, ge=0, le=1000)
    span: int = Field(5, ge=2, le=10_000, description="temporal span s_f: offsets 1 .. s_f - 1")
    window: int = Field(21, ge=0, le=10_000, description="window side l in tokens; 0 means the whole frame")
    tile: Tile = Field((3, 4), description="rows x columns of a tile, in tokens")
    temperature: Temperature = 1.0
    heads: Literal["mean_qk", "mean_logits", "groups"] = Field(
        "mean_qk", description="queries and keys averaged over heads, or their logits; groups: the released code's token groups"
    )
    rope: bool = Field(True, description="queries and keys after rotary embedding, as attention sees them, or before")
    centre: Literal["soft", "argmax"] = "soft"
    centre_from: Literal["own", "reference"] = Field("own", description="whose queries and keys place the windows")
    reference: Literal["matched", "clean"] = Field("matched", description="reference noised to the current level, or clean")
    include_same: bool = False
    weights: Literal["b1", "eq6"] = "b1"
    tokens_mean: bool = True
    amf_weight: Weight = 5.0
    window_weight: Weight = 1.0
    window_power: Literal["norm", "square"] = "norm"
    begin: Literal["noise", "reference"] = "noise"
    begin_sigma: float = Field(1.0, gt=0, le=1, description="with begin=reference: start at this noise level or below")
    exit: Literal["early", "whole"] = Field(
        "early", description="stop the guidance pass at the tapped block, or run the whole model; the video is the same"
    )

    @model_validator(mode="before")
    @classmethod
    def _released_defaults(cls, values: Any) -> Any:
        return RELEASED | values if isinstance(values, dict) and values.get("preset") == "released" else values

    @model_validator(mode="after")
    def _only_what_is_read(self) -> FastVMTParams:
        unread = [k for k, v in UNREAD.items() if getattr(self, k) != v] if self.preset == "released" else []
        if unread:  # it would be another key and label for the same video
            raise ValueError(f"the preset released does not read {', '.join(unread)}; leave it out")
        if self.heads == ("mean_logits" if self.preset == "released" else "groups"):
            raise ValueError(
                f"heads={self.heads} is not a form of the preset {self.preset}; use heads=mean_qk, or leave it out"
            )
        return self


class FastVMT(AdamMethod):
    id = "fastvmt"
    summary = "sliding-window attention motion flow with reused gradients"
    source = "FastVMT, arXiv 2602.05551, sections 3.2-3.4, 4.1, B.1, B.4"
    protocols = replace(FROM_NOISE, preset="preset")
    Params = FastVMTParams
    variants = {
        "no-window": {"window": 0},
        "no-window-loss": {"window_weight": 0.0},
        "no-step-skip": {"interval": 1},
        "no-early-exit": {"exit": "whole"},
        "released": {"preset": "released"},
    }
    study = Study({
        "window": ("no-window",),
        "loss": ("no-window-loss",),
        "reuse": ("no-step-skip",),
        "exit": ("no-early-exit",),
        "block": ("block=0.333", "block=0.5", "block=0.667"),
        "span": ("span=3", "span=7"),
        "interval": ("interval=2", "interval=4", "interval=5"),
        "inner": ("inner=5",),
        "reference": ("reference=clean", "reference=matched"),
        "begin": ("begin=reference:begin_sigma=0.95", "begin=reference:begin_sigma=0.9"),
        "preset": ("released",),
    }, ladder=(
        ("none", "no-window:no-step-skip:no-early-exit"),
        ("exit", "no-window:no-step-skip"),
        ("reuse", "no-window"),
        ("window", ""),
    ), floor_when={"window_weight": 0.0})  # fmt: skip

    @classmethod
    def resolve(cls, params: FastVMTParams, shape: Shape) -> FastVMTParams:
        needs_latent_frames(cls.id, shape)
        _, height, width = shape.grid
        longest = max(height, width)
        side = min(params.window or longest, longest)
        if params.preset == "released":
            released.check_grid(shape, params.tile, params.heads == "groups")
            side = released.roomy_side(side, min(height, width))
        tile = (min(params.tile[0], height), min(params.tile[1], width))
        return super().resolve(params, shape).model_copy(update={"window": side, "tile": tile})

    @classmethod
    def cost(cls, params: FastVMTParams, shape: Shape) -> float:
        fresh = -(-params.inner // params.interval)
        steps, share = len(cls.guided_steps(params, shape)), shape.share(params.block + TAP_SHARE)
        references = 1 if params.reference == "clean" else steps
        forward = 1.0 if params.exit == "whole" else share
        gradient = forward + share * (GRADIENT_COST - 1)  # the backward pass starts at the tapped block either way
        return cls.sampling_cost(params, shape) + steps * fresh * gradient + references * forward

    @classmethod
    def reach(cls, params: FastVMTParams, shape: Shape) -> float | None:
        return None if params.preset == "released" else super().reach(params, shape)  # bf16 rounds by more than a rate

    @classmethod
    def held(cls, params: FastVMTParams, shape: Shape, width: int) -> int:
        return windowed.held(
            shape, params.window, params.span - 1, width if params.heads == "mean_logits" else width // shape.heads
        )

    @classmethod
    def rate(cls, params: FastVMTParams, n: int, steps: int) -> float:
        """The largest of a guided step: rates fall within each."""
        return params.lr_first

    @classmethod
    def version_of(cls, params: Mapping[str, Any]) -> int:
        return 2 if params.get("preset") == "released" else cls.version

    def scope(self, ctx: Context, i: int) -> AbstractContextManager[Any]:
        """The authors' code rounds the time to bfloat16 before every pass, of sampling too."""
        if self.params.preset == "paper":
            return nullcontext()
        return ctx.backbone.hooked(
            (TIME, lambda module, inputs: (inputs[0].bfloat16().to(inputs[0]), *inputs[1:])), before=True
        )

    def update(self, n: int, steps: int) -> LatentUpdate:
        p = self.params
        kind = torch.bfloat16 if p.preset == "released" else torch.float32
        return LatentUpdate(p.inner, p.interval, p.lr_first, p.lr_last, p.inner, p.weight_decay, dtype=kind)

    def mirror(self, ctx: Context, i: int) -> tuple[Tensor, float, str]:
        """Of the preset ``paper``; the authors' code rounds the level it tells the model."""
        level = 0.0 if self.params.reference == "clean" else ctx.sigmas[i]
        return self._noised(ctx, level), level, "null"

    def fit(self, ctx: Context) -> windowed.Seen | None:
        """Descriptors of the clean reference; None when every step has its own."""
        return self._reference(ctx, 0.0) if self.params.reference == "clean" else None

    def wanted(self, ctx: Context, i: int) -> Any:
        """Descriptors of the reference at this step."""
        if self.params.reference == "clean":
            return ctx.state
        with ctx.stages("reference"), torch.no_grad():
            if self.params.preset == "paper":
                return self._reference(ctx, ctx.sigmas[i])
            latent = ctx.backbone.noised(ctx.reference(), released.reference_sigma(i, ctx.sigmas), other_noise(ctx, 0))
            return self._released(ctx, latent, ctx.sigmas[i], "null")[1]

    def _reference(self, ctx: Context, level: float) -> windowed.Seen:
        return self._describe(ctx, *self._features(ctx, self._noised(ctx, level), level, "null"))

    def compare(self, ctx: Context, level: float, wanted: Any, x: Tensor) -> Tensor:
        p, grid = self.params, self._tiles(ctx).grid
        if p.preset == "released":
            k, found = self._released(ctx, x, level, "target")
            loss = p.amf_weight * released.amf_loss(wanted, found, p.span)
            return loss + p.window_weight * released.track_loss(k, found, grid)
        q, k = self._features(ctx, x, level, "target")
        seen = self._describe(ctx, q, k, wanted.windows if p.centre_from == "reference" else None)
        loss = p.amf_weight * windowed.amf_loss(wanted, seen, self._offsets, p.weights == "eq6", p.tokens_mean)
        if p.window_weight:
            boxes = seen.windows[1:] if p.include_same else seen.windows
            loss = loss + p.window_weight * windowed.window_loss(k, boxes, grid, p.window_power == "square")
        return loss

    @property
    def _offsets(self) -> range:
        return range(0 if self.params.include_same else 1, self.params.span)

    def _tiles(self, ctx: Context) -> flow.Tiles:
        _, height, width = ctx.backbone.tokens(ctx.noise)
        return flow.Tiles((height, width), *self.params.tile)

    def _describe(self, ctx: Context, q: Tensor, k: Tensor, given: list[flow.Windows] | None = None) -> windowed.Seen:
        p = self.params
        scale, soft = self._scale(ctx), p.centre == "soft"
        return windowed.describe(q, k, self._tiles(ctx), p.window, self._offsets, scale, soft, given)

    def _released(self, ctx: Context, x: Tensor, level: float, text: str) -> tuple[Tensor, released.Flow]:
        """Keys and descriptors as the authors' code finds them; it tells the model the level rounded to bfloat16."""
        p = self.params
        told = released.bf16_time(level) / 1000
        attended = self._attended(ctx, x, told, text, p.rope, p.exit == "early")
        q, k = (released.group_tokens(t, t.shape[2]) if p.heads == "groups" else t.mean(2) for t in attended)
        return k, released.flow(q, k, self._tiles(ctx), p.window, p.span, self._scale(ctx))

"""FastVMT (arXiv 2602.05551): windowed attention motion flow, corresponding-window loss, reused gradients.

Two presets, never mixed in a table:

``paper``     sections 3.2-3.4, B.1 and B.4 as written: heads averaged, absolute displacement, windows whole inside the
              frame, mean over tokens, fp32 latent and moments.
``released``  the authors' code with its oddities (``released.py``): token-group means instead of head means, clamped
              slots, residual displacement, sums over tokens, bf16 latent, start from the noised reference.

Where the paper disagrees with itself, the default is the first of each pair and the second is a parameter:
reference noised to the current level (4.1, Algorithm 1) or clean (3.2): ``reference``; plain norm (B.4) or square
(equation 7): ``window_power``; soft window centre (equation 2) or best key (equation 4): ``centre``; offsets 1..s_f-1
(B.4) or with 0 (equation 3): ``include_same``; weights 1 to 0.8 over the offsets (B.1) or equation 6: ``weights``;
mean over tokens (B.1) or sum (equation 5): ``tokens_mean``; Gaussian start (4.1) or the noised reference (the released
code): ``begin``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator, model_validator

from fastvmt.core.lazy import no_grad
from fastvmt.errors import SpecError
from fastvmt.methods._math import flow, released
from fastvmt.methods._math.guided import AdamMethod, AdamParams, Inner, Rate, needs_latent_frames, start_as_said
from fastvmt.methods._math.updater import LatentUpdate, StepLog
from fastvmt.plugins.method import GRADIENT_COST, TAP_SHARE, Context, Params, Shape

if TYPE_CHECKING:
    from torch import Tensor

UNREAD: dict[str, Any] = {
    "heads": "mean_qk", "centre": "soft", "centre_from": "own", "reference": "matched", "include_same": True, "weights": "b1",
    "tokens_mean": False, "window_power": "norm",
}  # fmt: skip
"""What the authors' code does in one way only."""
RELEASED: dict[str, Any] = {"span": 4, "include_same": True, "tokens_mean": False, "begin": "reference"}
"""What the authors' code has in place of the paper's values."""


Side = Annotated[int, Field(ge=1)]


class FastVMTParams(AdamParams):
    preset: Literal["paper", "released"] = Field("paper", description="never mixed in a table")
    inner: Inner = 10
    interval: int = Field(3, ge=1, description="a fresh gradient every so many inner steps; 1 never reuses")
    lr_first: Rate = 0.003
    lr_last: Rate = 0.002
    weight_decay: float = Field(0.01, ge=0)
    span: int = Field(5, ge=2, description="temporal span s_f: offsets 1 .. s_f - 1")
    window: int = Field(21, ge=0, description="window side l in tokens; 0 means the whole frame")
    tile: tuple[Side, Side] = Field((3, 4), description="rows x columns of a tile, in tokens")
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)
    heads: Literal["mean_qk", "mean_logits"] = "mean_qk"
    rope: bool = Field(True, description="queries and keys after rotary embedding, as attention sees them, or before")
    centre: Literal["soft", "argmax"] = "soft"
    centre_from: Literal["own", "reference"] = Field("own", description="whose queries and keys place the windows")
    reference: Literal["matched", "clean"] = Field("matched", description="reference noised to the current level, or clean")
    include_same: bool = False
    weights: Literal["b1", "eq6"] = "b1"
    tokens_mean: bool = True
    amf_weight: float = Field(5.0, ge=0)
    window_weight: float = Field(1.0, ge=0)
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
        return self

    @field_validator("tile", mode="before")
    @classmethod
    def _tile(cls, value: Any) -> Any:
        return [int(v) for v in value.split("x")] if isinstance(value, str) else value


@dataclass(frozen=True)
class Seen:
    """Descriptors of one video: displacements, windows and offset of every group of pairs."""

    flows: list[Tensor]
    windows: list[flow.Windows]


Note = Callable[[Seen], None] | None


def _check_released(params: FastVMTParams, shape: Shape) -> None:
    """The authors' reshapes need grids they divide.

    Raises:
        SpecError: naming what does not divide.
    """
    frames, height, width = shape.grid
    tokens, (th, tw) = frames * height * width, params.tile
    if tokens % shape.heads or height % th or width % tw:
        raise SpecError(
            f"fastvmt:released needs tokens ({tokens}) divisible by heads ({shape.heads}) and a grid ({height} rows, {width} "
            f"columns) divisible by the tile ({th}x{tw}, rows x columns). Choose another size, or tile=2x2."
        )


class FastVMT(AdamMethod):
    id = "fastvmt"
    summary = "sliding-window attention motion flow with reused gradients"
    source = "FastVMT, arXiv 2602.05551, sections 3.2-3.4, 4.1, B.1, B.4"
    preset_of = "preset"
    Params: ClassVar[type[Params]] = FastVMTParams
    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "no-window": {"window": 0},
        "no-window-loss": {"window_weight": 0.0},
        "no-step-skip": {"interval": 1},
        "no-early-exit": {"exit": "whole"},
        "released": {"preset": "released"},
    }
    ablations: ClassVar[dict[str, tuple[str, ...]]] = {
        "window": ("no-window",),
        "loss": ("no-window-loss",),
        "reuse": ("no-step-skip",),
        "exit": ("no-early-exit",),
        "block": ("block=0.333", "block=0.5", "block=0.667"),
        "span": ("span=3", "span=7"),
        "interval": ("interval=2", "interval=4", "interval=5"),
        "inner": ("inner=5",),
        "reference": ("reference=clean", "reference=matched"),
        "begin": ("begin=reference:begin_sigma=0.9",),
        "preset": ("released",),
    }
    ladder: ClassVar[tuple[tuple[str, str], ...]] = (
        ("none", "no-window:no-step-skip:no-early-exit"),
        ("exit", "no-window:no-step-skip"),
        ("reuse", "no-window"),
        ("window", ""),
    )

    starts: ClassVar[dict[str, dict[str, Any]]] = {"as-published": {"begin": "noise"}, "matched-start": {"begin": "noise"}}
    floor_when: ClassVar[dict[str, Any]] = {"window_weight": 0.0}

    @classmethod
    def resolve(cls, params: FastVMTParams, shape: Shape) -> FastVMTParams:
        needs_latent_frames(cls.id, shape)
        _, height, width = shape.grid
        longest = max(height, width)
        side = min(params.window or longest, longest)
        if params.preset == "released":
            _check_released(params, shape)
            side = released.roomy_side(side, min(height, width))
        return (
            super()
            .resolve(params, shape)
            .model_copy(
                update={
                    "window": side,
                    "tile": (min(params.tile[0], height), min(params.tile[1], width)),
                }
            )
        )

    @classmethod
    def cost(cls, params: FastVMTParams, shape: Shape) -> float:
        fresh = -(-params.inner // params.interval)
        steps, share = len(cls.guided_steps(params, shape)), (params.block + TAP_SHARE) / shape.blocks
        references = 1 if params.reference == "clean" and params.preset == "paper" else steps
        forward = 1.0 if params.exit == "whole" else share
        gradient = forward + share * (GRADIENT_COST - 1)  # the backward pass starts at the tapped block either way
        return cls.sampling_cost(params, shape) + steps * fresh * gradient + references * forward

    @classmethod
    def reach(cls, params: FastVMTParams, shape: Shape) -> float | None:
        return None if params.preset == "released" else super().reach(params, shape)  # bf16 rounds by more than a rate

    @classmethod
    def rate(cls, params: FastVMTParams, n: int, steps: int) -> float:
        """The largest of a guided step: rates fall within each."""
        return params.lr_first

    def start(self, ctx: Context) -> tuple[Tensor, int]:
        return start_as_said(self.params, ctx)

    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        if i not in self.window(ctx.sigmas):
            return x
        target, level = self.wanted(ctx, i), ctx.sigmas[i]
        note = None if self.params.preset == "released" else self._note_centres(ctx, i, target)
        return self.update(0, 1)(x, partial(self.compare, ctx, level, target, note=note), StepLog(ctx.log, i))

    def update(self, n: int, steps: int) -> LatentUpdate:
        p = self.params
        kind = torch.bfloat16 if p.preset == "released" else torch.float32
        return LatentUpdate(p.inner, p.interval, p.lr_first, p.lr_last, p.inner, p.weight_decay, dtype=kind)

    def compare(self, ctx: Context, level: float, wanted: Any, x: Tensor, note: Note = None) -> Tensor:
        if self.params.preset == "released":
            return self._released_loss(ctx, level, wanted, x)
        return self._paper_loss(ctx, level, wanted, x, note)

    def mirror(self, ctx: Context, i: int) -> tuple[Tensor, float, str]:
        """Of the preset ``paper``; the authors' code rounds the level it tells the model."""
        level = 0.0 if self.params.reference == "clean" else ctx.sigmas[i]
        return ctx.backbone.noised(ctx.reference(), level, ctx.noise), level, "null"

    # --- what both presets need -----------------------------------------------------------------------------------

    def _features(self, ctx: Context, x: Tensor, sigma: float, text: str) -> tuple[Tensor, Tensor]:
        """Queries and keys (F, S, D) of the tapped block, fp32, heads reduced."""
        p = self.params
        q, k = self._attended(ctx, x, sigma, text, p.rope, p.exit == "early")
        if p.preset == "released":
            return released.group_tokens(q, q.shape[2]), released.group_tokens(k, k.shape[2])
        if p.heads == "mean_qk":
            return q.mean(2), k.mean(2)
        return q.flatten(2), k.flatten(2)

    def _scale(self, ctx: Context) -> float:
        card = ctx.backbone.card
        heads = card.heads if self.params.heads == "mean_logits" and self.params.preset == "paper" else 1
        return float(self.params.temperature / (heads * card.head_dim**0.5))

    @no_grad
    def wanted(self, ctx: Context, i: int) -> Any:
        """Descriptors of the reference at this step; once and for all when the reference is clean."""
        p = self.params
        clean = p.reference == "clean" and p.preset == "paper"
        if clean and ctx.state is not None:
            return ctx.state
        level = 0.0 if clean else ctx.sigmas[i]
        with ctx.stages("reference"):
            if p.preset == "released":
                level = released.reference_sigma(i, ctx.sigmas)
                level_told = released.bf16_time(ctx.sigmas[i]) / 1000
                noise = torch.randn(ctx.noise.shape, generator=torch.Generator().manual_seed(1)).to(ctx.noise)
                latent = ctx.backbone.noised(ctx.reference(), level, noise)
                q, k = self._features(ctx, latent, level_told, "null")
                return released.flow(q, k, self._tiles(ctx), p.window, p.span, self._scale(ctx))
            latent = ctx.backbone.noised(ctx.reference(), level, ctx.noise)
            seen = self._describe(ctx, *self._features(ctx, latent, level, "null"), None)
        if clean:
            ctx.state = seen
        return seen

    def _tiles(self, ctx: Context) -> flow.Tiles:
        _, height, width = ctx.backbone.tokens(ctx.noise)
        return flow.Tiles((height, width), *self.params.tile)

    # --- the paper's descriptor and losses ------------------------------------------------------------------------

    def _describe(self, ctx: Context, q: Tensor, k: Tensor, given: list[flow.Windows] | None) -> Seen:
        p, tiles, scale = self.params, self._tiles(ctx), self._scale(ctx)
        frames = q.shape[0]
        whole = p.window >= max(tiles.grid)
        flows: list[Tensor] = []
        windows: list[flow.Windows] = []
        for d in range(0 if p.include_same else 1, min(p.span, frames)):
            a, b = q[: frames - d], k[d:]
            if given is not None:
                box = given[len(windows)]
            elif whole:
                none = torch.zeros(frames - d, tiles.number, dtype=torch.long, device=q.device)
                box = flow.Windows(none, none, *tiles.grid)
            else:
                centres = flow.window_centres(a, b, tiles, scale, p.centre == "soft")
                box = flow.windows_at(centres, tiles.grid, p.window)
            windows.append(box)
            if whole:
                flows.append(flow.dense_flow(a, k, torch.arange(d, frames, device=q.device), tiles.grid, scale))
            else:
                flows.append(flow.windowed_flow(a, b, box, tiles, scale))
        return Seen(flows, windows)

    def _note_centres(self, ctx: Context, i: int, target: Seen) -> Note:
        """Log where the reference's windows lie at this step, and get a note-taker for the video's, one per gradient."""
        tiles = self._tiles(ctx)
        reference = flow.window_facts(target.windows, tiles)
        if not reference:
            return None
        facts = ctx.log.setdefault("centres", {}).setdefault(str(i), {"reference": reference})
        if self.params.centre_from == "reference":
            return None

        def note(seen: Seen) -> None:
            for name, value in flow.window_facts(seen.windows, tiles, target.windows).items():
                facts.setdefault("video", {}).setdefault(name, []).append(value)

        return note

    def _paper_loss(self, ctx: Context, level: float, target: Seen, x: Tensor, note: Note = None) -> Tensor:
        p = self.params
        q, k = self._features(ctx, x, level, "target")
        seen = self._describe(ctx, q, k, target.windows if p.centre_from == "reference" else None)
        if note is not None:
            note(seen)
        loss = p.amf_weight * self._amf_loss(target.flows, seen.flows)
        if p.window_weight:
            loss = loss + p.window_weight * self._window_loss(k, seen.windows, self._tiles(ctx))
        return loss

    def _amf_loss(self, reference: list[Tensor], generated: list[Tensor]) -> Tensor:
        """Weighted squared distance over pairs (equation 5, normalised as B.1 says)."""
        p, total, pairs = self.params, generated[0].new_zeros(()), 0
        first = 0 if p.include_same else 1
        for n, (a, b) in enumerate(zip(reference, generated, strict=True)):
            spread = p.span - 1 if p.weights == "eq6" else max(1, len(generated) - 1)
            weight = 1 - 0.2 * ((n + first - 1) if p.weights == "eq6" else n) / spread
            distance = (a - b).square().sum(-1)
            total = total + weight * (distance.mean(-1) if p.tokens_mean else distance.sum(-1)).sum()
            pairs += a.shape[0]
        return total / pairs

    def _window_loss(self, k: Tensor, windows: list[flow.Windows], tiles: flow.Tiles) -> Tensor:
        """Change of the window's mean key from one target frame to the next (equation 7, B.4), over F anchors."""
        p, frames = self.params, k.shape[0]
        boxes = windows[1:] if p.include_same else windows
        means = [flow.window_means(k[d:], box, tiles.grid) for d, box in enumerate(boxes, start=1)]
        total = k.new_zeros(())
        for near, far in itertools.pairwise(means):
            n = far.shape[0]
            steps = torch.tensor([min(len(means), frames - 1 - i) - 1 for i in range(n)], device=k.device)
            change = (far - near[:n]).square().sum(-1)
            change = change if p.window_power == "square" else (change + 1e-20).sqrt()
            total = total + (change.mean(-1) / steps).sum()
        return total / frames

    # --- the released code's loss ---------------------------------------------------------------------------------

    def _released_loss(self, ctx: Context, level: float, target: released.Flow, x: Tensor) -> Tensor:
        p, tiles = self.params, self._tiles(ctx)
        q, k = self._features(ctx, x, released.bf16_time(level) / 1000, "target")
        seen = released.flow(q, k, tiles, p.window, p.span, self._scale(ctx))
        loss = p.amf_weight * released.amf_loss(target, seen, p.span)
        return loss + p.window_weight * released.track_loss(k, seen, tiles.grid)

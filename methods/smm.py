"""SMM, Space-Time Features (Yatim et al., CVPR 2024): pairwise differences of spatial marginal means.

As its authors define it: a block's output averaged over space, one vector a frame; the differences of these vectors over all
ordered pairs of frames; one minus their cosine over channels with the reference's, averaged over pairs. The reference is the
clip inverted with its own caption on the run's noise levels, seen at the level of the step. Sampling starts from the low
spatial frequencies of the inverted noise and the high ones of the drawn noise. Adam on the latent for 10 inner steps in the
first 40 % of the steps, learning rate 0.007 to 0.004, the prompt's pass alone.

A pair of a frame with itself has no direction, counts as 1 and carries no gradient. The authors average over these pairs
too, and so does this file: the loss of a video against itself is 1/F, not 0. A clip whose means never change has loss 1 and
gives no gradient.

What had to change for Wan: the three sites of a UNet's decoder block are one here, the output of a transformer block at a
fraction of the depth (as DiTFlow's authors port it); 999 DDIM inversion steps are one Euler step for each level of the run;
the guidance scale is the run's (theirs is 10). ``guided=share:0.4`` counts steps as they do; their noise levels, matched by
signal-to-noise ratio, are ``matched-window``. The learning rates are in units of the latent and were taken over: Wan's
latents are normalised to about the same spread.

Restart (noise the latent again after each step but the last, then denoise it a second time without optimising) is not
offered. ``settle`` is the place for it, but the second denoise needs the run's guidance scale, which the hooks do not get;
from the finished step it could only be solved for, with rounding, not repeated. Noising back from s_lo to s_hi so that
marginals are kept, x <- a x + sqrt(s_hi^2 - (a s_lo)^2) eps with a = (1 - s_hi) / (1 - s_lo), keeps nothing at s_hi = 1 and
little just below: with a large shift it erases most of what the guidance did, and step 0 would have to be left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from fastvmt.methods.inversion import inverted, source_text
from fastvmt.methods.updater import LatentUpdate, StepLog
from pydantic import Field

from fastvmt.method import GRADIENT_COST, Context, Method, Params, Shape
from fastvmt.sigmas import resolve_steps

if TYPE_CHECKING:
    from torch import Tensor


class SMMParams(Params):
    block: int | float = Field(0.5, description="index of the tapped block, or a fraction of the depth")
    guided: str = Field("share:0.4", description="steps:0-19, share:0.4 or sigma:0.93-0.7")
    inner: int = Field(10, ge=1, description="Adam steps per guided step")
    lr_first: float = Field(0.007, gt=0, description="in the first guided step")
    lr_last: float = Field(0.004, gt=0, description="in the last guided step")
    ref: Literal["inverted", "noised", "clean"] = Field(
        "inverted", description="reference latent: inverted to the step's level, noised to it by the run's noise, or clean"
    )
    begin: Literal["low_frequency", "noise"] = Field(
        "low_frequency", description="low frequencies from the inverted noise, or the run's noise alone"
    )
    low_factor: int = Field(4, ge=2, description="low frequencies are what is left of a frame made smaller by this")


@dataclass(frozen=True)
class Signal:
    """What ``fit`` keeps of the reference.

    Attributes:
        means: (F, D) for each guided step, or once when the reference is clean.
        noise: the reference inverted to the run's first level; None when nothing was inverted.
    """

    means: tuple[Tensor, ...]
    noise: Tensor | None


class SMM(Method):
    id = "smm"
    summary = "pairwise frame differences of spatial feature means, from an inverted reference"
    source = "Space-Time Features (SMM), CVPR 2024 (arXiv 2311.17009)"
    Params: ClassVar[type[Params]] = SMMParams
    variants: ClassVar[dict[str, dict[str, Any]]] = {
        "no-inversion": {"ref": "noised", "begin": "noise"},
        "matched-window": {"guided": "sigma:0.93-0.7"},
    }
    ablations: ClassVar[dict[str, tuple[str, ...]]] = {
        "reference": ("ref=noised", "ref=clean"),
        "begin": ("begin=noise",),
        "inversion": ("no-inversion",),
        "block": ("block=0.333", "block=0.5", "block=0.667"),
        "window": ("matched-window",),
        "inner": ("inner=5",),
    }

    @classmethod
    def resolve(cls, params: SMMParams, shape: Shape) -> SMMParams:
        return params.model_copy(update={"block": shape.block_index(params.block), "guided": shape.steps(params.guided)})

    @classmethod
    def cost(cls, params: SMMParams, shape: Shape) -> float:
        first, last = resolve_steps(params.guided, shape.sigmas)
        steps, share = last - first + 1, (params.block + 1) / shape.blocks
        looks = min(steps, 1) if params.ref == "clean" else steps
        inversion = len(shape.sigmas) - 1 if _inverts(params) else 0
        return super().cost(params, shape) + inversion + share * (steps * params.inner * GRADIENT_COST + looks)

    def fit(self, ctx: Context) -> Signal:
        """The reference's means at every guided step; the inverted latents themselves are not kept."""
        p, text = self.params, source_text(ctx)
        path = inverted(ctx.backbone, ctx.reference(), ctx.sigmas, text) if _inverts(p) else None
        if path is not None:  # far from 0 and 1, the start is no noise the model knows
            ctx.log["inverted_noise"] = {"mean": round(float(path[0].mean()), 4), "std": round(float(path[0].std()), 4)}
        first, last = resolve_steps(p.guided, ctx.sigmas)
        guided = range(first, last + 1)
        means = []
        for i in guided[:1] if p.ref == "clean" else guided:
            level = 0.0 if p.ref == "clean" else ctx.sigmas[i]
            if p.ref == "inverted" and path is not None:
                latent = path[i]
            else:
                latent = ctx.backbone.noised(ctx.reference(), level, ctx.noise)
            means.append(self._means(ctx, latent, level, text))
        return Signal(tuple(means), None if path is None else path[0])

    def start(self, ctx: Context) -> tuple[Tensor, int]:
        if self.params.begin == "noise":
            return ctx.noise, 0
        factor = self.params.low_factor
        return ctx.noise - low_frequencies(ctx.noise, factor) + low_frequencies(ctx.state.noise, factor), 0

    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        p = self.params
        first, last = resolve_steps(p.guided, ctx.sigmas)
        if not first <= i <= last:
            return x
        rate = p.lr_first + (p.lr_last - p.lr_first) * (i - first) / max(1, last - first)
        update = LatentUpdate(p.inner, 1, rate, rate, 1, weight_decay=0.0, decoupled=False)
        known = ctx.state.means[min(i - first, len(ctx.state.means) - 1)]
        return update(x, partial(self._loss, ctx, ctx.sigmas[i], known), StepLog(ctx.log, i))

    def _loss(self, ctx: Context, level: float, known: Tensor, x: Tensor) -> Tensor:
        return difference_loss(self._means(ctx, x, level, ctx.texts["target"]), known)

    def _means(self, ctx: Context, x: Tensor, level: float, text: Tensor) -> Tensor:
        """The tapped block's output averaged over each frame, (F, D), fp32."""
        name = f"hidden@{self.params.block}"
        hidden = ctx.backbone.taps(x, level, text, (name,), rope=False)[name][0].float()
        return hidden.unflatten(0, (ctx.backbone.tokens(x)[0], -1)).mean(1)


def _inverts(params: SMMParams) -> bool:
    """Whether the reference has to be inverted, for the features or for the start."""
    return params.ref == "inverted" or params.begin == "low_frequency"


def difference_loss(means: Tensor, known: Tensor) -> Tensor:
    """One minus the cosine of frame differences, averaged over all F x F ordered pairs; both (F, D). At least 1/F."""
    own, wanted = (m[None] - m[:, None] for m in (means, known))
    return (1 - torch.nn.functional.cosine_similarity(own, wanted, dim=-1)).mean()


def low_frequencies(x: Tensor, factor: int) -> Tensor:
    """Frames of a latent (1, C, F, H, W) made smaller by ``factor`` and as large again: bilinear, antialiased."""
    frames = x[0].transpose(0, 1)
    small = [max(1, side // factor) for side in frames.shape[-2:]]
    resize = partial(torch.nn.functional.interpolate, mode="bilinear", align_corners=False, antialias=True)
    out: Tensor = resize(resize(frames, size=small), size=frames.shape[-2:])
    return out.transpose(0, 1)[None]

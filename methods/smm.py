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

The start belongs to the protocol: ``as-published`` mixes the inverted noise in as above, ``matched-start`` begins from the
run's noise as every method does. ``begin`` says it outright.

Restart (variant ``restart``) noises the latent again after each step but the last and denoises it a second time without
optimising, as the authors do: x <- a x + sqrt(s_hi^2 - (a s_lo)^2) eps with a = (1 - s_hi) / (1 - s_lo), which keeps the
marginals. It is off, because of what it does to flow matching: at s_hi = 1 nothing is kept (that step is left out) and just
below it little is, so with a large shift it erases most of what the guidance did. The shares a are logged.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field

from fastvmt.methods._math.guided import AdamMethod, AdamParams, Guided, Inner, Rate, other_noise
from fastvmt.methods._math.inversion import inverted, source_text
from fastvmt.plugins.method import GRADIENT_COST, Context, Protocols, Shape, Study

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


class SMMParams(AdamParams):
    guided: Guided = "share:0.4"
    inner: Inner = 10
    lr_first: Rate = 0.007
    lr_last: Rate = 0.004
    ref: Literal["inverted", "noised", "clean"] = Field(
        "inverted", description="reference latent: inverted to the step's level, noised to it by the run's noise, or clean"
    )
    begin: Literal["low_frequency", "noise"] = Field(
        "low_frequency", description="low frequencies from the inverted noise, or the run's noise alone"
    )
    low_factor: int = Field(4, ge=2, le=1000, description="low frequencies are what is left of a frame made smaller by this")
    restart: bool = Field(
        False, description="denoise every step a second time from new noise; near noise level 1 this erases the guidance"
    )


@dataclass(frozen=True)
class Signal:
    """What ``fit`` keeps of the reference.

    Attributes:
        means: (F, D) for each guided step, or once when the reference is clean.
        noise: the reference inverted to the run's first level; None when nothing was inverted.
    """

    means: tuple[Tensor, ...]
    noise: Tensor | None


class SMM(AdamMethod):
    id = "smm"
    summary = "pairwise frame differences of spatial feature means, from an inverted reference"
    source = "Space-Time Features (SMM), CVPR 2024 (arXiv 2311.17009)"
    Params = SMMParams
    variants = {
        "no-inversion": {"ref": "noised", "begin": "noise"},
        "matched-window": {"guided": "sigma:0.93-0.7"},
        "restart": {"restart": True},
    }
    protocols = Protocols({"as-published": {"begin": "low_frequency"}, "matched-start": {"begin": "noise"}}, work="inner")
    reaches_last: ClassVar[bool] = True
    study = Study({
        "reference": ("ref=noised", "ref=clean"),
        "begin": ("begin=noise", "begin=low_frequency"),
        "inversion": ("no-inversion",),
        "block": ("block=0.333", "block=0.5", "block=0.667"),
        "window": ("matched-window",), "inner": ("inner=5",), "restart": ("restart",),
    })  # fmt: skip

    @classmethod
    def version_of(cls, params: Mapping[str, Any]) -> int:
        """2 where low frequencies of the inverted noise are in the start: its corners are aligned now."""
        return 2 if params.get("begin") == "low_frequency" else cls.version

    @classmethod
    def cost(cls, params: SMMParams, shape: Shape) -> float:
        steps, share = len(cls.guided_steps(params, shape)), shape.share(params.block + 1)
        looks = min(steps, 1) if params.ref == "clean" else steps
        inversion = len(shape.sigmas) - 1 if _inverts(params) else 0
        again = 2 * len(_restarted(shape.sigmas)) if params.restart else 0
        guiding = share * (steps * params.inner * GRADIENT_COST + looks)
        return cls.sampling_cost(params, shape) + inversion + again + guiding

    def fit(self, ctx: Context) -> Signal:
        """The reference's means at every guided step; the inverted latents themselves are not kept."""
        p, text = self.params, source_text(ctx)
        path = inverted(ctx.backbone, ctx.reference(), ctx.sigmas, text) if _inverts(p) else None
        if path is not None:  # far from 0 and 1, the start is no noise the model knows
            ctx.log["inverted_noise"] = {"mean": round(float(path[0].mean()), 4), "std": round(float(path[0].std()), 4)}
        guided = self.window(ctx.sigmas)
        means = []
        for i in guided[:1] if p.ref == "clean" else guided:
            level = 0.0 if p.ref == "clean" else ctx.sigmas[i]
            latent = path[i] if p.ref == "inverted" and path is not None else self._noised(ctx, level)
            means.append(self._hidden(ctx, latent, level, text).mean(1))
        return Signal(tuple(means), None if path is None else path[0])

    def start(self, ctx: Context) -> tuple[Tensor, int]:
        if self.params.begin == "noise":
            return ctx.noise, 0
        factor = self.params.low_factor
        return ctx.noise - low_frequencies(ctx.noise, factor) + low_frequencies(ctx.state.noise, factor), 0

    def wanted(self, ctx: Context, i: int) -> Tensor:
        """The reference's means (F, D) at the level of step ``i``."""
        means: tuple[Tensor, ...] = ctx.state.means
        return means[min(i - self.window(ctx.sigmas).start, len(means) - 1)]

    def compare(self, ctx: Context, level: float, wanted: Tensor, x: Tensor) -> Tensor:
        return difference_loss(self._hidden(ctx, x, level, ctx.texts["target"]).mean(1), wanted)

    def mirror(self, ctx: Context, i: int) -> tuple[Tensor, float, str]:
        text = "null" if source_text(ctx) is ctx.texts["null"] else "caption"
        level = 0.0 if self.params.ref == "clean" else ctx.sigmas[i]
        if self.params.ref != "inverted":
            return self._noised(ctx, level), level, text
        return inverted(ctx.backbone, ctx.reference(), ctx.sigmas, ctx.texts[text])[i], level, text

    def settle(self, ctx: Context, i: int, x: Tensor, x_next: Tensor) -> Tensor:
        if not self.params.restart or i not in _restarted(ctx.sigmas):
            return x_next
        high, low = ctx.sigmas[i], ctx.sigmas[i + 1]
        kept = (1 - high) / (1 - low)
        ctx.log.setdefault("restart_keeps", {})[str(i)] = round(kept, 4)
        again = kept * x_next + (high**2 - (kept * low) ** 2) ** 0.5 * other_noise(ctx, i)
        with ctx.stages("denoise"):
            negative, positive = (ctx.backbone.velocity(again, high, ctx.texts[k]) for k in ("negative", "target"))
        return again + (low - high) * (negative + ctx.guidance * (positive - negative))


def _inverts(params: SMMParams) -> bool:
    """Whether the reference has to be inverted, for the features or for the start."""
    return params.ref == "inverted" or params.begin == "low_frequency"


def _restarted(sigmas: Sequence[float]) -> range:
    """Steps that can be taken again: not from pure noise, of which nothing would be left, and not the last one."""
    return range(sum(s >= 1 - 1e-6 for s in sigmas), len(sigmas) - 2)


def difference_loss(means: Tensor, known: Tensor) -> Tensor:
    """One minus the cosine of frame differences, averaged over all F x F ordered pairs; both (F, D). At least 1/F."""
    own, wanted = (m[None] - m[:, None] for m in (means, known))
    return (1 - torch.nn.functional.cosine_similarity(own, wanted, dim=-1)).mean()


def low_frequencies(x: Tensor, factor: int) -> Tensor:
    """Frames of a latent (1, C, F, H, W) made smaller by ``factor`` and as large again, as the authors do: bilinear,
    antialiased, corners aligned."""
    frames = x[0].transpose(0, 1)
    small = [max(1, side // factor) for side in frames.shape[-2:]]
    resize = partial(torch.nn.functional.interpolate, mode="bilinear", align_corners=True, antialias=True)
    out: Tensor = resize(resize(frames, size=small), size=frames.shape[-2:])
    return out.transpose(0, 1)[None]

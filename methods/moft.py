"""MOFT (Xiao et al., NeurIPS 2024): motion features of one block, guided on the latent.

A motion feature is the output of a block at one place, less its mean over the frames there (what stays the same is
content), on the few channels that load most on the first principal axis of such features (the motion channel filter).

Defaults are the form in which DiTFlow's authors ran MOFT on a diffusion transformer, which the original, written for
AnimateDiff's U-Net, does not have: clean reference at t = 0 with an empty prompt, channels from the reference itself, 4 % of
them, mean over frames and places of 1 - cosine over the channels, and DiTFlow's optimiser, window and injection (Adam, 5
inner steps, rate 2e-3 to 1e-3, first fifth of the steps, keys and values of block 0). Switches give the original's choices:

    channels=pans                   one filter for all videos, from drawn pans (2 scenes, left and right; first frame, centre)
    ref_sigma=0.411:ref_path=inverted   reference features at its t = 200, by signal-to-noise ratio, on an inverted latent
    updater=sgd                     no optimiser: the latent less 0.5 times the gradient, twice a step
    guided=sigma:0.912-0.712        its steps 3 to 11 of 25, by signal-to-noise ratio
    compare=region                  squared error of the mean over a region, times 7 (theirs 6 to 8): here the whole frame

What stays out of the original: the region that its user draws (it was made for regions and points; for a whole clip a mean
erases places) and the keys and values it shares with a second, unguided run. Its plain gradient step of 0.5 belongs to the
size of its model's features; on a cosine over all places it hardly moves a latent.

What had to change for Wan: the tapped block is a fraction of the depth, and the axis is an eigenvector of the channels'
covariance (width x width) instead of a singular vector of all tokens. A residual stream can hold a few channels much larger
than the rest; ``standardise`` divides every channel by its own spread first (off, as in the port). On ``tiny`` one channel
is 13 to 37 times the median, but hardly changes over time: less the mean, none has more than an eighth of the variance.
There the last block's features do not tell motions apart on a noised video, those of the middle block do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from fastvmt.methods._math.guided import AdamParams, Inject, InjectingMethod, Weight
from fastvmt.methods._math.inversion import inverted
from fastvmt.methods._math.updater import StepLog
from fastvmt.plugins.method import GRADIENT_COST, Context, Shape, Study

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

SCENES = 2
"""Drawn textures; each is panned to the left and to the right, as the original's synthetic videos."""
WAVES, FINEST = 24, 8
"""Waves of a texture, and the most periods of one across the frame."""


class MOFTParams(AdamParams):
    channels: Literal["reference", "pans"] = Field("reference", description="what the channel filter is found on")
    keep: float = Field(0.04, gt=0, le=1, description="share of the block's channels that are kept; at least two are")
    standardise: bool = Field(False, description="divide every channel by its own spread, before the axis and the cosine")
    ref_sigma: float = Field(0.0, ge=0, lt=1, description="noise level of the reference's features; 0 is clean")
    ref_path: Literal["noised", "inverted"] = Field(
        "noised", description="how the reference gets there: the run's own noise, or the sampler run backwards"
    )
    updater: Literal["adam", "sgd"] = Field("adam", description="Adam (inner, lr_*), or plain gradients (repeats, step)")
    repeats: int = Field(2, ge=1, le=10_000, description="gradients per guided step with updater=sgd")
    step: float = Field(0.5, gt=0, le=1e6, description="what such a gradient is multiplied with")
    inject: Inject = True
    compare: Literal["places", "region"] = Field(
        "places",
        description="cosine place by place; or the original's squared error of the mean over a region, the frame",
    )
    region_weight: Weight = Field(7.0, description="factor of the region's squared error; the original has 6 to 8")
    silent: ClassVar[frozenset[str]] = AdamParams.silent | {"compare", "region_weight"}


@dataclass(frozen=True)
class Wanted:
    """What ``fit`` found: the kept channels (n,), their divisors (n,) and the reference's motion (F, P, n)."""

    channels: Tensor
    spread: Tensor
    motion: Tensor


class MOFT(InjectingMethod):
    id = "moft"
    summary = "motion features: block output less its mean over frames, on the channels that carry motion"
    source = "MOFT, NeurIPS 2024 (arXiv 2405.14864), in the form of DiTFlow's authors (arXiv 2412.07776)"
    Params = MOFTParams
    variants = {
        "no-injection": {"inject": False},
        "original": {
            "channels": "pans", "ref_sigma": 0.411, "ref_path": "inverted", "updater": "sgd", "guided": "sigma:0.912-0.712",
            "inject": False, "compare": "region",
        },
    }  # fmt: skip
    study = Study({
        "channels": ("channels=reference", "channels=pans"),
        "standardise": ("standardise=false", "standardise=true"),
        "keep": ("keep=0.04", "keep=0.2", "keep=1"),
        "reference": ("ref_sigma=0.411", "ref_sigma=0.411:ref_path=inverted"),
        "updater": ("updater=sgd",),
        "injection": ("inject=true", "inject=false"),
        "block": ("block=0.333", "block=0.5", "block=0.667"),
    })  # fmt: skip

    @classmethod
    def cost(cls, params: MOFTParams, shape: Shape) -> float:
        """The pans are clips like any other: drawn once, but looked at for every video."""
        share = shape.share(params.block + 1)
        gradients = params.inner if params.updater == "adam" else params.repeats
        guiding = share * len(cls.guided_steps(params, shape)) * gradients * GRADIENT_COST
        clips = 1 + (2 * SCENES if params.channels == "pans" else 0)
        runs = len(_levels(params, shape.sigmas)) - 1 if params.ref_path == "inverted" else 0
        return cls.sampling_cost(params, shape) + guiding + clips * (share + runs) + cls.injection_cost(params, shape)

    @classmethod
    def reach(cls, params: MOFTParams, shape: Shape) -> float | None:
        return super().reach(params, shape) if params.updater == "adam" else None

    def fit(self, ctx: Context) -> Wanted:
        """The channel filter and the reference's motion features."""
        motion = self._motion(ctx, ctx.reference())
        rows = motion.flatten(0, 1) if self.params.channels == "reference" else self._pan_rows(ctx)
        spread = rows.std(0) if self.params.standardise else torch.ones_like(rows[0])
        spread = torch.where(spread > 0, spread, 1.0)
        axis, explained = principal_axis(rows / spread)
        # A cosine over one channel is 1 or -1 and has no gradient, so a narrow model keeps two.
        count = min(len(axis), max(2, int(self.params.keep * len(axis))))
        channels = axis.abs().topk(count).indices.sort().values
        variance = rows.var(0)
        ctx.log["filter"] = {
            "channels": count,
            "explained": round(explained, 4),  # by the first axis
            "loading": round(float(axis[channels].square().sum()), 4),  # of the axis, on the kept channels
            "largest": round(float(variance.max() / variance.sum().clamp_min(1e-30)), 4),  # one channel's share of all variance
        }
        return Wanted(channels, spread[channels], motion[..., channels] / spread[channels])

    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        p = self.params
        if p.updater == "adam" or i not in self.window(ctx.sigmas):
            return super().adjust(ctx, i, x)
        return descend(x, partial(self.compare, ctx, ctx.sigmas[i], ctx.state), p.step, p.repeats, StepLog(ctx.log, i))

    def compare(self, ctx: Context, level: float, wanted: Wanted, x: Tensor) -> Tensor:
        """Mean over frames and places of 1 - cosine; a place without motion in the reference counts 1 and pulls nowhere."""
        hidden = self._hidden(ctx, x, level, ctx.texts["target"])[..., wanted.channels]
        motion = (hidden - hidden.mean(0)) / wanted.spread
        if self.params.compare == "region":
            return self.params.region_weight * (motion.mean(1) - wanted.motion.mean(1)).square().mean()
        return (1 - torch.cosine_similarity(motion, wanted.motion, dim=-1)).mean()

    def mirror(self, ctx: Context, i: int) -> tuple[Tensor, float, str]:
        return self._latent(ctx, ctx.reference()), self.params.ref_sigma, "null"

    def _latent(self, ctx: Context, clean: Tensor) -> Tensor:
        """A clean latent at the level whose features are looked at."""
        p = self.params
        if p.ref_path == "inverted":
            return inverted(ctx.backbone, clean, _levels(p, ctx.sigmas), ctx.texts["null"])[0]
        return ctx.backbone.noised(clean, p.ref_sigma, ctx.noise)

    def _motion(self, ctx: Context, clean: Tensor) -> Tensor:
        """Motion features of a clean latent on all channels, (F, P, D)."""
        hidden = self._hidden(ctx, self._latent(ctx, clean), self.params.ref_sigma, ctx.texts["null"])
        return hidden - hidden.mean(0)

    def _pan_rows(self, ctx: Context) -> Tensor:
        """Motion features of the drawn pans, (rows, D): first frame, middle quarter of height and width, as the original."""
        card, (_, height, width) = ctx.backbone.card, ctx.backbone.tokens(ctx.noise)
        _, _, frames, rows, columns = ctx.noise.shape
        size = ((frames - 1) * card.vae_temporal + 1, rows * card.vae_spatial, columns * card.vae_spatial)
        found = []
        for video in pans(*size):
            first = self._motion(ctx, ctx.backbone.encode_video(video))[0].unflatten(0, (height, width))
            found.append(first[_middle(height), _middle(width)].flatten(0, 1))
        return torch.cat(found)


def principal_axis(rows: Tensor) -> tuple[Tensor, float]:
    """First principal axis (D,) of rows (n, D), whose sign means nothing, and its share of the variance.

    By the covariance: D x D numbers, where a decomposition of the rows would hold n x D several times over.
    """
    centred = rows - rows.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(rows))
    return vectors[:, -1], float(values[-1] / values.sum().clamp_min(1e-30))


def descend(x: Tensor, loss: Callable[[Tensor], Tensor], step: float, repeats: int, log: StepLog) -> Tensor:
    """The latent less ``step`` times its gradient, ``repeats`` times over, detached."""
    latent = start = x.detach()
    for j in range(repeats):
        latent = latent.clone().requires_grad_(True)
        with torch.enable_grad():
            value = loss(latent)
            (gradient,) = torch.autograd.grad(value, latent)
        log.fresh(j, value.detach(), gradient)
        latent = (latent - step * gradient).detach()
        log.moved(start, latent)
    return latent


def pans(frames: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    """Drawn textures that move half a width to the left, and to the right: (T, H, W, 3) each.

    Sums of waves that fit the frame a whole number of times, so that what leaves on one side enters on the other. Always
    the same for a size: the filter belongs to the model, not to a run.
    """
    rng = np.random.default_rng(405)
    rows, columns = np.arange(height)[:, None, None] / height, np.arange(width)[:, None] / width
    videos = []
    for _ in range(SCENES):
        picture = np.zeros((height, width, 3))
        for _ in range(WAVES):
            down, right = rng.integers(-FINEST, FINEST + 1, 2)
            angle = 2 * np.pi * (down * rows + right * columns + rng.random())
            picture += rng.normal(size=3) * np.cos(angle)
        picture = np.clip(127.5 + 60 * picture / picture.std(), 0, 255).round().astype(np.uint8)
        shifts = np.round(np.arange(frames) * width / (2 * max(1, frames - 1))).astype(int)
        videos += [np.stack([np.roll(picture, sign * s, axis=1) for s in shifts]) for sign in (-1, 1)]
    return videos


def _middle(size: int) -> slice:
    """The middle quarter of a side, at least one token."""
    first = 3 * size // 8
    return slice(first, max(first + 1, -(-5 * size // 8)))


def _levels(params: MOFTParams, sigmas: tuple[float, ...]) -> list[float]:
    """Noise levels of the way up to the reference's, highest first: the run's own, then ``ref_sigma``."""
    return [params.ref_sigma, *(s for s in sigmas if s < params.ref_sigma)] if params.ref_sigma else [0.0]

"""FlowMotion (Wang et al., CVPR 2026): guidance by the clean latent that the model predicts, without its inner tensors.

As its authors' code has it: the velocity V is taken as constant, so the predicted clean latent x - sV has the identity as its
derivative, and no gradient goes through the model. The reference's is predicted from the clip, noised to the step's level by
noise of its own, with the empty prompt; or it is the clip's own latent (variant ``clean-latent``, advised for complex motion).
Loss: 20 times the mean squared difference of the two predictions, and 5 times that of their *frame differences*: |x_f - x_g|
for consecutive frames and once more for every frame against all others. Three Adam steps at 0.003 in each of the first ten of
fifty steps. From the second step on the velocity is split at every place, over channels, into the part along the mean velocity
so far, (x - noise) / (s - s_0), and the rest, which counts a tenth: the motion stays with what was begun.

What is not taken over: guidance between two empty prompts, which costs ten passes and changes nothing.

The first term is about looks as much as about motion: read text similarity and appearance leakage beside the motion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field, model_validator

from fastvmt.methods._math.guided import AdamMethod, Guided, Inner, Rate, Weight, needs_latent_frames, other_noise
from fastvmt.methods._math.updater import StepLog
from fastvmt.plugins.method import Context, Params, Shape, Study

if TYPE_CHECKING:
    from torch import Tensor


class FlowMotionParams(Params):
    guided: Guided = "share:0.2"
    inner: Inner = 3
    lr_first: Rate = 0.003
    lr_last: Rate = 0.003
    source: Literal["predicted", "clean"] = Field(
        "predicted", description="the reference as the model predicts it at each step's level, or its own latent"
    )
    latent_weight: Weight = 20.0
    difference_weight: Weight = 5.0
    across: float = Field(0.1, ge=0, le=1, description="what is left of the velocity across the mean one; 1 leaves it alone")

    @model_validator(mode="after")
    def _something_is_compared(self) -> FlowMotionParams:
        if not (self.latent_weight or self.difference_weight):
            raise ValueError("latent_weight and difference_weight are both 0, so nothing would guide")
        return self


@dataclass(frozen=True)
class Target:
    """What a step compares with.

    Attributes:
        latent: the reference's clean latent (1, C, F, H, W), predicted or its own.
        along: mean velocity of the video so far; None in the first step, which has none.
    """

    latent: Tensor
    along: Tensor | None = None


class FlowMotion(AdamMethod):
    id = "flowmotion"
    summary = "predicted clean latents and their frame differences, the velocity held constant"
    source = "FlowMotion, CVPR 2026 (arXiv 2603.06289), the authors' code"
    Params = FlowMotionParams
    variants = {
        "clean-latent": {"source": "clean"},
        "no-regularisation": {"across": 1.0},
        "no-latent": {"latent_weight": 0.0},
        "no-differences": {"difference_weight": 0.0},
    }
    study = Study({
        "source": ("clean-latent",), "regularisation": ("no-regularisation",), "latent": ("no-latent",),
        "differences": ("no-differences",), "inner": ("inner=1", "inner=5"), "rate": ("lr_first=0.01:lr_last=0.01",),
    })  # fmt: skip

    @classmethod
    def resolve(cls, params: FlowMotionParams, shape: Shape) -> Any:
        needs_latent_frames(cls.id, shape)
        return super().resolve(params, shape)

    @classmethod
    def cost(cls, params: FlowMotionParams, shape: Shape) -> float:
        look = 1 if params.source == "predicted" else 0
        return cls.sampling_cost(params, shape) + len(cls.guided_steps(params, shape)) * (2 * params.inner + look)

    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        window = self.window(ctx.sigmas)
        if i not in window:
            return x
        wanted = self.wanted(ctx, i)
        if i > 0 and self.params.across < 1:
            wanted = replace(wanted, along=(x - ctx.noise) / (ctx.sigmas[i] - ctx.sigmas[0]))
        loss = partial(self.compare, ctx, ctx.sigmas[i], wanted)
        return self.update(i - window.start, len(window))(x, loss, StepLog(ctx.log, i))

    def wanted(self, ctx: Context, i: int) -> Target:
        if self.params.source == "clean":
            return Target(ctx.reference())
        level, (x, _, text) = ctx.sigmas[i], self.mirror(ctx, i)
        with ctx.stages("reference"), torch.no_grad():
            return Target(x - level * ctx.backbone.velocity(x, level, ctx.texts[text]))

    def compare(self, ctx: Context, level: float, wanted: Target, x: Tensor) -> Tensor:
        p, text = self.params, ctx.texts
        with torch.no_grad():
            positive, negative = (ctx.backbone.velocity(x, level, text[k]) for k in ("target", "negative"))
            velocity = negative + ctx.guidance * (positive - negative)
            if wanted.along is not None:
                velocity = regulated(velocity, wanted.along, p.across)
        seen = x - level * velocity
        loss = p.latent_weight * (seen - wanted.latent).square().mean()
        return loss + p.difference_weight * difference_loss(seen, wanted.latent)

    def mirror(self, ctx: Context, i: int) -> tuple[Tensor, float, str]:
        if self.params.source == "clean":
            return ctx.reference(), 0.0, "null"
        level = ctx.sigmas[i]
        return ctx.backbone.noised(ctx.reference(), level, other_noise(ctx, i)), level, "null"


def difference_loss(seen: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared difference of |x_f - x_g| over consecutive frames and, once more, over every frame against all others.

    As both orders of a pair are alike, pairs count twice and neighbours three times; (F + 1)(F - 1) in all.

    Args:
        seen, wanted: (1, C, F, H, W).
    """
    frames = seen.shape[2]
    first, second = torch.triu_indices(frames, frames, 1, device=seen.device)
    own, other = ((x[:, :, second] - x[:, :, first]).abs() for x in (seen, wanted))
    count = 2.0 + (second - first == 1)
    return (count * (own - other).square().mean((0, 1, 3, 4))).sum() / (frames**2 - 1)


def regulated(velocity: Tensor, along: Tensor, across: float) -> Tensor:
    """The part of a velocity (1, C, F, H, W) along another one, over channels at every place, and ``across`` times the rest."""
    share = (velocity * along).sum(1, keepdim=True) / (along.square().sum(1, keepdim=True) + 1e-8)
    return share * along + across * (velocity - share * along)

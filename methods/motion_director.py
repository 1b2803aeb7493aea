"""MotionDirector (Zhao et al., ECCV 2024): two LoRA sets, one to take up looks and one to take up motion.

As its authors define it: every step trains twice. First the spatial set alone on a single frame, with the model's own loss;
then the temporal set on the whole clip while the spatial set acts and is not moved, with the model's own loss and the
debiased one (b = 1, a random frame as anchor). In a fifth of the steps the spatial set rests and does not act. Rank 32, scale
1, dropout 0.1, AdamW at 5e-4, no LoRA in the text's cross-attention. In sampling the temporal set alone acts, and sampling
starts from equal parts of inverted and fresh noise.

What had to change for Wan: it has one attention over space and time, so both sets lie on the same layers (self-attention and
feed-forward of every block) and differ in what they are trained on, not in where they are. The single frame is one RGB frame
encoded by itself, because a latent frame packs four. Both losses are of the velocity, as the model's own is; in terms of noise
they would be weighted by (1 - s)^2 (``weighting=noise``). The fifth of the steps is every fifth, not drawn, so that the budget
is known beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from fastvmt.methods._math.adapters import LoRA
from fastvmt.methods._math.inversion import source_text
from fastvmt.methods._math.trained import BLEND, BlendParams, TrainedMethod
from fastvmt.methods._math.trainer import Draw, debiased_loss, velocity_loss
from fastvmt.plugins.method import GRADIENT_COST, Context, Shape, Study

if TYPE_CHECKING:
    from torch import Tensor

    from fastvmt.plugins.workspace import Workspace

SPATIAL, TEMPORAL = "spatial", "temporal"


class MotionDirectorParams(BlendParams):
    rank: int = Field(32, ge=1, le=4096, description="of each LoRA")
    dropout: float = Field(0.1, ge=0, lt=1)
    rest: float = Field(0.2, ge=0, le=1, description="share of the steps in which the spatial set neither trains nor acts")
    debias: float = Field(1.0, ge=0, le=1e6, description="b of the debiased loss")
    weighting: Literal["velocity", "noise"] = Field("velocity", description="losses in velocity, or in noise: times (1 - s)^2")


class MotionDirector(TrainedMethod):
    id = "motion_director"
    summary = "spatial and temporal LoRA fitted to the clip, the temporal one kept; debiased loss"
    source = "MotionDirector, ECCV 2024 (arXiv 2310.08465)"
    Params = MotionDirectorParams
    protocols = BLEND
    variants = {"noise-weighting": {"weighting": "noise"}}
    study = Study({
        "rank": ("rank=8", "rank=16"), "weighting": ("noise-weighting",), "spatial": ("rest=1",),
        "begin": ("begin=noise", "begin=inverted_blend"), "steps": ("steps=100", "steps=200"),
    })  # fmt: skip

    @classmethod
    def training_cost(cls, params: MotionDirectorParams, shape: Shape) -> float:
        single = params.steps - sum_rests(params.steps, params.rest)
        return GRADIENT_COST * (params.steps + single / shape.grid[0])

    def prepare(self, ctx: Context, workspace: Workspace) -> Mapping[str, Tensor]:
        p, clean, text = self.params, ctx.reference(), source_text(ctx)
        frames = workspace.frames()
        still = cache(lambda t: ctx.backbone.encode_video(frames[t : t + 1]))
        lora = self._lora(ctx, SPATIAL, TEMPORAL)

        def objective(draw: Draw) -> Iterator[tuple[str, Tensor]]:
            factor = (1 - draw.sigma) ** 2 if p.weighting == "noise" else 1.0
            if not rests(draw.step, p.rest):
                lora.use(SPATIAL)
                yield SPATIAL, factor * self._single(ctx, draw, still(draw.below(len(frames))), text, clean.shape[2])
                lora.use(SPATIAL, TEMPORAL)
            else:
                lora.use(TEMPORAL)
            found = ctx.backbone.trained_velocity(draw.noised(clean), draw.sigma, text)
            debiased = debiased_loss(found, clean, draw.noise, draw.below(clean.shape[2]), p.debias)
            yield TEMPORAL, factor * (velocity_loss(found, clean, draw.noise) + debiased)

        with lora.installed(trains=True):
            groups = {name: lora.weights(name) for name in (SPATIAL, TEMPORAL)}
            self.train(groups, clean, workspace, objective)
            return {name: weight.detach().clone() for name, weight in groups[TEMPORAL].items()}

    def _single(self, ctx: Context, draw: Draw, still: Tensor, text: Tensor, frames: int) -> Tensor:
        """The model's loss on one frame, with noise of its own."""
        noise = draw.noise_like(still)
        noised = (1 - draw.sigma) * still + draw.sigma * noise
        found = ctx.backbone.trained_velocity(noised, draw.sigma, text, share=still.shape[2] / frames)
        return velocity_loss(found, still, noise)

    def scope(self, ctx: Context, i: int) -> AbstractContextManager[Any]:
        return self._acting(ctx, ctx.prepared)

    def adapted(self, ctx: Context) -> AbstractContextManager[Any]:
        return self._acting(ctx, None)

    @contextmanager
    def _acting(self, ctx: Context, weights: Mapping[str, Tensor] | None) -> Iterator[None]:
        lora = self._lora(ctx, TEMPORAL)
        with lora.installed(weights):
            lora.use(TEMPORAL)
            yield

    def _lora(self, ctx: Context, *names: str) -> LoRA:
        return LoRA(ctx.backbone, names, self.params.rank, self.params.dropout, self.params.train_seed)


def sum_rests(steps: int, share: float) -> int:
    """Steps in which the spatial set rests.

    >>> sum_rests(300, 0.2)
    60
    """
    return int(steps * share + 1e-9)


def rests(step: int, share: float) -> bool:
    """Whether it rests in this step; evenly spread.

    >>> [rests(step, 0.2) for step in range(5)]
    [False, False, False, False, True]
    """
    return sum_rests(step + 1, share) > sum_rests(step, share)

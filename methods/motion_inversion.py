"""MotionInversion (Wang et al. 2024): motion embeddings for queries, keys and values, fitted to one clip.

As its authors define it: beside the frozen model two embeddings of each chosen attention layer are trained from zero, one of
queries and keys (a vector a frame, the same at all places) and one of values (a vector a frame and place), added to the
normed hidden state before its projections; AdamW at 0.02 for 400 steps on the clip with its own caption, the model's own
loss. In sampling the value embedding is differenced along time, e_t - e_(t-1) with the first frame kept, so that what all
frames share is lost; for camera motion (``motion=camera``) it is left out. Sampling starts from equal parts of inverted and
fresh noise.

What had to change for Wan: its attention is over space and time at once, so the embeddings stand in front of the projections
of self-attention, and rotary embedding follows them. The authors take the UNet's layers of lowest resolution; here it is the
five blocks in the middle of the depth, with value embeddings on a grid half as fine as the tokens (all blocks at full size
would be 0.65 billion numbers at width 832, height 480 and 33 frames). Queries are normed over all channels, which bounds what
the embedding can do. The loss is the velocity's mean squared error; ``loss=debiased`` adds MotionDirector's term, which the
authors offer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field

from fastvmt.methods._math.adapters import embeddings, middle_blocks, new_embeddings
from fastvmt.methods._math.inversion import source_text
from fastvmt.methods._math.trained import BLEND, BlendParams, TrainedMethod
from fastvmt.methods._math.trainer import Draw, debiased_loss, velocity_loss
from fastvmt.plugins.method import GRADIENT_COST, Context, Shape, Study

if TYPE_CHECKING:
    from torch import Tensor

    from fastvmt.plugins.workspace import Workspace


class MotionInversionParams(BlendParams):
    steps: int = Field(400, ge=1, le=1_000_000, description="training steps")
    lr: float = Field(0.02, gt=0, le=1000, description="AdamW's rate, constant")
    blocks: int = Field(5, ge=1, le=10_000, description="blocks with embeddings, in the middle of the depth")
    coarser: int = Field(2, ge=1, le=10_000, description="tokens a side for one place of the value embedding")
    loss: Literal["velocity", "debiased"] = Field("velocity", description="the model's loss, or MotionDirector's beside it")
    motion: Literal["object", "camera"] = Field("object", description="value embeddings differenced along time, or left out")


class MotionInversion(TrainedMethod):
    id = "motion_inversion"
    summary = "query-key and value embeddings fitted to the clip, values differenced along time"
    source = "MotionInversion, 2024 (arXiv 2403.20193)"
    Params = MotionInversionParams
    unseen = TrainedMethod.unseen | {"motion"}
    protocols = BLEND
    variants = {"camera": {"motion": "camera"}, "debiased": {"loss": "debiased"}}
    study = Study({
        "motion": ("camera",), "loss": ("debiased",), "begin": ("begin=noise", "begin=inverted_blend"),
        "steps": ("steps=100", "steps=200"),
    })  # fmt: skip

    @classmethod
    def resolve(cls, params: MotionInversionParams, shape: Shape) -> MotionInversionParams:
        return params.model_copy(update={"blocks": min(params.blocks, shape.blocks)})

    @classmethod
    def training_cost(cls, params: MotionInversionParams, shape: Shape) -> float:
        return params.steps * (1 + _depth(params.blocks, shape.blocks) * (GRADIENT_COST - 1))

    def prepare(self, ctx: Context, workspace: Workspace) -> Mapping[str, Tensor]:
        p, clean, text = self.params, ctx.reference(), source_text(ctx)
        weights, grid = self._new(ctx), ctx.backbone.tokens(clean)
        depth = _depth(p.blocks, ctx.backbone.card.blocks)

        def objective(draw: Draw) -> Iterator[tuple[str, Tensor]]:
            found = ctx.backbone.trained_velocity(draw.noised(clean), draw.sigma, text, depth)
            loss = velocity_loss(found, clean, draw.noise)
            if p.loss == "debiased":
                loss = loss + debiased_loss(found, clean, draw.noise, draw.below(clean.shape[2]))
            yield "embeddings", loss

        with embeddings(ctx.backbone, weights, grid):
            self.train({"embeddings": weights}, clean, workspace, objective)
        return weights

    def fit(self, ctx: Context) -> dict[str, Tensor]:
        """The embeddings as sampling uses them."""
        kept = {}
        for name, embedding in ctx.prepared.items():
            if not name.startswith("v."):
                kept[name] = embedding
            elif self.params.motion == "object":
                kept[name] = differenced(embedding)
        return kept

    def scope(self, ctx: Context, i: int) -> AbstractContextManager[Any]:
        return embeddings(ctx.backbone, ctx.state, ctx.backbone.tokens(ctx.noise))

    def adapted(self, ctx: Context) -> AbstractContextManager[Any]:
        return embeddings(ctx.backbone, self._new(ctx), ctx.backbone.tokens(ctx.noise))

    def _new(self, ctx: Context) -> dict[str, Tensor]:
        backbone = ctx.backbone
        blocks = middle_blocks(self.params.blocks, backbone.card.blocks)
        return new_embeddings(backbone, blocks, backbone.tokens(ctx.noise), self.params.coarser)


def differenced(embedding: Tensor) -> Tensor:
    """(F, ...) as e_t - e_(t-1), the first frame as it is."""
    return torch.cat([embedding[:1], embedding[1:] - embedding[:-1]])


def _depth(count: int, blocks: int) -> float:
    """Part of the blocks from the first with embeddings to the last, which gradients go through."""
    return 1 - middle_blocks(count, blocks).start / blocks

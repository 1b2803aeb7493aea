"""What methods that fit weights to the reference have in common: their budget, their start, and what training ignores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from fastvmt.core.limits import MOST_WHOLE
from fastvmt.methods._math.inversion import inverted
from fastvmt.methods._math.trainer import Objective, Trainer
from fastvmt.plugins.method import GRADIENT_COST, Context, Method, Params, Protocols, Shape

if TYPE_CHECKING:
    from torch import Tensor

    from fastvmt.model import Case
    from fastvmt.plugins.workspace import Workspace

BLEND = Protocols({"as-published": {"begin": "inverted_blend"}, "matched-start": {"begin": "noise"}}, work="steps")
"""Of methods that mix the inverted reference into the noise."""


class TrainedParams(Params):
    steps: int = Field(300, ge=1, le=1_000_000, description="training steps")
    lr: float = Field(5e-4, gt=0, le=1000, description="AdamW's rate, constant")
    weight_decay: float = Field(0.01, ge=0, le=1000)
    train_shift: float = Field(3.0, ge=0.01, le=100, description="shift of the noise levels that training draws")
    train_seed: int = Field(0, ge=0, le=MOST_WHOLE, description="of training's own draws; one serves all seeds of a run")


class BlendParams(TrainedParams):
    begin: Literal["inverted_blend", "noise"] = Field(
        "inverted_blend", description="the inverted reference mixed into the run's noise, or the run's noise alone"
    )
    noise_prior: float = Field(0.5, ge=0, le=1, description="share of the inverted reference's variance in the start")


class TrainedMethod(Method):
    """Base: trains once for each reference, then samples with what it learnt in the transformer."""

    protocols = Protocols(work="steps")
    unseen: ClassVar[frozenset[str]] = frozenset({"begin", "noise_prior"})
    """Parameters that training does not depend on."""
    Params: ClassVar[type[Params]] = TrainedParams

    @classmethod
    def from_noise(cls, params: Any) -> bool:
        return True  # alone, or mixed with what the reference becomes at level 1

    @classmethod
    def training(cls, params: Mapping[str, Any], case: Case) -> dict[str, Any]:
        return {k: v for k, v in params.items() if k not in cls.unseen}

    def train(
        self, groups: Mapping[str, Mapping[str, Tensor]], clean: Tensor, workspace: Workspace, objective: Objective, **how: Any
    ) -> None:
        """Fit weights, by group and name, as the parameters say; ``how`` is more of ``Trainer``."""
        p, how = self.params, {"lr": self.params.lr, "weight_decay": self.params.weight_decay, **how}
        Trainer(groups, p.steps, p.train_shift, p.train_seed, **how).run(clean, workspace, objective)

    @classmethod
    def training_cost(cls, params: Any, shape: Shape) -> float:
        """Forward-equivalents of the training alone: by default a full backward pass in every step."""
        return float(params.steps * GRADIENT_COST)

    @classmethod
    def cost(cls, params: Any, shape: Shape) -> float:
        inversion = len(shape.sigmas) - 1 if _inverts(params) else 0
        return super().cost(params, shape) + inversion + cls.training_cost(params, shape)

    def start(self, ctx: Context) -> tuple[Tensor, int]:
        """sqrt(p) of the reference, inverted with the empty text on the run's levels, and sqrt(1 - p) of the run's noise."""
        if not _inverts(self.params):
            return ctx.noise, 0
        share = self.params.noise_prior
        known = inverted(ctx.backbone, ctx.reference(), ctx.sigmas, ctx.texts["null"])[0]
        ctx.log["inverted_noise"] = {"mean": round(float(known.mean()), 4), "std": round(float(known.std()), 4)}
        return share**0.5 * known + (1 - share) ** 0.5 * ctx.noise, 0


def _inverts(params: Any) -> bool:
    return getattr(params, "begin", "noise") == "inverted_blend" and params.noise_prior > 0

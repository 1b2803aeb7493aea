"""A plug-in file of fastvmt made worse on purpose, each in one way, for the gate: ``bench run --plugin tests/gate_toys.py``."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import model_validator
from torch import Tensor

from fastvmt.backbones import card
from fastvmt.methods.fastvmt import FastVMT, FastVMTParams
from fastvmt.plugins import labels
from fastvmt.plugins.method import Context, Params

TUNED = labels.tuned("fastvmt", card.load("tiny").methods["fastvmt"], 4)


class TunedParams(FastVMTParams):
    """What ``tiny`` gives fastvmt, which a method of another name does not get."""

    @model_validator(mode="before")
    @classmethod
    def _tuned(cls, values: Any) -> Any:
        return TUNED | values


class Slow(FastVMT):
    """The same videos, with the gradient work done six times."""

    id = "fastvmt-slow"
    Params: ClassVar[type[Params]] = TunedParams

    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        log = ctx.log
        for _ in range(5):
            ctx.log = {}
            super().adjust(ctx, i, x)
        ctx.log = log
        return super().adjust(ctx, i, x)


class Broken(FastVMT):
    """Guidance that does nothing: faster, and no motion is transferred."""

    id = "fastvmt-broken"
    Params: ClassVar[type[Params]] = TunedParams

    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        return x


METHODS = {m.id: m for m in (Slow, Broken)}

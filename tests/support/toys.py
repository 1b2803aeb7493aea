"""A plug-in file of misbehaving and of trivial methods, and of fastvmt made worse on purpose, each in one way, for the gate."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import model_validator
from torch import Tensor

from fastvmt.backbones import card
from fastvmt.methods.fastvmt import FastVMT, FastVMTParams
from fastvmt.plugins import labels
from fastvmt.plugins.method import Context, Method, Params


class WhereParams(Params):
    mark: str = ""
    """A file: behave only while it does not exist, after creating it."""


class Toy(Method):
    Params: ClassVar[type[Params]] = WhereParams

    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        mark = self.params.mark
        if mark and Path(mark).exists():
            return x
        if mark:
            Path(mark).touch()
        return self.misbehave(x)

    def misbehave(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Raises(Toy):
    id = "raises"

    def misbehave(self, x: Tensor) -> Tensor:
        raise RuntimeError("a toy's own error")


class Aborts(Toy):
    id = "aborts"

    def misbehave(self, x: Tensor) -> Tensor:
        os.kill(os.getpid(), signal.SIGSEGV)
        return x


class Hangs(Toy):
    """Leaves a grandchild that holds the pipes, and sleeps."""

    id = "hangs"

    def misbehave(self, x: Tensor) -> Tensor:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        time.sleep(600)
        return x


class GivesNaN(Toy):
    id = "gives-nan"

    def misbehave(self, x: Tensor) -> Tensor:
        return x * float("nan")


class WrongShape(Toy):
    id = "wrong-shape"

    def misbehave(self, x: Tensor) -> Tensor:
        return x[:, :, 1:]


class OutOfMemory(Toy):
    id = "out-of-memory"

    def misbehave(self, x: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory (a toy)")


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


METHODS = {m.id: m for m in (Raises, Aborts, Hangs, GivesNaN, WrongShape, OutOfMemory, Slow, Broken)}

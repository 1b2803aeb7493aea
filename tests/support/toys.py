"""A plug-in file of misbehaving and of trivial methods, and of fastvmt made worse on purpose, each in one way, for the gate."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from pydantic import model_validator
from torch import Tensor

from fastvmt.backbones import card
from fastvmt.methods.fastvmt import FastVMT, FastVMTParams
from fastvmt.plugins import labels
from fastvmt.plugins.method import Context, Method, Params


class Toy(Method):
    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        return TOYS[self.id](x)  # type: ignore[no-any-return]


def raises(error: Exception) -> Any:
    raise error


def hangs() -> None:
    """Leave a grandchild that holds the pipes, and sleep."""
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    time.sleep(600)


TOYS: dict[str, Callable[[Tensor], Any]] = {
    "raises": lambda x: raises(RuntimeError("a toy's own error")), "aborts": lambda x: os.kill(os.getpid(), signal.SIGSEGV),
    "hangs": lambda x: hangs(), "gives-nan": lambda x: x * float("nan"), "wrong-shape": lambda x: x[:, :, 1:],
    "out-of-memory": lambda x: raises(torch.OutOfMemoryError("CUDA out of memory (a toy)")),
}  # fmt: skip
TUNED = labels.tuned("fastvmt", card.load("tiny").methods["fastvmt"], 4)


class TunedParams(FastVMTParams):
    """What ``tiny`` gives fastvmt, which a method of another name does not get."""

    @model_validator(mode="before")
    @classmethod
    def _tuned(cls, values: Any) -> Any:
        return TUNED | values


class Slow(FastVMT):
    """The same videos by the same work, and half as much processor time again."""

    id = "fastvmt-slow"
    Params: ClassVar[type[Params]] = TunedParams

    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        began = time.process_time()
        found = super().adjust(ctx, i, x)
        ends = time.process_time() + 0.5 * (time.process_time() - began)
        while time.process_time() < ends:
            pass
        return found


class Broken(FastVMT):
    """Guidance that does nothing: faster, and no motion is transferred."""

    id = "fastvmt-broken"
    Params: ClassVar[type[Params]] = TunedParams

    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        return x


METHODS = {m.id: m for m in (*(type(name, (Toy,), {"id": name}) for name in TOYS), Slow, Broken)}

"""A plug-in file of misbehaving and of trivial methods, given to ``bench`` by ``--plugin``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from fastvmt.plugins.method import Context, Method, Params
from fastvmt.plugins.metric import Metric, Scored, Value


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


class Prints(Toy):
    """Writes to stdout, which must not reach the runner's pipe."""

    id = "prints"

    def misbehave(self, x: Tensor) -> Tensor:
        print('{"report": "made"}', flush=True)
        os.write(1, b"raw bytes\n")
        print("safe path", sys.flags.safe_path, "folder", Path.cwd().name, flush=True)
        return x


class Half(Metric):
    """A metric that fails on some clips."""

    id = "half"

    def score(self, scored: Scored) -> Value:
        if scored.job.seed % 2:
            raise ZeroDivisionError("a toy's own error")
        return Value(1.0)


METHODS = {m.id: m for m in (Raises, Aborts, Hangs, GivesNaN, WrongShape, OutOfMemory, Prints)}
METRICS = {"half": Half}

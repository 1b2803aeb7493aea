"""A plug-in file, given to ``bench`` by ``plugins``: a generator that draws its videos instead of computing them.

A worker that loads torch starts in seconds, which would make hundreds of kills a matter of hours. This file puts a light
module in the place of ``fastvmt.runner.generate`` before a worker asks for it. All that the faults are about stays as it is: the
runner, the worker's process and its protocol, the store, the scoring and the real codecs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastvmt.core.content_address import digest, frames_digest, noise_seed
from fastvmt.media.files import Frames, write_lossless, write_viewable
from fastvmt.model import Artefact, Job
from fastvmt.plugins.labels import build
from fastvmt.plugins.method import Method, Params
from fastvmt.plugins.metric import Metric, Scored, Value
from fastvmt.store.folder import RunConfig, Store, file_info

STEPS = 4
GIGABYTE = 1 << 30


class LightParams(Params):
    do: str = ""
    """What goes wrong, by its name in ``MISCHIEF``; "" for nothing."""
    mark: str = ""
    """A file: misbehave only while it does not exist, after creating it."""
    at: int = 1
    """The step at which it happens."""


def _grandchild_and_deaf() -> None:
    """Leave a grandchild that holds every pipe, and take no notice of a polite end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", deaf])
    time.sleep(600)


def _eat_memory() -> None:
    """More than the host gives: the limit is this process's own, the error is the allocator's."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (4 * GIGABYTE, 4 * GIGABYTE))
    kept = [np.ones(GIGABYTE, np.uint8) for _ in range(8)]
    raise AssertionError(len(kept))


def _killed_for_memory() -> None:
    """As the host's killer ends it: at once, by SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


def _device_memory() -> None:
    raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB (said by a test)")


def _segfault() -> None:
    import ctypes

    ctypes.string_at(0)


def _raise() -> None:
    raise RuntimeError("a light method's own error")


def _full() -> None:
    raise OSError(28, "No space left on device")


def _leave() -> None:
    sys.exit(7)


def _recurse() -> None:
    _recurse()


MISCHIEF: dict[str, Callable[[], None]] = {
    "raise": _raise, "hang": _grandchild_and_deaf, "memory": _eat_memory, "killed": _killed_for_memory, "device": _device_memory,
    "segfault": _segfault, "abort": os.abort, "full": _full, "leave": _leave, "recurse": _recurse,
}  # fmt: skip


class Light(Method):
    id = "light"
    summary = "draws; or does the mischief it is told to"
    Params: ClassVar[type[Params]] = LightParams

    def step(self, i: int) -> None:
        if not self.params.do or i != self.params.at:
            return
        if self.params.mark:
            mark = Path(self.params.mark)
            if mark.exists():
                return
            mark.touch()
        MISCHIEF[self.params.do]()


class Difference(Metric):
    """Mean absolute difference to the reference, in levels."""

    id = "difference"
    range = (0.0, 255.0)

    def score(self, scored: Scored) -> Value:
        return Value(float(np.abs(scored.generated.astype(int) - scored.reference.astype(int)).mean()))


class Generator:
    """What a worker asks of ``fastvmt.runner.generate.Generator``, without a backbone."""

    def __init__(self, store: Store, config: RunConfig) -> None:
        self.store, self.config, self.load_seconds = store, config, 0.0
        self.cases = {c.id: c for c in config.suite.cases}

    def make(self, job: Job, tick: Callable[[int, int], None], enter: Callable[[str], None]) -> Artefact:
        case, method = self.cases[job.case_id], build(job.method)
        enter("encode")
        frames: Frames = self.store.reference(case.reference.frames_digest)
        enter("denoise")
        rng = np.random.default_rng(noise_seed(job.seed, case.digest() + job.method.label))
        for i in range(STEPS):
            method.step(i)
            frames = frames ^ rng.integers(0, 64, frames.shape, dtype=np.uint8)
            tick(i + 1, STEPS)
        enter("write")
        folder, fps = self.store.new_folder(), Fraction(15)
        write_lossless(folder / "frames.mkv", frames, fps)
        write_viewable(folder / "video.mp4", frames, fps)
        artefact = Artefact(
            key=job.key, frames_digest=frames_digest(frames), width=frames.shape[2], height=frames.shape[1], frames=len(frames),
            fps_num=15, fps_den=1, files={p.name: file_info(p) for p in sorted(folder.iterdir())},
            stages={"denoise": 0.25, "decode": 0.125}, peak_memory_bytes=1 << 20, forward_equivalents=8.0, device="light",
            software={"light": "1"}, timing_key=digest(job.key),
        )  # fmt: skip
        self.store.publish(folder, job, artefact)
        return artefact


def _take_the_place() -> None:
    module: Any = types.ModuleType("fastvmt.runner.generate")
    module.Generator = Generator
    sys.modules["fastvmt.runner.generate"] = module


_take_the_place()
METHODS = {"light": Light}
METRICS = {"difference": Difference}

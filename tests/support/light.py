"""A plug-in file: methods whose videos are copied or drawn instead of computed, so that a worker starts without torch.

A worker that loads torch starts in seconds, which would make hundreds of kills a matter of hours. In a worker process, and only
there, this file puts a light module in the place of ``fastvmt.runner.generate``. Runner, worker, protocol, store, leases, scoring and
codecs are the real ones.
"""

from __future__ import annotations

import os
import shutil
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

from fastvmt.artefacts.code_state import method_code
from fastvmt.core.content_address import digest, frames_digest, noise_seed
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import Artefact, Job
from fastvmt.plugins.labels import build
from fastvmt.plugins.method import Method, Params
from fastvmt.plugins.metric import Metric, Scored, Value
from fastvmt.store.artefact_files import file_info
from fastvmt.store.folder import Store

STEPS = 4
GIGABYTE = 1 << 30


def _hang(mark: str) -> None:
    """Deaf to SIGTERM, with a grandchild as deaf that holds every pipe and stands in the mark."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", deaf])
    if mark:
        Path(mark).write_text(str(child.pid))
    time.sleep(600)


def _memory(mark: str) -> None:
    """More than the host gives: the limit is this process's own, the error is the allocator's."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (4 * GIGABYTE, 4 * GIGABYTE))
    raise AssertionError(len([np.ones(GIGABYTE, np.uint8) for _ in range(8)]))


class OutOfMemoryError(RuntimeError):
    """Named as torch names it."""


def _segfault(mark: str) -> None:
    import ctypes

    ctypes.string_at(0)


def _raising(error: BaseException) -> Callable[[str], None]:
    def do(mark: str) -> None:
        raise error

    return do


def _print(mark: str) -> None:
    """To stdout, which must not reach the runner's pipe."""
    print('{"report": "made"}', flush=True)
    os.write(1, b"raw bytes\n")
    print("safe path", sys.flags.safe_path, "folder", Path.cwd().name, flush=True)


def _recurse(mark: str) -> None:
    _recurse(mark)


MISCHIEF: dict[str, Callable[[str], None]] = {
    "hang": _hang, "memory": _memory, "segfault": _segfault, "recurse": _recurse, "print": _print, "abort": lambda mark: os.abort(),
    "killed": lambda mark: os.kill(os.getpid(), signal.SIGKILL),  # at once, as the host's killer does it for memory
    "device": _raising(OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB (said by a test)")),
    "raise": _raising(RuntimeError("a light method's own error")), "full": _raising(OSError(28, "No space left on device")),
    "surrogate": _raising(OSError("no such file: a\udcff")), "leave": _raising(SystemExit(7)),
}  # fmt: skip


class LightParams(Params):
    do: str = ""
    """What goes wrong, by its name in ``MISCHIEF``; "" for nothing; "wait" until ``mark`` exists."""
    mark: str = ""
    """A file: misbehave only while it does not exist, after creating it."""
    at: int = 1
    """The step at which it happens."""
    work: float = 0.0
    """CPU seconds of a job."""


class Light(Method):
    id = "light"
    summary = "draws; or does the mischief it is told to"
    Params: ClassVar[type[Params]] = LightParams

    def misbehave(self) -> None:
        do, mark = self.params.do, self.params.mark
        while do == "wait" and not Path(mark).exists():
            time.sleep(0.02)
        if do in ("", "wait") or (mark and Path(mark).exists()):
            return
        if mark:
            Path(mark).touch()
        MISCHIEF[do](mark)


class Quick(Light):
    """Its video is a copy of the reference, and the digest follows from the job: no codec."""

    id = "quick"

    @classmethod
    def from_noise(cls, params: Any) -> bool:
        return False


class Trained(Quick):
    """Has a preparation, in which ``do`` happens."""

    id = "trained"

    def prepare(self, ctx: Any, workspace: Any) -> dict[str, Any]:
        return {}


class Difference(Metric):
    """Mean absolute difference to the reference, in levels."""

    id = "difference"
    range = (0.0, 255.0)

    def score(self, scored: Scored) -> Value:
        return Value(float(np.abs(scored.generated.astype(int) - scored.reference.astype(int)).mean()))


class Nibble(Metric):
    """A number that follows from the job."""

    id = "nibble"
    timing = True  # so that nothing is decoded
    range = (0.0, 1.0)

    def score(self, scored: Scored) -> Value:
        return Value(int(scored.artefact.frames_digest[:4], 16) / 65536)


class Half(Nibble):
    """Fails on every other seed."""

    id = "half"

    def score(self, scored: Scored) -> Value:
        return Value(1 / (1 - scored.job.seed % 2))


class Generator:
    """What a worker asks of ``fastvmt.runner.generate.Generator``, without a backbone."""

    def __init__(self, store: Store, config: RunConfig) -> None:
        self.store, self.config, self.load_seconds = store, config, 0.0
        self.cases = {c.id: c for c in config.suite.cases}

    def make(self, job: Job, tick: Callable[[int, int], None], enter: Callable[[str], None]) -> Artefact:
        method, reference = build(job.method), self.cases[job.case_id].reference
        enter("denoise")
        if isinstance(method, Quick):
            tick(0, 1)
            if not method.trains():
                method.misbehave()
            until = time.thread_time() + method.params.work
            while time.thread_time() < until:
                pass
            folder, size, key = self.store.new_folder(), (5, 8, 8), digest(job.key)
            shutil.copyfile(self.store.reference_path(reference.frames_digest), folder / "frames.mkv")
        else:
            folder, size, key = self._draw(job, method, tick, enter)
        artefact = Artefact(
            key=job.key, frames_digest=key, frames=size[0], height=size[1], width=size[2], fps_num=15, fps_den=1,
            files={p.name: file_info(p) for p in sorted(folder.iterdir())}, stages={"denoise": 0.25, "decode": 0.125},
            peak_memory_bytes=1 << 20, forward_equivalents=8.0, device="light", software={"light": "1"}, timing_key=digest(job.key),
            log={"code": method_code(job.method.method, job.method.params), "pid": os.getpid(), "gpu": os.environ.get("CUDA_VISIBLE_DEVICES", "")},
        )  # fmt: skip
        self.store.publish(folder, job, artefact)
        return artefact

    def _draw(
        self, job: Job, method: Any, tick: Callable[[int, int], None], enter: Callable[[str], None]
    ) -> tuple[Path, tuple[int, ...], str]:
        from fastvmt.media.files import write_lossless, write_viewable

        case = self.cases[job.case_id]
        frames = self.store.reference(case.reference)
        rng = np.random.default_rng(noise_seed(job.seed, case.digest() + job.method.label))
        for i in range(STEPS):
            if i == method.params.at:
                method.misbehave()
            frames = frames ^ rng.integers(0, 64, frames.shape, dtype=np.uint8)
            tick(i + 1, STEPS)
        enter("write")
        folder = self.store.new_folder()
        write_lossless(folder / "frames.mkv", frames, Fraction(15))
        write_viewable(folder / "video.mp4", frames, Fraction(15))
        return folder, frames.shape, frames_digest(frames)

    def prepare(self, job: Job, tick: Callable[[int, int], None], enter: Callable[[str], None]) -> float:
        enter("train")
        method: Any = build(job.method)
        method.misbehave()
        return 0.1


METHODS = {"light": Light, "quick": Quick, "trained": Trained}
METRICS = {"difference": Difference, "nibble": Nibble, "half": Half}
if Path(sys.argv[0]).name == "worker.py":
    stand_in: Any = types.ModuleType("fastvmt.runner.generate")
    stand_in.Generator = Generator
    sys.modules["fastvmt.runner.generate"] = stand_in

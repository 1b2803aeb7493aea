"""A plug-in file for tests of executors: jobs of a given length without backbone, torch or codecs.

It puts a module of its own in the place of ``fastvmt.runner.generate`` before a worker asks for it; runner, worker, protocol, store and
leases are the real ones. Every video is a copy of its reference, and its digest follows from the job.
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
from pathlib import Path
from typing import Any, ClassVar

from fastvmt.core.content_address import digest
from fastvmt.model import Artefact, Job
from fastvmt.plugins.method import Method, Params
from fastvmt.plugins.metric import Metric, Scored, Value
from fastvmt.store.folder import RunConfig, Store, file_info


class QuickParams(Params):
    work: float = 0.0
    """CPU seconds of a job."""
    do: str = ""
    mark: str = ""
    """A file: misbehave only while it does not exist, after creating it; or wait until it exists (do=wait)."""


class Quick(Method):
    id = "quick"
    summary = "does nothing, for a while"
    Params: ClassVar[type[Params]] = QuickParams


class Trained(Quick):
    """Has a preparation, in which ``do`` happens."""

    id = "trained"

    def prepare(self, ctx: Any, workspace: Any) -> dict[str, Any]:
        return {}


class Nibble(Metric):
    """A number that follows from the job."""

    id = "nibble"
    timing = True  # so that nothing is decoded
    range = (0.0, 1.0)

    def score(self, scored: Scored) -> Value:
        return Value(int(scored.artefact.frames_digest[:4], 16) / 65536)


class Generator:
    load_seconds = 0.0

    def __init__(self, store: Store, config: RunConfig) -> None:
        self.store, self.config = store, config

    def make(self, job: Job, tick: Callable[[int, int], None], enter: Callable[[str], None]) -> Artefact:
        given = job.method.params
        enter("denoise")
        tick(0, 1)
        if job.method.method != "trained":
            self._misbehave(given.get("do", ""), given.get("mark", ""))
        until = time.thread_time() + given.get("work", 0.0)
        while time.thread_time() < until:
            pass
        folder = self.store.new_folder()
        case = next(c for c in self.config.suite.cases if c.id == job.case_id)
        shutil.copyfile(self.store.reference_path(case.reference.frames_digest), folder / "frames.mkv")
        artefact = Artefact(
            key=job.key, frames_digest=digest(job.key), width=8, height=8, frames=5, fps_num=15, fps_den=1,
            files={"frames.mkv": file_info(folder / "frames.mkv")}, stages={"denoise": 0.1}, peak_memory_bytes=1,
            forward_equivalents=1.0, device="none", software={}, timing_key=digest([job.key, "none"]),
            log={"pid": os.getpid(), "gpu": os.environ.get("CUDA_VISIBLE_DEVICES", "")},
        )  # fmt: skip
        self.store.publish(folder, job, artefact)
        return artefact

    def prepare(self, job: Job, tick: Callable[[int, int], None], enter: Callable[[str], None]) -> float:
        enter("train")
        self._misbehave(job.method.params.get("do", ""), job.method.params.get("mark", ""))
        return 0.1

    def _misbehave(self, do: str, mark: str) -> None:
        if do == "wait":
            while not Path(mark).exists():
                time.sleep(0.02)
            return
        if not do or (mark and Path(mark).exists()):
            return
        if mark:
            Path(mark).touch()
        if do == "raise":
            raise RuntimeError("a quick method's own error")
        if do == "surrogate":
            raise OSError("no such file: a\udcff")
        if do == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if do == "hang":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            Path(mark).write_text(str(child.pid))
            time.sleep(600)


METHODS = {"quick": Quick, "trained": Trained}
METRICS = {"nibble": Nibble}
_stand_in = types.ModuleType("fastvmt.runner.generate")
_stand_in.Generator = Generator  # type: ignore[attr-defined]
if Path(sys.argv[0]).name == "worker.py":  # only there: a test process may want the real one
    sys.modules["fastvmt.runner.generate"] = _stand_in

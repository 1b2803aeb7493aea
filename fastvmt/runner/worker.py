"""A worker process: reads tasks as JSON lines on stdin, reports on its own pipe, stays up for its backbone.

Everything a method or metric prints goes to the worker's log file. When stdin ends (the runner is gone, for whatever reason)
the process ends at once, and everything it has started with it. This is the only place where any exception becomes a report
instead of a crash.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastvmt.artefacts.given import publish_given
from fastvmt.core.disk.atomic import write_all
from fastvmt.errors import NonFinite, SpecError, WrongOutput, is_full
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import REFERENCE, Job
from fastvmt.plugins import registry
from fastvmt.plugins.blame import words
from fastvmt.runner.code import VARIABLE, load_handed
from fastvmt.store.folder import Store


class _Reports:
    """The pipe to the runner, taken before anything else can print to it."""

    def __init__(self) -> None:
        self._handle = os.dup(1)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def __call__(self, kind: str, /, **facts: Any) -> None:
        line = json.dumps({"report": kind, **facts}, ensure_ascii=False) + "\n"
        with self._lock:
            write_all(self._handle, line.encode("utf-8", "replace"))  # no half of a character, which no log could take


def _read_tasks(tasks: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        tasks.put(json.loads(line))
    if os.getpgrp() == os.getpid():  # our own group, as the runner starts us
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


def _classify(error: BaseException) -> str:
    if isinstance(error, NonFinite):
        return "non_finite"
    if isinstance(error, WrongOutput):
        return "wrong_output"
    if is_full(error):
        return "disk_full"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out_of_memory"
    return "error"


def _class_of(job: Job) -> type[Any] | None:
    with contextlib.suppress(SpecError):
        found: type[Any] = registry.methods.get(job.method.method)
        return found
    return None


class Worker:
    """Handles one task after another; loads the backbone at the first one that needs it."""

    def __init__(self, root: Path, holder: str, report: _Reports) -> None:
        self.store, self.report = Store.open(root), report
        self.store.holder = holder
        self.config = self.store.config()
        load_handed(json.loads(os.environ.pop(VARIABLE, "[]")))
        self._generator: Any = None
        self._stage = "start"

    def handle(self, task: dict[str, Any]) -> None:
        job = Job.model_validate(task["job"])
        self._stage = "load"
        try:
            if task["task"] == "generate":
                self._generate(job)
            elif task["task"] == "prepare":
                self._prepare(job)
            else:
                self._score(job, task["metrics"])
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a method raises becomes a Failure record
            text = words(error, _class_of(job))
            trace = "".join(traceback.format_exception(error))
            self.report("failed", key=job.key, kind=_classify(error), stage=self._stage, message=text, traceback=trace)

    def _tick(self, job: Job) -> Callable[[int, int], None]:
        return lambda i, n: self.report("step", key=job.key, step=i, steps=n)

    def _enter(self, stage: str) -> None:
        self._stage = stage

    def _load(self) -> None:
        """The backbone, at the first task that needs it."""
        if self._generator is None:
            self.report("loading")
            from fastvmt.runner.generate import Generator

            self._generator = Generator(self.store, self.config)
            self.report("loaded", seconds=self._generator.load_seconds)

    def _prepare(self, job: Job) -> None:
        """What a method learns before its videos, where it is not there yet."""
        self._load()
        seconds = self._generator.prepare(job, self._tick(job), self._enter)
        self.report("prepared", key=job.key, seconds=seconds)

    def _generate(self, job: Job) -> None:
        if job.method.ceiling:  # no model is needed, so none is loaded
            case = next(c for c in self.config.suite.cases if c.id == job.case_id)
            artefact = publish_given(self.store, job, case, self.store.reference(case.reference), REFERENCE, {})
        else:
            self._load()
            artefact = self._generator.make(job, self._tick(job), self._enter)
        seconds = sum(v for k, v in artefact.stages.items() if k != "load")
        self.report("made", key=job.key, seconds=seconds, digest=artefact.frames_digest)

    def _score(self, job: Job, metrics: list[str]) -> None:
        from fastvmt.runner.scoring.score import score_job

        self._stage = "score"
        enter = lambda label: self.report("scoring", key=job.key, metric=label)  # noqa: E731
        for record in score_job(self.store, self.config, job, metrics, enter):
            self.report("record", key=job.key, record=record.model_dump(mode="json"))
        self.report("scored", key=job.key)


def place(config: RunConfig) -> str:
    """What a timing must have for itself: the GPU by its own number, whatever a scheduler calls it here, else the machine."""
    if config.repeats and config.device.startswith("cuda"):  # nothing else asks, and torch takes seconds to load
        import torch

        try:
            return f"gpu-{torch.cuda.get_device_properties(0).uuid}"
        except (AttributeError, AssertionError, RuntimeError):
            pass  # an older torch, another vendor's, or no GPU: the first job will say
    return f"{socket.gethostname()}-{os.environ.get('CUDA_VISIBLE_DEVICES', 'all')}"


def main() -> None:
    report = _Reports()
    tasks: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read_tasks, args=(tasks,), daemon=True).start()
    worker = Worker(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "", report)
    report("ready", pid=os.getpid(), place=place(worker.config))
    while True:
        worker.handle(tasks.get())


if __name__ == "__main__":
    main()

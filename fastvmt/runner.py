"""The runner: hands tasks to worker processes, turns whatever happens to them into records. No torch here."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastvmt.errors import StoreError
from fastvmt.model import Artefact, Failure, Job, MetricRecord
from fastvmt.progress import Progress
from fastvmt.scoring import record_key, wanted_metrics
from fastvmt.store import RunConfig, Store

LOAD_SECONDS = 1800.0
"""Loading weights may take this long, whatever a job may take."""
START_DEATHS = 20
"""So many workers in a row may be killed before they are ready; then something kills them on purpose."""
CRASH_ATTEMPTS = 2
"""A job whose worker died is tried once more; then it is a failure."""


@dataclass(frozen=True)
class Options:
    """How to run, without influence on the results."""

    workers: int = 1
    timeout: float = 0.0
    """Seconds a job may take; 0 for no limit."""
    fail_fast: bool = False
    reuse: bool = True
    """Take videos with the same key over from run folders beside this one (their seconds are then not reported)."""
    style: str = "plain"


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    made: int
    found: int
    failed: int
    interrupted: bool


@dataclass
class _Task:
    job: Job
    kind: str
    metrics: list[str] = field(default_factory=list)
    attempt: int = 1

    def line(self) -> bytes:
        facts = {"task": self.kind, "job": self.job.model_dump(mode="json"), "metrics": self.metrics}
        return (json.dumps(facts) + "\n").encode()


class _Hand:
    """One worker process with what it is doing."""

    def __init__(
        self, number: int, root: Path, threads: int, crowded: bool, inbox: queue.Queue[tuple[_Hand, dict[str, Any]]]
    ) -> None:
        self.number, self.started, self.stage = number, 0.0, "start"
        self.task: _Task | None = None
        self.loading = False
        log = open(root / "workers" / f"worker-{number}.log", "ab")  # noqa: SIM115 - handed to the child
        # Waiting threads spin unless told to sleep: right for one worker on idle cores, ruinous when workers share them.
        wait = {"OMP_WAIT_POLICY": "PASSIVE"} if crowded else {}
        env = (
            os.environ
            | wait
            | {
                "PYTHONSAFEPATH": "1",
                "OMP_NUM_THREADS": str(threads),
                "PYTHONUNBUFFERED": "1",
            }
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fastvmt.worker", str(root.resolve())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=env, cwd=root, start_new_session=True,
        )  # fmt: skip
        log.close()
        threading.Thread(target=self._read, args=(inbox,), daemon=True).start()

    def _read(self, inbox: queue.Queue[tuple[_Hand, dict[str, Any]]]) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            try:
                inbox.put((self, json.loads(line)))
            except ValueError:
                continue  # a library wrote to the pipe; the worker's log has what matters
        self.process.stdout.close()
        inbox.put((self, {"report": "gone"}))

    def give(self, task: _Task) -> None:
        self.task, self.started, self.stage = task, time.monotonic(), "start"
        assert self.process.stdin
        try:
            self.process.stdin.write(task.line())
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its reader reports it gone

    def let_go(self) -> None:
        """Close its input, at which a worker ends by itself."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def kill(self) -> None:
        """End the whole process group, so that no grandchild keeps anything open."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.let_go()
        self.process.wait()


class Runner:
    """One call of ``bench run``, ``resume`` or ``score`` on a locked store."""

    def __init__(self, store: Store, config: RunConfig, options: Options) -> None:
        self.store, self.config, self.options = store, config, options
        self.inbox: queue.Queue[tuple[_Hand, dict[str, Any]]] = queue.Queue()
        self.tasks: collections.deque[_Task] = collections.deque()
        self.hands: list[_Hand] = []
        self.progress = Progress(0, 0, "none")
        self.made = self.failed = self._numbers = self._start_deaths = 0
        self._stop = False

    def run(self, generate: bool = True, metrics: tuple[str, ...] | None = None, rescore: bool = False) -> Outcome:
        """Do what is missing.

        Args:
            generate: false to score only what is there.
            metrics: names to score; the run's own by default.
            rescore: compute records again even where they exist.
        """
        wanted = list(self.config.metrics if metrics is None else metrics)
        jobs = self.config.jobs()
        records = self.store.records()
        disputed = self.store.disputed()
        found = 0
        for job in jobs:
            artefact = self.store.artefact(job)
            if artefact is None and (job.key in disputed or job.method.imported):
                continue  # nothing here may make it; its failure is recorded
            if artefact is None and generate and self.options.reuse and not self.config.repeats:
                artefact = self.store.adopt(job)
            found += artefact is not None
            if artefact is None and generate:
                self.tasks.append(_Task(job, "generate", wanted))
            elif artefact is not None:
                missing = self._missing(job, artefact, wanted, {} if rescore else records)
                if missing:
                    self.tasks.append(_Task(job, "score", missing))
        self.progress = Progress(len(jobs), found, self.options.style)
        for warning in self.store.warnings:
            self.progress.event("note", warning)
        self.store.event("started", jobs=len(jobs), found=found, workers=self.options.workers, time=time.time())
        interrupted = False
        try:
            self._loop()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            for hand in self.hands:
                self._cancel(hand, interrupted)
            self.progress.close()
        self.store.event("ended", made=self.made, failed=self.failed, interrupted=interrupted, time=time.time())
        return Outcome(self.made, found, self.failed, interrupted)

    def _missing(self, job: Job, artefact: Artefact, wanted: list[str], records: dict[str, MetricRecord]) -> list[str]:
        case = next(c for c in self.config.suite.cases if c.id == job.case_id)
        return [
            m.label for m in wanted_metrics(wanted, case, artefact)
            if (r := records.get(record_key(m, artefact, case, job))) is None or r.status == "failed"
        ]  # fmt: skip

    def _cancel(self, hand: _Hand, interrupted: bool) -> None:
        if hand.task and interrupted and hand.task.kind == "generate":
            self.store.event("cancelled", key=hand.task.job.key, stage=hand.stage)
        hand.kill()

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        for _ in range(min(max(1, self.options.workers), len(self.tasks))):
            self._hire()
        while self.hands:
            self._check_time()
            try:
                hand, report = self.inbox.get(timeout=0.2)
            except queue.Empty:
                continue
            if hand in self.hands:
                getattr(self, f"_on_{report['report']}", self._ignore)(hand, report)

    def _hire(self) -> None:
        self._numbers += 1
        self.hands.append(_Hand(self._numbers, self.store.root, self.config.threads, self.options.workers > 1, self.inbox))

    def _next(self, hand: _Hand) -> None:
        """The next task for a free worker, or its leave."""
        hand.task = None
        if self.tasks and not self._stop:
            task = self.tasks.popleft()
            if task.kind == "generate":
                self.store.event("generating", key=task.job.key, attempt=task.attempt)
                self.progress.event("started", f"{_name(task.job)}: started", job=_name(task.job))
            hand.give(task)
            return
        self.hands.remove(hand)
        hand.let_go()
        hand.process.wait()

    def _ignore(self, hand: _Hand, report: dict[str, Any]) -> None:
        pass

    def _on_ready(self, hand: _Hand, report: dict[str, Any]) -> None:
        self._start_deaths = 0
        self._next(hand)

    def _on_loading(self, hand: _Hand, report: dict[str, Any]) -> None:
        hand.loading, hand.stage = True, "load"

    def _on_loaded(self, hand: _Hand, report: dict[str, Any]) -> None:
        self.store.event("loaded", worker=hand.number, seconds=report["seconds"])
        hand.loading, hand.started = False, time.monotonic()  # the time limit is for the job, not for loading weights

    def _on_step(self, hand: _Hand, report: dict[str, Any]) -> None:
        if hand.task:
            hand.stage = "denoise"
            self.progress.step(hand.number, _name(hand.task.job), report["step"], report["steps"])

    def _on_made(self, hand: _Hand, report: dict[str, Any]) -> None:
        assert hand.task
        task, self.made = hand.task, self.made + 1
        self.store.event("made", key=task.job.key, digest=report["digest"], seconds=report["seconds"])
        self.progress.event(
            "made", f"{_name(task.job)}: made in {report['seconds']:.1f} s", job=_name(task.job), seconds=report["seconds"]
        )
        hand.give(_Task(task.job, "score", task.metrics))

    def _on_record(self, hand: _Hand, report: dict[str, Any]) -> None:
        self.store.add(MetricRecord.model_validate(report["record"]))

    def _on_scored(self, hand: _Hand, report: dict[str, Any]) -> None:
        self._next(hand)

    def _on_failed(self, hand: _Hand, report: dict[str, Any]) -> None:
        assert hand.task
        self._fail(hand.task, report["kind"], report["stage"], report["message"], report["traceback"])
        if report["kind"] == "out_of_memory":  # what it still holds may starve the next job
            self._replace(hand)
        else:
            self._next(hand)

    def _on_gone(self, hand: _Hand, report: dict[str, Any]) -> None:
        """The process ended by itself: a crash when it had a task."""
        code = hand.process.wait()
        task = hand.task
        if task is None:
            self._fail_start(hand, code)
            return
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if task.attempt < CRASH_ATTEMPTS:
            self.store.event("crashed", key=task.job.key, how=how, attempt=task.attempt)
            self.progress.event("note", f"{_name(task.job)}: its worker died ({how}); trying once more")
            self.tasks.appendleft(_Task(task.job, task.kind, task.metrics, task.attempt + 1))
        else:
            self._fail(task, "crash", hand.stage, f"the worker died ({how})", self._log_tail(hand))
        self._replace(hand)

    def _fail_start(self, hand: _Hand, code: int) -> None:
        """Killed while starting: another one. Ended by itself: the same would happen again, so say why."""
        self._start_deaths += 1
        if code < 0 and self._start_deaths < START_DEATHS:
            self._replace(hand)
            return
        tail = self._log_tail(hand)
        last = tail.strip().splitlines()[-1] if tail.strip() else "no output"
        raise StoreError(
            f"A worker process ended with code {code} before it could start: {last}. See {self.store.root}/workers."
        )

    def _replace(self, hand: _Hand) -> None:
        hand.task = None
        hand.kill()
        self.hands.remove(hand)
        if self.tasks and not self._stop:
            self._hire()

    def _fail(self, task: _Task, kind: str, stage: str, message: str, trace: str) -> None:
        self.failed += 1
        self.store.add(
            Failure(job_key=task.job.key, kind=kind, stage=stage, message=message, traceback=trace, attempt=task.attempt)
        )
        self.progress.event(
            "failed", f"{_name(task.job)}: FAILED in {stage}: {message}", job=_name(task.job), kind=kind, message=message
        )
        self._stop = self._stop or self.options.fail_fast

    def _check_time(self) -> None:
        for hand in list(self.hands):
            limit = LOAD_SECONDS if hand.loading else self.options.timeout
            if limit and hand.task and time.monotonic() - hand.started > limit:
                self._fail(hand.task, "timeout", hand.stage, f"took longer than {limit:g} s (--timeout)", "")
                self._replace(hand)

    def _log_tail(self, hand: _Hand) -> str:
        path = self.store.root / "workers" / f"worker-{hand.number}.log"
        return path.read_text(errors="replace")[-4000:]


def _name(job: Job) -> str:
    return f"{job.case_id} {job.method.label} s{job.seed}"

"""The runner: hands tasks to workers, turns whatever happens to them into records. No torch here.

It need not be alone: every job is claimed before it is done, and what other runners report is heeded (``neighbours``).
The one that holds the run folder's lock is the driver; the others joined with ``bench work``.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

from fastvmt.core.screen.status_line import doing
from fastvmt.errors import FULL, StoreError
from fastvmt.jobs.prepared_key import keys_for
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import Failure, Job, MetricRecord
from fastvmt.plugins.labels import refuse_other_version
from fastvmt.records.failures import cause_of
from fastvmt.records.missing import scan
from fastvmt.runner import code
from fastvmt.runner.at_work import ATTEMPTS, START_DEATHS
from fastvmt.runner.at_work import AtWork as _Worker
from fastvmt.runner.command import words
from fastvmt.runner.crew.neighbours import Neighbours
from fastvmt.runner.executors import Executor, Hand, Inbox, local
from fastvmt.runner.executors.choose import executor_for
from fastvmt.runner.progress import Progress
from fastvmt.runner.queue import Task, Tasks
from fastvmt.runner.settings import Options, Outcome
from fastvmt.store.folder import Store

LOOK_AGAIN = 1.0
"""Seconds between two looks at jobs that somebody else works on."""


class Runner:
    """One call of ``bench run``, ``resume`` or ``score`` on a locked store, or of ``bench work`` on one that it joined."""

    def __init__(self, store: Store, config: RunConfig, options: Options, executor: Executor | None = None) -> None:
        self.store, self.config, self.options = store, config, options
        self.inbox: Inbox = queue.Queue()
        self.share = Neighbours(store)
        self.executor = executor or executor_for(store, config, options)
        self.tasks: Tasks
        self.workers: dict[Hand, _Worker] = {}
        self.progress = Progress(0, 0, "none")
        self.made = self.failed = self.unscored = self._numbers = self._start_deaths = 0
        self._broken: dict[str, tuple[str, str, str, str]] = {}
        self._stop, self._looked = False, time.monotonic()

    def run(self, generate: bool = True, metrics: tuple[str, ...] | None = None, rescore: bool = False) -> Outcome:
        """Do what is missing.

        Args:
            generate: false to score only what is there.
            metrics: names to score; the run's own by default.
            rescore: compute records again even where they exist.
        """
        wanted = self.config.metrics if metrics is None else metrics
        found, interrupted, self._whole = 0, False, generate
        try:
            self.share.begin()
            adopt = generate and self.options.reuse and not self.config.repeats
            doing("looking for what is there already")
            codes = code.states(self.config) if generate and not self.store.writer else ()
            there = scan(self.store, self.config, wanted, again=rescore, verify=self.options.verify, adopt=adopt,
                         part=self.options.part, remake=generate, codes=codes, keep_old=self.options.keep_old)  # fmt: skip
            to_do, found = there.only(generate), there.found
            to_make = sum(metrics is None for _, metrics in to_do)
            refuse_other_version(str(self.store.root), (there.grid.parts(n)[2] for n, metrics in to_do if metrics is None))
            if to_make and self.options.executor == "local":
                local.require_device(self.config, self.store.root, f" with {to_make} videos to make")
            self.tasks = Tasks(there.jobs(to_do), len(to_do), tuple(wanted), keys_for(self.config), bool(self.config.repeats))
            self.progress = Progress(there.total, found, self.options.style)
            for sentence in (*self.store.warnings, *self.store.news, *code.said_of_stale(there, self.options.keep_old)):
                self.progress.event("note", sentence, text=sentence)
            how = {"how": words(self.options)} if generate else {}
            self.store.event("started", jobs=len(there.grid), found=found, workers=self.executor.slots, time=time.time(), **how)
            self._loop()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self._end(interrupted)
        self.store.event("ended", made=self.made, failed=self.failed, interrupted=interrupted, time=time.time())
        return Outcome(self.made, found, self.failed, interrupted, self.unscored)

    def _end(self, interrupted: bool) -> None:
        for worker in list(self.workers.values()):
            if worker.task and interrupted and worker.task.kind == "generate":
                self.store.event("cancelled", key=worker.task.job.key, stage=worker.stage)
            worker.hand.kill()
        self.executor.close()
        self.share.leases.close()
        self.progress.close()

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        for _ in range(min(max(1, self.executor.slots), len(self.tasks))):
            self._hire()
        while self.workers:
            self._check_time()
            try:
                hand, report = self.inbox.get(timeout=0.2)
            except queue.Empty:
                hand, report = None, {}
            if hand in self.workers:
                getattr(self, f"_on_{report['report']}", self._ignore)(self.workers[hand], report)
            if time.monotonic() - self._looked > LOOK_AGAIN:
                self._look_again()
            if (self._stop or not len(self.tasks)) and all(w.task is None for w in self.workers.values()):
                for hand in list(self.workers):  # nothing is left but workers that never became ready, in a full cluster say
                    del self.workers[hand]
                    hand.kill()

    def _hire(self) -> None:
        self._numbers += 1
        worker = _Worker(self._numbers)
        worker.hand = self.executor.start(self._numbers, self.inbox)
        self.workers[worker.hand] = worker
        self.progress.stage(worker.number, "starting workers")

    def _next(self, worker: _Worker, then: Callable[[], None] = lambda: None) -> None:
        """Give a free worker its next task. It waits where a task is left that nobody can do yet, and leaves where none is.

        Args:
            then: called once the worker's last task is given back.
        """
        self._free(worker)
        then()
        alone = not self.config.repeats or (
            not self._shared(worker) and self.share.leases.claim(worker.device)  # a timing wants its device for itself
        )
        task = self._take() if alone and not self._stop else None
        if task is not None:
            self._give(worker, task)
            return
        worker.idle = not self._stop and len(self.tasks) > 0
        self._leave_device(worker)
        if not worker.idle:
            del self.workers[worker.hand]
            worker.hand.let_go()

    def _give(self, worker: _Worker, task: Task) -> None:
        if task.kind != "score":
            self.store.event("preparing" if task.kind == "prepare" else "generating", key=task.job.key, attempt=task.attempt)
        if task.kind == "score":
            self.progress.stage(worker.number, f"scoring {task.job.name}, {len(self.tasks)} left")
        worker.give(task)  # right after the event: what Ctrl-C finds here is what the log says
        if task.kind != "score":
            what = "preparation started" if task.kind == "prepare" else "started"
            self.progress.event("started", f"{task.job.name}: {what}", job=task.job.name)

    def _look_again(self) -> None:
        """Whether somebody else's jobs are done or free, and something for those who wait."""
        self._looked = time.monotonic()
        self.share.sweep()
        if self.options.fail_fast and self.share.failing():
            self._stop = True
        self.tasks.look_again()
        for worker in [w for w in self.workers.values() if w.idle]:
            self._next(worker)

    def _free(self, worker: _Worker) -> None:
        """Give back what a worker had in work."""
        self.progress.stage(worker.number, "")
        if worker.task is not None:
            self.tasks.over(worker.task)
            self.share.leases.release(worker.task.lease)
            worker.task = None
        self._leave_device(worker)

    def _leave_device(self, worker: _Worker) -> None:
        if self.config.repeats and not self._shared(worker):
            self.share.leases.release(worker.device)

    def _shared(self, worker: _Worker) -> bool:
        return any(w is not worker and w.task and w.place == worker.place for w in self.workers.values())

    def _take(self) -> Task | None:
        """The next task that is ours to do; what others did meanwhile is counted."""
        while (task := self.tasks.take()) is not None:
            if task.prepared in self._broken and task.kind == "prepare":
                self._fail(task, *self._broken[task.prepared])
                self.tasks.over(task)
                continue
            found, left = self.share.claim(task)
            if left is None or left.kind != task.kind:
                self.tasks.over(task)
            if found == "made":
                self._made(task.job, f"{task.job.name}: made by another runner")
            elif found == "failed":
                self._failed_elsewhere(task)
            elif found == "prepared":
                self.tasks.is_prepared(task.prepared)
            elif found == "busy":
                self.tasks.put_off(task)
            if left is not None and left.kind == "score" != task.kind and self.config.repeats:
                self.share.leases.release(task.lease)
                self.tasks.score_later(left)
            elif left is not None:
                return left
        return None

    def _failed_elsewhere(self, task: Task) -> None:
        if task.kind == "prepare":
            self._broken[task.prepared] = self.share.why(task.prepared)
            self._fail(task, *self._broken[task.prepared])
            return
        self.failed += 1
        self.progress.event("failed", f"{task.job.name}: FAILED at another runner", job=task.job.name)

    # --- reports -----------------------------------------------------------------------------------------------------

    def _ignore(self, worker: _Worker, report: dict[str, Any]) -> None:
        pass

    def _on_note(self, worker: _Worker, report: dict[str, Any]) -> None:
        self.progress.event("note", report["text"])

    def _on_ready(self, worker: _Worker, report: dict[str, Any]) -> None:
        self._start_deaths, worker.place = 0, report.get("place", "")
        self.progress.stage(worker.number, "")
        self._next(worker)

    def _on_loading(self, worker: _Worker, report: dict[str, Any]) -> None:
        worker.loading, worker.stage = True, "load"
        self.progress.stage(worker.number, f"loading {self.config.setting.backbone}")

    def _on_loaded(self, worker: _Worker, report: dict[str, Any]) -> None:
        self.store.event("loaded", worker=worker.number, seconds=report["seconds"])
        worker.loading, worker.started = False, time.monotonic()  # the time limit is for the job, not for loading weights

    def _on_step(self, worker: _Worker, report: dict[str, Any]) -> None:
        if worker.task:
            worker.stage = "denoise"
            self.progress.step(worker.number, worker.task.job.name, report["step"], report["steps"])

    def _on_prepared(self, worker: _Worker, report: dict[str, Any]) -> None:
        assert worker.task
        key = worker.task.prepared
        self.store.event("prepared", key=key, seconds=report["seconds"])
        self._next(worker, lambda: self.tasks.is_prepared(key))
        self._look_again()

    def _on_made(self, worker: _Worker, report: dict[str, Any]) -> None:
        assert worker.task
        task = worker.task
        self.store.event("made", key=task.job.key, digest=report["digest"], seconds=report["seconds"])
        self.progress.stage(worker.number, f"scoring {task.job.name}")
        text = f"{task.job.name}: made in {report['seconds']:.1f} s"
        if not self.config.repeats:
            worker.give(Task(task.job, "score", task.metrics))
            self.tasks.over(task)
        self._made(task.job, text, seconds=report["seconds"])
        if self.config.repeats:
            self._next(worker, lambda: self.tasks.score_later(task))

    def _made(self, job: Job, text: str, **facts: Any) -> None:
        self.made += 1
        self.progress.event("made", text, job=job.name, **facts)

    def _on_scoring(self, worker: _Worker, report: dict[str, Any]) -> None:
        worker.begin(report["metric"])

    def _on_record(self, worker: _Worker, report: dict[str, Any]) -> None:
        record = MetricRecord.model_validate(report["record"])
        self.store.add(record)
        worker.without((record.metric,))
        if record.status == "failed":
            self.unscored += 1
            self._stop = self._stop or self.options.fail_fast
            name = worker.task.job.name if worker.task else record.job_key
            text = f"{name}: FAILED in {record.metric}: {cause_of(record)}"
            self.progress.event("unscored", text, job=name, metric=record.metric, message=cause_of(record))

    def _on_scored(self, worker: _Worker, report: dict[str, Any]) -> None:
        assert worker.task
        self.store.event("done", key=worker.task.job.key, metrics=list(worker.task.metrics))
        if self._whole:
            self.store.unmark(worker.task.job.key)
        self._next(worker)

    def _on_failed(self, worker: _Worker, report: dict[str, Any]) -> None:
        assert worker.task
        if report["kind"] == "disk_full":  # every job after this one would fail for it too
            raise StoreError(FULL)
        if not self._fail_scores(worker, worker.left, report["message"], report["traceback"]):
            self._fail(worker.task, report["kind"], report["stage"], report["message"], report["traceback"])
        if report["kind"] == "out_of_memory":  # what it still holds may starve the next job
            self._replace(worker)
        else:
            self._next(worker)

    def _on_gone(self, worker: _Worker, report: dict[str, Any]) -> None:
        """The process ended by itself: a crash when it had a task."""
        task, how = worker.task, report["how"]
        if task is None and not worker.idle:
            self._fail_start(worker, report)
            return
        if task is not None and task.kind == "score":
            self._go_on_scoring(worker, "crash", f"the worker died ({how})", report["log"])
            return
        if task is not None and task.attempt < ATTEMPTS:
            self.store.event("crashed", key=task.job.key, how=how, attempt=task.attempt)
            self.progress.event("note", f"{task.job.name}: its worker died ({how}); trying once more")
            self._replace(worker, again=task)
            return
        if task is not None:
            self._fail(task, "crash", worker.stage, f"the worker died ({how})", report["log"])
        self._replace(worker)

    def _fail_start(self, worker: _Worker, report: dict[str, Any]) -> None:
        """Killed while starting: another one. Ended by itself: the same would happen again, so say why."""
        self._start_deaths += 1
        if not report["clean"] and self._start_deaths < START_DEATHS:
            self._replace(worker)
            return
        last = (report["log"].strip() or "no output").splitlines()[-1]
        raise StoreError(
            f"A worker process ended ({report['how']}) before it could start: {last}. See {self.store.root}/workers."
        )

    def _go_on_scoring(self, worker: _Worker, kind: str, message: str, log: str = "") -> None:
        """The metric that was running failed, at the second try where it was a crash; the others get another worker."""
        task, tries = worker.task, worker.tries
        assert task
        if kind == "crash" and tries < ATTEMPTS:
            self.store.event("crashed", key=task.job.key, how=message, attempt=tries)
            self.progress.event("note", f"{task.job.name}: {message} while scoring {worker.metric}; trying once more")
        else:
            tries = 0
            if not self._fail_scores(worker, worker.running, message, log):
                self._fail(task, kind, worker.stage, message, log)
                worker.left = ()
        self._replace(worker, worker.rest(tries))

    def _fail_scores(self, worker: _Worker, labels: tuple[str, ...], message: str, trace: str) -> bool:
        """Failed records of these metrics; false for another task, or where the video is gone: the job itself failed."""
        task = worker.task
        if task is None or task.kind != "score":
            return False
        from fastvmt.runner.scoring.unscored import not_scored

        records = not_scored(self.store, self.config, task.job, labels, message, trace)
        if records is None:
            return False
        for record in records:
            self._on_record(worker, {"record": record.model_dump(mode="json")})
        worker.without(labels)
        done = [m for m in task.metrics if m not in worker.left]
        self.store.event("done", key=task.job.key, metrics=done)  # else a neighbour would try them as well
        return True

    def _replace(self, worker: _Worker, again: Task | None = None) -> None:
        worker.hand.kill()  # first: nobody may begin on its device or job while it may still be at work
        self._free(worker)
        if again is not None:
            self.tasks.again(again)
        del self.workers[worker.hand]
        if len(self.tasks) and not self._stop:
            self._hire()

    def _fail(self, task: Task, kind: str, stage: str, message: str, trace: str) -> None:
        """A record for the job; for every job that waited when it was their preparation."""
        jobs = [task.job]
        if task.kind == "prepare":
            if task.prepared not in self._broken:
                self._broken[task.prepared] = (kind, stage, message, trace)
                self.store.event("unprepared", key=task.prepared, kind=kind, stage=stage, message=message)
                self.share.leases.mark_failed(task.lease)
            jobs, message = [t.job for t in self.tasks.not_prepared(task.prepared)], f"its preparation failed: {message}"
        for job in jobs:
            self.failed += 1
            if task.kind == "prepare" and self.share.has_failed(job.key):  # recorded, and better than we could
                self.progress.event("failed", f"{job.name}: FAILED at another runner", job=job.name)
                continue
            why = {"kind": kind, "stage": stage, "message": message, "traceback": trace}
            self.store.add(Failure(job_key=job.key, attempt=task.attempt, **why))
            self.share.leases.mark_failed(job.key)
            text = f"{job.name}: FAILED in {stage}: {message}"
            self.progress.event("failed", text, job=job.name, kind=kind, message=message)
        self._stop = self._stop or self.options.fail_fast

    def _check_time(self) -> None:
        for worker in list(self.workers.values()):
            if not (worker.task and (limit := worker.overdue(self.options.timeout))):
                continue
            said = f"took longer than {limit:g} s (--timeout)"
            if worker.task.kind == "score":
                self._go_on_scoring(worker, "timeout", said)
            else:
                self._fail(worker.task, "timeout", worker.stage, said, "")
                self._replace(worker)

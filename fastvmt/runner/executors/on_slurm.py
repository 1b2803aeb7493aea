"""Runners that SLURM starts, through submitit: an array of tasks, each of which joins the run folder and pulls work by leases.

The driver only waits. What a task does is in the run folder alone; from submitit comes nothing but whether it is over. A task
that is preempted gives back what it had in work, and is put into the queue again with the same few words: which folder to join.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from fastvmt.core.children import python_environment
from fastvmt.core.choices import one_of
from fastvmt.core.disk.atomic import write_atomic
from fastvmt.errors import SpecError, StoreError
from fastvmt.jobs.part import Part
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import Job
from fastvmt.records.missing import scan
from fastvmt.runner.code import handed, load_handed, said_of_stale, states
from fastvmt.runner.command import go_on, words
from fastvmt.runner.crew.leases import Leases
from fastvmt.runner.crew.neighbours import Neighbours
from fastvmt.runner.executors.local import tail
from fastvmt.runner.progress import Progress
from fastvmt.runner.settings import Options, Outcome
from fastvmt.store.folder import Store

MINUTES = 240
"""Wall time of a task unless ``--slurm time=`` says otherwise."""
TIMEOUTS = 100
"""So often a task may come back after its wall time."""
POLL = 1.0
GENERAL = ("mem_gb", "name", "cpus_per_task", "gpus_per_node")
"""Keys that mean the same to every submitit executor."""
GPUS = ("gres", "gpus_per_node", "gpus_per_task", "num_gpus")
"""Keys that ask for GPUs."""


_TASKS = TypeAdapter(list[Annotated[str, Field(pattern=r"^tasks-[0-9a-f]{16}/[0-9]+(_[0-9]+)?$")]])
"""Tasks that were submitted, by their places; what a task unpickles lies there."""


@dataclass(frozen=True)
class Join:
    """What a task does; all that submitit carries to it: a folder, by name the function that helps with it, and whose code it
    may load: plug-in files with their digests."""

    work: Callable[[Path, Options], Outcome]
    root: str
    timeout: float
    fail_fast: bool = False
    part: Part | None = None
    plugins: tuple[tuple[str, str], ...] = ()
    workers: int = 0

    def __call__(self, number: int) -> dict[str, Any]:
        load_handed(self.plugins)
        if self.fail_fast and Leases(Path(self.root)).failed():  # while it was queued
            return {}
        options = Options(workers=self.workers, timeout=self.timeout, fail_fast=self.fail_fast, part=self.part)
        return vars(self.work(Path(self.root), options))

    def checkpoint(self, number: int) -> Any:
        """Asked by submitit when the task is preempted: the same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, number)


class Crew:
    """The driver of a run whose runners are SLURM tasks; each of them calls ``work``."""

    def __init__(self, store: Store, config: RunConfig, options: Options, work: Callable[[Path, Options], Outcome]) -> None:
        self.store, self.config, self.options = store, config, options
        alone = 0 if config.device.startswith("cuda") else 1  # a task has the cores of one worker, whatever it sees
        more = options.part, tuple(handed(config.plugins)), alone
        self._join = Join(work, str(store.root.resolve()), options.timeout, options.fail_fast, *more)
        self._list = store.root / "slurm" / "submitted.json"
        # A folder of a name that nobody can know: tasks unpickle what lies there under their number, and would take what came
        # with the run folder for it.
        self._place = store.root.resolve() / "slurm" / f"tasks-{secrets.token_hex(8)}"
        given = dict(options.slurm)
        self.cluster = given.pop("cluster", "slurm")
        self.size = options.workers or 1
        self.executor = self._executor(given)
        self.share = Neighbours(store)
        self.left: dict[str, Job] = {}
        self.made = self.failed = 0
        self._told: set[str] = set()

    def _executor(self, given: dict[str, str]) -> Any:
        import submitit

        one_of("--slurm", f"cluster={self.cluster}", ("cluster=slurm", "cluster=local", "cluster=debug"))
        parameters = self._parameters(given)
        try:
            executor = submitit.AutoExecutor(self._place, cluster=self.cluster, slurm_max_num_timeout=TIMEOUTS)
            executor.update_parameters(**parameters)
        except (RuntimeError, ValueError, TypeError, NameError) as error:
            why = str(error).splitlines()[0]
            raise SpecError(f"--executor slurm: {why} Try `--slurm cluster=local` on a machine without SLURM.") from None
        return executor

    def _parameters(self, given: dict[str, str]) -> dict[str, Any]:
        """submitit's names for what was given; what it does not know goes to sbatch as it is."""
        from submitit.slurm.slurm import SlurmExecutor

        known = SlurmExecutor._valid_parameters()
        found: dict[str, Any] = {
            "timeout_min": minutes(given.pop("time", str(MINUTES))), "name": "bench", "cpus_per_task": self.config.threads,
            "slurm_array_parallelism": self.size, "slurm_signal_delay_s": 90,
        }  # fmt: skip
        if self.config.device.startswith("cuda"):
            if not set(GPUS) & set(given):
                found["gpus_per_node"] = 1
            found["cpus_per_task"] *= gpus_of(given)  # a worker for each of them
        found["slurm_setup"] = ["export PYTHONSAFEPATH=1"]  # also where --slurm export=NONE passes none of our environment on
        other = {}
        for key, text in given.items():
            value: Any = int(text) if text.isdecimal() else text
            if key in GENERAL:
                found[key] = value
            elif key in known:
                several = key in ("setup", "teardown", "srun_args")
                found[f"slurm_{key}"] = [*found.get(f"slurm_{key}", []), text] if several else value
            else:
                other[key.replace("_", "-")] = value
        return found | ({"slurm_additional_parameters": other} if other else {})

    def run(self) -> Outcome:
        """Submit, wait, and say what came of it."""
        found, interrupted = 0, False
        self.share.begin()
        self.progress = Progress(0, 0, "none")
        try:
            wanted = list(self.config.metrics)
            adopt = self.options.reuse and not self.config.repeats
            there = scan(self.store, self.config, wanted, verify=self.options.verify, adopt=adopt, part=self.options.part,
                         codes=states(self.config), keep_old=self.options.keep_old)  # fmt: skip
            self.left = {job.key: job for job, _ in there.jobs(there.to_do)}
            found = there.found
            self.progress = Progress(there.total, found, self.options.style)
            for sentence in (*self.store.warnings, *self.store.news, *said_of_stale(there, self.options.keep_old)):
                self.progress.event("note", sentence, text=sentence)
            self.store.event("started", jobs=len(there.grid), found=found, workers=self.size,
                             how=words(self.options), time=time.time())  # fmt: skip
            while self.left and self._round():
                pass
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self.share.leases.close()
            self.progress.close()
        self.store.event("ended", made=self.made, failed=self.failed, interrupted=interrupted, time=time.time())
        return Outcome(self.made, found, self.failed, interrupted)

    # --- tasks -------------------------------------------------------------------------------------------------------

    def _round(self) -> bool:
        """One array of tasks, to its end. Whether another one is needed: work is left, and this one did some."""
        if self.cluster == "debug":
            return self._do_here()
        before = len(self.left)
        earlier = self._submitted()  # of another command perhaps, which named other videos
        tasks = earlier or self._submit()
        names = sorted({t.job_id.partition("_")[0] for t in tasks})
        where = f"{len(tasks)} tasks are with {self.cluster} ({', '.join(names)}); their logs: {self.store.root}/slurm"
        self.progress.event("note", where, text=where)
        if not self.options.wait:
            back = f"Come back with: {go_on(self.store.root, self.options)}"
            self.progress.event("note", back, text=back)
            return False
        self._wait(tasks)
        if self._stopped:
            return False
        if self.left and len(self.left) == before and not earlier:
            last = self._last_words(tasks)
            raise StoreError(f"All tasks ended with {before} jobs left and none done: {last}. See {self.store.root}/slurm.")
        return bool(self.left)

    def _do_here(self) -> bool:
        """What a task would do, in this process. Not by submitit: its debug executor starts a debugger at an error."""
        before = len(self.left)
        done = self._join(0)
        self._look()
        if done.get("interrupted"):
            raise KeyboardInterrupt
        if len(self.left) == before:
            raise StoreError(f"The task ended with {before} jobs left and none done. See {self.store.root}/workers.")
        return bool(self.left) and not self._stopped

    @property
    def _stopped(self) -> bool:
        """Tasks end by themselves after the job they have in work; those that are queued, as soon as they begin."""
        return self.options.fail_fast and self.failed > 0

    def _submit(self) -> list[Any]:
        ours = dict(os.environ)
        safe = {k: v for k, v in python_environment().items() if not k.startswith("SLURM_")}  # we may be in a task ourselves
        try:
            os.environ.clear()
            os.environ.update(safe)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tasks: list[Any] = list(self.executor.map_array(self._join, range(min(self.size, len(self.left)))))
        finally:
            os.environ.clear()
            os.environ.update(ours)
        if self.cluster == "slurm":
            write_atomic(self._list, json.dumps([f"{self._place.name}/{t.job_id}" for t in tasks]))
        return tasks

    def _submitted(self) -> list[Any]:
        """Tasks of an earlier driver that are still queued or at work."""
        if self.cluster != "slurm" or not self._list.exists():
            return []
        import submitit

        try:
            names = _TASKS.validate_json(self._list.read_bytes())
        except ValueError:
            raise StoreError(f"{self._list} is damaged; remove it, and cancel what SLURM still has of this run.") from None
        places = [self._list.parent / name for name in names]
        tasks: list[Any] = [submitit.SlurmJob(place.parent, place.name) for place in places]
        # asks sacct, which may take long, or be stopped with Ctrl-C
        alive = {name: t for name, t in zip(names, tasks, strict=True) if not t.done(force_check=True)}
        write_atomic(self._list, json.dumps([*alive]))
        return [*alive.values()]

    def _wait(self, tasks: list[Any]) -> None:
        while self.left and not self._stopped:
            over = all(t.done() for t in tasks)
            self._look()
            self.share.sweep()
            if over:
                return
            time.sleep(POLL)

    def _look(self) -> None:
        """Count what the tasks report."""
        follow = self.share.follow
        follow.poll()
        for key in (self.left.keys() & follow.made.keys()) - self._told:
            self._told.add(key)
            self.made += 1
            name, seconds = self.left[key].name, follow.made[key]
            self.progress.event("made", f"{name}: made in {seconds:.1f} s", job=name, seconds=seconds)
        for key in self.left.keys() & follow.failed.keys():
            self.failed += 1
            name = self.left.pop(key).name
            self.progress.event("failed", f"{name}: FAILED ({follow.failed[key]})", job=name, kind=follow.failed[key])
        for key in self.left.keys() & follow.scored.keys():
            del self.left[key]

    def _last_words(self, tasks: list[Any]) -> str:
        words = [tail(Path(t.paths.stderr)).strip() or tail(Path(t.paths.stdout)).strip() for t in tasks]
        return next((w.splitlines()[-1] for w in words if w), "no output")


def gpus_of(given: dict[str, str]) -> int:
    """GPUs that a task gets by what is asked for; 1 where nothing is.

    >>> gpus_of({"gres": "gpu:a100:8"}), gpus_of({"gres": "tmp:9,gpu:2"}), gpus_of({"gpus_per_node": "4"}), gpus_of({})
    (8, 2, 4, 1)
    """
    wanted = [part for key in GPUS for part in given.get(key, "").split(",") if key != "gres" or part.startswith("gpu")]
    counts = [re.search(r"(?:^|:)(\d+)(?:\(|$)", part) for part in wanted]
    return max((int(found[1]) for found in counts if found), default=1) or 1


def minutes(text: str) -> int:
    """Minutes of a time as sbatch takes it: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S; rounded up.

    Raises:
        SpecError: for anything else.

    >>> minutes("90"), minutes("0:30"), minutes("1:30:00"), minutes("2-12")
    (90, 1, 90, 3600)
    """
    days, dash, rest = text.rpartition("-")
    try:
        parts = [int(p) for p in rest.split(":")]
        if len(parts) > 3 or min(parts) < 0:
            raise ValueError
        h, m, s = (*parts, 0, 0)[:3] if dash or len(parts) == 3 else (0, *parts, 0)[:3]
        d = int(days) if dash else 0
    except ValueError:
        raise SpecError(f"--slurm time={text}: minutes, H:M:S or D-H:M:S are needed.") from None
    return max(1, -(-(((d * 24 + h) * 60 + m) * 60 + s) // 60))

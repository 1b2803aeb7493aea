"""The other runners of a run folder: which task is whose, and what of it the others have done already."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

from fastvmt.runner.crew.leases import BEAT, Leases
from fastvmt.runner.queue import Task
from fastvmt.store.events import Event, events_in
from fastvmt.store.folder import TO_MAKE, Store
from fastvmt.store.layout import EVENTS

Claimed = Literal["ours", "busy", "made", "prepared", "scored", "failed"]


class Follow:
    """Reads on in the event logs of all other writers, from the moment it is made.

    Attributes:
        scored: metric labels by key of the jobs that another runner finished.
        made: seconds by key of the jobs whose video another runner made.
        failed: kind of failure by key of the jobs that failed there.
        prepared: keys of preparations.
        unprepared: class, stage and message of the failure by key of the preparations that failed there.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.scored: dict[str, set[str]] = {}
        self.made: dict[str, float] = {}
        self.failed: dict[str, str] = {}
        self.prepared: set[str] = set()
        self.unprepared: dict[str, tuple[str, str, str]] = {}
        self._at = {path: path.stat().st_size for path in self._files() if path.exists()}

    def _files(self) -> list[Path]:
        own = self.store.log(EVENTS)
        return [path for path in self.store.logs(EVENTS) if path != own]

    def poll(self) -> None:
        """Take in what was written since the last call."""
        for path in self._files():
            for event in events_in(self._new_lines(path)):
                self._take(event)

    def _new_lines(self, path: Path) -> list[bytes]:
        """Whole lines only. The file is opened even when nothing is new: a network file system looks for news then."""
        try:
            with open(path, "rb") as file:
                file.seek(self._at.get(path, 0))
                new = file.read()
        except OSError:
            return []
        whole = new.rfind(b"\n") + 1
        self._at[path] = self._at.get(path, 0) + whole
        return new[:whole].splitlines()

    def _take(self, event: Event) -> None:
        kind, key = event.event, event.key
        if kind == "made":
            self.made[key] = event.seconds
        elif kind == "done":
            self.scored.setdefault(key, set()).update(event.metrics)
            self.failed.pop(key, None)
        elif kind == "failed":
            self.failed[key] = event.kind
        elif kind == "prepared":
            self.prepared.add(key)
        elif kind == "unprepared":
            self.unprepared[key] = (event.kind, event.stage, event.message)


class Neighbours:
    """What one runner knows of the others, and its claims among theirs."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.leases = Leases(store.root)
        self._swept = time.monotonic()
        store.holder = self.leases.token

    def begin(self) -> None:
        """Say that we are here; as the driver, clear away what the dead left, and try again what failed."""
        self.leases.start()
        if not self.store.writer:
            self.leases.sweep()
            self.leases.forget_failures()
            self.store.clear_unfinished(self.leases.lives)
        self.follow = Follow(self.store)
        self._failed_before = self.leases.failed()

    def sweep(self) -> None:
        """Now and then: clear away the cards and claims of runners that we have seen silent for long enough."""
        if time.monotonic() - self._swept > min(BEAT, self.leases.silence / 4):
            self._swept = time.monotonic()
            if self.leases.sweep_cards():
                self.leases.sweep()

    def claim(self, task: Task) -> tuple[Claimed, Task | None]:
        """Whether a task is ours to do.

        Returns:
            What was found, and what is left for us to do under the claim; None: the claim is given back.
        """
        if not self.leases.claim(task.lease):
            return "busy", None
        found, left = self._left(task)
        if left is None:
            self.leases.release(task.lease)
        return found, left

    def has_failed(self, key: str) -> bool:
        """Whether a job failed at another runner since the run was last started."""
        return key in self.follow.failed or key in self._failed_before

    def failing(self) -> bool:
        """Whether another runner has had a failure since this one joined."""
        self.follow.poll()
        return bool(self.follow.failed)

    def why(self, prepared: str) -> tuple[str, str, str, str]:
        """Class, stage, message and trace of a preparation that failed at another runner."""
        before = ("error", "train", "at another runner, before this one joined")
        return *self.follow.unprepared.get(prepared, before), ""

    def _left(self, task: Task) -> tuple[Claimed, Task | None]:
        self.follow.poll()
        key = task.job.key
        if task.kind == "prepare":
            if task.prepared in self.follow.prepared:
                return "prepared", None
            failed = task.prepared in self.follow.unprepared or task.lease in self._failed_before
            return ("failed", None) if failed else ("ours", task)
        if self.has_failed(key):
            return "failed", None
        found: Claimed = "ours"
        if task.kind == "generate":
            if self.store.artefact(task.job) is None or self.store.left_to_do(key) == TO_MAKE:
                return "ours", task
            found, task = "made", replace(task, kind="score", attempt=1)
        there = self.follow.scored.get(key, set())
        left = tuple(m for m in task.metrics if m not in there)
        if left:
            return found, replace(task, metrics=left)
        return ("made" if found == "made" else "scored"), None

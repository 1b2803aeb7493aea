"""What a runner has to do, in order: preparations before the jobs that need them, other jobs meanwhile."""

from __future__ import annotations

import collections
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from fastvmt.model import Job


@dataclass(frozen=True)
class Task:
    """One thing a worker does without a break. ``kind``: prepare, generate (then score), or score."""

    job: Job
    kind: str
    metrics: tuple[str, ...] = ()
    attempt: int = 1
    prepared: str = ""
    """Key of the preparation that the job needs, or that this task makes."""

    @property
    def lease(self) -> str:
        """Name of the claim under which it is done."""
        return f"prepare-{self.prepared}" if self.kind == "prepare" else self.job.key

    def line(self) -> bytes:
        """As a worker reads it."""
        facts = {"task": self.kind, "job": self.job.model_dump(mode="json"), "metrics": list(self.metrics)}
        return (json.dumps(facts) + "\n").encode()


@dataclass
class Tasks:
    """A queue that a runner takes from until ``left`` is 0.

    Attributes:
        to_do: jobs with the metrics to score; None: the video itself is missing. Read when it is needed.
        count: how many those are.
        wanted: metrics of a video that is to be made.
        needs: the key of the preparation that a job needs, or None.
        timing: nothing is scored before every video is made.
    """

    to_do: Iterable[tuple[Job, tuple[str, ...] | None]]
    count: int
    wanted: tuple[str, ...]
    needs: Callable[[Job], str | None] = lambda job: None
    timing: bool = False
    _again: collections.deque[Task] = field(default_factory=collections.deque)
    _later: collections.deque[Task] = field(default_factory=collections.deque)
    _elsewhere: list[Task] = field(default_factory=list)
    _waiting: dict[str, list[Task]] = field(default_factory=dict)
    _ready: set[str] = field(default_factory=set)
    _making: int = 0

    def __post_init__(self) -> None:
        self._rest = iter(self.to_do)

    def __len__(self) -> int:
        parked = sum(len(tasks) for tasks in self._waiting.values())
        return self.count + len(self._again) + len(self._later) + len(self._elsewhere) + parked

    def take(self) -> Task | None:
        """The next task that can be done now; None when there is none, or none yet."""
        while (task := self._first()) is not None:
            if task.kind == "generate" and (key := task.prepared) and key not in self._ready:
                known = key in self._waiting
                self._waiting.setdefault(key, []).append(task)
                if known:
                    continue
                task = Task(task.job, "prepare", prepared=key)
            if task.kind == "score" and self.timing:
                self._later.append(task)
                continue
            self._making += task.kind != "score"
            return task
        if self._later and not self._making and not self._elsewhere and not self._waiting:
            return self._later.popleft()
        return None

    def _first(self) -> Task | None:
        if self._again:
            return self._again.popleft()
        for job, metrics in self._rest:
            self.count -= 1
            if metrics is not None:
                return Task(job, "score", metrics)
            return Task(job, "generate", self.wanted, prepared=self.needs(job) or "")
        self.count = 0
        return None

    def over(self, task: Task) -> None:
        """A task that was taken is no more in work, whatever came of it."""
        self._making -= task.kind != "score"

    def again(self, task: Task) -> None:
        """Try a task whose worker died once more, before all others."""
        self._again.appendleft(replace(task, attempt=task.attempt + 1))

    def put_off(self, task: Task) -> None:
        """Somebody else works on it, for all we know; ``look_again`` puts it back."""
        self._elsewhere.append(task)

    def look_again(self) -> None:
        self._again.extend(self._elsewhere)
        self._elsewhere.clear()

    def score_later(self, task: Task) -> None:
        """The video is made; its scores can wait."""
        self._later.append(Task(task.job, "score", task.metrics))

    def is_prepared(self, key: str) -> None:
        """Let the jobs go that waited for a preparation."""
        self._ready.add(key)
        self._again.extend(self._waiting.pop(key, ()))

    def not_prepared(self, key: str) -> list[Task]:
        """The jobs that waited for a preparation that failed; they are no more in the queue."""
        return self._waiting.pop(key, [])

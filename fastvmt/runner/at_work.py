"""A worker as the runner sees it: its task, how far it is, and what becomes of a scoring that it did not end."""

from __future__ import annotations

import time
from dataclasses import replace

from fastvmt.core.content_address import digest
from fastvmt.runner.executors import Hand
from fastvmt.runner.queue import Task

LOAD_SECONDS = 1800.0
"""Loading weights may take this long, whatever a job may take."""
START_DEATHS = 20
"""So many workers in a row may be killed before they are ready; then something kills them on purpose."""
ATTEMPTS = 2
"""A job, or a metric, whose worker died is tried once more; then it is a failure."""


class AtWork:
    """One worker with what it is doing.

    Attributes:
        metric: what is scored now; left: what of the task has no record yet.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.hand: Hand
        self.task: Task | None = None
        self.started, self.stage, self.place = 0.0, "start", ""
        self.metric, self.left = "", tuple[str, ...]()
        self.loading = self.idle = False

    def give(self, task: Task) -> None:
        self.task, self.started, self.stage, self.idle = task, time.monotonic(), "start", False
        self.metric, self.left = "", task.metrics
        self.hand.give(task.line())

    @property
    def device(self) -> str:
        """Name of the claim on where it is, for timings."""
        return f"device-{digest(self.place)[:16]}"

    def overdue(self, limit: float) -> float:
        """The seconds that it has had and used up; 0 while there are some left, or no limit."""
        limit = LOAD_SECONDS if self.loading else limit
        return limit if limit and time.monotonic() - self.started > limit else 0.0

    def begin(self, metric: str) -> None:
        """The time limit is for each metric, so that none answers for another."""
        self.stage, self.metric, self.started = "score", metric, time.monotonic()

    def without(self, labels: tuple[str, ...]) -> None:
        """These have their records."""
        self.left = tuple(m for m in self.left if m not in labels)

    @property
    def running(self) -> tuple[str, ...]:
        """What a death or a halt is to be laid to: the metric that was running; all that are left before the first began."""
        return (self.metric,) if self.metric in self.left else self.left

    @property
    def tries(self) -> int:
        """How often the scoring broke off at this place; a number that came meanwhile is another place."""
        return self.task.attempt if self.task and self.left == self.task.metrics else 1

    def rest(self, attempt: int) -> Task | None:
        """The task of whoever goes on, with the number of tries behind it; None where nothing is left."""
        return replace(self.task, metrics=self.left, attempt=attempt) if self.task and self.left else None

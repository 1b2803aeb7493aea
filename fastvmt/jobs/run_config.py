"""Everything a run needs to be done again: what ``config.json`` of a run folder holds."""

from __future__ import annotations

from typing import Any

from fastvmt.jobs.numbering import JobGrid
from fastvmt.model import Frozen, Job, MethodSpec, Setting, Suite

RUN_FORMAT = 1


class RunConfig(Frozen):
    """Everything a run needs to be done again."""

    format: int = RUN_FORMAT
    suite: Suite
    setting: Setting
    methods: tuple[MethodSpec, ...]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    plugins: tuple[str, ...] = ()
    device: str = "cpu"
    threads: int = 1
    offload: bool = False
    repeats: int = 0
    """Timed repeats of every job (protocol timing); 0 for one video and no warm-up."""
    ablates_presets: bool = False
    """Several presets of one method are wanted side by side (``bench ablate``); else they must not share a table."""
    notes: tuple[str, ...] = ()
    """Under every table of the run."""
    asked: dict[str, Any] = {}
    """How the last `bench run` of it opened suite and noise grid, by fields of its request, for a report to print; ``cases``
    where it is not the whole suite. Empty in runs older than this field."""
    merged: tuple[str, ...] = ()
    """Names of the runs that ``bench merge`` made this one of."""

    def grid(self) -> JobGrid:
        """All jobs, made one by one when they are needed."""
        return JobGrid(self.methods, self.suite.cases, self.seeds, self.setting)

    def jobs(self) -> list[Job]:
        """All jobs: cases outermost, so that the first rows of a table are complete early."""
        return list(self.grid())

"""Everything a run needs to be done again: what ``config.json`` of a run folder holds."""

from __future__ import annotations

from typing import Literal

from fastvmt.jobs.numbering import JobGrid
from fastvmt.model import Frozen, Job, MethodSpec, Setting, Suite

RUN_FORMAT = 1


class Asked(Frozen):
    """How suite and noise grid were asked for, as fields of ``runner.settings.Request``, for a report to print."""

    suite: str
    root: str | None = None
    prompts: str | None = None
    prompt: str | None = None
    stride: int = 1
    short_clips: str | None = None
    fit: str = "crop"
    allow_truncated: bool = False
    allow_upscale: bool = False
    shift: float | None = None
    strength: float = 1.0
    some: bool = False
    """The run's cases are not all of the suite."""
    command: Literal["run", "ablate"] = "run"
    words: tuple[str, ...] = ()
    """Behind ``ablate``: its method and factors."""


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
    asked: Asked | None = None
    """How the last `bench run` of it was typed, as far as nothing else here says it; None in runs older than this field."""
    merged: tuple[str, ...] = ()
    """Names of the runs that ``bench merge`` made this one of."""

    def grid(self) -> JobGrid:
        """All jobs, made one by one when they are needed."""
        return JobGrid(self.methods, self.suite.cases, self.seeds, self.setting)

    def jobs(self) -> list[Job]:
        """All jobs: cases outermost, so that the first rows of a table are complete early."""
        return list(self.grid())

"""Everything a run needs to be done again: what ``config.json`` of a run folder holds."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from fastvmt.jobs.numbering import JobGrid
from fastvmt.model import Frozen, Job, MethodSpec, Setting, Suite
from fastvmt.model.fields import Count, Label, Line, Number, Offload, Seed, Size

RUN_FORMAT = 1


class Asked(Frozen):
    """How suite and noise grid were asked for, as fields of ``runner.settings.Request``, for a report to print."""

    suite: Line
    root: Line | None = None
    prompts: Line | None = None
    prompt: str | None = None
    stride: Size = 1
    short_clips: Line | None = None
    fit: Line = "crop"
    allow_truncated: bool = False
    allow_upscale: bool = False
    shift: Number | None = None
    strength: Number = 1.0
    offload: Line = "auto"
    some: bool = False
    """The run's cases are not all of the suite."""
    command: Literal["run", "ablate", "frontier"] = "run"
    words: tuple[Line, ...] = ()
    """Behind ``ablate`` and ``frontier``: their method, and its factors or grid."""


class RunConfig(Frozen):
    """Everything a run needs to be done again."""

    format: int = RUN_FORMAT
    suite: Suite
    setting: Setting
    methods: tuple[MethodSpec, ...]
    seeds: tuple[Seed, ...]
    metrics: tuple[Label, ...]
    plugins: tuple[Label, ...] = ()
    device: Line = "cpu"
    threads: Size = 1
    offload: Offload = "text"
    repeats: Count = 0
    """Timed repeats of every job (protocol timing); 0 for one video and no warm-up."""
    ablates_presets: bool = False
    """Several presets of one method are wanted side by side (``bench ablate``); else they must not share a table."""
    notes: tuple[str, ...] = ()
    """Under every table of the run."""
    caveat: Line = ""
    """What the backbone's card says that every verdict must say; "" in runs older than this field."""
    asked: Asked | None = None
    """How the last `bench run` of it was typed, as far as nothing else here says it; None in runs older than this field."""
    merged: tuple[Line, ...] = ()
    """Names of the runs that ``bench merge`` made this one of."""

    @model_validator(mode="after")
    def _each_once(self) -> RunConfig:
        labels, cases = [m.label for m in self.methods], [c.id for c in self.suite.cases]
        for name, values in (("methods", labels), ("seeds", self.seeds), ("suite.cases", cases)):
            if not values:
                raise ValueError(f"{name}: there is none")
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: one is there twice")
        return self

    def grid(self) -> JobGrid:
        """All jobs, made one by one when they are needed."""
        return JobGrid(self.methods, self.suite.cases, self.seeds, self.setting)

    def jobs(self) -> list[Job]:
        """All jobs: cases outermost, so that the first rows of a table are complete early."""
        return list(self.grid())

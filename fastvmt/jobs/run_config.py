"""Everything a run needs to be done again: what ``config.json`` of a run folder holds."""

from __future__ import annotations

from pydantic import model_validator

from fastvmt.jobs.numbering import JobGrid
from fastvmt.model import IMPORTED, Frozen, Job, MethodSpec, Setting, Suite
from fastvmt.model.fields import Count, Label, Line, Seed, Size

RUN_FORMAT = 1


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
    offload: bool = False
    repeats: Count = 0
    """Timed repeats of every job (protocol timing); 0 for one video and no warm-up."""
    ablates_presets: bool = False
    """Several presets of one method are wanted side by side (``bench ablate``); else they must not share a table."""
    notes: tuple[str, ...] = ()
    """Under every table of the run."""
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


def with_imported(config: RunConfig, before: RunConfig) -> RunConfig:
    """A configuration with the methods that ``bench import --into`` brought into its folder: they stay there."""
    imported = tuple(m for m in before.methods if m.imported and m not in config.methods)
    if not imported:
        return config
    notes = tuple(n for n in before.notes if n.startswith(f"{IMPORTED}:") and n not in config.notes)
    return config.model_copy(update={"methods": (*config.methods, *imported), "notes": (*config.notes, *notes)})

"""Several run folders of one suite and setting as one, which every command then reads like any other run."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from fastvmt.core.places import Place, Places, paths
from fastvmt.core.spelling import shown
from fastvmt.errors import SpecError
from fastvmt.exchange.merge.choose import choose
from fastvmt.exchange.merge.folder import DAMAGED, begin, fill, plan_of
from fastvmt.exchange.merge.union import unite
from fastvmt.plugins import registry
from fastvmt.plugins.traits import Traits
from fastvmt.runner.code import traits_of
from fastvmt.store.folder import Store
from fastvmt.store.foreign_run import Source, read_source


@dataclass(frozen=True)
class Merged:
    """A finished merge.

    Attributes:
        folder: the merged run; sources: names of what it is made of.
        frames: jobs that came out with other frames in several runs, as in ``conflicts.json``; numbers: likewise.
        videos: how many it holds; failures: jobs without one; damaged: videos whose files were not those they had been.
        new: false when the folder held this merge already.
    """

    folder: Path
    sources: tuple[str, ...]
    frames: tuple[dict[str, Any], ...]
    numbers: tuple[dict[str, Any], ...]
    videos: int
    failures: int
    damaged: int
    new: bool

    @property
    def undecided(self) -> int:
        """Jobs that have no value because runs disagree about their frames."""
        return sum(c["used"] is None for c in self.frames)

    def lines(self) -> list[str]:
        """What was done, and every conflict, a sentence each."""
        what = (
            f"{self.videos} videos of {', '.join(self.sources)}" if self.new else "nothing to do: these runs are merged there"
        )
        return [f"{self.folder}: {what}", *map(_conflict, (*self.frames, *self.numbers))]


def merge(
    runs: Places, out: Place, *, prefer: Sequence[Place] = (), plugins: Sequence[Place] = (), copy: bool = False
) -> Merged:
    """Unite runs of several machines and people; the same call resumes, and changes nothing once it is done.

    Args:
        runs: run folders in any order; they are read, never changed.
        out: the new run folder.
        prefer: runs to believe, best first, where the same job has other frames in several; without, it has no value.
        plugins: Python files with methods or metrics of the runs, for those that go on with the merged one; a merge needs none,
            and those that the runs name themselves are not loaded.
        copy: copy videos even where a hard link would do.

    Raises:
        NotComparable: when suites, settings, protocols, methods under one label, or metrics differ; says in what.
        StoreError: a folder that is no run or holds what a run does not; ``out`` in use or holding something else.
    """
    folders, out = paths(runs), Path(out)
    for plugin in plugins:
        registry.load_plugin(str(plugin))
    sources = read_all(folders, out)
    believed = _names([os.fspath(run) for run in prefer], folders, sources)
    config = unite(sources, tuple(str(Path(p).resolve()) for p in plugins))
    scored = dict.fromkeys([*config.metrics, *(m for s in sources for m in s.metrics)])
    told = reduce(Traits.over, (Store(s.root).traits() for s in sources))
    traits = traits_of(config, [*scored]).over(told.model_copy(update={"plugins": {}}))  # their files are not ours to run
    choice = choose(sources, config, traits, believed)
    store = begin(out, plan_of(sources, believed, config))
    if store is not None:
        try:
            if traits != Traits():
                store.keep_traits(traits)
            while fill(store, choice, config, sources, copy) is None:  # a damaged video is elsewhere: choose without it
                choice = choose(sources, config, traits, believed)
        finally:
            store.unlock()
    failed = Store(out).failures().values()
    damaged = sum(f.kind == DAMAGED for f in failed)
    return Merged(
        out, tuple(s.name for s in sources), tuple(choice.frames), tuple(choice.numbers), len(choice.videos) - damaged,
        len(failed), damaged, store is not None,
    )  # fmt: skip


def _conflict(c: dict[str, Any]) -> str:
    if metric := c.get("metric"):
        said = ", ".join(f"{name} {value}" for name, value in c["runs"].items())
        what, otherwise = f"{shown(metric)} is {said}", "left out"
    else:
        said = ", ".join(f"{name} {frames[:12]}" for name, frames in c["runs"].items())
        what, otherwise = f"other frames in {said}", "no value until --prefer names one"
    end = f"{c['used']} is used" if c["used"] else otherwise
    return f"conflict: {c['case']} {shown(c['method'])} seed {c['seed']}: {what}; {end}"


def read_all(runs: Sequence[Path], out: Path) -> list[Source]:
    """The runs as sources in an order of their own, each named so that no two names are alike.

    Raises:
        SpecError: without runs, or where ``out`` is one of them or lies in one.
    """
    folders = list(dict.fromkeys(run.resolve() for run in runs))
    if not folders:
        raise SpecError("No run folder was given; name at least one.")
    for folder in folders:
        if out.resolve().is_relative_to(folder):
            raise SpecError(f"--out {out} lies in {folder.name}, which is to be merged. Give a folder beside it.")
    sources = [read_source(folder.name, folder) for folder in folders]
    sources.sort(key=lambda s: (s.name, s.digest))
    for plain, group in itertools.groupby(sources, key=lambda s: s.root.name):
        alike = list(group)
        for number, source in enumerate(alike, start=1) if len(alike) > 1 else ():
            source.name = f"{plain}#{number}"
            source.notes = [n.replace(plain, source.name, 1) for n in source.notes]
    return sources


def _names(prefer: Sequence[str | Path], runs: Sequence[Path], sources: Sequence[Source]) -> list[str]:
    """Preferred runs, given as a path or by name, as names of sources."""
    found = []
    for wanted in prefer:
        path = Path(wanted).resolve()
        names = [s.name for s in sources if s.root == path] or [s.name for s in sources if s.name == str(wanted)]
        if not names:
            known = ", ".join(s.name for s in sources)
            raise SpecError(f"--prefer {wanted}: it is none of the runs that are merged ({known}).")
        found += names
    return list(dict.fromkeys(found))

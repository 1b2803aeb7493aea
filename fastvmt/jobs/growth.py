"""How a run folder grows: methods, metrics, seeds and cases are added to what it has, in the order in which they came.

What would change the meaning of what is there is refused, with the field and both values. A method whose version was raised
takes the place of the one before: its videos have other keys, and those of the version before are no longer the run's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fastvmt.core.content_address import digest
from fastvmt.core.spelling import shown
from fastvmt.jobs.part import Part
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import Case, MethodSpec, Setting, Suite
from fastvmt.plugins.labels import refuse_mixed_presets

SHOWN = 3
"""Cases that differ and are named; a suite may have thousands."""


def grown(before: RunConfig, new: RunConfig, made: bool) -> tuple[RunConfig, list[str]]:
    """A run's configuration with what a new command adds.

    Args:
        new: the command's; ``recognised`` is applied to it here.
        made: whether videos are there already: seconds and last digits of two devices must not share a mean.

    Returns:
        The configuration, and the differences that forbid it: ``steps: 4 and 6``; it is of use only where there are none.

    Raises:
        NotComparable: when presets of one method would share a table.
    """
    new = recognised(before, new)
    if new.asked and new.asked.offload == "auto":  # whatever was chosen for its videos: seconds of two must not share a mean
        new = new.model_copy(update={"offload": before.offload})
    problems = [*_differing(before, new), *(_differing_means(before, new) if made else ())]
    methods = _united(before.methods, new.methods)
    if not (ablates := before.ablates_presets or new.ablates_presets) and not problems:
        refuse_mixed_presets(methods)
    scored = {f"{label} is not scored" for label in new.metrics}
    notes = [n for n in before.notes if n.partition(":")[0] not in scored]  # what was missing then is there now
    suite = Suite(name=before.suite.name, cases=_cases(before.suite, new.suite))
    asked = new.asked or before.asked
    if asked and new.asked and before.asked:  # a command that names fewer cases takes none away
        asked = asked.model_copy(update={"some": before.asked.some and new.asked.some})
    return new.model_copy(update={
        "suite": suite, "methods": methods, "seeds": _each(before.seeds, new.seeds), "notes": _each(notes, new.notes),
        "metrics": _each(before.metrics, new.metrics), "merged": before.merged, "ablates_presets": ablates,
        "asked": asked,
    }), problems  # fmt: skip


def part_of(run: RunConfig, command: RunConfig) -> Part:
    """What a command's configuration names of a run that has grown by it."""
    command = recognised(run, command)
    return Part(
        frozenset(m.label for m in command.methods), frozenset(c.id for c in command.suite.cases), frozenset(command.seeds)
    )


def recognised(before: RunConfig, new: RunConfig) -> RunConfig:
    """The new configuration, where cases that the run has under another id are called as the run calls them.

    A suite may name its cases anew (``bench suite make`` does where two clips have one name), and their videos stay theirs.
    """
    ids = {c.id for c in new.suite.cases}
    free = {c.digest(): c.id for c in before.suite.cases if c.id not in ids}
    known = {c.id for c in before.suite.cases}
    cases = tuple(
        c if c.id in known else c.model_copy(update={"id": free.pop(c.digest(), c.id)}) for c in new.suite.cases
    )  # fmt: skip
    return new.model_copy(update={"suite": Suite(name=new.suite.name, cases=cases)})


def other_versions(before: RunConfig, new: RunConfig) -> Iterator[tuple[MethodSpec, MethodSpec]]:
    """Methods that have another version now, as they were and as they are."""
    now = {m.label: m for m in new.methods}
    for spec in before.methods:
        if (there := now.get(spec.label)) and there.version != spec.version:
            yield spec, there


def other_neighbours(before: Suite, after: Suite) -> set[str]:
    """Cases whose other reference, which controls are scored against, is another one since the suite has grown."""
    found: set[str] = set()
    settled: set[int] = set()
    for case in reversed(before.cases) if len(after.cases) > len(before.cases) else ():
        length = case.reference.frames
        was, now = (r and r.frames_digest for r in (before.other_reference(case), after.other_reference(case)))
        if length not in settled and was != now:
            found.add(case.id)
        else:
            settled.add(length)  # it has a neighbour of its own behind it, and so have those before it
    return found


# --- what differs --------------------------------------------------------------------------------------------------------


def setting_differences(one: Setting, two: Setting) -> list[str]:
    """``steps: 4 and 6`` for every field that decides the videos; the same weights in another folder are no other setting."""
    mine, theirs = one.identity(), two.identity()
    differing = [name for name in Setting.model_fields if mine.get(name) != theirs.get(name)]
    said = [f"{n}: {shown(getattr(one, n))} and {shown(getattr(two, n))}" for n in differing if n != "sigmas"]
    if "sigmas" in differing and one.steps == two.steps:
        said.append(f"sigmas: {_levels(one)} and {_levels(two)} (--shift, --strength)")
    return said


def _levels(setting: Setting) -> str:
    return f"{', '.join(f'{s:.4g}' for s in setting.sigmas[:2])} ..."


def case_difference(one: Case, two: Case) -> str:
    """The first field in which two cases of one id differ, with both values; "" where none decides a video."""
    if one.reference.frames_digest != two.reference.frames_digest:
        return f"reference (frames {one.reference.frames_digest[:8]} and {two.reference.frames_digest[:8]})"
    both = {k: (getattr(one, k), getattr(two, k)) for k in ("prompt", "caption", "negative")}
    return next((f"{k} ('{shown(a)}' and '{shown(b)}')" for k, (a, b) in both.items() if a != b), "")


def method_differences(one: MethodSpec, two: MethodSpec) -> Iterator[str]:
    """``version 3 and 4``, ``inner 4 and 6`` ... of two methods under one label."""
    if one.method != two.method:
        yield f"method {shown(one.method)} and {shown(two.method)}"
    if one.version != two.version:
        yield f"version {one.version} and {two.version}"
    for name in sorted(one.params.keys() | two.params.keys()):
        if one.params.get(name) != two.params.get(name):
            before, now = (shown(spec.params.get(name)) or "''" for spec in (one, two))
            yield f"{shown(name)} {before} and {now}"


def _differing(before: RunConfig, new: RunConfig) -> Iterator[str]:
    """What would change the meaning of what is there."""
    yield from (settings := setting_differences(before.setting, new.setting))
    if before.repeats != new.repeats:
        yield f"repeats: {before.repeats} and {new.repeats}"
    suites = [] if settings else list(_differing_suites(before.suite, new.suite))  # of another size all clips are others
    yield from suites[:SHOWN]
    if len(suites) > SHOWN:
        yield f"and {len(suites) - SHOWN} more cases"
    known, same = {m.label: m for m in before.methods}, {digest(m.identity()): m.label for m in before.methods}
    for spec in new.methods:
        there = known.get(spec.label)
        if there is None and (other := same.get(digest(spec.identity()))):
            yield f"'{shown(spec.label)}' and the run's '{shown(other)}' are the same, all parameters agree"
        elif there and (there.method != spec.method or (there.version == spec.version and there.params != spec.params)):
            yield f"{shown(spec.label)}: {', '.join(method_differences(there, spec))}"


def _differing_suites(before: Suite, new: Suite) -> Iterator[str]:
    """Another name is the same suite, renamed, where one holds all the cases of the other."""
    mine, theirs = {c.id: c for c in before.cases}, {c.id: c for c in new.cases}
    shared = mine.keys() & theirs.keys()
    if before.name != new.name and len(shared) < min(len(mine), len(theirs)):
        yield f"suite: '{shown(before.name)}' and '{shown(new.name)}'"
        return
    for name in (c.id for c in before.cases if c.id in shared):
        if said := case_difference(mine[name], theirs[name]):
            yield f"case '{name}': {said}"


def _differing_means(before: RunConfig, new: RunConfig) -> Iterator[str]:
    """What videos were made with, so that all of a run's have it."""
    one, two = before.device.partition(":")[0], new.device.partition(":")[0]
    if one != two:
        yield f"device: {one} and {two}"
    if before.offload != new.offload:
        yield f"offload: {before.offload} and {new.offload}"
    if one == two == "cpu" and before.threads != new.threads:
        yield f"threads: {before.threads} and {new.threads}"


# --- what is united ------------------------------------------------------------------------------------------------------


def _each(first: Iterable[Any], then: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys([*first, *then]))


def _united(before: Iterable[MethodSpec], new: Iterable[MethodSpec]) -> tuple[MethodSpec, ...]:
    """By label in the order in which they came; the new one is the current one."""
    return tuple(({m.label: m for m in before} | {m.label: m for m in new}).values())


def _cases(before: Suite, new: Suite) -> tuple[Case, ...]:
    return tuple(({c.id: c for c in before.cases} | {c.id: c for c in new.cases}).values())

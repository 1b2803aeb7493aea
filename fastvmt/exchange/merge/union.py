"""One configuration out of several, the same whatever the order they are given in; or what forbids it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

from fastvmt.core.content_address import canonical_json, digest
from fastvmt.core.spelling import public, shown
from fastvmt.errors import NotComparable
from fastvmt.jobs.growth import case_difference, method_differences
from fastvmt.jobs.run_config import Asked, RunConfig
from fastvmt.model import Case, MethodSpec, Setting, Suite
from fastvmt.model.fields import OFFLOADS
from fastvmt.plugins.labels import refuse_mixed_presets
from fastvmt.records.same_setting import refuse_other_setting
from fastvmt.store.foreign_run import OWN_NOTE, Source

K = TypeVar("K", bound=Hashable)


def in_order(lists: Sequence[Sequence[K]], sort: Callable[[K], Any]) -> list[K]:
    """Everything the lists name, once: in the order of those lists that name it all, where they agree; else sorted.

    >>> in_order([["b", "a"], ["a"]], str), in_order([["b"], ["a"]], str), in_order([["b", "a"], ["a", "b"]], str)
    (['b', 'a'], ['a', 'b'], ['a', 'b'])
    """
    every = {item for one in lists for item in one}
    whole = {tuple(dict.fromkeys(one)) for one in lists if set(one) == every}
    return list(whole.pop()) if len(whole) == 1 else sorted(every, key=sort)


def unite(sources: Sequence[Source], plugins: tuple[str, ...] = ()) -> RunConfig:
    """The configuration of the merged run: methods, cases, seeds and metrics united.

    Args:
        sources: sorted; plugins: those the user gave; a source's own are never loaded, they are code from elsewhere.

    Raises:
        NotComparable: when settings, suites, protocols, threads of a CPU, or parameters under one label differ.
    """
    for one, other in combinations(sources, 2):
        refuse_other_setting(one.name, one.config, other.name, other.config)
        _refuse_other_protocol(one, other)
    configs = [s.config for s in sources]
    methods, notes = _methods(sources)
    ablates = any(c.ablates_presets for c in configs)
    if not ablates:
        refuse_mixed_presets(methods)
    metrics = in_order([c.metrics for c in configs], str)
    if len(devices := sorted({c.device for c in configs})) > 1:
        notes.append(f"{OWN_NOTE}made on {' and '.join(devices)}; going on with `bench resume` uses {devices[0]}.")
    return RunConfig(
        suite=Suite(name=configs[0].suite.name, cases=_cases(sources)), setting=_setting(configs[0].setting), methods=methods,
        seeds=tuple(in_order([c.seeds for c in configs], int)), metrics=tuple(metrics), plugins=plugins, device=devices[0],
        threads=min(c.threads for c in configs), offload=max((c.offload for c in configs), key=OFFLOADS.index),
        repeats=configs[0].repeats,
        ablates_presets=ablates, merged=tuple(s.name for s in sources), asked=_asked(configs),
        caveat=public(next((c.caveat for c in configs if c.caveat), "")),
        notes=tuple(dict.fromkeys([*(public(n) for c in configs for n in c.notes if not n.startswith(OWN_NOTE)), *notes])),
    )  # fmt: skip


def _asked(configs: Sequence[RunConfig]) -> Asked | None:
    """What all were asked alike, unless paths of one machine stand in it."""
    asked = configs[0].asked
    alike = asked and all(c.asked == asked for c in configs) and not (asked.root or asked.prompts or "/" in asked.suite)
    return asked if alike else None


def _refuse_other_protocol(a: Source, b: Source) -> None:
    one, other = a.config, b.config
    if one.suite.name != other.suite.name:
        names = f"'{shown(one.suite.name)}' and '{shown(other.suite.name)}'"
        raise NotComparable(f"{a.name} and {b.name} are runs of different suites ({names}). Merge runs of one suite.")
    if one.repeats != other.repeats:
        what = f"{one.repeats} and {other.repeats} timed repeats"
        raise NotComparable(f"{a.name} and {b.name} were run by different protocols ({what}); their seconds do not compare.")
    if one.device == other.device == "cpu" and one.threads != other.threads:
        raise NotComparable(
            f"{a.name} and {b.name} ran on {one.threads} and {other.threads} CPU threads, on which the last digits of sums and "
            "all seconds depend. Give every machine the same --threads."
        )
    known = {c.id: c for c in one.suite.cases}
    for case in other.suite.cases:
        before = known.get(case.id)
        if before and (before.digest(), before.category) != (case.digest(), case.category):
            what = case_difference(before, case) or f"category ({before.category} and {case.category})"
            raise NotComparable(
                f"case '{case.id}' differs between {a.name} and {b.name} in its {what}; they are runs of different suites."
            )


def _cases(sources: Sequence[Source]) -> tuple[Case, ...]:
    """Of cases that differ in nothing but where their clip lay, the one whose text is first."""
    kept: dict[str, Case] = {}
    for case in (c for s in sources for c in s.config.suite.cases):
        kept[case.id] = min(case, kept.get(case.id, case), key=_text)
    order = in_order([[c.id for c in s.config.suite.cases] for s in sources], str)
    return tuple(kept[i].model_copy(update={"reference": kept[i].reference.published()}) for i in order)


def _setting(setting: Setting) -> Setting:
    """A backbone's folder stays where this machine has it and can go on with it; else its name alone, which changes no key."""
    return setting if Path(setting.backbone).exists() else setting.published()


def _text(case: Case) -> str:
    return canonical_json(case.model_dump(mode="json"))


def _methods(sources: Sequence[Source]) -> tuple[tuple[MethodSpec, ...], list[str]]:
    first: dict[str, tuple[MethodSpec, str]] = {}
    for source in sources:
        for spec in source.config.methods:
            before, origin = first.setdefault(spec.label, (spec, source.name))
            if before.identity() != spec.identity():
                names = ", ".join(method_differences(before, spec))
                raise NotComparable(
                    f"'{shown(spec.label)}' differs between {origin} and {source.name} ({names}); their numbers "
                    "must not share a line. Write the parameters out in the label, or merge the runs apart."
                )
    kept = {label: spec for label, (spec, _) in first.items()}
    same: dict[str, list[str]] = {}
    for label, spec in kept.items():
        same.setdefault(digest(spec.identity()), []).append(label)
    notes: list[str] = []
    renamed: dict[str, str] = {}
    for labels in same.values():
        chosen, *others = sorted(labels, key=lambda text: (len(text), text))
        renamed |= dict.fromkeys(others, chosen)
        notes += [
            f"'{shown(o)}' and '{shown(chosen)}' are the same method; both stand under '{shown(chosen)}'." for o in others
        ]
    lists = [list(dict.fromkeys(renamed.get(m.label, m.label) for m in s.config.methods)) for s in sources]
    order = in_order(lists, lambda label: (not kept[label].control, label))
    return tuple(kept[label] for label in order), notes

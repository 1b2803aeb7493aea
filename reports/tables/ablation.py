"""Ablations as views: what each factor of a method changes, and what each saving gives.

Which lines belong to which factor is read from the methods' own parameters: a line differs from the base in exactly the
parameters of its factor.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastvmt.model import MethodSpec
from fastvmt.reports.tables.run_table import first_presets
from fastvmt.reports.tables.view import EMPTY, Cell, Column, Line, View, id_of
from fastvmt.reports.tables.views import RATIOS, LineRequest, build, metrics_of, ratio_cell, view_of
from fastvmt.reports.tidy import STAGE, Tidy

TABLE_1 = ("trajectory", "text_similarity", "motion_fidelity", "motion_fidelity_moving", "temporal_consistency", "time")
VBENCH = tuple(
    f"vbench:{name}" for name in ("subject_consistency", "background_consistency", "aesthetic_quality", "motion_smoothness")
)
"""The four dimensions of the paper's appendix, in its order."""
PARTS = ("window", "window_weight", "interval")
"""Parameters behind the three parts of FastVMT that the paper's Table 1 takes away."""
FACTORS = {
    "block": ("layers", "guided block", (*TABLE_1, *VBENCH)),  # the paper's appendix, Table 2: early, middle, late
    "span": ("spans", "temporal span", (*VBENCH, *TABLE_1)),  # appendix, Table 3
    "interval": ("intervals", "inner interval", TABLE_1),  # how often a gradient is computed afresh
}
"""Parameters with a table of their own: its id, title and metrics."""
SEVERAL = "several at once"
GUIDANCE = f"{STAGE}guidance"


@dataclass(frozen=True)
class Change:
    """One line of an ablation: its label, and in which parameters it differs from the base."""

    label: str
    spec: MethodSpec
    params: tuple[str, ...]

    @property
    def factor(self) -> str:
        return "preset" if "preset" in self.params else " and ".join(self.params)

    def values(self) -> str:
        """``interval 1`` for its tables."""
        return ", ".join(f"{p} {self.spec.params[p]}" for p in self.params)


def bases(tidy: Tidy) -> list[str]:
    """Labels that have changes of themselves in the run: the plain name of a method first."""
    counts: dict[str, int] = {}
    for spec in tidy.methods.values():
        counts[spec.method] = counts.get(spec.method, 0) + 1
    return [label for label, spec in tidy.methods.items() if label == spec.method and counts[spec.method] > 1]


def changes(tidy: Tidy, base: str) -> list[Change]:
    """Every other form of the base's method with what differs, in the run's order."""
    spec = tidy.methods[base]
    found = []
    for label, other in tidy.methods.items():
        if other.method == spec.method and label != base:
            differing = tuple(k for k in other.params if other.params[k] != spec.params.get(k))
            found.append(Change(label, other, differing))
    return found


def compared(tidy: Tidy) -> list[str]:
    """The methods that are compared: of the first preset, without the forms that an ablation shows."""
    forms = {change.label for base in bases(tidy) for change in changes(tidy, base)}
    return [label for label in first_presets(tidy) if label not in forms]


def ablation(tidy: Tidy, base: str) -> View:
    """The base and every form of it with one factor changed (Table 1), the ratio of seconds to the base beside it."""
    named = _factor_names(tidy, base)
    order = list(dict.fromkeys(named.values()))
    found = [(named.get(c.label, SEVERAL if len(c.params) > 1 else c.factor), c) for c in changes(tidy, base)]
    found = [(group, c) for group, c in found if c.factor != "preset"]
    found.sort(key=lambda pair: (pair[0] == SEVERAL, order.index(pair[0]) if pair[0] in order else len(order)))
    rows = [LineRequest(base, base, "", "base"), *(LineRequest(c.label, c.label, group) for group, c in found)]
    view = build(tidy, f"ablation-{id_of(base)}", f"Ablation of {base}", rows, metrics_of(tidy, TABLE_1))
    ratios = [EMPTY if row.label == base else ratio_cell(tidy, row.label, base) for row in rows]
    return _with_column(view, Column("time_ratio", f"seconds over {base}'s", "×", "none", 2), ratios)


def _factor_names(tidy: Tidy, base: str) -> dict[str, str]:
    """Label to the factor it belongs to, as the method declares them."""
    declared = tidy.method(base).study.ablations
    return {f"{base}:{change}": name for name, all_changes in declared.items() for change in all_changes}


def _with_column(view: View, column: Column, cells: Sequence[Cell]) -> View:
    lines = tuple(replace(line, cells=(*line.cells, cell)) for line, cell in zip(view.lines, cells, strict=True))
    return replace(view, columns=(*view.columns, column), lines=lines)


def one_factor(tidy: Tidy, base: str, param: str) -> View | None:
    """The base and the forms that differ in this parameter alone, ordered by its value; None without any."""
    found = [(c.spec, c.label, "") for c in changes(tidy, base) if c.params == (param,)]
    if not found:
        return None
    id, title, ids = FACTORS[param]
    forms = sorted([(tidy.methods[base], base, "base"), *found], key=lambda form: form[0].params[param])
    rows = [LineRequest(label, f"{param} {spec.params[param]}", "", note) for spec, label, note in forms]
    view = build(tidy, f"{id}-{id_of(base)}", f"{base}: {title}", rows, metrics_of(tidy, ids))
    return replace(view, notes=(_how_blocks_count(tidy), *view.notes)) if param == "block" else view


def _how_blocks_count(tidy: Tidy) -> str:
    """The run's backbone has so many blocks, where its card is at hand."""
    from fastvmt.backbones import card as cards
    from fastvmt.errors import BenchError

    try:
        of = f" of {cards.load(tidy.setting.backbone).blocks}"
    except BenchError:
        of = ""
    return f"Blocks are counted from 0{of}; the paper counts layers from 1 of 30."


def vbench(tidy: Tidy, base: str) -> View | None:
    """The method without each of its parts, judged by VBench (appendix Table 4)."""
    ids = metrics_of(tidy, VBENCH)
    parts = [c for c in changes(tidy, base) if len(c.params) == 1 and c.params[0] in PARTS]
    if not ids or not parts:
        return None
    rows = [*(LineRequest(c.label, c.label) for c in parts), LineRequest(base, base, "", "base")]
    return build(tidy, f"vbench-{id_of(base)}", f"{base} without each of its parts, by VBench", rows, ids)


def presets(tidy: Tidy, base: str) -> View | None:
    """The paper's settings beside the released code's: what the difference does, never a ranking."""
    found = [c for c in changes(tidy, base) if c.factor == "preset"]
    if not found:
        return None
    rows = [LineRequest(base, base, "", "base", ranked=False), *(LineRequest(c.label, c.label, ranked=False) for c in found)]
    view = build(tidy, f"presets-{id_of(base)}", f"{base}: presets side by side", rows, metrics_of(tidy, (*TABLE_1, *VBENCH)))
    said = "Presets differ in several settings at once; this table shows what the difference does and ranks nothing."
    return replace(view, notes=(said, *view.notes))


def decomposition(tidy: Tidy, base: str) -> View | None:
    """What each saving gives: along the ladder from the slowest form to the base, and each one taken away alone.

    Ratios of the ladder multiply to the whole; ratios of single factors need not.
    """
    ladder = tidy.method(base).study.ladder
    steps = [(name, f"{base}:{changed}" if changed else base) for name, changed in ladder]
    there = [(name, label) for name, label in steps if label in tidy.methods]
    if len(there) < 2:
        return None
    columns = (
        Column("from", "seconds before", "s", "none", 2), Column("to", "seconds after", "s", "none", 2),
        Column("whole", "whole video faster by", "×", "none", 2), Column("guidance", "guidance faster by", "×", "none", 2),
        Column("alone", "taken away alone: slower by", "×", "none", 2),
    )  # fmt: skip

    def line(key: str, head: str, times: View, before: str, after: str, alone: Cell = EMPTY, note: str = "") -> Line:
        seconds = (_plain(times, before), _plain(times, after))
        ratios = (ratio_cell(tidy, before, after), ratio_cell(tidy, before, after, GUIDANCE))
        return Line(key, head, (*seconds, *ratios, alone), note=note)

    times = _times(tidy, [label for _, label in there])
    lines = []
    for (_, before), (name, after) in itertools.pairwise(there):
        single = _single(tidy, base, name)
        lines.append(line(after, name, times, before, after, ratio_cell(tidy, single, base) if single else EMPTY))
    first, last = there[0][1], there[-1][1]
    lines.append(line("all", "all of them", times, first, last, note="product"))
    if beyond := _single(tidy, base, "inner"):
        seconds = _times(tidy, [base, beyond])
        lines.append(line(beyond, "fewer inner steps", seconds, base, beyond, note="beyond the default"))
    notes = (f"From {first} to {last}, one saving after the other; a ratio below 1 is a loss.", *tidy.notes)
    return view_of(tidy, f"savings-{id_of(base)}", f"{base}: what each saving gives", columns, lines, notes, RATIOS)


def _times(tidy: Tidy, labels: Sequence[str]) -> View:
    return build(tidy, "times", "", [LineRequest(label, label) for label in labels], metrics_of(tidy, ("time",)))


def _plain(times: View, label: str) -> Cell:
    return replace(times.line(label).cells[0], mark="", tied=False) if times.columns else EMPTY


def _single(tidy: Tidy, base: str, factor: str) -> str:
    """The form of the base without this factor alone, or ""."""
    cls = tidy.method(base)
    for change in cls.study.ablations.get(factor, ()):
        if f"{base}:{change}" in tidy.methods:
            return f"{base}:{change}"
    return ""


def all_of(tidy: Tidy) -> list[View]:
    """Every view of every ablation in the run."""
    found: list[View] = []
    for base in bases(tidy):
        factors = [one_factor(tidy, base, param) for param in FACTORS]
        made = [ablation(tidy, base), *factors, vbench(tidy, base), presets(tidy, base), decomposition(tidy, base)]
        found += [view for view in made if view is not None and view.lines]
    return found

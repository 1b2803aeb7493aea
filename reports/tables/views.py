"""Tables as views of the tidy frame: comparison, by category, time by stage, cost.

A view compares what every method has: where videos are missing, all means of that column are over the common subset, and a
note says so. The unit of analysis is the reference clip: prompts and seeds of one clip are averaged first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fastvmt.model import CATEGORIES
from fastvmt.reports.statistics import Interval, fewest_clips, mean_intervals, paired_ratio
from fastvmt.reports.tables.headings import changes, display, heading, other_forms
from fastvmt.reports.tables.look import SPEED_UP, main_columns
from fastvmt.reports.tables.shared_cases import apart as apart
from fastvmt.reports.tables.shared_cases import by_clip, clips_of, common, few_clips, is_ceiling, lacking, scale_of, skewed
from fastvmt.reports.tables.view import LEGEND, Cell, Column, Line, View, id_of, marked
from fastvmt.reports.tidy import FORMULA, STAGE, WORK, Tidy
from fastvmt.reports.tidy.gaps import IMPORTED_GROUP, line_note

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

RATIOS = "paired geometric mean of ratios [95 % interval over reference clips]"
"""Legend of tables of ratios."""
TRAINING_FREE, TRAINING_BASED, CONTROLS = "training-free methods", "training-based methods", "controls"
COST_IDS = ("time", "time_amortised", "peak_memory", "peak_reserved", "energy")


@dataclass(frozen=True)
class LineRequest:
    """One line to be: a method's label, and how it is printed."""

    label: str
    head: str
    group: str = ""
    note: str = ""
    ranked: bool = True


def metrics_of(tidy: Tidy, ids: Iterable[str]) -> list[str]:
    """Labels of the scored metrics with these ids (``motion_fidelity`` finds ``motion_fidelity:tracker=...``), ids' order."""
    return [label for wanted in ids for label, metric in tidy.metrics.items() if metric.id == wanted]


def column_of(tidy: Tidy, label: str) -> Column:
    """A metric's column."""
    if label == WORK:
        return Column(WORK, "forward-equivalents, counted", "", "down", 1)
    if label == FORMULA:
        return Column(FORMULA, "by formula", "", "none", 1)
    if label.startswith(STAGE):
        return Column(label, label.removeprefix(STAGE), "s", "none", 2)
    metric = tidy.metrics[label]
    return Column(label, heading(label, tidy), metric.unit, metric.direction, metric.decimals)


def build(
    tidy: Tidy, id: str, title: str, wanted: Sequence[LineRequest], metrics: Sequence[str], over: str = "",
    only: pd.Series[bool] | None = None,
) -> View:  # fmt: skip
    """The view with these lines and columns.

    Args:
        over: label whose seconds the last column divides by each line's own; "" for no such column.
        only: mask over ``tidy.frame``: rows that count (a category).
    """
    if only is not None:
        tidy = replace(tidy, frame=tidy.frame[only])
    labels = [w.label for w in wanted]
    columns = [column_of(tidy, m) for m in metrics]
    ranked = [w.label for w in wanted if w.ranked]
    cells = [_column(tidy, labels, ranked, column) for column in columns]
    told = [*few_clips(tidy, labels, columns, ranked), *lacking(tidy, labels, columns), *skewed(tidy, columns, labels, ranked)]
    silent = {c.key for c in columns if clips_of(tidy, c.key, labels) < fewest_clips()}
    columns, counted = _with_counts(columns, cells)
    if over:
        columns.append(Column(SPEED_UP, tidy.names.get(SPEED_UP, "Speed-up"), "×", "up", 2))
        ratios = [Cell(None, why="–") if label == over else ratio_cell(tidy, over, label) for label in labels]
        cells.append(_tied(tidy, "time", labels, ranked, ratios, "up"))
        silent |= {SPEED_UP} if "time" in silent else set()
    lines = [Line(w.label, w.head, tuple(c[n] for c in cells), w.group, w.note, w.ranked) for n, w in enumerate(wanted)]
    told += [f"Speed-up: over {display(over, tidy)}, by paired seconds."] if over else []
    notes = (*other_forms(tidy, labels), *counted, *told, *_changed(columns), *tidy.notes)
    return view_of(tidy, id, title, columns, marked(columns, lines, silent), notes)


def _changed(columns: Iterable[Column]) -> list[str]:
    """What was changed in the metrics of columns whose heads do not say it."""
    found: dict[str, list[str]] = {}
    for column in columns:
        if (changed := changes(column.key)) and changed not in column.head:
            found.setdefault(changed, []).append(column.head)
    said = [f"{', '.join(heads)}: {changed}" for changed, heads in found.items()]
    return [f"{'; '.join(said)}."] if said else []


def view_of(
    tidy: Tidy, id: str, title: str, columns: Iterable[Column], lines: Iterable[Line], notes: Iterable[str] = (),
    legend: str = LEGEND,
) -> View:  # fmt: skip
    """A view with what all of a run's views say: its setting, digests and protocol."""
    columns = [replace(c, head=heading(c.key, tidy)) if c.head == c.key in tidy.metrics else c for c in columns]
    lines = [replace(line, head=display(line.key, tidy)) if line.head == line.key in tidy.methods else line for line in lines]
    return View(
        id, title, tidy.title, tuple(columns), tuple(lines), tuple(notes), tidy.digest, tidy.suite_digest, legend,
        tidy.setting.terms,
    )  # fmt: skip


def _with_counts(columns: list[Column], cells: list[list[Cell]]) -> tuple[list[Column], list[str]]:
    """Columns that only some cases have say their n in the head; the others' n is said once below the table."""
    totals = [max((cell.expected for cell in column), default=0) for column in cells]
    most = max(totals, default=0)
    named = [c if n in (0, most) else replace(c, head=f"{c.head} (n={n})") for c, n in zip(columns, totals, strict=True)]
    return named, [f"n = {most} videos of each method where no other n stands."] if most else []


def _column(tidy: Tidy, labels: Sequence[str], ranked: Sequence[str], column: Column) -> list[Cell]:
    """A metric's cells."""
    rows = tidy.of(column.key)
    expected = Counter(rows["label"])
    if not len(rows):
        return [Cell(None, why="" if column.key.startswith(STAGE) else "–") for _ in labels]
    cases = common(tidy, column.key, labels)
    clips = by_clip(cases)
    each = len(cases) / max(1, len(clips))
    keep = partial(_kept, tidy, column.key, len(cases) == len(tidy.wide(column.key)), each)
    columns = {str(k): clips[k].to_numpy(float) for k in clips}
    for label in labels:
        if label not in columns and is_ceiling(tidy, label):  # over the cases of the others, among whom it is not
            own = tidy.wide(column.key).reindex(columns=[label]).loc[cases.index]
            columns |= {label: by_clip(own)[label].to_numpy(float)} if len(own) and own.notna().all(axis=None) else {}
    intervals = dict(zip(columns, keep(columns), strict=True)) if len(clips) else {}
    found = []
    for label in labels:
        interval = intervals.get(label)
        if interval is None:
            why = "no common video" if label in columns else _why(rows[rows["label"] == label])
            why = "–" if is_ceiling(tidy, label) and why != "failed" else why
            found.append(Cell(None, n=0, expected=expected[label], why=why))
        else:
            low, high = (_finite(interval.low), _finite(interval.high))
            found.append(Cell(interval.value, low, high, len(cases), expected[label]))
    return _tied(tidy, column.key, labels, ranked, found, column.direction)


def _tied(
    tidy: Tidy, metric: str, labels: Sequence[str], ranked: Sequence[str], cells: list[Cell], direction: str
) -> list[Cell]:
    """The cells, those of ranked rows marked that cannot be told from the best one by this metric."""
    values = {k: cell.value for k, cell in zip(labels, cells, strict=True) if k in ranked and cell.value is not None}
    if direction == "none" or len(values) < 2 or clips_of(tidy, metric, labels) < fewest_clips():
        return cells
    best = (max if direction == "up" else min)(values, key=lambda k: values[k])
    gaps = apart(tidy, metric, labels)
    tied = {k for k in values if k != best and not gaps[best, k].apart}
    return [replace(cell, tied=k in tied) for k, cell in zip(labels, cells, strict=True)]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _why(rows: pd.DataFrame) -> str:
    """The commonest reason why a method has no value: failures first, they must not hide behind the rest."""
    counts = Counter(rows["status"])
    for status, word in (("failed", "failed"), ("undefined", "undefined"), ("missing", "missing"), ("elsewhere", "–")):
        if counts[status]:
            return word
    return "–"


def _kept(tidy: Tidy, metric: str, whole: bool, each: float, wanted: Mapping[Any, NDArray[np.float64]]) -> list[Interval]:
    """Intervals of one metric, kept between the views of a run, so that a line has the same digits in all of them."""
    # A subset of the cases has numbers of its own.
    found: dict[Any, Interval] = tidy.__dict__.setdefault("_intervals", {}) if whole else {}
    new = {k: v for k, v in wanted.items() if (metric, k) not in found}
    if new:
        made = mean_intervals(np.stack(list(new.values()), axis=1), scale=scale_of(tidy, metric), each=each)
        found.update(((metric, k), interval) for k, interval in zip(new, made, strict=True))
    return [found[metric, k] for k in wanted]


def ratio_cell(tidy: Tidy, numerator: str, denominator: str, metric: str = "time") -> Cell:
    """Geometric mean of the paired ratios of two methods' seconds, with interval, its pairs, and how many there should be."""
    # Stages have rows for videos that were made alone; their seconds have one for every video that was wanted.
    wanted = tidy.of("time") if metric.startswith(STAGE) and "time" in tidy.metrics else tidy.of(metric)
    expected = max(int((wanted["label"] == label).sum()) for label in (numerator, denominator))
    if not len(tidy.of(metric)):
        return Cell(None, expected=expected, why="–")
    wide = tidy.wide(metric).reindex(columns=[numerator, denominator]).dropna()
    wide = wide[(wide > 0).all(axis=1)]  # a stage that a method does not have took no time
    if not len(wide):
        return Cell(None, expected=expected, why="–")
    clusters = wide.index.get_level_values("reference").to_numpy().astype(str)
    ratio = paired_ratio(wide[numerator].to_numpy(float), wide[denominator].to_numpy(float), clusters)
    return Cell(ratio.value, _finite(ratio.low), _finite(ratio.high), len(wide), expected)


def lines_of(tidy: Tidy, labels: Iterable[str] | None = None) -> list[LineRequest]:
    """Lines of the comparison: training-based methods, training-free ones, controls below (the paper's groups, Table 2)."""
    chosen = list(tidy.methods) if labels is None else list(labels)
    groups: dict[str, list[LineRequest]] = {k: [] for k in (TRAINING_BASED, TRAINING_FREE, IMPORTED_GROUP, CONTROLS)}
    for label in chosen:
        spec = tidy.methods[label]
        cls = tidy.method(label)
        free_or_not = TRAINING_BASED if cls.trains() else TRAINING_FREE
        group = IMPORTED_GROUP if spec.imported else CONTROLS if spec.control else free_or_not
        copied = tidy.copies(label)
        note = "copies the reference" if copied else line_note(spec)
        groups[group].append(LineRequest(label, label, group, note, not spec.control and not copied))
    return [line for group in groups.values() for line in group]


def baseline_of(tidy: Tidy, lines: Sequence[LineRequest]) -> str:
    """The line that speed-ups are over: of a method that declares itself the baseline, as it is by default; or ""."""
    plain = [w.label for w in lines if w.label == tidy.methods[w.label].method]
    found = (label for label in plain if tidy.method(label).role == "baseline")
    return next(found, "") if len(lines) > 1 else ""


def comparison(tidy: Tidy, labels: Iterable[str] | None = None, metrics: Sequence[str] | None = None) -> View:
    """Methods against each other (Table 2 of the paper), every metric of the run, speed-up over the baseline."""
    chosen = lines_of(tidy, labels)
    names = list(tidy.metrics) if metrics is None else list(metrics)
    over = baseline_of(tidy, chosen) if "time" in names else ""
    return _with_main(tidy, build(tidy, "comparison", "Methods compared", chosen, names, over))


def _with_main(tidy: Tidy, view: View) -> View:
    return replace(view, main=main_columns(tidy, [column.key for column in view.columns]))


def by_category(tidy: Tidy, labels: Iterable[str] | None = None) -> list[View]:
    """The comparison once for every category of cases, without timings; empty where there is one category."""
    kinds = list(dict.fromkeys(c.category for c in tidy.cases.values()))
    names = [m for m, metric in tidy.metrics.items() if not metric.timing]
    found = []
    for kind in kinds if len(kinds) > 1 else ():
        only = tidy.frame["category"] == kind
        there = [m for m in names if bool((only & (tidy.frame["metric"] == m)).any())]
        title, name = f"Category {kind.replace('_', ' ')}", kind if kind in CATEGORIES else id_of(kind)
        found.append(_with_main(tidy, build(tidy, f"category-{name}", title, lines_of(tidy, labels), there, only=only)))
    return found


def stages(tidy: Tidy, labels: Iterable[str] | None = None) -> View:
    """Seconds by stage: means over videos, loading apart; stages exclude each other, so a line adds up to ``time``."""
    present = [m for m in tidy.frame["metric"].cat.categories if str(m).startswith(STAGE)]
    order = ["text", "encode", "reference", "train", "guidance", "denoise", "decode", "write", "load"]
    present.sort(key=lambda m: (order.index(m[6:]) if m[6:] in order else len(order), m))
    view = build(tidy, "stages", "Time by stage", lines_of(tidy, labels), [*metrics_of(tidy, ("time",)), *present])
    return replace(view, notes=("A stage that a method does not have is empty; load is not part of time.", *view.notes))


def cost(tidy: Tidy, labels: Iterable[str] | None = None) -> View:
    """What a video costs: seconds, memory, energy, forward-equivalents as counted and by the method's formula."""
    lines = lines_of(tidy, labels)
    over = baseline_of(tidy, lines)
    formula = [FORMULA] if len(tidy.of(FORMULA)) else []
    return build(tidy, "cost", "Cost of a video", lines, [*metrics_of(tidy, COST_IDS), WORK, *formula], over)

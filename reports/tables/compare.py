"""``bench compare``: one method against every other, paired by case and seed, with tests that hold; and mean ranks.

Difference, interval and p are those of ``apart``, as the marks of tables are: all methods of a metric are one family, over the
cases that all of them have. The other statistics are of each pair alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fastvmt.core.choices import one_of
from fastvmt.errors import NotComparable, SpecError
from fastvmt.plugins.metric_labels import resolved
from fastvmt.reports.statistics import Better, Gap, cluster_means, mean_ranks, paired_difference
from fastvmt.reports.tables.run_table import first_presets
from fastvmt.reports.tables.shared_cases import apart, by_clip, common, few_clips, is_ceiling, lacking, skewed
from fastvmt.reports.tables.view import Cell, Column, Line, View, id_of
from fastvmt.reports.tables.views import RATIOS, column_of, ratio_cell, view_of
from fastvmt.reports.tidy import Tidy

COLUMNS = (
    Column("difference", "base - other", decimals=3), Column("p", "p", decimals=4),
    Column("wins", "win", decimals=0), Column("ties", "tie", decimals=0), Column("losses", "loss", decimals=0),
    Column("pairs", "pairs", decimals=0), Column("base", "base", decimals=4), Column("other", "other", decimals=4),
    Column("p_alone", "p (sign flip, alone)", decimals=4), Column("p_wilcoxon", "p (Wilcoxon, alone)", decimals=4),
    Column("effect", "d_z", decimals=2), Column("rank_biserial", "rank-biserial", decimals=2),
)  # fmt: skip
MAIN = tuple(c.key for c in COLUMNS[:5])
"""What people see first; the rest stands in JSON and CSV."""
LEGEND = (
    "base - other: mean paired difference over reference clips [95 % interval]; p: sign flips over clips, two-sided; interval "
    "and p hold for all methods of a metric together (max-T), as ≈ in tables does; wins count videos, ties by printed precision"
)
PAIRS = next(n for n, c in enumerate(COLUMNS) if c.key == "pairs")


def base_of(tidy: Tidy, label: str) -> str:
    """The base to compare with: the label given, else the first method that is no control.

    Raises:
        SpecError: when the run has no such label, naming the nearest ones.
    """
    if label:
        return one_of("--base", label, [k for k, spec in tidy.methods.items() if not spec.ceiling])
    return next((name for name, spec in tidy.methods.items() if not spec.control), next(iter(tidy.methods)))


def versus(tidy: Tidy, base: str = "", metrics: Sequence[str] = (), labels: Sequence[str] = ()) -> View:
    """The base against every other method (or ``labels``): difference, tests, effect, win/tie/loss; a group a metric.

    Without ``labels`` each method has one preset: the base's, and the first of every other method.

    Raises:
        SpecError: for an unknown base or metric.
        NotComparable: when nothing at all is paired.
    """
    base = base_of(tidy, base)
    chosen = [k for k in labels or first_presets(tidy, base) if not is_ceiling(tidy, k)]
    lines: list[Line] = []
    names = chosen_metrics(tidy, metrics)
    for label in names:
        lines += metric_lines(tidy, base, label, chosen)
    columns = [column_of(tidy, label) for label in names]
    gaps_in_cases = lacking(tidy, chosen, columns)
    if not any(line.cells[0].n for line in lines):
        why = gaps_in_cases[0] if gaps_in_cases else "no other method of the run has a video of the same case and seed."
        raise NotComparable(f"{base}: {why} So nothing was compared.")
    id, title = f"versus-{id_of(base)}", f"{base} against the others"
    told = [*few_clips(tidy, chosen, columns, chosen), *gaps_in_cases, *skewed(tidy, columns, chosen, chosen, base)]
    notes = (*(() if labels else _left_out(tidy, chosen)), *told, *tidy.notes)
    return replace(view_of(tidy, id, title, COLUMNS, lines, notes, LEGEND), main=MAIN)


def _left_out(tidy: Tidy, chosen: Sequence[str]) -> list[str]:
    gone = [k for k in tidy.methods if k not in chosen and not is_ceiling(tidy, k)]
    return [f"left out: {', '.join(gone)}; presets of one method are not compared, --base names another one."] if gone else []


def chosen_metrics(tidy: Tidy, metrics: Sequence[str]) -> list[str]:
    named = [resolved(name, tidy.metrics) for name in metrics]
    for name in named:
        if name not in tidy.metrics:
            raise SpecError(f"--metrics {name}: the run has not scored it. It has: {', '.join(tidy.metrics)}.")
    return named or [k for k, m in tidy.metrics.items() if m.direction != "none"]


def metric_lines(tidy: Tidy, base: str, label: str, chosen: Sequence[str]) -> list[Line]:
    metric = tidy.metrics[label]
    head = label + {"up": " ↑", "down": " ↓"}.get(metric.direction, "")
    gaps, cases = apart(tidy, label, chosen), common(tidy, label, chosen)
    clips = cases.index.get_level_values("reference").to_numpy().astype(str)
    better: Better = "down" if metric.direction == "down" else "up"
    lines = []
    for other in (k for k in chosen if k != base):
        gap, expected = gaps.get((base, other)), int((tidy.of(label)["label"] == other).sum())
        if gap is None:
            cells = tuple(Cell(None, why="no pair", expected=expected) for _ in COLUMNS)
        else:
            a, b = (cases[name].to_numpy(float) for name in (base, other))
            d = paired_difference(a, b, clips, better, ties=0.5 * 10.0**-metric.decimals)
            means = (float(cluster_means(side, clips).mean()) for side in (a, b))
            alone = d.p, d.wilcoxon_p, d.effect, d.rank_biserial
            numbers = (gap.value, gap.p, d.wins, d.ties, d.losses, d.n, *means, *alone)
            found = [Cell(float(v) if math.isfinite(v) else None, n=d.n, expected=d.n, why="–") for v in numbers]
            if math.isfinite(gap.low):
                found[0] = Cell(gap.value, gap.low, gap.high, d.n, d.n)
            found[PAIRS] = Cell(float(d.n), n=d.n, expected=expected)
            cells = tuple(found)
        lines.append(Line(other, f"{base} - {other}", cells, head))
    return lines


def ratios(tidy: Tidy, base: str = "", metric: str = "time") -> View:
    """How many times the base's seconds every other method takes: paired geometric mean with interval.

    Presets as in ``versus``.
    """
    base = base_of(tidy, base)
    column = Column("ratio", f"{metric} over {base}'s", "×", "none", 3)
    lines = [
        Line(k, k, (ratio_cell(tidy, k, base, metric),))
        for k in first_presets(tidy, base)
        if k != base and not is_ceiling(tidy, k)
    ]
    return view_of(tidy, f"ratios-{id_of(base)}", f"Seconds relative to {base}", (column,), lines, legend=RATIOS)


def ranks(tidy: Tidy, metrics: Sequence[str] = (), labels: Sequence[str] = ()) -> View:
    """Mean rank of each method (or of ``labels``) over reference clips (1 is best, ties averaged), the places that it may hold,
    and Friedman's test. Without ``labels`` each method has its first preset."""
    columns, cells, notes = [], [], []
    rows = list(labels or first_presets(tidy))
    methods = [k for k in rows if not tidy.methods[k].control and not tidy.copies(k)]
    for label in chosen_metrics(tidy, metrics):
        better: Better = "down" if tidy.metrics[label].direction == "down" else "up"
        clips = by_clip(common(tidy, label, rows))
        there = [k for k in methods if k in clips]
        if len(there) < 2 or len(clips) < 2:
            continue
        ranking = mean_ranks(clips[there].to_numpy(float), better)
        by = dict(zip(there, ranking.ranks, strict=True))
        places = _places(apart(tidy, label, rows), there, better)
        columns += [Column(label, label, "rank", "down", 2), Column(f"{label}:place", "place", decimals=0)]
        n = len(clips)
        cells.append([Cell(float(by[m]), n=n, expected=n) if m in by else Cell(None, why="–") for m in methods])
        cells.append([places.get(m, Cell(None, why="–")) for m in methods])
        if not np.isnan(ranking.p):
            notes.append(f"{label}: Friedman p {ranking.p:.4f}.")
    lines = [Line(m, m, tuple(c[n] for c in cells)) for n, m in enumerate(methods)]
    lines.sort(key=lambda line: all(c.value is None for c in line.cells))  # who has no rank stands under those who have one
    legend = (
        "rank: mean over reference clips, 1 is best, ties averaged; place: by the mean [that it may hold: behind all that are "
        "surely better, before all that are surely worse, at 5 %, as ≈ in tables]; controls are left out"
    )
    return view_of(tidy, "ranks", "Mean ranks", columns, lines, (*notes, *tidy.notes), legend)


def _places(gaps: Mapping[tuple[str, str], Gap], methods: Sequence[str], better: Better) -> dict[str, Cell]:
    """Each method's place by its mean, with the places that cannot be excluded."""
    sign = -1 if better == "down" else 1
    found = {}
    for m in methods:
        others = [gap for k in methods if k != m and (gap := gaps.get((m, k)))]
        place = 1 + sum(sign * gap.value < 0 for gap in others)
        ahead, behind = (sum(gap.apart and side * sign * gap.value > 0 for gap in others) for side in (-1, 1))
        if others:
            found[m] = Cell(float(place), 1.0 + ahead, float(len(others) + 1 - behind))
    return found

"""``bench compare``: one method against every other, paired by case and seed, with tests that hold; and mean ranks.

The sign-flip permutation test and Wilcoxon's are scipy's, over reference clips; p-values are adjusted by Holm across the
methods of one metric. Failed and missing videos are left out on both sides and counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fastvmt.core.choices import one_of
from fastvmt.errors import NotComparable, SpecError
from fastvmt.plugins.metric_labels import resolved
from fastvmt.reports.statistics import Better, cluster_means, holm, mean_ranks, paired_difference
from fastvmt.reports.tables.run_table import first_presets
from fastvmt.reports.tables.view import Cell, Column, Line, View, id_of
from fastvmt.reports.tables.views import RATIOS, ratio_cell, view_of
from fastvmt.reports.tidy import Tidy

COLUMNS = (
    Column("pairs", "pairs", decimals=0), Column("base", "base", decimals=4), Column("other", "other", decimals=4),
    Column("difference", "base - other", decimals=4), Column("p", "p (sign flip)", decimals=4),
    Column("p_holm", "p (Holm)", decimals=4), Column("p_wilcoxon", "p (Wilcoxon)", decimals=4),
    Column("effect", "d_z", decimals=2), Column("rank_biserial", "rank-biserial", decimals=2),
    Column("wins", "base wins", decimals=0), Column("ties", "ties", decimals=0), Column("losses", "base loses", decimals=0),
)  # fmt: skip
DIFFERENCE, P, HOLM = (next(n for n, c in enumerate(COLUMNS) if c.key == k) for k in ("difference", "p", "p_holm"))
LEGEND = (
    "base - other: mean paired difference [95 % bootstrap interval over reference clips]; p: sign-flip permutation test over "
    "reference clips, two-sided; Holm: adjusted over the methods of one metric; d_z: mean over standard deviation of the "
    "differences; wins count videos, ties by printed precision"
)


def base_of(tidy: Tidy, label: str) -> str:
    """The base to compare with: the label given, else the first method that is no control.

    Raises:
        SpecError: when the run has no such label, naming the nearest ones.
    """
    if label:
        return one_of("--base", label, tidy.methods)
    return next((name for name, spec in tidy.methods.items() if not spec.control), next(iter(tidy.methods)))


def versus(tidy: Tidy, base: str = "", metrics: Sequence[str] = (), labels: Sequence[str] = ()) -> View:
    """The base against every other method (or ``labels``): difference, tests, effect, win/tie/loss; a group a metric.

    Without ``labels`` each method has one preset: the base's, and the first of every other method.

    Raises:
        SpecError: for an unknown base or metric.
        NotComparable: when nothing at all is paired.
    """
    base = base_of(tidy, base)
    chosen = list(labels) or first_presets(tidy, base)
    lines: list[Line] = []
    for label in _chosen(tidy, metrics):
        lines += _metric_lines(tidy, base, label, [k for k in chosen if k != base])
    if not any(line.cells[0].n for line in lines):
        raise NotComparable(f"{base}: no other method of the run has a video of the same case and seed; nothing was compared.")
    id, title = f"versus-{id_of(base)}", f"{base} against the others"
    notes = (*(() if labels else _left_out(tidy, chosen)), *tidy.notes)
    return view_of(tidy, id, title, COLUMNS, lines, notes, LEGEND)


def _left_out(tidy: Tidy, chosen: Sequence[str]) -> list[str]:
    gone = [k for k in tidy.methods if k not in chosen]
    return [f"left out: {', '.join(gone)}; presets of one method are not compared, --base names another one."] if gone else []


def _chosen(tidy: Tidy, metrics: Sequence[str]) -> list[str]:
    named = [resolved(name, tidy.metrics) for name in metrics]
    for name in named:
        if name not in tidy.metrics:
            raise SpecError(f"--metrics {name}: the run has not scored it. It has: {', '.join(tidy.metrics)}.")
    return named or [k for k, m in tidy.metrics.items() if m.direction != "none"]


def _metric_lines(tidy: Tidy, base: str, label: str, others: Sequence[str]) -> list[Line]:
    metric, wide = tidy.metrics[label], tidy.wide(label)
    better: Better = "down" if metric.direction == "down" else "up"
    head = label + {"up": " ↑", "down": " ↓"}.get(metric.direction, "")
    found: list[tuple[str, list[Cell]]] = []
    for other in others:
        pairs = wide.reindex(columns=[base, other]).dropna()
        expected = int((tidy.of(label)["label"] == other).sum())
        if not len(pairs):
            found.append((other, [Cell(None, why="no pair", expected=expected) for _ in COLUMNS]))
            continue
        clips = pairs.index.get_level_values("reference").to_numpy().astype(str)
        a, b = (pairs[name].to_numpy(float) for name in (base, other))
        d = paired_difference(a, b, clips, better, ties=0.5 * 10.0**-metric.decimals)
        means = (cluster_means(side, clips).mean() for side in (a, b))
        tests = d.value, d.p, 0.0, d.wilcoxon_p, d.effect, d.rank_biserial
        numbers = (d.n, *means, *tests, d.wins, d.ties, d.losses)
        cells = [Cell(v if math.isfinite(v) else None, n=d.n, expected=d.n, why="–") for v in map(float, numbers)]
        cells[0] = Cell(float(d.n), n=d.n, expected=expected)
        if math.isfinite(d.low):
            cells[DIFFERENCE] = Cell(d.value, d.low, d.high, d.n, d.n)
        found.append((other, cells))
    tested = [cells for _, cells in found if cells[P].value is not None]
    for cells, p in zip(tested, holm([float(c[P].value or 0.0) for c in tested]) if tested else [], strict=True):
        cells[HOLM] = Cell(p, n=cells[P].n, expected=cells[P].n)
    return [Line(other, other, tuple(cells), head) for other, cells in found]


def ratios(tidy: Tidy, base: str = "", metric: str = "time") -> View:
    """How many times the base's seconds every other method takes: paired geometric mean with interval.

    Presets as in ``versus``.
    """
    base = base_of(tidy, base)
    column = Column("ratio", f"{metric} over {base}'s", "×", "none", 3)
    lines = [Line(k, k, (ratio_cell(tidy, k, base, metric),)) for k in first_presets(tidy, base) if k != base]
    return view_of(tidy, f"ratios-{id_of(base)}", f"Seconds relative to {base}", (column,), lines, legend=RATIOS)


def ranks(tidy: Tidy, metrics: Sequence[str] = (), labels: Sequence[str] = ()) -> View:
    """Mean rank of each method (or of ``labels``) over reference clips (1 is best, ties averaged), with Friedman's test and
    Nemenyi's distance. Without ``labels`` each method has its first preset."""
    columns, cells, notes = [], [], []
    methods = [k for k in labels or first_presets(tidy) if not tidy.methods[k].control]
    for label in _chosen(tidy, metrics):
        metric, wide = tidy.metrics[label], tidy.wide(label)
        there = [m for m in methods if m in wide.columns and wide[m].notna().any()]
        clips = wide[there].dropna().groupby(level="reference", sort=False, observed=True).mean()
        if len(there) < 2 or len(clips) < 2:
            continue
        ranking = mean_ranks(clips.to_numpy(float), "down" if metric.direction == "down" else "up")
        by = dict(zip(there, ranking.ranks, strict=True))
        columns.append(Column(label, label, "rank", "down", 2))
        n = len(clips)
        cells.append([Cell(float(by[m]), n=n, expected=n) if m in by else Cell(None, why="–") for m in methods])
        p = "" if np.isnan(ranking.p) else f" Friedman p {ranking.p:.4f},"
        notes.append(f"{label}:{p} ranks further apart than {ranking.critical_difference:.2f} differ at 5 % (Nemenyi).")
    lines = [Line(m, m, tuple(c[n] for c in cells)) for n, m in enumerate(methods)]
    lines.sort(key=lambda line: all(c.value is None for c in line.cells))  # who has no rank stands under those who have one
    legend = "mean rank over reference clips, 1 is best, ties averaged; controls are left out"
    return view_of(tidy, "ranks", "Mean ranks", columns, lines, (*notes, *tidy.notes), legend)

"""How well each metric's order agrees with the known one, as tables; the first opens with who agrees best."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fastvmt.datasets.drawn.degraded import RIGHT
from fastvmt.plugins.metric_labels import name_of
from fastvmt.reports.meta.ratings import Ratings, in_order
from fastvmt.reports.statistics import fewest_clips, gaps, mean_interval
from fastvmt.reports.statistics.correlation import rho, somers_d, tau_b
from fastvmt.reports.statistics.intervals import FEWEST, resampler, tail
from fastvmt.reports.statistics.paired import Floats
from fastvmt.reports.tables.view import INTERVALS, Cell, Column, Line, View, marked

RESAMPLES = 2000
LEGEND = (
    f"{INTERVALS}; tau, rho: Kendall's tau-b and Spearman's rho with the known motion inside each clip, over all {{rated}}: 1 "
    "for the same order, 0 for chance; over {rated}: tau of their means over clips; defined: share of numbers that are there; "
    "a missing one decides nothing; bold: best, underlined: second; ≈: cannot be told from the best (5 %, all rows tested "
    "together)"
)
BLIND = (
    "Somers' D over the right clip and those of one kind: of the pairs whose motion differs, those in the right order less "
    "those in the wrong one; 1: all are told apart, 0: the metric does not see it"
)


def as_views(found: Ratings, title: str, setting: str, names: Mapping[str, str] = {}, digest: str = "") -> tuple[View, ...]:
    """Agreement by metric, the best first; and for degradations which kinds each metric sees.

    Args:
        names: what a reader calls metrics, by label or id.
    """
    inside = {label: tau_b(values, found.truth) for label, values in found.scores.items()}
    order = sorted(inside, key=lambda label: -float(np.nanmean(inside[label])))
    heads = {label: _head(found, label, names) for label in order}
    tied, sentence = _told(inside, order, heads)
    rated = "methods" if not any(found.kinds) else "degraded clips"
    categories = in_order(found.categories)
    columns = [
        Column("tracker", "tracker"), Column("tau", "tau", direction="up"), Column("rho", "rho"),
        Column("over", f"over {rated}"),
        *(Column(c, c.replace("_", " "), decimals=2) for c in categories),
        Column("clips", "clips", decimals=0), Column("defined", "defined", decimals=2),
        *([Column("seconds", "a clip", "s", decimals=2)] if found.seconds else []),
    ]  # fmt: skip
    lines = []
    for label in order:
        within, values = inside[label], found.scores[label]
        by = [_mean(within[np.array(found.categories) == c], ends=False) for c in categories]
        known = np.isfinite(found.truth)
        cells = [
            Cell(None, why=_tracker(found, label) or "–"), replace(_mean(within), tied=label in tied),
            _mean(rho(values, found.truth)), _over(values, found.truth), *by, Cell(float(np.isfinite(within).sum())),
            Cell(float(np.isfinite(values[known]).mean())),
            *([Cell(found.seconds[label])] if found.seconds else []),
        ]  # fmt: skip
        lines.append(Line(label, heads[label][0], tuple(cells)))
    silent = [] if np.isfinite(inside[order[0]]).sum() >= fewest_clips() else ["tau"]
    failed = [f"{k}: no number {n} times, the first: {why}" for k, (why, n) in found.failed.items()]
    first = View("meta", title, setting, tuple(columns), marked(columns, lines, silent), (*failed, *found.notes), digest,
                 legend=LEGEND.format(rated=rated), verdict=(sentence,))  # fmt: skip
    return (first, _kinds(found, order, heads)) if any(found.kinds) else (first,)


def _kinds(found: Ratings, order: list[str], heads: Mapping[str, tuple[str, str]]) -> View:
    kinds = [kind for kind in dict.fromkeys(found.kinds) if kind != RIGHT]
    lines = []
    for label in order:
        cells = [Cell(None, why=heads[label][1] or "–")]
        for kind in kinds:
            some = np.isin(found.kinds, (RIGHT, kind))
            cells.append(_mean(somers_d(found.scores[label][:, some], found.truth[:, some]), ends=False))
        lines.append(Line(label, heads[label][0], tuple(cells)))
    columns = (Column("tracker", "tracker"), *(Column(kind, kind, decimals=2) for kind in kinds))
    return View("meta-kinds", "What each metric sees", "", columns, tuple(lines), legend=BLIND)


def _mean(values: Floats, ends: bool = True) -> Cell:
    """Mean over the clips that have a value."""
    there = values[np.isfinite(values)]
    if not len(there):
        return Cell(None, why="–")
    found = mean_interval(there)
    low, high = (found.low, found.high) if ends else (None, None)
    return Cell(round(found.value, 9) + 0.0, low, high, found.n, found.n)  # and no -0.0


def _over(values: Floats, truth: Floats) -> Cell:
    """Tau of means over clips, of the versions that every clip has, with its bootstrap interval over clips."""
    whole = np.isfinite(truth).all(axis=0)
    clips = np.flatnonzero(np.isfinite(values[:, whole]).all(axis=1))
    expected, values, truth = len(values), values[clips][:, whole], truth[clips][:, whole]
    if not values.size:
        return Cell(None, why="undefined")
    value = float(tau_b(*(side.mean(0, keepdims=True).round(9) for side in (values, truth)))[0])
    if len(values) < FEWEST:
        return Cell(value, n=len(values), expected=expected)
    weights = resampler(len(values), resamples=RESAMPLES).astype(np.float64)
    drawn, share = tau_b((weights @ values).round(9), (weights @ truth).round(9)), tail(len(values))  # equal sums stay equal
    low, high = np.nanquantile(drawn, [share, 1 - share])
    return Cell(value, min(float(low), value), max(float(high), value), len(values), expected)


def _told(inside: Mapping[str, Floats], order: list[str], heads: Mapping[str, tuple[str, str]]) -> tuple[set[str], str]:
    """Labels that cannot be told from the best, and the sentence on it and the next."""
    table = np.stack([inside[label] for label in order], 1)
    table = table[np.isfinite(table).all(axis=1)]
    clips, best = len(table), order[0]

    def said(label: str) -> str:
        head, tracker = heads[label]
        return f"{head} by {tracker}" if tracker else head

    first = f"{said(best)} agrees best with the known motion (tau {table[:, 0].mean():.2f} over {clips} clips)"
    if len(order) == 1:
        return set(), f"{first}; nothing else was judged."
    second = f"{said(order[1])} ({table[:, 1].mean():.2f})"
    if clips < fewest_clips():
        return set(), f"{first}; {clips} are too few to tell it from {second}, which takes {fewest_clips()}."
    found = gaps(table)
    tied = {order[b] for (a, b), gap in found.items() if a == 0 and not gap.apart}
    more = f", nor can {len(tied) - 1} more" if len(tied) > 1 else ""
    if order[1] in tied:
        return tied, f"{first}; {second} cannot be told from it{more}."
    return tied, f"{first}; the next, {second}, can be told from it."


def _tracker(found: Ratings, label: str) -> str:
    named = re.search(r":tracker=([^:]+)", label)
    return named[1] if named else str(getattr(found.metrics[label].params, "tracker", ""))


def _head(found: Ratings, label: str, names: Mapping[str, str]) -> tuple[str, str]:
    """A metric without its tracker, and the tracker."""
    plain = re.sub(r":tracker=[^:]+", "", label)
    return names.get(label, names.get(name_of(label), plain)), _tracker(found, label)

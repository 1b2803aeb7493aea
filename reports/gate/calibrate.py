"""How often the gate cries wolf: its false alarms between two sides that are the same (A/A), on the noise of real data.

Where a run and its baseline are the same method, the sign of every clip's difference is a coin toss. Each round tosses anew,
forms the intervals as the gate does, and asks the gate's own rule. Identical videos have no noise to toss; then the seeds of
the run are compared with each other, one half against the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvmt.reports.gate.baseline import Measured
from fastvmt.reports.gate.check import check
from fastvmt.reports.gate.tolerances import Tolerances
from fastvmt.reports.gate.verdicts import Gains, Judgement, beyond
from fastvmt.reports.statistics import Interval, cluster_means, false_alarm_rate, share_of

Floats = NDArray[np.float64]
ROUNDS = 1000
PROMISED = 0.05
"""False alarms of the gate as a whole; each verdict may give its equal share of them."""


@dataclass(frozen=True)
class FalseAlarms:
    """Of one verdict: share of alarms with Wilson's interval, and the smallest tolerance that keeps it within its share.

    Attributes:
        source: ``run against baseline`` or ``seeds of the run``.
        relative: tolerances are shares of the baseline's value (of a ratio), else in the metric's unit.
    """

    metric: str
    method: str
    source: str
    clips: int
    tolerance: float
    rate: Interval
    holds: float
    relative: bool


@dataclass(frozen=True)
class Calibration:
    """``whole``: share of rounds in which any verdict was an alarm."""

    rates: tuple[FalseAlarms, ...]
    whole: Interval


def calibrate(run: Measured, base: Measured | None, tolerances: Tolerances, rounds: int = ROUNDS) -> Calibration | None:
    """A rate for every verdict against the baseline that has noise to judge by; None where there is none."""
    noisy = _noisy(run, base, tolerances)
    if not noisy:
        return None
    whole, margins = alarms([gains for _, _, gains in noisy], rounds)
    rates = []
    for (source, row, gains), margin in zip(noisy, margins.T, strict=True):
        allowed, holds = (
            _share(t, row) if gains.log else t for t in (gains.tolerance, _smallest(margin, PROMISED / len(noisy)))
        )
        rate = share_of(int((margin > gains.tolerance).sum()), len(margin))
        rates.append(FalseAlarms(row.metric, row.method, source, row.clips, allowed, rate, holds, gains.log))
    return Calibration(tuple(rates), whole)


def _noisy(run: Measured, base: Measured | None, tolerances: Tolerances) -> list[tuple[str, Judgement, Gains]]:
    """Verdicts over two clips or more whose gains are not all zero, once each: from the baseline where it has some."""
    sources: dict[str, Sequence[Judgement]] = {}
    if base is not None:
        sources["run against baseline"] = check(run, base, tolerances).rows
    if halves := _halves(run):
        sources["seeds of the run"] = check(*halves, tolerances).rows
    found: dict[tuple[str, str], tuple[str, Judgement, Gains]] = {}
    for source, rows in sources.items():
        for row in rows:
            if row.gains and row.gains.floor is None and any(row.gains.values) and row.clips > 1:
                found.setdefault((row.metric, row.method), (source, row, row.gains))
    return list(found.values())


def alarms(gains: Sequence[Gains], rounds: int = ROUNDS, strict: bool = False) -> tuple[Interval, Floats]:
    """Tosses the signs of clips' gains: how often any of the rules fires, and each one's margins, (rounds, rules).

    A rule fires where its margin exceeds its tolerance, ``strict`` also where it is too noisy to tell. A clip has one toss for
    all, so that rules stay as related as they are.
    """
    clips = sorted({c for g in gains for c in g.clips})
    table = np.full((len(clips), len(gains)), np.nan)
    for column, g in enumerate(gains):
        # ``cluster_means`` sorts the clips by name, as here.
        table[[n for n, c in enumerate(clips) if c in g.clips], column] = cluster_means(g.values, g.clips)
    margins: list[Floats] = []

    def rule(low: Floats, high: Floats, tolerance: Any) -> Any:
        end = low if strict else high
        margins.append(-end)
        return beyond(low, end, tolerance)

    whole = false_alarm_rate(table, rule, [g.tolerance for g in gains], rounds)
    return whole, np.concatenate(margins)


def _smallest(margin: Floats, share: float) -> float:
    """The smallest tolerance that at most this share of the margins exceeds."""
    return max(0.0, float(np.sort(margin)[math.ceil((1 - share) * len(margin)) - 1]))


def _share(tolerance: float, row: Judgement) -> float:
    """A tolerance of logarithms as the share a user writes: of a slower time, or of a smaller speed-up."""
    return -math.expm1(-tolerance) if row.metric.startswith("speed-up") else math.expm1(tolerance)


def _halves(run: Measured) -> tuple[Measured, Measured] | None:
    """The run's seeds as two runs of half as many, numbered alike so that they pair up."""
    seeds = sorted({v.seed for v in run.videos})
    half = len(seeds) // 2
    if not half:
        return None
    parts = []
    for chosen in (seeds[:half], seeds[half : 2 * half]):
        number = {seed: n for n, seed in enumerate(chosen)}
        videos = tuple(v.model_copy(update={"seed": number[v.seed]}) for v in run.videos if v.seed in number)
        parts.append(run.model_copy(update={"videos": videos}))
    return parts[0], parts[1]


def as_lines(found: Calibration) -> list[str]:
    """One line for each verdict, and one for the gate as a whole."""
    lines = []
    for r in found.rates:
        unit = " %" if r.relative else ""
        allowed, holds = (f"{100 * v:.1f}" if r.relative else f"{v:.4g}" for v in (r.tolerance, r.holds))
        lines.append(
            f"{r.metric}, {r.method}: {_percent(r.rate)} false alarms at tolerance {allowed}{unit} over {r.clips} clips; "
            f"its share allows {holds}{unit} or more ({r.source})"
        )
    whole = f"the gate as a whole: {_percent(found.whole)} false alarms in {found.whole.n} rounds"
    each = f"{100 * PROMISED / len(found.rates):.2g} % for each of {len(found.rates)}"
    return [*lines, f"{whole}; the tolerances named keep it under {100 * PROMISED:.0f} % ({each})"]


def _percent(rate: Interval) -> str:
    return f"{100 * rate.value:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"

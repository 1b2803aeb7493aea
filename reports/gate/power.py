"""What the gate could have found: the smallest drop of every gated number that it finds 9 times of 10, and its false alarms.

Both follow from the spread over clips of the paired numbers at hand. The rule fires where the interval's upper end (with
``--strict`` its lower one) lies beyond the tolerance; how far beyond the tolerance a drop must be is found by the gate's own
intervals on clips that are drawn anew. Where chance has no part in a number, whatever is beyond the tolerance is found, and
nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from fastvmt.reports.gate.calibrate import ROUNDS, alarms
from fastvmt.reports.gate.verdicts import Gains, GateResult, Judgement
from fastvmt.reports.statistics import Interval, cluster_means, mean_intervals, share_of
from fastvmt.reports.statistics.intervals import FEWEST

FOUND = 0.9
"""Share of runs in which the smallest drop is found."""
DRAWS, MANY = 300, 64
"""Runs drawn anew, and clips beyond which more of them change nothing."""


@dataclass(frozen=True)
class Power:
    """Of one gated number.

    Attributes:
        drop: the smallest that is found 9 times of 10, in the metric's unit or, ``relative``, as a share by which time (memory,
            energy, a ratio of times) grows; 0 where any drop is found, infinite where none can be.
        allowed: what may be lost before anything is worse, on the same scale; of a floor, how far above it the run stands.
        alarms: share of rounds in which the check fires although nothing has changed (A/A).
    """

    metric: str
    method: str
    clips: int
    relative: bool
    exact: bool
    allowed: float
    drop: float
    alarms: Interval


def drop_of(row: Judgement, strict: bool = False) -> float | None:
    """The smallest drop that this check finds 9 times of 10 (with ``strict`` by any verdict that fails); None of what has no
    number."""
    if row.gains is None:
        return None
    error = _error(row.gains)
    return _readable(max(0.0, _room(row.gains) + (error * _reach(min(row.clips, MANY), strict) if error else 0.0)), row.gains)


def powers(outcome: GateResult, strict: bool = False, rounds: int = ROUNDS) -> tuple[list[Power], Interval]:
    """Every check that has a number, and the false alarms of the gate as a whole."""
    rows = [(r, r.gains) for r in outcome.rows if r.gains is not None]
    noisy = [_quiet(g) for _, g in rows if _error(g) and math.isfinite(_error(g))]
    whole, margins = alarms(noisy, rounds, strict) if noisy else (share_of(0, rounds), np.zeros((rounds, 0)))
    fired = iter([int((m > g.tolerance).sum()) for m, g in zip(margins.T, noisy, strict=True)])
    found = []
    for row, gains in rows:
        error = _error(gains)
        count = next(fired) if error and math.isfinite(error) else rounds if strict and error else 0
        found.append(
            Power(
                row.metric, row.method, row.clips, gains.log, gains.exact, _readable(_room(gains), gains),
                drop_of(row, strict) or 0.0, share_of(count, rounds),
            )
        )  # fmt: skip
    always = any(p.alarms.value == 1 for p in found)
    return found, share_of(rounds, rounds) if always else whole


def _room(gains: Gains) -> float:
    """How far the mean may fall before it is beyond what is allowed."""
    return gains.tolerance if gains.floor is None else max(0.0, float(_means(gains).mean()) - gains.floor)


def _means(gains: Gains) -> Any:
    return cluster_means(gains.values, gains.clips)


def _error(gains: Gains) -> float:
    """Standard error of the mean; 0 where chance has no part in it, infinite with too few clips for an interval."""
    means = _means(gains)
    if gains.exact:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # numbers of any size
        return float(np.nan_to_num(means.std(ddof=1) / len(means) ** 0.5, nan=math.inf)) if len(means) >= FEWEST else math.inf


def _quiet(gains: Gains) -> Gains:
    """The same noise about no change: a value for each clip, as spread as theirs."""
    means = _means(gains)
    even = (means - means.mean()) * (len(means) / (len(means) - 1)) ** 0.5
    return replace(gains, values=tuple(even), clips=tuple(sorted(set(gains.clips))), tolerance=_room(gains), floor=None)


@lru_cache(maxsize=256)
def _reach(clips: int, strict: bool) -> float:
    """Simulated: standard errors beyond the tolerance at which a drop is found ``FOUND`` of the time; negative before it."""
    if clips < FEWEST:
        return -math.inf if strict else math.inf
    drawn = np.random.default_rng([clips, 3]).normal(0, 1, (clips, DRAWS))
    ends = [i.low if strict else i.high for i in mean_intervals(drawn)]
    return float(np.quantile(ends, FOUND)) * clips**0.5


def _readable(amount: float, gains: Gains) -> float:
    return math.expm1(min(amount, 700.0)) if gains.log else amount


def said(power: float, gains_log: bool, decimals: int = 3) -> str:
    """A drop in words: ``any``, ``none``, ``12 %`` or ``0.020``."""
    if not power or not math.isfinite(power):
        return "any" if not power else "none"
    return f"{100 * power:.0f} %" if gains_log else f"{power:.{decimals}g}"


def as_lines(found: Sequence[Power], whole: Interval, strict: bool) -> list[str]:
    """A small table: a line for each check, and one for the gate as a whole."""
    head = ("check", "clips", "may lose", "finds", "false alarms")
    rows = [
        (f"{p.metric}, {p.method}", str(p.clips), *(said(v, p.relative) for v in (p.allowed, p.drop)), _percent(p.alarms))
        for p in found
    ]
    rows = [(n, c, "nothing" if a == "any" else a, d, f) for n, c, a, d, f in rows]
    wide = [max(len(r[n]) for r in (head, *rows)) for n in range(5)]
    lines = [f"{r[0]:<{wide[0]}}" + "".join(f"  {v:>{w}}" for v, w in zip(r[1:], wide[1:], strict=True)) for r in (head, *rows)]
    how = "worse or unclear (--strict)" if strict else "worse"
    return [
        f"finds: the smallest drop (or growth of a time) that ends {how} in {FOUND:.0%} of runs", *lines,
        f"the gate as a whole: {_percent(whole)} false alarms, where nothing has changed",
    ]  # fmt: skip


def _percent(rate: Interval) -> str:
    return f"{100 * rate.value:.1f} %"

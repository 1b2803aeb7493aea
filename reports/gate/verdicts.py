"""Verdicts of the gate and the rule behind them: the 95 % interval of mean gains over reference clips.

Every comparison is reduced to *gains* (a positive one is better): differences of scores, or logarithms of ratios where the
tolerance is a share of a time. Gains are paired by case and seed; a verdict is read off the interval of their mean, or off
the mean itself where nothing but the change that is judged can have moved it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fastvmt.reports.gate.baseline import MetricFacts, named
from fastvmt.reports.statistics import Interval, mean_interval

Verdict = Literal["worse", "better", "same", "unclear", "identical", "not compared"]
VERDICTS: tuple[Verdict, ...] = ("worse", "unclear", "not compared", "better", "same", "identical")
"""What a reader looks for first comes first."""
VIDEOS = "videos"
UNCLEAR = "too noisy to tell"


@dataclass(frozen=True)
class Gains:
    """Paired gains with the clip of each. ``tolerance`` is on their scale; ``log``: they are logarithms of ratios."""

    values: tuple[float, ...]
    clips: tuple[str, ...]
    tolerance: float
    log: bool = False
    floor: float | None = None
    """What the mean must reach instead, for checks inside one run."""
    exact: bool = False
    """Chance has no part in them: their mean decides, whatever its interval."""


@dataclass(frozen=True)
class Judgement:
    """One verdict. ``value``, ``low`` and ``high`` are of run minus baseline (or of the ratio) as a reader knows them."""

    metric: str
    method: str
    verdict: Verdict
    sentence: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    clips: int = 0
    gains: Gains | None = field(default=None, repr=False, compare=False)
    unmet: bool = False
    """Not compared although it was asked for; red with ``--strict``."""
    missing: bool = False
    """The run lacks something that the baseline has, or that a floor is about; red always."""

    def red(self, strict: bool) -> bool:
        """Whether it could not be made, and that must not pass."""
        return self.missing or (strict and self.unmet)


@dataclass(frozen=True)
class GateResult:
    title: str
    rows: tuple[Judgement, ...]
    notes: tuple[str, ...] = ()
    refused: str = ""
    """Why nothing could be compared with the baseline that was given, or ""."""
    run_says: tuple[str, ...] = ()
    """The run's own verdict (``reports.tables.verdict``), beside the gate's on its change."""

    def of(self, verdict: Verdict) -> list[Judgement]:
        return [r for r in self.rows if r.verdict == verdict]

    def exit_code(self, strict: bool = False) -> int:
        """1 worse, 4 what ``could_not`` says, 0 else; with ``strict`` 1 also for what is unclear."""
        if self.of("worse"):
            return 1
        if not self.nothing and strict and self.of("unclear"):
            return 1
        return 4 if self.could_not(strict) else 0

    def could_not(self, strict: bool = False) -> str:
        """Why the gate ends with 4, or "": a baseline of another run, nothing compared, something missing, with ``strict``
        less than asked."""
        if self.nothing:
            return self.refused or "nothing was compared"
        unmet = [f"{r.metric}, {r.method}" if r.method else r.metric for r in self.rows if r.red(strict)]
        if not unmet:
            return ""
        many = "1 check that was" if len(unmet) == 1 else f"{len(unmet)} checks that were"
        return f"{many} asked for could not be made: {named(unmet)}"

    @property
    def nothing(self) -> bool:
        return bool(self.refused) or all(r.verdict == "not compared" for r in self.rows)

    def ending(self, strict: bool = False) -> str:
        """How it ended in a word or two, and how often each verdict was given."""
        counts = ", ".join(f"{n} {v}" for v in VERDICTS if (n := len(self.of(v))))
        left = "could not compare" if self.nothing else "could not make every check"
        unclear = UNCLEAR if self.of("unclear") else "not worse"
        ends = {0: unclear, 1: "worse" if self.of("worse") else UNCLEAR, 4: left}
        return f"{ends[self.exit_code(strict)]} ({counts or 'no check applies'})"


def beyond(low: NDArray[np.float64], high: NDArray[np.float64], tolerance: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The rule of the gate, on gains: worse where the whole interval lies under minus the tolerance."""
    return high < -tolerance


def decide(low: float, high: float, tolerance: float) -> Verdict:
    """The verdict on gains whose mean has this interval.

    >>> [decide(*ends, 0.1) for ends in ((-0.5, -0.2), (-0.3, 0.2), (-0.05, 0.05), (-0.05, 0.3), (0.02, 0.3))]
    ['worse', 'unclear', 'same', 'same', 'better']
    """
    if math.isnan(low) or math.isnan(high):
        return "unclear"
    if beyond(np.array(low), np.array(high), np.array(tolerance)):
        return "worse"
    if low < -tolerance:
        return "unclear"
    return "better" if low > 0 and high > tolerance else "same"


def judged(metric: str, label: str, gains: Gains, means: str, facts: MetricFacts, missing: str) -> Judgement:
    """The verdict on gains, and the sentence that says it."""
    found = mean_interval(gains.values, gains.clips)
    verdict, why = _decided(found, gains.tolerance, gains.exact)
    ends = sorted((facts.sign * found.low, facts.sign * found.high))
    value, low, high = (_power(v) if gains.log else v for v in (facts.sign * found.value, *ends))
    places = 3 if gains.log else facts.decimals + 1
    sentence = f"{means}, {'ratio' if gains.log else 'difference'} {_interval(value, low, high, places, not gains.log)}"
    allowed = _power(-facts.sign * gains.tolerance) if gains.log else -facts.sign * gains.tolerance
    sentence += f", allowed to {allowed:.{places}f}" if gains.log else f", allowed to {allowed:+.{places}f}"
    return _row(metric, label, verdict, sentence + why + missing, (value, low, high), gains)


def counted(
    metric: str, label: str, gains: Gains, names: list[str], means: str, facts: MetricFacts, missing: str
) -> Judgement:  # fmt: skip
    """The verdict on counts of work, which are the same on every machine: worse where one pair alone lost."""
    lost = [name for name, gain in zip(names, gains.values, strict=True) if gain < -gains.tolerance - 1e-9]
    value = facts.sign * mean_interval(gains.values, gains.clips).value
    word = "more" if facts.sign < 0 else "fewer"
    which = f"{word} on {len(lost)} of {len(names)}: {named(lost)}" if lost else f"{word} on none"
    verdict: Verdict = "worse" if lost else "better" if max(gains.values) > 1e-9 else "same"
    return _row(metric, label, verdict, f"{means}, {which}{missing}", (value, math.nan, math.nan), replace(gains, exact=True))


def _decided(found: Interval, tolerance: float, exact: bool, floor: float = 0.0) -> tuple[Verdict, str]:
    """The verdict, and what is to be said where it is not the interval's."""
    value, low, high = (v - floor for v in (found.value, found.low, found.high))
    verdict = decide(low, high, tolerance)
    short = value + tolerance < -1e-9 * max(tolerance, abs(floor)) - 1e-12  # by more than sums are rounded
    return ("worse", ", and no chance is in it") if exact and short and verdict != "worse" else (verdict, "")


def _power(value: float) -> float:
    return math.exp(min(value, 700.0))  # beyond it there is no float


def _interval(value: float, low: float, high: float, places: int, signed: bool) -> str:
    plus = "+" if signed else ""
    text = f"{value:{plus}.{places}f}"
    return text if math.isnan(low) else f"{text} [{low:{plus}.{places}f}, {high:{plus}.{places}f}]"


def _row(metric: str, label: str, verdict: Verdict, sentence: str, ends: tuple[float, float, float], gains: Gains) -> Judgement:
    clips, n = len(set(gains.clips)), len(gains.values)
    why = "; one reference clip has no interval" if clips == 1 else ""
    over = f" over {n} pair{'s' if n > 1 else ''} of {clips} clip{'s' if clips > 1 else ''}"
    value, low, high = (None if math.isnan(v) else v for v in ends)
    return Judgement(metric, label, verdict, sentence + over + why, value, low, high, n, clips, gains)


def floored(name: str, label: str, gains: Gains, sentence: str, places: int) -> Judgement:
    """Worse where the whole interval lies under the floor, unclear where it lies inside."""
    found = mean_interval(gains.values, gains.clips)
    verdict, why = _decided(found, 0.0, gains.exact, gains.floor or 0.0)
    verdict = "same" if verdict == "better" else verdict
    value, low, high = (_power(v) if gains.log else v for v in (found.value, found.low, found.high))
    said = sentence.format(_interval(value, low, high, places, False)) + why
    return _row(name, label, verdict, said, (value, low, high), gains)

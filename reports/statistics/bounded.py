"""Intervals of means that cannot leave a range: shares, and bounded scores of which none differs.

A bootstrap sees only what was drawn: of eight clips that all move it makes a share of 1 with no room for doubt. Here a share
has the interval of Clopper and Pearson, and equal scores have the room that clips not drawn could take.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastvmt.reports.statistics.paired import Floats

LEVEL = 0.95
EQUAL = 1e-9
"""Of a range; numbers nearer to each other are the same but for rounding."""


@dataclass(frozen=True)
class Scale:
    """What the numbers of a metric can be.

    Attributes:
        low, high: the ends of its range, finite.
        share: each number is 0 or 1, and their mean a share.
    """

    low: float
    high: float
    share: bool = False

    def holds(self, values: Floats) -> bool:
        """Whether the numbers lie in the range, as they should."""
        room = EQUAL * (self.high - self.low)
        return bool(len(values) and values.min() >= self.low - room and values.max() <= self.high + room)

    def constant(self, values: Floats) -> bool:
        """Whether the numbers are equal but for rounding."""
        return bool(np.ptp(values) <= EQUAL * (self.high - self.low))


def unseen(clips: int, level: float = LEVEL) -> float:
    """The largest share that none of so many clips may have shown: 0.37 of 8 at 95 % (Clopper and Pearson 1934)."""
    return float(1 - ((1 - level) / 2) ** (1 / clips))


def room(value: float, low: float, high: float, clips: int, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a mean of equal numbers: as many clips as may be unseen could lie at either end of the range."""
    share = unseen(clips, level)
    return value - share * max(0.0, value - low), value + share * max(0.0, high - value)


def share_ends(means: Floats, values: int) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share from the means of clips (clips,), with as many draws as they are worth.

    Videos of one clip resemble each other. So the draws counted are those that would give the variance seen between clips,
    never fewer than clips and never more than ``values`` (Korn and Graubard 1998, "Confidence intervals for proportions with
    small expected number of positive counts estimated from survey data").
    """
    from scipy.special import betaincinv, stdtrit

    clips, share = len(means), float(means.mean())
    draws, between = float(clips), float(means.var(ddof=1)) / clips if clips > 1 else 0.0
    if between > 0 and values > clips:
        few = stdtrit(values - 1, (1 + LEVEL) / 2) / stdtrit(clips - 1, (1 + LEVEL) / 2)
        draws = float(np.clip(share * (1 - share) / between * few**2, clips, values))
    seen, tail = share * draws, (1 - LEVEL) / 2
    low = float(betaincinv(seen, draws - seen + 1, tail)) if share > 0 else 0.0
    high = float(betaincinv(seen + 1, draws - seen, 1 - tail)) if share < 1 else 1.0
    return min(low, share), max(high, share)

"""All pairs of methods of one column, tested together: one family, one correction, one interval that says the same as p.

The unit is the reference clip. Under the hypothesis that nothing differs, the sign of a clip's differences is a coin toss; one
toss turns all pairs of a clip at once, so that pairs stay as related as they are. The largest studentised difference over all
pairs and tosses (max-T, Westfall and Young 1993) gives p-values and intervals that hold for the whole family: among equal
methods one column in twenty shows a false difference, however many methods stand in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastvmt.reports.statistics.bounded import LEVEL, Scale, room
from fastvmt.reports.statistics.paired import BATCH, EXACT_CLUSTERS, RESAMPLES, Floats, coins

ALPHA = 0.05
KEPT = 80_000_000


@dataclass(frozen=True)
class Gap:
    """How a differs from b: mean over clips of a - b, its simultaneous interval, and its p adjusted for the whole family.

    ``low <= 0 <= high`` exactly where ``p >= 0.05``. With too few clips for any verdict the ends are infinite.
    """

    value: float
    low: float
    high: float
    p: float

    @property
    def apart(self) -> bool:
        """Whether the two can be told apart."""
        return self.p < ALPHA


def smallest_p(clips: int) -> float:
    """The smallest p that a two-sided sign-flip test of so many clips can have: 2 / 2^n."""
    return min(1.0, 2.0 ** (1 - clips))


def fewest_clips() -> int:
    """Clips below which no difference, however large, can be told from chance (6 at 5 %)."""
    return next(n for n in range(1, 64) if smallest_p(n) < ALPHA)


def gaps(table: ArrayLike, seed: int = 0, scale: Scale | None = None) -> dict[tuple[int, int], Gap]:
    """Every ordered pair of columns of (clips, methods), without gaps in the table, tested as one family.

    Args:
        scale: what the numbers can be, where they are bounded. Equal differences of shares, and of columns without any
            spread, then have the room that clips not drawn leave; two methods that agree to the last digit on clips that
            differ make one video, and have none.

    Raises:
        ValueError: for a table that is not two-dimensional, is empty or holds numbers that are not finite.
    """
    values = np.asarray(table, np.float64)
    if values.ndim != 2 or not len(values) or not np.isfinite(values).all():
        raise ValueError(f"the table must be finite and of shape (clips, methods), not {values.shape}.")
    pairs = list(combinations(range(values.shape[1]), 2))
    if not pairs:
        return {}
    # The order of the clips must not move a digit: tosses are drawn for the sorted rows.
    values = values[np.lexsort(values.T)]
    clips = len(values)
    differences = np.stack([values[:, a] - values[:, b] for a, b in pairs], 1)
    mean = differences.mean(0)
    error = _error(mean, np.square(differences).mean(0), clips)
    largest = _largest(differences, seed)
    seen = _studentised(mean, error)
    # A tossed sum differs from the untossed one by rounding alone where it is the same toss.
    p = np.array([float((largest >= t * (1 - 1e-9)).mean()) for t in seen])
    p = np.where(mean == 0, 1.0, np.maximum(p, smallest_p(clips)))
    reach = float(np.quantile(largest, LEVEL, method="higher")) if clips >= fewest_clips() else np.inf
    found: dict[tuple[int, int], Gap] = {}
    for n, (a, b) in enumerate(pairs):
        value, size, told = float(mean[n]), float(abs(mean[n])), bool(p[n] < ALPHA)
        half = _half(float(error[n]), reach, size, told)
        low, high = value - half, value + half
        if half == 0 and scale and _by_chance(values[:, [a, b]], scale):
            most = scale.high - scale.low
            low, high = room(value, -most, most, clips, 1 - (1 - LEVEL) / len(pairs))
            if told and low <= 0 <= high:
                low, high = (max(low, np.nextafter(0, 1)), high) if value > 0 else (low, min(high, np.nextafter(0, -1)))
        found[a, b] = Gap(value, low, high, float(p[n]))
        found[b, a] = Gap(0.0 - value, 0.0 - high, 0.0 - low, float(p[n]))  # and not -value, which makes -0.0 of 0
    return found


def _by_chance(pair: Floats, scale: Scale) -> bool:
    """Whether two columns (clips, 2) that differ by the same in every clip may do so because few clips were drawn."""
    return scale.holds(pair.ravel()) and (scale.share or all(scale.constant(side) for side in pair.T))


def _half(error: float, reach: float, size: float, apart: bool) -> float:
    """Half the interval; where a tie at the quantile would let it and p disagree, p decides."""
    half = 0.0 if error == 0 and np.isfinite(reach) else error * reach if error else np.inf
    if apart and half >= size:
        return float(np.nextafter(size, 0))
    return max(half, size) if not apart else half


def _error(mean: Floats, square: Floats, clips: int) -> Floats:
    """Standard error of means from the means and mean squares of the same numbers."""
    spread = np.maximum(square - np.square(mean), 0.0)
    spread = np.where(spread < 1e-12 * square, 0.0, spread)  # equal numbers differ from their mean by rounding
    return np.asarray(np.sqrt(spread / max(1, clips - 1)))


def _studentised(mean: Floats, error: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(mean == 0, 0.0, np.abs(mean) / error))


def _largest(differences: Floats, seed: int) -> Floats:
    """The largest studentised difference over all pairs, for every toss of signs (each clip's pairs turn together)."""
    clips, pairs = differences.shape
    square = np.square(differences).mean(0)
    signs, step = _tosses(clips, seed), max(1, BATCH // pairs)
    found = []
    for start in range(0, len(signs), step):
        mean = signs[start : start + step] @ differences / clips
        mean[np.abs(mean) < 1e-15 * np.sqrt(square)] = 0.0
        found.append(_studentised(mean, _error(mean, square, clips)).max(1))
    return np.concatenate(found)


@lru_cache(maxsize=2)
def _tosses(clips: int, seed: int) -> NDArray[np.float64] | NDArray[np.int8]:
    """All tosses of few clips (half of them: a toss and its opposite have equal sizes), else a seeded draw and the true one.

    Every column asks for the same ones: up to 80 MB they are kept as the numbers that they are multiplied as.
    """
    drawn = _drawn(clips, seed)
    return drawn if 8 * drawn.size > KEPT else drawn.astype(np.float64)


def _drawn(clips: int, seed: int) -> NDArray[np.int8]:
    if clips <= EXACT_CLUSTERS:
        numbers = np.arange(2 ** (clips - 1))
        return np.where((numbers[:, None] >> np.arange(clips)) & 1, -1, 1).astype(np.int8)
    rng = np.random.default_rng([seed, clips, 2])
    drawn = np.where(coins(rng, RESAMPLES - 1, clips), np.int8(1), np.int8(-1))
    return np.concatenate([np.ones((1, clips), np.int8), drawn])

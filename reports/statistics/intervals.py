"""Intervals, tests and effect sizes for means over reference clips.

The unit of analysis is the reference clip: prompts and seeds of one clip are not independent, so values are averaged
inside a clip (a *cluster*) first, and clips are what is resampled, sign-flipped and ranked. Every result depends on
the values and the seed only, never on the order in which the cases are given.

Intervals are percentile bootstrap intervals, widened for few clusters (``tail``), but for shares and bounded scores of which
none differs (``bounded``). ``false_alarm_rate`` says what they do to a decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastvmt.reports.statistics.bounded import LEVEL, Scale, room, share_ends
from fastvmt.reports.statistics.paired import BATCH, RESAMPLES, Better, Floats, coins, d_z, direction, sign_flip_p, signed_rank

FEWEST = 3
"""Clusters below which there is no interval: two values span nothing but themselves."""
# At most 100 MB of float32 weights at a time.
MOST_WEIGHTS = 25_000_000
# Columns whose bootstrap means are held at a time: 20 MB.
COLUMNS = 512

# Lower and upper ends of the intervals, shaped (rounds,) or (rounds, columns), and the tolerance: where does it fire?
Rule = Callable[[Floats, Floats, Any], NDArray[np.bool_]]


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval at ``LEVEL``. ``low`` and ``high`` are NaN for fewer than ``FEWEST`` clusters."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Difference:
    """How a differs from b. ``value``, ``effect`` and ``rank_biserial`` have the sign of a - b, better or not.

    ``low`` and ``high`` are NaN for fewer than ``FEWEST`` clusters. ``effect`` is the mean of the clusters' differences
    over their standard deviation (d_z): 0 where all are zero, NaN for one cluster or where all are the same other number.
    Wins, ties and losses of a count pairs, and add up to ``n``.
    """

    value: float
    low: float
    high: float
    p: float
    n: int
    clusters: int
    wins: int
    ties: int
    losses: int
    effect: float
    rank_biserial: float
    wilcoxon_p: float


@lru_cache(maxsize=2)
def resampler(clusters: int, seed: int = 0, resamples: int = RESAMPLES) -> NDArray[np.float32]:
    """Bootstrap weights (resamples, clusters): each row is how often each cluster was drawn, over ``clusters``."""
    if clusters * resamples > MOST_WEIGHTS:
        raise ValueError(f"{resamples} x {clusters} weights are more than {MOST_WEIGHTS}; take them in weight_blocks.")
    weights = _draw(np.random.default_rng([seed, clusters]), resamples, clusters)
    weights.setflags(write=False)
    return weights


def weight_blocks(clusters: int, seed: int = 0, resamples: int = RESAMPLES) -> Iterator[NDArray[np.float32]]:
    """The rows of ``resampler`` in order, in blocks of at most 100 MB; kept between calls where one block is all."""
    if clusters * resamples <= MOST_WEIGHTS:
        yield resampler(clusters, seed, resamples)
        return
    rng = np.random.default_rng([seed, clusters])
    rows = max(1, MOST_WEIGHTS // clusters)
    for start in range(0, resamples, rows):
        yield _draw(rng, min(rows, resamples - start), clusters)


def _draw(rng: np.random.Generator, rows: int, clusters: int) -> NDArray[np.float32]:
    weights = np.empty((rows, clusters), np.float32)
    step = max(1, BATCH // clusters)
    for start in range(0, rows, step):
        part = weights[start : start + step]
        drawn = rng.integers(0, clusters, part.shape) + np.arange(len(part))[:, None] * clusters
        part[:] = np.bincount(drawn.ravel(), minlength=part.size).reshape(part.shape)
    weights /= np.float32(clusters)
    return weights


def bounds(values: Floats, seed: int = 0) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    """Per column of (clusters, columns): mean, low, high and the number of clusters that have a value (are not NaN)."""
    # Sorting makes the order of the cases irrelevant, and brings the columns of equal count to one matrix of weights.
    ordered = np.sort(values, axis=0)
    counts = np.count_nonzero(~np.isnan(ordered), axis=0)
    mean, low, high = (np.full(ordered.shape[1], np.nan) for _ in range(3))
    for count in np.unique(counts[counts > 0]):
        (columns,) = np.nonzero(counts == count)
        for start in range(0, len(columns), COLUMNS):
            chosen = columns[start : start + COLUMNS]
            mean[chosen], low[chosen], high[chosen] = _complete(ordered[:count, chosen], seed)
    return mean, low, high, counts


def _complete(ordered: Floats, seed: int) -> tuple[Floats, Floats, Floats]:
    """Mean and interval of columns that are sorted and have no gap."""
    clusters, columns = ordered.shape
    mean = ordered.mean(axis=0)
    if clusters < FEWEST:
        return mean, np.full(columns, np.nan), np.full(columns, np.nan)
    # A column and its negative get the same draws, so that a - b and b - a have mirrored intervals: of the two, the one
    # is turned around whose outermost pair (smallest + largest) that does not cancel is below zero.
    skew = ordered + ordered[::-1]
    down = skew[(skew != 0).argmax(axis=0), np.arange(columns)] < 0
    centred = np.where(down, (mean - ordered)[::-1], ordered - mean)
    # Centred and scaled, single precision costs 1e-7 of the spread and not of the value.
    scale = np.abs(centred).max(axis=0)
    scale[scale == 0] = 1.0
    scaled = (centred / scale).T.astype(np.float32)
    drawn = np.concatenate([scaled @ block.T for block in weight_blocks(clusters, seed)], axis=1)
    ends = np.quantile(drawn, [tail(clusters), 1 - tail(clusters)], axis=1).astype(np.float64) * scale
    low, high = np.where(down, -ends[::-1], ends)
    # The mean lies inside but for rounding, which is taken away.
    return mean, mean + np.minimum(low, 0.0), mean + np.maximum(high, 0.0)


@lru_cache(maxsize=256)
def tail(clusters: int, level: float = LEVEL) -> float:
    """Share of resamples below the interval: smaller than (1 - level) / 2 for few clusters, as Student's t asks.

    The bootstrap's spread lacks a factor sqrt((n - 1) / n), and its tails are normal where those of a mean of n values are
    Student's; both are made good by taking quantiles further out (the expanded percentile interval: Hesterberg 2015, "What
    teachers should know about the bootstrap", section 3.2).
    """
    from scipy.special import ndtr, stdtrit

    return float(ndtr(-((clusters / (clusters - 1)) ** 0.5) * stdtrit(clusters - 1, (1 + level) / 2)))


def mean_intervals(values: Floats, seed: int = 0, scale: Scale | None = None, each: float = 1.0) -> list[Interval]:
    """The mean of each column of (clusters, columns), over the clusters that have a value (are not NaN).

    A column with fewer than ``FEWEST`` values has no interval, and one with none has no mean either: those numbers are NaN.

    Args:
        scale: what the numbers can be, where they are bounded: then no interval is without width by chance.
        each: numbers behind one of them, on average.
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2:
        raise ValueError(f"values must have the two axes clusters and columns, not {table.ndim}.")
    if np.isinf(table).any():
        raise ValueError("values must not be infinite.")
    found = [Interval(float(m), float(lo), float(hi), int(n)) for m, lo, hi, n in zip(*bounds(table, seed), strict=True)]
    return [within(i, table[:, at], scale, each) for at, i in enumerate(found)] if scale else found


def mean_interval(values: ArrayLike, clusters: ArrayLike | None = None, seed: int = 0, scale: Scale | None = None) -> Interval:
    """The mean over clusters of the mean inside each; ``n`` counts values. NaN for the ends with few clusters (``FEWEST``)."""
    flat = _finite("values", values)
    means = cluster_means(flat, clusters)
    (found,) = mean_intervals(means[:, None], seed, scale, len(flat) / len(means))
    return replace(found, n=len(flat))


def within(found: Interval, column: Floats, scale: Scale, each: float) -> Interval:
    """The interval of a bounded mean: a share's own, and that of equal numbers with the room that they leave.

    Numbers outside the range that their metric declares are taken as they are.
    """
    column = column[~np.isnan(column)]
    if len(column) < FEWEST or not scale.holds(column):
        return found
    if scale.share:
        low, high = share_ends(np.clip(column, 0.0, 1.0), round(each * len(column)))
    elif scale.constant(column):
        low, high = room(found.value, scale.low, scale.high, len(column))
    else:
        return found
    return replace(found, low=low, high=high)


def cluster_means(values: ArrayLike, clusters: ArrayLike | None = None) -> Floats:
    """One mean per label, in the order of the sorted labels; the values themselves without labels."""
    flat = _finite("values", values)
    if clusters is None:
        return flat
    labels = np.asarray(clusters)
    if labels.shape != flat.shape:
        raise ValueError(f"there are {len(flat)} values and {labels.size} cluster labels; give one label per value.")
    _, index = np.unique(labels, return_inverse=True)
    order = np.lexsort((flat, index))
    index = index[order]
    return np.bincount(index, weights=flat[order]) / np.bincount(index)


def paired_difference(
    a: ArrayLike, b: ArrayLike, clusters: ArrayLike | None = None, better: Better = "up", ties: float = 0.0, seed: int = 0
) -> Difference:
    """a - b over pairs. A pair is a win where a is better than b by more than ``ties``.

    ``p`` is of the two-sided sign-flip permutation test of the mean over clusters; ``wilcoxon_p`` checks it by ranks.
    Both are 1 where all differences are zero, and for one cluster.
    """
    first, second = _pairs(a, b)
    if ties < 0:
        raise ValueError(f"ties must not be negative, and is {ties}.")
    pairs = first - second
    gain = pairs * direction(better)
    wins, losses = int((gain > ties).sum()), int((gain < -ties).sum())
    means = np.sort(cluster_means(pairs, clusters))
    (value,), (low,), (high,), _ = bounds(means[:, None], seed)
    return Difference(
        float(value), float(low), float(high), sign_flip_p(means, seed), len(pairs), len(means),
        wins, len(pairs) - wins - losses, losses, d_z(means), *signed_rank(means),
    )  # fmt: skip


def paired_ratio(numerator: ArrayLike, denominator: ArrayLike, clusters: ArrayLike | None = None, seed: int = 0) -> Interval:
    """Geometric mean of the pairs' ratios: mean and bootstrap of the logarithms. All numbers must be positive."""
    over, under = _pairs(numerator, denominator)
    if min(over.min(), under.min()) <= 0:
        raise ValueError("a ratio needs positive numbers on both sides; leave out the pairs without one.")
    logs = mean_interval(np.log(over) - np.log(under), clusters, seed)
    value, low, high = np.exp([logs.value, logs.low, logs.high])
    return Interval(float(value), float(low), float(high), logs.n)


def false_alarm_rate(
    differences: ArrayLike, decide: Rule, tolerance: ArrayLike = 0.0, rounds: int = 1000, seed: int = 0
) -> Interval:
    """How often a decision fires between two sides that are the same (A/A): share of rounds, with Wilson's interval.

    ``differences`` are paired differences of clusters, (clusters,) or (clusters, columns) with NaN where a column has
    none. If the sides are the same, the sign of a cluster's difference is a coin toss: each round tosses all of them
    anew (one toss per cluster, so columns stay as related as they are), takes the intervals of the means, and asks
    ``decide(low, high, tolerance)``. A rule gets and returns arrays (rounds,) or (rounds, columns), where ``tolerance``
    is one number or one per column; a round counts as an alarm if any column fires.
    """
    table = np.asarray(differences, np.float64)
    if table.ndim not in (1, 2) or np.isinf(table).any() or (table.ndim == 1 and np.isnan(table).any()):
        raise ValueError("differences must be finite, on the axes clusters or clusters and columns.")
    if not table.size or rounds < 1:
        raise ValueError("a false-alarm rate needs at least one difference and one round.")
    rng = np.random.default_rng([seed, len(table), 1])
    step = max(1, 4 * BATCH // table.size)
    alarms = 0
    for start in range(0, rounds, step):
        count = min(step, rounds - start)
        heads = coins(rng, count, len(table)).T.reshape(len(table), count, *(1,) * (table.ndim - 1))
        flipped = np.where(heads, table[:, None], -table[:, None])
        _, low, high, _ = bounds(flipped.reshape(len(table), -1), seed)
        shape = flipped.shape[1:]
        fired = np.asarray(decide(low.reshape(shape), high.reshape(shape), np.asarray(tolerance)), bool)
        if fired.shape != shape:
            raise ValueError(f"the rule answered with shape {fired.shape} to intervals of shape {shape}.")
        alarms += int(fired.reshape(count, -1).any(axis=1).sum())
    return share_of(alarms, rounds)


def share_of(count: int, rounds: int) -> Interval:
    """The share of rounds that were counted, with Wilson's interval."""
    from scipy import stats

    ends = stats.binomtest(count, rounds).proportion_ci(LEVEL, method="wilson")
    return Interval(count / rounds, float(ends.low), float(ends.high), rounds)


def _finite(name: str, values: ArrayLike) -> Floats:
    flat = np.asarray(values, np.float64)
    if flat.ndim != 1 or len(flat) == 0:
        raise ValueError(f"{name} must be a list of at least one number, not of shape {flat.shape}.")
    if not np.isfinite(flat).all():
        raise ValueError(f"{name} must be finite: leave out the cases without a number and say how many.")
    return flat


def _pairs(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    first, second = _finite("the first side", a), _finite("the second side", b)
    if len(first) != len(second):
        raise ValueError(f"pairs need two sides of one length, not {len(first)} and {len(second)}.")
    return first, second

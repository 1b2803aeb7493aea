"""Tests of one method against another, by scipy: sign flips, signed ranks, mean ranks.

They take one number per cluster (reference clip); ``fastvmt.reports.statistics.intervals`` pairs, averages and checks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 10_000
# Sign flips are enumerated up to here (8192 of them) and drawn beyond.
EXACT_CLUSTERS = 13
# 2 MB of numbers: what is drawn or counted in one go stays in the processor's cache.
BATCH = 1 << 18

Floats = NDArray[np.float64]
Better = Literal["up", "down"]


class Ranking(NamedTuple):
    """Mean rank of each method (1 is best, ties averaged), and Friedman's p."""

    ranks: Floats
    p: float


def direction(better: Better) -> int:
    """1 where more is better, -1 where less is."""
    if better not in ("up", "down"):
        raise ValueError(f"better is up or down, not {better!r}.")
    return 1 if better == "up" else -1


def sign_flip_p(differences: Floats, seed: int = 0) -> float:
    """Two-sided p of the mean when each sign is a coin toss: all tosses for few clusters, else a seeded draw."""
    from scipy import stats

    clusters = len(differences)
    if clusters < 2 or not differences.any():
        return 1.0
    if clusters <= EXACT_CLUSTERS:
        every = stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", vectorized=True, n_resamples=2**clusters,
            batch=max(1, BATCH // clusters),
        )  # fmt: skip
        return float(every.pvalue)
    # The draws are those of the sizes alone, so that neither the order of the cases nor that of a and b moves p.
    sizes, observed = np.sort(np.abs(differences)), differences * (-1.0 if differences.mean() < 0 else 1.0)
    means = _tossed(sizes, seed)
    # scipy's permutation_test tests the same null hypothesis, at 1000 clusters many times slower.
    drawn = stats.monte_carlo_test(
        observed, lambda size: means[: size[0], None], np.mean, vectorized=True, n_resamples=RESAMPLES - 1
    )  # fmt: skip
    return float(drawn.pvalue)


def _tossed(sizes: Floats, seed: int) -> Floats:
    """The mean of the sizes (clusters,) under every toss: a byte of signs is looked up, which adds eight of them at once."""
    signs = _signs(len(sizes), seed)
    padded = np.zeros(8 * len(signs))
    padded[: len(sizes)] = sizes
    every = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1) * 2.0 - 1.0
    total = np.zeros(signs.shape[1])
    for byte, eight in zip(signs, padded.reshape(-1, 8) @ every.T, strict=True):
        total += eight[byte]
    return total / len(sizes)


@lru_cache(maxsize=2)
def _signs(clusters: int, seed: int) -> NDArray[np.uint8]:
    """Tossed signs, eight to a byte, (bytes, tosses)."""
    rng = np.random.default_rng([seed, clusters])
    rows = max(1, BATCH // clusters)
    return np.concatenate([np.packbits(coins(rng, rows, clusters), axis=1).T for _ in range(0, RESAMPLES, rows)], axis=1).copy()


def coins(rng: np.random.Generator, rows: int, columns: int) -> NDArray[np.bool_]:
    """Fair tosses."""
    drawn = np.frombuffer(rng.bytes(-(-rows * columns // 8)), np.uint8)
    return np.unpackbits(drawn, count=rows * columns).reshape(rows, columns).astype(bool)


def lopsided(differences: Floats) -> bool:
    """Whether differences are clearly skewed: the adjusted skewness lies 2.58 standard errors from 0 (1 % of normal ones).

    >>> lopsided(np.array([0.0, 0.1, 0.0, 0.1, 0.2, 0.1, 0.0, 3.0])), lopsided(np.arange(8.0))
    (True, False)
    """
    from scipy import stats

    n = len(differences)
    if n < 3 or np.ptp(differences) <= 1e-12 * np.abs(differences).max():
        return False
    error = (6 * n * (n - 1) / ((n - 2) * (n + 1) * (n + 3))) ** 0.5
    return abs(float(stats.skew(differences, bias=False))) > 2.58 * error


def d_z(differences: Floats) -> float:
    """Mean over standard deviation; 0 where all are zero, NaN where they do not vary otherwise."""
    if not differences.any():
        return 0.0
    deviation = differences.std(ddof=1) if len(differences) > 1 else 0.0
    # Equal numbers differ from their mean by rounding, which is no spread.
    return float(differences.mean() / deviation) if deviation > 1e-12 * np.abs(differences).max() else float("nan")


def signed_rank(differences: Floats) -> tuple[float, float]:
    """Matched-pairs rank-biserial correlation, and Wilcoxon's p; zero differences have no rank."""
    from scipy import stats

    moved = differences[differences != 0]
    if len(moved) == 0:
        return 0.0, 1.0
    ranks = stats.rankdata(np.abs(moved))
    return float((ranks * np.sign(moved)).sum() / ranks.sum()), float(stats.wilcoxon(moved).pvalue)


def mean_ranks(scores: ArrayLike, better: Better = "up") -> Ranking:
    """Ranks of methods from (cases, methods) without gaps; ``p`` is NaN for two methods. Who differs from whom: ``gaps``."""
    from scipy import stats

    table = np.asarray(scores, np.float64)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        raise ValueError(f"scores must be cases x methods with a case and two methods at least, not {table.shape}.")
    if not np.isfinite(table).all():
        raise ValueError("scores must be finite; rank the cases that every method has.")
    methods = table.shape[1]
    ranks = stats.rankdata(-table * direction(better), axis=1)
    if methods < 3:
        p = float("nan")
    elif (table == table[:, :1]).all():
        p = 1.0
    else:
        p = float(stats.friedmanchisquare(*table.T).pvalue)
    return Ranking(ranks.mean(axis=0), p)

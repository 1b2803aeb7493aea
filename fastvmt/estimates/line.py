"""A straight line through positive measurements with relative errors, robust against a few bad ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HUBER = 1.345


@dataclass(frozen=True)
class Line:
    """seconds = slope x work + base; ``spread``: median relative residual; ``n`` points."""

    slope: float
    base: float
    spread: float
    n: int

    def __call__(self, work: float) -> float:
        return self.slope * work + self.base


def fit(works: Sequence[float], seconds: Sequence[float]) -> Line:
    """The line through these points; where all have about the same work, one through the origin."""
    x, y = np.array(works), np.array(seconds)
    if not x.any():
        return Line(0.0, float(np.median(y)), _spread(np.full_like(y, np.median(y)), y), len(y))
    if np.ptp(x) < 1e-3 * x.max():
        slope, base = float(np.median(y / x)), 0.0
    else:
        slope, base = _huber(x, y)
    return Line(slope, base, _spread(slope * x + base, y), len(y))


def _huber(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Least squares of relative residuals, reweighted; a negative slope or base is held at 0."""
    scale = x.max()
    rows = np.stack([x / scale, np.ones_like(x)], 1) / y[:, None]
    found: NDArray[Any] = np.zeros(2)
    weight: NDArray[np.float64] = np.ones(len(y))
    for _ in range(30):
        root = np.sqrt(weight)[:, None]
        found = np.linalg.lstsq(rows * root, root[:, 0], rcond=None)[0]
        for k in (0, 1):
            if found[k] < 0:
                kept = rows[:, 1 - k]
                found[k], found[1 - k] = 0.0, (weight * kept).sum() / (weight * kept * kept).sum()
        residual = np.abs(rows @ found - 1)
        width = HUBER * max(1e-6, 1.4826 * float(np.median(residual)))
        weight = np.minimum(1.0, width / np.maximum(residual, 1e-12))
    return float(found[0] / scale), float(found[1])


def _spread(predicted: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.median(np.abs(predicted / y - 1)))

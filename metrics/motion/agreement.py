"""How far found motion agrees with known motion: 2<a, b> / (|a|^2 + |b|^2) over steps, under the best assignment of movers.

With a the steps found and b those known, this is the cosine between them (*direction*) times 2|a||b| / (|a|^2 + |b|^2)
(*size*): 1 for the same motion, 0 for a frozen clip or one that moves by chance, 0.2 for the right path at a tenth of its
length, -1 for the way back.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
EVERY = 4
"""Frames that a step spans."""
LEAST_EXTENT_SHARE = 0.023
"""Of the frame's width: a coordinate that moves less in the reference (1.5 of 64 px) is not asked of the clip."""
LEAST_STEP_SHARE = 0.008
"""Of the frame's width: steps that the mean direction of the path counts."""


@dataclass(frozen=True)
class Agreement:
    """Parts of the score; None where the reference has no such motion.

    Attributes:
        value: direction x size, -1..1; direction: cosine of all steps; size: 1 where as much moves as should.
        path: mean cosine of the steps of the place alone, as long as they are; turn_grow: ``value`` of size and angle alone.
        in_order: ``value`` if every subject had to take the path of its own place in the caption; assignment: the order taken.
    """

    value: float
    direction: float
    size: float
    path: float | None
    turn_grow: float | None
    in_order: float
    assignment: tuple[int, ...]


def asked(known: F64, width: int) -> NDArray[np.bool_]:
    """(movers, 4): which coordinates the known motion has; x and y go together."""
    extent = np.ptp(known, axis=1)
    place = np.hypot(extent[:, 0], extent[:, 1])
    return np.stack([place, place, extent[:, 2], extent[:, 3]], 1) >= LEAST_EXTENT_SHARE * width


def agreement(found: F64, known: F64, width: int) -> Agreement | None:
    """The agreement of states (movers, T, 4); None where nothing known moves or there are fewer than two frames.

    Args:
        width: px of the clip.
    """
    wanted, span = asked(known, width), min(EVERY, known.shape[1] - 1)
    if span < 1 or not wanted.any():
        return None
    a, b = found[:, span:] - found[:, :-span], known[:, span:] - known[:, :-span]
    b = b * wanted[:, None]
    orders = list(permutations(range(len(known))))
    sums = [_sums(a[list(order)], b, wanted) for order in orders]
    best = max(range(len(orders)), key=lambda n: _share(sums[n]))
    taken, (product, length, should) = a[list(orders[best])], sums[best]
    both = (length * should) ** 0.5
    turning = wanted & [False, False, True, True]
    return Agreement(
        _share(sums[best]), product / both if both else 0.0, 2 * both / (length + should),
        _path(taken[..., :2], b[..., :2], width),
        _share(_sums(taken, b * turning[:, None], turning)) if turning.any() else None,
        _share(sums[0]), orders[best],
    )  # fmt: skip


def _sums(a: F64, b: F64, wanted: NDArray[np.bool_]) -> tuple[float, float, float]:
    """<a, b>, |a|^2 and |b|^2 over the coordinates that count."""
    a = a * wanted[:, None]
    return float((a * b).sum()), float((a * a).sum()), float((b * b).sum())


def _share(sums: tuple[float, float, float]) -> float:
    product, length, should = sums
    return 2 * product / (length + should)


def _path(a: F64, b: F64, width: int) -> float | None:
    """Mean cosine over the steps of the place that are long enough to have a direction."""
    sizes = np.linalg.norm(b, axis=-1)
    moves = sizes > LEAST_STEP_SHARE * width
    if not moves.any():
        return None
    cosine = (a * b).sum(-1) / np.maximum(np.linalg.norm(a, axis=-1) * sizes, 1e-9)
    return float(cosine[moves].mean())

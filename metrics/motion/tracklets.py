"""Motion fidelity's formula: how well each tracklet of one video matches the best of another (Yatim et al., CVPR 2024).

A tracklet is T points (x, y). With steps v[k] = p[k+1] - p[k] and unit steps u[k] = v[k]/|v[k]|,

    corr(a, b) = 1/(T-1) sum_k <u_a[k], u_b[k]>      in [-1, 1]
    forward    = mean over generated of max over reference;  backward = mean over reference of max over generated

What happens where nothing moves (|v| <= tau) is a policy:

    zero    a static step adds 0; the divisor stays T-1
    nan     0/0 is NaN, and NaN wins every max and mean (what the published scripts do)
    mask    only steps count that move (and are visible) in both; no such step: the pair is undefined
    mask50  as mask, but a pair needs at least ceil((T-1)/2) such steps
    match   as zero, but a step static in both counts as agreement 1
    live    only steps count that are visible in both and move in one at least: static in one adds 0, static in both nothing;
            a pair needs ceil((T-1)/2) steps visible in both, and ceil((T-1)/4) that count

All pairs are one matrix product (block by block), never an array of n x m x (T-1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Floats = NDArray[Any]
Policy = Literal["zero", "nan", "mask", "mask50", "match", "live"]
_COMMON: tuple[Policy, ...] = ("mask", "mask50", "live")
"""Policies that look at visibility and divide each pair by a count of its own."""
Visible = tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None]
BLOCK = 256
UNSEEN: Visible = (None, None)


@dataclass(frozen=True)
class Fidelity:
    """Both directions; None where undefined. ``both`` is their mean."""

    forward: float | None
    backward: float | None

    @property
    def both(self) -> float | None:
        return None if self.forward is None or self.backward is None else (self.forward + self.backward) / 2


@dataclass(frozen=True)
class _Steps:
    start: F64  # (n, 2) first points
    unit: Floats  # (n, (T-1)*2), zeros where not usable
    moving: NDArray[np.bool_]  # (n, T-1) |v| > tau
    usable: NDArray[np.bool_]  # (n, T-1) moving, and visible at both ends where visibility counts
    live: NDArray[np.bool_]  # (n, T-1) visible at both ends where visibility counts, moving or not


def _steps(points: Floats, visible: NDArray[np.bool_] | None, tau: float) -> _Steps:
    """In float64 whatever the points are: differences of large coordinates lose digits in float32."""
    x, y = (np.diff(points[..., k].astype(np.float64, order="C"), axis=1) for k in (0, 1))
    length = np.sqrt(x * x + y * y)
    moving = length > tau
    live = np.ones_like(moving) if visible is None else visible[:, 1:] & visible[:, :-1]
    usable = moving & live
    unit = np.empty((*x.shape, 2))
    length[~moving] = 1.0
    for k, part in enumerate((x, y)):  # coordinate by coordinate: a last axis of 2 is numpy's slowest case
        part /= length
        unit[..., k] = part
    if not usable.all():
        unit[~usable] = 0
    return _Steps(points[:, 0].astype(np.float64), unit.reshape(len(points), -1), moving, usable, live)


def _blocks(
    generated: Floats, reference: Floats, policy: Policy, tau: float, visible: Visible, radius: float | None,
    undefined: float,
) -> Iterator[tuple[slice, Floats]]:  # fmt: skip
    """Correlations of ``BLOCK`` generated tracklets at a time with all reference tracklets, times ``_divisor``: rows and
    (rows, m).

    ``undefined`` stands for pairs without enough usable steps or too far apart; by policy ``nan`` pairs with a static step
    are NaN. Every block is written over the one before: fresh memory costs as much as the product itself.
    """
    masked, count = policy in _COMMON, _common_steps(generated, reference)
    frames = count + 1
    seen = [v[:, :frames] if masked and v is not None else None for v in visible]
    g, r = (_steps(p[:, :frames], v, tau) for p, v in zip((generated, reference), seen, strict=True))
    kept = np.empty((min(BLOCK, len(generated)), len(reference)))
    for first in range(0, len(generated), BLOCK):
        rows = slice(first, first + BLOCK)
        block = np.matmul(g.unit[rows], r.unit.T, out=kept[: len(generated) - first])
        if masked:
            shared, enough = _shared(g, r, rows, policy, count)
            block /= np.maximum(shared, 1)
            block[~enough] = undefined
        elif policy == "match":
            block += (~g.moving[rows]).astype(np.float64) @ (~r.moving).T.astype(np.float64)
        if policy == "nan":
            block[(g.moving[rows].min(1) == 0)[:, None] | (r.moving.min(1) == 0)] = np.nan
        if radius is not None:
            dx, dy = (g.start[rows, None, k] - r.start[None, :, k] for k in (0, 1))
            block[np.sqrt(dx * dx + dy * dy) > radius] = undefined
        yield rows, block


def _shared(g: _Steps, r: _Steps, rows: slice, policy: Policy, count: int) -> tuple[F64, NDArray[np.bool_]]:
    """(rows, m) steps that count for a pair, and whether they are enough."""

    def together(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> F64:
        return np.asarray(a[rows].astype(np.float64) @ b.T.astype(np.float64))

    if policy != "live":
        shared = together(g.usable, r.usable)
        return shared, shared >= (1 if policy == "mask" else -(-count // 2))
    seen = together(g.live, r.live)
    shared = seen - together(g.live & ~g.moving, r.live & ~r.moving)
    return shared, (seen >= -(-count // 2)) & (shared >= -(-count // 4))


def _common_steps(generated: Floats, reference: Floats) -> int:
    frames = min(generated.shape[1], reference.shape[1])
    if min(len(generated), len(reference)) == 0 or frames < 2:
        raise ValueError("motion fidelity needs at least one tracklet of two frames on each side")
    return frames - 1


def _divisor(generated: Floats, reference: Floats, policy: Policy) -> int:
    """What sums over steps are divided by; some policies divide each pair by a count of its own."""
    return 1 if policy in _COMMON else _common_steps(generated, reference)


def correlation_rows(
    generated: Floats, reference: Floats, policy: Policy = "zero", tau: float = 0.0, visible: Visible = UNSEEN,
    radius: float | None = None,
) -> Floats:  # fmt: skip
    """Correlation of every generated with every reference tracklet.

    Args:
        generated: (n, T, 2); reference: (m, T', 2), px; the longer one is cut.
        policy: see the module's docstring.
        tau: steps not longer than this (px) are static.
        visible: (n, T) and (m, T') booleans, used by the policies mask, mask50 and live only.
        radius: pairs whose first points are farther apart (px) are undefined.

    Returns:
        (n, m); NaN where undefined (or, with policy ``nan``, where a step is static).

    Raises:
        ValueError: when a set is empty or shorter than 2 frames.
    """
    out = np.empty((len(generated), len(reference)))
    for rows, block in _blocks(generated, reference, policy, tau, visible, radius, np.nan):
        out[rows] = block
    out /= _divisor(generated, reference, policy)
    return out


def fidelity(
    generated: Floats, reference: Floats, policy: Policy = "zero", tau: float = 0.0, visible: Visible = UNSEEN,
    radius: float | None = None,
) -> Fidelity:  # fmt: skip
    """Forward and backward motion fidelity; arguments as ``correlation_rows``, of which one block is held at a time.

    With policy ``nan`` pairs with a static step poison the result (NaN), as in the published scripts. Undefined pairs are
    left out of the maximum, and tracklets without any defined pair out of the mean.

    >>> import numpy as np
    >>> right = np.cumsum(np.tile([1.0, 0.0], (1, 5, 1)), axis=1)
    >>> fidelity(right, right).forward, fidelity(-right, right).forward
    (1.0, -1.0)
    """
    of_rows, of_columns = np.empty(len(generated)), np.full(len(reference), -np.inf)
    for rows, block in _blocks(generated, reference, policy, tau, visible, radius, -np.inf):
        of_rows[rows] = block.max(1)
        np.maximum(of_columns, block.max(0), out=of_columns)
    divisor = _divisor(generated, reference, policy)  # dividing the maxima is dividing what they were taken from
    return Fidelity(_mean_of_defined(of_rows / divisor), _mean_of_defined(of_columns / divisor))


def _mean_of_defined(best: F64) -> float | None:
    """Mean of the maxima of those tracklets that had any pair; minus infinity marks the others."""
    defined = best[best != -np.inf]
    return float(defined.mean()) if len(defined) else None


def chance_floor(generated: F64, reference: F64, tau: float = 0.0) -> float:
    """Forward fidelity (policy ``zero``) if every moving step of both sets had a random direction of its own; seeded.

    Real tracklets are correlated in space and time, so a control against another clip stands higher than this.
    """
    rng = np.random.default_rng(0)

    def scatter(points: F64) -> F64:
        moving = np.linalg.norm(np.diff(points, axis=1), axis=2) > tau
        angle = rng.uniform(0, 2 * np.pi, moving.shape)
        steps = np.stack([np.cos(angle), np.sin(angle)], -1) * moving[..., None]
        return np.concatenate([np.zeros_like(points[:, :1]), steps.cumsum(1)], 1)

    floor = fidelity(scatter(generated), scatter(reference), "zero", 0.5).forward
    assert floor is not None  # the policy "zero" leaves nothing undefined
    return floor


def script_form(generated: F64, reference: F64, policy: Policy = "nan", **options: object) -> float | None:
    """What the published scripts print: forward, after subtracting an identity of the generated set's size.

    Equal counts subtract 1 where the index is the same; a single reference tracklet is broadcast against n x n, as
    their arrays are. Returns None where they raise (other unequal counts).
    """
    matrix = correlation_rows(generated, reference, policy, **options)  # type: ignore[arg-type]
    n, m = matrix.shape
    if n != m and 1 not in (n, m):
        return None
    if n == m:
        matrix[np.diag_indices(n)] -= 1
    else:
        matrix = matrix - np.eye(n)
    if policy == "nan":
        return float(matrix.max(1).mean())
    return _mean_of_defined(np.where(np.isnan(matrix), -np.inf, matrix).max(1))

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

All pairs are one matrix product (block by block), never an array of n x m x (T-1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Policy = Literal["zero", "nan", "mask", "mask50", "match"]
BLOCK = 1024


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
    unit: F64  # (n, (T-1)*2), zero rows where not moving
    moving: F64  # (n, T-1) 1.0 where |v| > tau
    usable: F64  # (n, T-1) 1.0 where moving and visible at both ends


def _steps(points: F64, visible: NDArray[np.bool_] | None, tau: float) -> _Steps:
    step = np.diff(points, axis=1)
    length = np.linalg.norm(step, axis=2)
    moving = length > tau
    unit = np.where(moving[..., None], step / np.where(moving, length, 1.0)[..., None], 0.0)
    usable = moving if visible is None else moving & visible[:, 1:] & visible[:, :-1]
    return _Steps(unit.reshape(len(points), -1), moving.astype(float), usable.astype(float))


def correlation_rows(
    generated: F64,
    reference: F64,
    policy: Policy = "zero",
    tau: float = 0.0,
    visible: tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None] = (None, None),
    radius: float | None = None,
) -> F64:
    """Correlation of every generated with every reference tracklet.

    Args:
        generated: (n, T, 2); reference: (m, T', 2), px; the longer one is cut.
        policy: see the module's docstring.
        tau: steps not longer than this (px) are static.
        visible: (n, T) and (m, T') booleans, used by the mask policies only.
        radius: pairs whose first points are farther apart (px) are undefined.

    Returns:
        (n, m); NaN where undefined (or, with policy ``nan``, where a step is static).

    Raises:
        ValueError: when a set is empty or shorter than 2 frames.
    """
    frames = min(generated.shape[1], reference.shape[1])
    if min(len(generated), len(reference)) == 0 or frames < 2:
        raise ValueError("motion fidelity needs at least one tracklet of two frames on each side")
    cut = [None if v is None else v[:, :frames] for v in visible]
    masked = policy in ("mask", "mask50")
    g = _steps(generated[:, :frames].astype(float), cut[0] if masked else None, tau)
    r = _steps(reference[:, :frames].astype(float), cut[1] if masked else None, tau)
    count = frames - 1
    wide = np.repeat(r.usable, 2, axis=1) * r.unit
    out = np.empty((len(generated), len(reference)))
    for start in range(0, len(generated), BLOCK):
        rows = slice(start, start + BLOCK)
        total = (np.repeat(g.usable[rows], 2, axis=1) * g.unit[rows]) @ wide.T
        if masked:
            shared = g.usable[rows] @ r.usable.T
            need = 1 if policy == "mask" else -(-count // 2)
            out[rows] = np.where(shared >= need, total / np.maximum(shared, 1), np.nan)
            continue
        if policy == "match":
            total += (1 - g.moving[rows]) @ (1 - r.moving).T
        out[rows] = total / count
        if policy == "nan":
            out[rows][(g.moving[rows].min(1) == 0)[:, None] | (r.moving.min(1) == 0)] = np.nan
    if radius is not None:
        apart = np.linalg.norm(generated[:, None, 0] - reference[None, :, 0], axis=-1)
        out[apart > radius] = np.nan
    return out


def fidelity(
    generated: F64,
    reference: F64,
    policy: Policy = "zero",
    tau: float = 0.0,
    visible: tuple[NDArray[np.bool_] | None, NDArray[np.bool_] | None] = (None, None),
    radius: float | None = None,
) -> Fidelity:
    """Forward and backward motion fidelity; arguments as ``correlation_rows``.

    With policy ``nan`` undefined pairs poison the result (NaN), as in the published scripts; with all others they are
    left out of the maximum, and tracklets without any defined pair out of the mean.

    >>> import numpy as np
    >>> right = np.cumsum(np.tile([1.0, 0.0], (1, 5, 1)), axis=1)
    >>> fidelity(right, right).forward, fidelity(-right, right).forward
    (1.0, -1.0)
    """
    matrix = correlation_rows(generated, reference, policy, tau, visible, radius)
    if policy == "nan" and radius is None:
        return Fidelity(float(matrix.max(1).mean()), float(matrix.max(0).mean()))
    return Fidelity(_mean_of_best(matrix), _mean_of_best(matrix.T))


def _mean_of_best(matrix: F64) -> float | None:
    defined = ~np.isnan(matrix)
    rows = defined.any(1)
    if not rows.any():
        return None
    return float(np.where(defined, matrix, -np.inf).max(1)[rows].mean())


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

    return float(correlation_rows(scatter(generated), scatter(reference), "zero", 0.5).max(1).mean())


def script_form(generated: F64, reference: F64, policy: Policy = "nan", **options: object) -> float | None:
    """What the published scripts print: forward, after subtracting an identity of the generated set's size.

    Equal counts subtract 1 where the index is the same; a single reference tracklet is broadcast against n x n, as
    their arrays are. Returns None where they raise (other unequal counts).
    """
    matrix = correlation_rows(generated, reference, policy, **options)  # type: ignore[arg-type]
    n, m = matrix.shape
    if n != m and 1 not in (n, m):
        return None
    printed = matrix - np.eye(n)
    if policy == "nan":
        return float(printed.max(1).mean())
    return _mean_of_best(printed)

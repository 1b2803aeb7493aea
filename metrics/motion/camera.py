"""The camera's motion and the objects' motion of a clip, told apart by one global fit a step.

A step spans ``EVERY`` frames. The points that are seen at both of its ends are fitted by a similarity (RANSAC: what most of
them do). The fit is the camera's step; what is left of a point's step is its own. A fit counts only where its points cover the
frame: on a plain ground the tracks hold to a subject alone, and then the camera is taken to stand still.

Two limits: of a scene with depth the fit takes the largest part, and what is nearer or farther keeps a rest; and a subject that
fills most of the frame passes for the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from fastvmt.metrics.motion.agreed import agreed, spread
from fastvmt.metrics.motion.agreement import EVERY, LEAST_EXTENT_SHARE
from fastvmt.plugins.tracker import F64, Tracks

TOLERANCE = 0.006
"""Widths that a point may be off the fit of a step and still agree with it (0.4 of 64 px, 5 of 832 px)."""
RADIUS = 1 / 3
"""Widths from the centre at which zoom and turn are measured: the root mean square over a frame of 16 to 9."""
MATCHED = 100
"""Movers of a clip that are matched with those of the other."""


@dataclass(frozen=True)
class Told:
    """A clip's motion in widths of its frame: S = T - span steps, one from each frame to the one ``span`` later.

    Attributes:
        camera: (S, 4) shift x and y of the frame's centre, log zoom and turn (rad) times ``RADIUS``; 0 where not fitted.
        fitted: (S,) bool, whether enough points told the camera's step.
        own: (N, S, 2) what the camera does not explain of the points' steps; 0 where not seen.
        seen: (N, S) bool, whether the point's own step is known.
        span: frames of a step.
    """

    camera: F64
    fitted: NDArray[np.bool_]
    own: F64
    seen: NDArray[np.bool_]
    span: int

    def way(self, frames: NDArray[np.bool_]) -> F64:
        """(1, S + 1, 4) the camera's way over those steps; the others stand still."""
        steps = self.camera[: len(frames)] * frames[:, None] / self.span
        return np.concatenate([np.zeros((1, 4)), np.cumsum(steps, 0)])[None]

    def movers(self) -> NDArray[np.int64]:
        """Indices of the points that go somewhere by themselves."""
        way = np.cumsum(self.own, 1) / self.span
        return np.flatnonzero(np.hypot(*np.ptp(way, axis=1).T) >= LEAST_EXTENT_SHARE)


def centred(tracks: Tracks, width: int, height: int) -> Tracks:
    """Tracks in widths from the frame's centre; what lies outside the frame is not visible."""
    size = np.array([width, height])
    inside = ((tracks.points > -0.5) & (tracks.points < size - 0.5)).all(-1)
    return Tracks((tracks.points - (size - 1) / 2) / width, tracks.visible & inside)


def told_apart(tracks: Tracks) -> Told:
    """Camera and own motion of ``centred`` tracks over two frames or more."""
    points, visible = np.where(tracks.visible[..., None], tracks.points, 0.0), tracks.visible
    span = min(EVERY, points.shape[1] - 1)
    start, end, seen = points[:, :-span], points[:, span:], visible[:, :-span] & visible[:, span:]
    whole = spread(points[visible[:, 0], 0])
    camera, fitted, own = np.zeros((seen.shape[1], 4)), np.zeros(seen.shape[1], bool), end - start
    for k in range(seen.shape[1]):
        fit = agreed(start[seen[:, k], k], end[seen[:, k], k], TOLERANCE, whole)
        if fit is not None:
            turn, shift = fit[:, :2], fit[:, 2]
            zoomed, turned = np.log(np.hypot(*turn[:, 0])), np.arctan2(turn[1, 0], turn[0, 0])
            camera[k], fitted[k] = [*shift, RADIUS * zoomed, RADIUS * turned], True
            own[:, k] = end[:, k] - start[:, k] @ turn.T - shift
    known = seen & fitted if fitted.any() else seen
    return Told(camera, fitted, np.where(known[..., None], own, 0.0), known, span)


def matched(generated: Told, reference: Told) -> tuple[float, float, float]:
    """<a, b>, |a|^2 and |b|^2 of the clips' movers, each of one matched with one of the other.

    ``MATCHED`` movers of each clip, evenly chosen, are assigned so that their squared differences are least. A pair counts by
    its mean over the steps that both are seen in; one without such steps has nothing in common. Both clips need a mover.
    """
    steps = min(generated.seen.shape[1], reference.seen.shape[1])
    (a, in_a), (b, in_b) = (_chosen(told, steps) for told in (generated, reference))
    shared = in_a @ in_b.T
    product, length, should = (
        found / np.maximum(shared, 1)
        for found in (
            a.reshape(MATCHED, -1) @ b.reshape(MATCHED, -1).T,
            (a * a).sum(-1) @ in_b.T,
            in_a @ (b * b).sum(-1).T,
        )
    )
    alone = shared == 0
    of_a, of_b = ((x * x).sum((1, 2)) / np.maximum(seen.sum(1), 1) for x, seen in ((a, in_a), (b, in_b)))
    length, should = np.where(alone, of_a[:, None], length), np.where(alone, of_b, should)
    pairs = linear_sum_assignment(length + should - 2 * product)
    return float(product[pairs].sum()), float(length[pairs].sum()), float(should[pairs].sum())


def _chosen(told: Told, steps: int) -> tuple[F64, F64]:
    """(MATCHED, steps, 2) own steps of movers, 0 where not seen, and (MATCHED, steps) 1 where seen."""
    movers = told.movers()
    chosen = movers[np.linspace(0, len(movers) - 1, MATCHED).round().astype(int)]
    return told.own[chosen, :steps], told.seen[chosen, :steps].astype(np.float64)

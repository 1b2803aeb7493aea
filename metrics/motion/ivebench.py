"""What IVEBench calls motion fidelity: closeness of places and speeds of tracks, under the best one-to-one matching.

Tracks of 10 x 10 points; the seen part of each is stretched to the length of the shorter clip (so time is distorted where
points are hidden), and one seen in fewer than two frames is left out. For two tracks p and q, with s the mean of the diagonals
of their two bounding boxes (1 where neither moves) and dp, dq their steps (the first one twice),

    closeness = mean over t of 0.7 / (1 + |p_t - q_t| / s) + 0.3 / (1 + |dp_t - dq_t| / s)

The tracks are matched one to one so that the sum is largest (Hungarian method); pairs at 0.3 or below are left out, and the
value is the mean of the others, 0 where there is none. It is a score of place first: a still clip comes close to any other.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastvmt.metrics.motion.gridded import Gridded
from fastvmt.plugins.metric import Value
from fastvmt.plugins.tracker import F64, Tracks

LEAST_FRAMES, THRESHOLD, PLACE, SPEED = 5, 0.3, 0.7, 0.3


def stretched(tracks: Tracks, frames: int) -> F64:
    """(n, frames, 2) tracks seen at least twice, their seen parts stretched to so many frames."""
    at, found = np.linspace(0, 1, frames), []
    for points, visible in zip(tracks.points, tracks.visible, strict=True):
        if visible.sum() >= 2:
            there, own = points[visible], np.linspace(0, 1, int(visible.sum()))
            found.append(np.stack([np.interp(at, own, there[:, k]) for k in (0, 1)], -1))
    return np.stack(found) if found else np.zeros((0, frames, 2))


def closeness(p: F64, q: F64) -> F64:
    """(n, m) closeness of tracks (n, T, 2) and (m, T, 2), two frames or more."""
    spans = [np.linalg.norm(np.ptp(points, axis=1), axis=-1) for points in (p, q)]
    scale = (spans[0][:, None] + spans[1]) / 2
    scale = np.where(scale < 1e-6, 1.0, scale)
    steps = [np.diff(points, axis=1) for points in (p, q)]
    steps = [np.concatenate([s[:, :1], s], 1) for s in steps]
    rows = []
    for n in range(len(p)):  # row by row: all at once would be n x m x T
        places, speeds = (np.linalg.norm(a[n] - b, axis=-1) / scale[n, :, None] for a, b in ((p, q), steps))
        rows.append((PLACE / (1 + places) + SPEED / (1 + speeds)).mean(-1))
    return np.stack(rows)


class MotionFidelityIVEBench(Gridded):
    """Closeness of tracks' places and speeds, matched one to one, as IVEBench computes its "motion fidelity".

    Range 0 to 1. It measures where points are more than how they move: a still clip scores far above 0, and no chance level
    lies at 0. Read it beside a control. Source: IVEBench (metrics/fidelity/motion_fidelity.py); formula in ``ivebench.py``.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> still = frames[:1].repeat(len(frames), axis=0)
    >>> same, frozen = (score_clip("motion_fidelity@ivebench", g, frames).value for g in (frames, still))
    >>> same > 0.99 > frozen
    True
    """

    id = "motion_fidelity@ivebench"
    summary = "what IVEBench calls motion fidelity: closeness of places and speeds of tracks matched one to one"
    source = "IVEBench, metrics/fidelity/motion_fidelity.py"
    range = (0.0, 1.0)
    policy: ClassVar[dict[str, Any]] = {
        "place": PLACE, "speed": SPEED, "matching": "one to one", "dropped_at": THRESHOLD, "visible": "stretched",
    }  # fmt: skip

    def compare(self, g: Tracks, r: Tracks, width: int) -> Value:
        from scipy.optimize import linear_sum_assignment

        frames = min(g.points.shape[1], r.points.shape[1])
        p, q = (stretched(t, frames) for t in (g, r))
        counts = {"tracks": [len(p), len(q)]}
        if frames < LEAST_FRAMES or not len(q):
            few = f"fewer than {LEAST_FRAMES} frames" if frames < LEAST_FRAMES else "no track of the reference is seen twice"
            return Value(None, counts | {"why": few})
        if not len(p):
            return Value(0.0, counts | {"why": "no track of the generated clip is seen twice"})
        found = closeness(p, q)
        pairs = found[linear_sum_assignment(-found)]
        kept = pairs[pairs > THRESHOLD]
        return Value(float(kept.mean()) if len(kept) else 0.0, counts | {"pairs": [len(kept), len(pairs)]})

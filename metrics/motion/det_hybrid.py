"""Motion fidelity as DeT's evaluation computes it: its published default (``cosine``), and with its distance part switched on
(``--add_frechet_score``).

They differ from every other form here, so each has an id of its own. Per pair of clips, with N and M tracklets:

    p          points divided by the clip's width and height: directions are distorted in clips that are not square
    steps      the start position p_0 counts as a first step (a unit vector from the top left corner), then p_1 - p_0 ...
    cosine     mean over generated of max over reference of the mean cosine of steps; no identity is subtracted
    distance   for 50 tracklets drawn at random (with replacement, the same indices on both sides):
               mean over generated of max over reference of 1 / (1 + mean distance of all T x T pairs of points)
    value      cosine by default; 0.5 * cosine + 0.5 * distance with the distance part

The distance part is called "Frechet" there and is no Frechet distance: order and time do not enter it, and two identical
tracklets that move score below 1. The longer set is thinned to the shorter one's length by a rounded-down linspace.

Two things are ours: the 50 indices are drawn with a fixed seed (theirs are not, so that their number changes from run to
run), and a step of no length adds 0 (theirs gives NaN). Their grid is 50x50 points and a mask's box may thin it; here there
is no mask, and the form with the distance part takes the tracker's own grid, which the identity names.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastvmt.media.files import Frames
from fastvmt.metrics.motion.fidelity import STATIC_PX, MotionFidelity
from fastvmt.metrics.motion.gridded import Gridded
from fastvmt.metrics.motion.tracklets import fidelity
from fastvmt.plugins.metric import Scored, Value
from fastvmt.plugins.tracker import F64, Tracks

DRAWN, SEED = 50, 0


class MotionFidelityDeT(MotionFidelity):
    """0.5 * cosine + 0.5 * distance part, as DeT's evaluation computes it; range -0.5 to 1. Position counts, so two
    still clips score above 0.5. The two parts stand in the record's details.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> label = "motion_fidelity@det-hybrid"
    >>> reversed_, same = (score_clip(label, g, frames).value for g in (frames[::-1], frames))
    >>> 0.5 < reversed_ < same < 1
    True
    """

    id = "motion_fidelity@det-hybrid"
    summary = "motion fidelity as DeT's evaluation computes it: half cosine (with start position), half distance of points"
    source = "evaluation.py of DeT (Shi et al. 2025), with its 50 tracklets drawn by a fixed seed"
    range = (-0.5, 1.0)
    policy: ClassVar[dict[str, Any]] = {
        "policy": "zero", "tau_px": STATIC_PX, "direction": "forward", "coordinates": "divided by width and height",
        "start_position": "as a step", "distance_part": f"{DRAWN} tracklets, seed {SEED}",
    }  # fmt: skip

    def generated(self, scored: Scored) -> Tracks | None:
        return _of_unit_size(super().generated(scored), scored.generated)

    def reference(self, scored: Scored) -> Tracks | None:
        return _of_unit_size(super().reference(scored), scored.reference)

    def compare(self, g: Tracks, r: Tracks, width: int) -> Value:
        cosine, distance = hybrid_parts(g.points, r.points, STATIC_PX / width)
        return Value(0.5 * cosine + 0.5 * distance, {"cosine": cosine, "distance_part": distance, "seed": SEED})


class MotionFidelityDeTDefault(MotionFidelityDeT, Gridded):
    """The cosine part alone, of 50 x 50 points: what DeT's evaluation prints by default. Range -1 to 1. The start position
    counts as a step, so that two still clips score above 0: 1 over the frames.

    >>> import numpy as np
    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames = clip("single-object-100")[0][::4]
    >>> score_clip("motion_fidelity@det", frames, frames).value > score_clip("motion_fidelity@det", frames[::-1], frames).value
    True
    """

    id = "motion_fidelity@det"
    summary = "motion fidelity as DeT's evaluation prints it by default: cosine of steps, the start position one of them, 50x50"
    source = "evaluation.py of DeT (Shi et al. 2025)"
    range = (-1.0, 1.0)
    grid = 50
    policy: ClassVar[dict[str, Any]] = {k: v for k, v in MotionFidelityDeT.policy.items() if k != "distance_part"}

    def compare(self, g: Tracks, r: Tracks, width: int) -> Value:
        return Value(cosine_part(*_equal_length(g.points, r.points), STATIC_PX / width))


def _of_unit_size(tracks: Tracks | None, frames: Frames) -> Tracks | None:
    return tracks and Tracks(tracks.points / np.array([frames.shape[2], frames.shape[1]]), tracks.visible)


def hybrid_parts(generated: F64, reference: F64, tau: float = 0.0) -> tuple[float, float]:
    """The cosine and the distance part.

    Args:
        generated: (n, T, 2); reference: (m, T', 2), divided by width and height.
        tau: steps not longer than this add 0.
    """
    g, r = _equal_length(generated, reference)
    drawn = np.random.default_rng(SEED).integers(0, min(len(g), len(r)), DRAWN)
    return cosine_part(g, r, tau), float((1 / (1 + _mean_distances(g[drawn], r[drawn]))).max(1).mean())


def cosine_part(generated: F64, reference: F64, tau: float = 0.0) -> float:
    """The same of tracks of equal length."""
    cosine = fidelity(_from_corner(generated), _from_corner(reference), "zero", tau).forward
    assert cosine is not None  # the policy "zero" leaves nothing undefined
    return cosine


def _equal_length(generated: F64, reference: F64) -> tuple[F64, F64]:
    """Both with the frames of the shorter one."""
    frames = min(generated.shape[1], reference.shape[1])
    g, r = (points[:, kept_frames(points.shape[1], frames)] for points in (generated, reference))
    return g, r


def kept_frames(count: int, wanted: int) -> NDArray[np.int64]:
    """Indices of ``wanted`` of ``count`` frames, by torch's own linspace: its rounding decides where it is cut down."""
    import torch

    return torch.linspace(0, count - 1, wanted).to(torch.int64).numpy()


def _from_corner(points: F64) -> F64:
    return np.concatenate([np.zeros_like(points[:, :1]), points], 1)


def _mean_distances(generated: F64, reference: F64) -> F64:
    """(n, m) mean distance between every point of one and every point of the other tracklet."""
    rows = []
    for points in generated:  # row by row: all at once would be n x m x T x T
        x, y = (points[None, :, None, axis] - reference[:, None, :, axis] for axis in (0, 1))  # a sum over two numbers is slow
        rows.append(np.sqrt(x * x + y * y).mean((1, 2)))
    return np.stack(rows)

"""Fréchet trajectory distance, as RoPECraft reports it (arXiv 2505.13344), and as its script computes it.

Points of one grid are tracked in both clips and divided by width and height. A point that is hidden takes the place of the
visible point that is nearest to where it was, and one that is never seen again is left out, in either clip. Then

    ftd = sqrt(mean over points of F(p, q)^2),   F: discrete Fréchet distance of the point's two tracks

0 for the same motion from the same places, 1 for a point that strays by the frame's width. It knows no direction of time: a
track may wait for the other, but neither goes back.

Their points are drawn at random from the reference's first mask, 100 of them; here they are a grid of 10 x 10 over the
whole frame, because most clips have no mask.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastvmt.metrics.motion.gridded import Gridded
from fastvmt.plugins.metric import Scored, Value
from fastvmt.plugins.tracker import F64, Tracks

Bools = NDArray[np.bool_]
DIAGONAL = 2**0.5


def frechet(p: F64, q: F64) -> F64:
    """(N,) discrete Fréchet distances of N pairs of tracks (N, T, 2) and (N, S, 2).

    >>> import numpy as np
    >>> there = np.array([[[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]])
    >>> frechet(there, there + [0.0, 1.0]).tolist(), frechet(there, there[:, ::-1]).tolist()
    ([1.0], [2.0])
    """
    apart = np.linalg.norm(p[:, :, None] - q[:, None], axis=-1)
    reach = np.full((apart.shape[1] + 1, apart.shape[2] + 1, len(p)), np.inf)
    reach[0, 0] = 0
    for i in range(apart.shape[1]):
        for j in range(apart.shape[2]):
            before = np.minimum(np.minimum(reach[i, j], reach[i, j + 1]), reach[i + 1, j])
            reach[i + 1, j + 1] = np.maximum(before, apart[:, i, j])
    return np.asarray(reach[-1, -1])


def filled(points: F64, visible: Bools) -> tuple[F64, Bools]:
    """Tracks (N, T, 2) whose hidden points have the place of the nearest visible one, by where they were a frame before; and
    (N,) which are never seen again, though more than the last frame comes after."""
    points = points.copy()
    for t in range(1, points.shape[1]):
        seen = np.flatnonzero(visible[:, t])
        if not len(seen):
            points[:, t] = points[:, t - 1]
            continue
        hidden = np.flatnonzero(~visible[:, t])
        apart = np.linalg.norm(points[hidden, None, t - 1] - points[None, seen, t], axis=-1)
        points[hidden, t] = points[seen[apart.argmin(1)], t]
    first = np.where(visible.all(1), visible.shape[1], (~visible).argmax(1))
    later = np.arange(visible.shape[1]) > first[:, None]
    return points, (first + 1 < visible.shape[1]) & ~(visible & later).any(1)


class FTD(Gridded):
    """Root mean square of the discrete Fréchet distances of tracked points, in widths and heights of the frame.

    Range 0 upwards, lower is better; 0 is the same motion from the same places, and a frozen clip scores about how far the
    reference's points go.
    Undefined where the reference loses all points; the frame's diagonal (1.41) where only the generated clip does. Source:
    RoPECraft (arXiv 2505.13344); formula in ``ftd.py``.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> same, reversed_ = (score_clip("ftd", g, frames).value for g in (frames, frames[::-1]))
    >>> same == 0 and reversed_ > 0
    True
    """

    id = "ftd"
    heading = "FTD"
    summary = "Fréchet trajectory distance: how far tracked points stray from the reference's, in frames"
    source = "RoPECraft (arXiv 2505.13344)"
    direction = "down"
    range = (0.0, float("inf"))
    policy: ClassVar[dict[str, Any]] = {
        "distance": "discrete Frechet", "coordinates": "divided by width and height", "hidden": "nearest visible point",
    }  # fmt: skip

    def score(self, scored: Scored) -> Value:
        g, r = self.generated(scored), self.reference(scored)
        if g is None or r is None or min(g.points.shape[1], r.points.shape[1]) < 2:
            return Value(None, {"why": "one frame has no motion"})
        return self.distance(*(_of_unit(t, f.shape) for t, f in ((g, scored.generated), (r, scored.reference))))

    def kept(self, tracks: Tracks) -> tuple[F64, Bools]:
        """Tracks with hidden places filled, and which are kept."""
        points, gone = filled(tracks.points, tracks.visible)
        return points, ~gone

    def distance(self, g: Tracks, r: Tracks) -> Value:
        """The number for two sets of tracks of the same points, divided by width and height."""
        (a, in_generated), (b, in_reference) = self.kept(g), self.kept(r)
        both = in_generated & in_reference
        counts = {"points": len(both), "compared": int(both.sum()), "in_reference": int(in_reference.sum())}
        if not in_reference.any():
            return Value(None, counts | {"why": "no point of the reference is followed to its end"})
        if not both.any():
            return Value(DIAGONAL, counts | {"why": "no point of the generated clip is followed to its end"})
        return Value(float(np.sqrt(np.square(frechet(a[both], b[both])).mean())), counts)


def _of_unit(tracks: Tracks, shape: tuple[int, ...]) -> Tracks:
    return Tracks(tracks.points / np.array([shape[2], shape[1]]), tracks.visible)


class FTDScript(FTD):
    """As RoPECraft's script prints it: points and frames change places where hidden points are filled and lost ones dropped.

    A hidden point takes the place that it has in another frame, the one nearest to where the point before it is; one that is
    never seen has the whole track of the point before it; and a *frame* in which no further point is seen drops the *point* of
    that number. Equal to ``ftd`` where every point is seen all the time.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> score_clip("ftd@ropecraft-script", frames, frames).value
    0.0
    """

    id = "ftd@ropecraft-script"
    heading = ""
    summary = (
        "Fréchet trajectory distance as RoPECraft's script prints it (points and frames exchanged where points are hidden)"
    )
    source = "ftd.py of RoPECraft"
    policy: ClassVar[dict[str, Any]] = FTD.policy | {"hidden": "as the script: points and frames exchanged"}

    def kept(self, tracks: Tracks) -> tuple[F64, Bools]:
        points, gone = filled(tracks.points.swapaxes(0, 1), tracks.visible.T)
        kept = np.ones(len(tracks.points), bool)
        kept[np.flatnonzero(gone)[np.flatnonzero(gone) < len(kept)]] = False
        return points.swapaxes(0, 1), kept

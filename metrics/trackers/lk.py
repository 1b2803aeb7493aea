"""The offline trackers: OpenCV's pyramidal Lucas-Kanade on a grid of the first frame, checked forward and backward.

They see no network and need no weights. Windows larger than the details of small frames see several motions at once: ``lk``
enlarges such frames, which costs a fifth of a pixel on pans; ``lk-live`` has a smaller window there. ``lk`` stays as it is,
because older records were made with it.
"""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastvmt.media.files import Frames
from fastvmt.plugins.tracker import F64, Tracker, Tracks

GRID, WINDOW, LEVELS, MAX_RETURN_PX, SHORT_SIDE, LEAST_WINDOW = 20, 21, 3, 1.0, 256, 7


class LK(Tracker):
    """Pyramidal Lucas-Kanade; a lost point is never found again, but goes on being searched for wherever that leads."""

    id = "lk"
    summary = "OpenCV's pyramidal Lucas-Kanade, checked forward and backward; needs no weights"
    source = "Bouguet 2000, as in OpenCV"
    licence = "Apache-2.0"

    def identity(self) -> dict[str, Any]:
        return {
            "tracker": "opencv-lk",
            "opencv": cv2.__version__,
            "grid": GRID,
            "window": WINDOW,
            "return_px": MAX_RETURN_PX,
            "short_side": SHORT_SIDE,
            "points": "pixel centres",
        }

    def track(self, frames: Frames, queries: F64 | None = None) -> Tracks:
        return track(frames, queries)


class LKLive(LK):
    """The same search; what is lost or outside the frame is followed no more, and small frames are not enlarged."""

    id = "lk-live"
    summary = "as lk, but a point that is lost or leaves the frame is followed no more; small frames stay as they are"

    def identity(self) -> dict[str, Any]:
        small = {"short_side": 0, "window": f"{WINDOW}, of the short side a twelfth, {LEAST_WINDOW} at least", "version": 1}
        return super().identity() | {"tracker": "opencv-lk-live", **small}

    def track(self, frames: Frames, queries: F64 | None = None) -> Tracks:
        return track(frames, queries, live=True)


def grid_points(height: int, width: int) -> F64:
    """(GRID * GRID, 2) middles of the cells of a grid over the frame, the first pixel's centre at (0, 0)."""
    x, y = np.meshgrid(*((np.arange(GRID) + 0.5) * side / GRID - 0.5 for side in (width, height)))
    return np.stack([x.ravel(), y.ravel()], -1)


def track(frames: Frames, queries: F64 | None = None, live: bool = False) -> Tracks:
    """Follow points of the first frame; by default a ``GRID`` x ``GRID`` set.

    A point whose way back ends more than ``MAX_RETURN_PX`` from where it started (px of a frame with a short side of
    ``SHORT_SIDE``, at most) is invisible from then on. It keeps its last place plus what the search says.

    Args:
        frames: uint8 RGB (T, H, W, 3).
        queries: (N, 2) points (x, y) of the first frame, px.
        live: what leaves the frame is lost, too; what is lost is searched no more and stands where it was last seen; small
            frames are not enlarged.
    """
    height, width = frames.shape[1:3]
    enlarge = max(1.0, SHORT_SIDE / min(height, width))
    factor, return_px = (1.0, MAX_RETURN_PX / enlarge) if live else (enlarge, MAX_RETURN_PX)
    window = max(LEAST_WINDOW, min(WINDOW, min(height, width) // 12 | 1)) if live else WINDOW
    grey = [_grey(f, factor) for f in frames]
    points = grid_points(height, width) if queries is None else queries
    here = ((points + 0.5) * factor - 0.5).astype(np.float32)  # pixel centres, as cv2.resize maps them
    side = np.array(grey[0].shape[::-1])
    alive = _inside(here, side) if live else np.ones(len(here), bool)
    path, seen = [here], [alive]
    cv2.setNumThreads(-1)  # every point is searched by itself: the paths do not depend on the number of threads
    for before, after in itertools.pairwise(grey):
        asked = np.flatnonzero(alive) if live else np.arange(len(here))
        here, alive = here.copy(), alive.copy()
        if len(asked):
            there, found = _step(before, after, here[asked], window, return_px)
            kept = found & _inside(there, side) if live else found
            alive[asked] &= kept
            here[asked] = np.where(kept[:, None], there, here[asked]) if live else there
        path.append(here)
        seen.append(alive)
    return Tracks((np.stack(path, 1).astype(float) + 0.5) / factor - 0.5, np.stack(seen, 1))


def _inside(points: NDArray[np.float32], side: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) whether points lie on a frame of this width and height."""
    return np.asarray(((points >= -0.5) & (points < side - 0.5)).all(1))


def _step(
    before: NDArray[np.uint8], after: NDArray[np.uint8], here: NDArray[np.float32], window: int, return_px: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where points are in the next frame, and whether the way back leads to within ``return_px`` of where they were."""
    options: dict[str, Any] = {"winSize": (window, window), "maxLevel": LEVELS}
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, here[:, None], None, **options)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, **options)
    error = np.linalg.norm(back[:, 0] - here, axis=1)
    return there[:, 0], (found[:, 0] == 1) & (found_back[:, 0] == 1) & (error < return_px)


def _grey(frame: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    if factor == 1.0:
        return np.asarray(grey, np.uint8)
    size = (round(frame.shape[1] * factor), round(frame.shape[0] * factor))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC), np.uint8)

"""The offline tracker: OpenCV's pyramidal Lucas-Kanade on a grid of the first frame, checked forward and backward.

It sees no network and needs no weights. Small frames are enlarged first, because its window is larger than their
details; the factor is part of its identity.
"""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastvmt.media.files import Frames
from fastvmt.plugins.tracker import F64, Tracker, Tracks

GRID, WINDOW, LEVELS, MAX_RETURN_PX, SHORT_SIDE = 20, 21, 3, 1.0, 256


class LK(Tracker):
    """Pyramidal Lucas-Kanade; a lost point is never found again."""

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


def grid_points(height: int, width: int) -> F64:
    """(GRID * GRID, 2) middles of the cells of a grid over the frame, the first pixel's centre at (0, 0)."""
    x, y = np.meshgrid(*((np.arange(GRID) + 0.5) * side / GRID - 0.5 for side in (width, height)))
    return np.stack([x.ravel(), y.ravel()], -1)


def track(frames: Frames, queries: F64 | None = None) -> Tracks:
    """Follow points of the first frame; by default a ``GRID`` x ``GRID`` set.

    A point whose way back ends more than ``MAX_RETURN_PX`` (enlarged px) from where it started is invisible from then
    on and keeps its last place plus what the tracker says.

    Args:
        frames: uint8 RGB (T, H, W, 3).
        queries: (N, 2) points (x, y) of the first frame, px.
    """
    height, width = frames.shape[1:3]
    factor = max(1.0, SHORT_SIDE / min(height, width))
    grey = [_grey(f, factor) for f in frames]
    points = grid_points(height, width) if queries is None else queries
    start = ((points + 0.5) * factor - 0.5).astype(np.float32)  # pixel centres, as cv2.resize maps them
    here, alive = start, np.ones(len(start), bool)
    path, seen = [start], [alive]
    options: dict[str, Any] = {"winSize": (WINDOW, WINDOW), "maxLevel": LEVELS}
    cv2.setNumThreads(-1)  # every point is searched by itself: the paths do not depend on the number of threads
    for before, after in itertools.pairwise(grey):
        there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, here[:, None], None, **options)
        back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, None, **options)
        error = np.linalg.norm(back[:, 0] - here, axis=1)
        alive = alive & (found[:, 0] == 1) & (found_back[:, 0] == 1) & (error < MAX_RETURN_PX)
        here = there[:, 0]
        path.append(here)
        seen.append(alive)
    return Tracks((np.stack(path, 1).astype(float) + 0.5) / factor - 0.5, np.stack(seen, 1))


def _grey(frame: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    if factor == 1.0:
        return np.asarray(grey, np.uint8)
    size = (round(frame.shape[1] * factor), round(frame.shape[0] * factor))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC), np.uint8)

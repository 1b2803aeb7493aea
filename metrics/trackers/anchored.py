"""Lucas-Kanade that does not drift: every frame is also compared with the first one, moved as the camera moved.

A search from frame to frame adds up its errors, and a window that turns or grows does not look like itself. So in every step

    step     points are searched in the next frame, forward and back, as ``lk`` does
    camera   what most points agree on (an affine motion, by RANSAC) is undone, and the search is repeated: windows then neither
             turn nor grow
    anchor   the first frame is moved by the camera's motion so far, and points are searched from their places in it. Where the
             way back fits, the window still looks alike and the place is near the one found so far, this is the place: errors
             do not add up, and a point that was hidden is found again

Points that move by themselves are anchored while they look as in the first frame, and else followed from frame to frame.
"""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastvmt.media.files import Frames
from fastvmt.metrics.motion.agreed import affine, agreed, spread
from fastvmt.metrics.trackers.lk import GRID, LEVELS, MAX_RETURN_PX, SHORT_SIDE, WINDOW, _grey, grid_points
from fastvmt.plugins.tracker import F64, Tracker, Tracks

NEAR_PX, LEAST_LIKENESS, LOOK = 3.0, 0.8, 7
"""How far an anchored place may be from the one found so far, how alike it must look, and over how many px to each side."""
TOLERANCE = 0.003
"""Widths that a point may be off the camera's motion of a step (0.75 px at least)."""
_STILL: F64 = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
_Grey = NDArray[np.uint8]
_Points = NDArray[np.float32]
_Found = tuple[_Points, NDArray[np.bool_]]


class Anchored(Tracker):
    """Lucas-Kanade, held to the first frame; a lost point may be found again."""

    id = "lk-anchored"
    summary = "Lucas-Kanade with the camera's motion undone, held to the first frame; needs no weights"
    source = "this package, with OpenCV's Lucas-Kanade"
    licence = "Apache-2.0"

    def identity(self) -> dict[str, Any]:
        return {
            "tracker": self.id, "version": 1, "opencv": cv2.__version__, "grid": GRID, "window": WINDOW,
            "return_px": MAX_RETURN_PX, "short_side": SHORT_SIDE, "near_px": NEAR_PX, "likeness": LEAST_LIKENESS,
            "tolerance_of_width": TOLERANCE,
        }  # fmt: skip

    def track(self, frames: Frames, queries: F64 | None = None) -> Tracks:
        """Follow points of the first frame; what is hidden or outside the frame keeps a guess, and is not visible."""
        height, width = frames.shape[1:3]
        factor = max(1.0, SHORT_SIDE / min(height, width))
        points = grid_points(height, width) if queries is None else queries
        start = ((points + 0.5) * factor - 0.5).astype(np.float32)
        path, seen = _follow([_grey(f, factor) for f in frames], start)
        return Tracks((path.astype(float) + 0.5) / factor - 0.5, seen)


def _follow(grey: list[_Grey], start: _Points) -> _Found:
    """(N, T, 2) places and (N, T) whether they are seen, of points of the first of the pictures."""
    whole, tolerance = spread(start), max(0.75, TOLERANCE * grey[0].shape[1])
    here, seen, camera = start, _inside(start, grey[0]), _STILL
    own = np.zeros_like(start)
    """What a point moved beside the camera's motion: where to look for it again once it is lost."""
    path, shown = [here], [seen]
    cv2.setNumThreads(-1)  # every point is searched by itself: the paths do not depend on the number of threads
    for before, after in itertools.pairwise(grey):
        there, held, step = _step(before, after, here, seen, whole, tolerance)
        held &= seen
        fit = agreed(start[held], there[held], 2 * tolerance, whole, affine) if len(start) else None
        camera = (np.vstack([step, [0, 0, 1]]) @ np.vstack([camera, [0, 0, 1]]))[:2] if fit is None else fit
        carried = _moved(start, camera)
        guess = there if fit is None else np.where(held[:, None], there, carried + own)
        place, anchored = _anchor(_warped(grey[0], camera), after, carried, guess)
        here = np.where(anchored[:, None], place, guess)
        seen = (held | anchored) & _inside(here, after)
        own = np.where(seen[:, None], here - carried, own)
        path.append(here)
        shown.append(seen)
    return np.stack(path, 1), np.stack(shown, 1)


def _step(
    before: _Grey, after: _Grey, here: _Points, seen: NDArray[np.bool_], whole: float, tolerance: float
) -> tuple[_Points, NDArray[np.bool_], F64]:
    """Where points are in the next picture, whether they were found there, and the camera's motion."""
    there, plain = _searched(before, after, here, here)
    used = plain & seen
    step = agreed(here[used], there[used], tolerance, whole, affine)
    if step is None:
        return there, plain, _STILL
    carried = _moved(here, step)
    better, held = _searched(_warped(before, step), after, carried, np.where(plain[:, None], there, carried))
    there = np.where(held[:, None], better, np.where(plain[:, None], there, carried))
    return there, plain | held, step


def _anchor(first: _Grey, after: _Grey, start: _Points, guess: _Points) -> _Found:
    """Places of points of the first picture, as the camera moved it, near those that are guessed; and whether they hold."""
    place, found = _searched(first, after, start, guess)
    near = np.linalg.norm(place - guess, axis=1) < NEAR_PX
    return place, found & near & _inside(start, first) & (_likeness(first, start, after, place) > LEAST_LIKENESS)


def _searched(before: _Grey, after: _Grey, here: _Points, guess: _Points) -> _Found:
    """Places in the next picture, from a guess on, and whether the way back leads to where they were."""
    if not len(here):
        return here, np.zeros(0, bool)
    options: dict[str, Any] = {"winSize": (WINDOW, WINDOW), "maxLevel": LEVELS, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, after, here[:, None], guess[:, None].copy(), **options)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, here[:, None].copy(), **options)
    error = np.linalg.norm(back[:, 0] - here, axis=1)
    return there[:, 0], (found[:, 0] == 1) & (found_back[:, 0] == 1) & (error < MAX_RETURN_PX)


def _likeness(a: _Grey, at_a: _Points, b: _Grey, at_b: _Points) -> NDArray[np.float32]:
    """(N,) correlation of brightness around points of two pictures."""
    offsets = np.stack(np.meshgrid(*[np.arange(-LOOK, LOOK + 1, dtype=np.float32)] * 2), -1).reshape(-1, 2)
    looks = []
    for picture, points in ((a, at_a), (b, at_b)):
        places = points[:, None] + offsets
        look = (
            cv2.remap(picture, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            if len(points)
            else places[..., 0]
        )
        looks.append(look.astype(np.float32) - look.mean(1, keepdims=True))
    one, other = looks
    return np.asarray((one * other).sum(1) / np.maximum(np.sqrt((one * one).sum(1) * (other * other).sum(1)), 1e-6), np.float32)


def _warped(picture: _Grey, motion: F64) -> _Grey:
    return np.asarray(cv2.warpAffine(picture, motion, picture.shape[::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _moved(points: _Points, motion: F64) -> _Points:
    return (points @ motion[:, :2].T + motion[:, 2]).astype(np.float32)


def _inside(points: _Points, picture: _Grey) -> NDArray[np.bool_]:
    height, width = picture.shape
    return np.asarray(((points >= -0.5) & (points < np.array([width, height]) - 0.5)).all(1))

"""Trackers on real pictures that are moved in a known way: pans, turns, zooms, and motions that no camera makes alone.

``python benchmarks/trackers_on_warps.py FOLDER`` takes the pictures from the clips (mp4) of a folder. ``depth`` moves the lower
half more than the upper one, by a smooth curve; ``layers`` pans the picture while a disc of another one moves and turns on it.
Errors are in px of 256 x 256, as in ``bench doctor --tracker``; of those points that are truly seen, and of those that the
tracker says it sees.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fastvmt.media.files import read_clip
from fastvmt.metrics.trackers.check import Judged, _judge, accuracy
from fastvmt.metrics.trackers.lk import grid_points
from fastvmt.plugins import tracker as trackers
from fastvmt.plugins.tracker import F64, Tracks

Frames = NDArray[np.uint8]
Warped = tuple[Frames, Tracks]
PAN = np.array([0.011, 0.0024])
"""Widths a frame."""


def _affine(kind: str, width: int, height: int, t: int) -> F64:
    turn, zoom = {"turn": (2 * t, 1.0), "zoom": (0, 1.02**t)}.get(kind, (0, 1.0))
    found = np.asarray(cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn, zoom), np.float64)
    if kind in ("pan", "layers"):
        found[:, 2] += PAN * width * t
    return found


def _moved(points: F64, motion: F64) -> F64:
    return points @ motion[:, :2].T + motion[:, 2]


def _still(picture: Frames, width: int, height: int) -> Frames:
    scale = max(width / picture.shape[1], height / picture.shape[0])
    size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)[:height, :width], np.uint8)


def _shown(picture: Frames, motion: F64) -> Frames:
    """Beyond its edges the picture is mirrored, and the mirror image moves with it."""
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpAffine(picture, motion, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def by_camera(kind: str) -> Callable[[Frames, Frames, int], Warped]:
    def make(picture: Frames, _: Frames, count: int) -> Warped:
        height, width = picture.shape[:2]
        motions = [_affine(kind, width, height, t) for t in range(count)]
        points = np.stack([_moved(grid_points(height, width), m) for m in motions], 1)
        return np.stack([_shown(picture, m) for m in motions]), _tracks(points, width, height)

    return make


def by_depth(picture: Frames, _: Frames, count: int) -> Warped:
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    points = grid_points(height, width)

    def shift(rows: F64) -> F64:
        return PAN[0] * width * (0.25 + 1.5 * (rows / height) ** 2)

    frames = [
        cv2.remap(picture, (x - t * shift(y)).astype(np.float32), y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        for t in range(count)
    ]
    path = np.stack([points + np.stack([t * shift(points[:, 1]), 0 * points[:, 1]], 1) for t in range(count)], 1)
    return np.stack(frames), _tracks(path, width, height)


def by_layers(picture: Frames, other: Frames, count: int) -> Warped:
    """A disc of the other picture, a quarter of the height in radius, goes to the left and turns by 1 degree a frame."""
    frames, known = by_camera("layers")(picture, other, count)
    height, width = picture.shape[:2]
    centre = np.array([0.65 * width, 0.5 * height])
    radius, points = height / 4, grid_points(height, width)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    on = np.hypot(*(points - centre).T) < radius
    path, seen = known.points.copy(), known.visible.copy()
    for t in range(count):
        motion = np.asarray(cv2.getRotationMatrix2D(tuple(centre), t, 1.0), np.float64)
        motion[:, 2] -= [0.008 * width * t, 0]
        at = _moved(centre[None], motion)[0]
        disc = np.hypot(x - at[0], y - at[1]) < radius
        frames[t][disc] = _shown(other, motion)[disc]
        path[on, t] = _moved(points[on], motion)
        seen[~on, t] &= np.hypot(*(path[~on, t] - at).T) >= radius
    return frames, _tracks(path, width, height, seen)


def _tracks(points: F64, width: int, height: int, seen: NDArray[np.bool_] | None = None) -> Tracks:
    inside = ((points > -0.5) & (points < np.array([width, height]) - 0.5)).all(-1)
    return Tracks(points, inside if seen is None else inside & seen)


KINDS = {**{k: by_camera(k) for k in ("pan", "turn", "zoom")}, "depth": by_depth, "layers": by_layers}


def row(name: str, kind: str, pictures: list[Frames], count: int) -> str:
    judged: Judged = []
    seconds = 0.0
    for k, picture in enumerate(pictures):
        frames, known = KINDS[kind](picture, pictures[k - 1], count)
        begun = time.process_time()
        found = trackers.get(name).track(frames, known.points[:, 0])
        seconds += time.process_time() - begun
        judged += _judge(found, known, slice(None), (frames.shape[2], frames.shape[1]))
    of = accuracy(judged)
    told = np.concatenate([error[seen & claimed] for error, seen, claimed in judged])
    false = np.mean([float((claimed & ~seen).mean()) for _, seen, claimed in judged])
    cells = [of["median_px"], np.median(told), np.percentile(told, 90), of["delta"], of["visibility"], false, of["jaccard"]]
    return f"| {kind} | {name} | {' | '.join(f'{c:.3f}' for c in cells)} | {seconds / len(pictures):.1f} |"


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("folder", type=Path)
    reader.add_argument("--trackers", default="lk,lk-anchored")
    reader.add_argument("--sizes", default="64x64,832x480")
    reader.add_argument("--frames", type=int, default=33)
    reader.add_argument("--picture", type=int, default=20, help="which frame of each clip is moved")
    asked = reader.parse_args()
    stills = [read_clip(path, path.name).frames[asked.picture] for path in sorted(asked.folder.glob("*.mp4"))]
    head = (
        "| motion | tracker | median px | median px, told seen | 90 % | delta | visibility | falsely seen | jaccard | CPU s |"
    )
    for size in asked.sizes.split(","):
        width, height = map(int, size.split("x"))
        print(f"\n{width} x {height}, {asked.frames} frames, {len(stills)} pictures\n\n{head}\n{'|---' * 10}|")
        for kind in KINDS:
            for name in asked.trackers.split(","):
                print(row(name, kind, [_still(s, width, height) for s in stills], asked.frames), flush=True)


if __name__ == "__main__":
    main()

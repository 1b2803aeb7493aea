"""Lucas-Kanade held to the first frame: it does not drift under turns and zooms, and finds a hidden point again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fastvmt.media.files import Frames
from fastvmt.metrics.trackers.lk import grid_points
from fastvmt.plugins import tracker
from fastvmt.plugins.tracker import F64

FRAMES, SIDE = 17, 96


def picture() -> Frames:
    rough = np.random.default_rng(3).integers(0, 256, (SIDE // 4, SIDE // 4, 3), np.uint8)
    return np.asarray(cv2.resize(rough, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def moved(turn: float, zoom: float) -> tuple[Frames, F64]:
    """The picture moved by a camera, and where the points of the grid go."""
    frames, path = [], []
    for t in range(FRAMES):
        motion = np.asarray(cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), turn * t, zoom**t))
        frames.append(cv2.warpAffine(picture(), motion, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101))
        path.append(grid_points(SIDE, SIDE) @ motion[:, :2].T + motion[:, 2])
    return np.stack(frames), np.stack(path, 1)


@pytest.mark.parametrize(("turn", "zoom"), [(2.0, 1.0), (0.0, 1.02), (0.0, 1.0)])
def test_errors_do_not_add_up(turn: float, zoom: float) -> None:
    frames, path = moved(turn, zoom)
    error = {}
    for name in ("lk", "lk-anchored"):
        found = tracker.get(name).track(frames)
        seen = found.visible[:, -1]
        assert seen.mean() > 0.4
        error[name] = float(np.median(np.linalg.norm(found.points - path, axis=-1)[seen, -1]))
    assert error["lk-anchored"] < 0.1 and error["lk-anchored"] <= max(0.5 * error["lk"], 1e-3)


def test_a_hidden_point_is_not_seen_and_is_found_again() -> None:
    frames = picture()[None].repeat(FRAMES, 0)
    for t in range(4, 10):
        frames[t, 40:60, 40:60] = 128
    found = tracker.get("lk-anchored").track(frames, np.concatenate([[[49.0, 50.0], [10.0, 12.0]], grid_points(SIDE, SIDE)]))
    assert not found.visible[0, 5:9].any() and found.visible[0, 12:].all() and found.visible[1].all()
    np.testing.assert_allclose(found.points[:2, -1], [[49, 50], [10, 12]], atol=0.05)


def test_points_outside_the_frame_are_not_seen_and_none_are_no_fault() -> None:
    base = picture().repeat(2, 1)
    frames = np.stack([base[:, 3 * t : 3 * t + SIDE] for t in range(FRAMES)])
    found = tracker.get("lk-anchored").track(frames)
    outside = ((found.points < -0.5) | (found.points >= SIDE - 0.5)).any(-1)
    assert outside[:, -1].mean() > 0.3 and not (found.visible & outside).any()
    assert tracker.get("lk-anchored").track(frames, np.zeros((0, 2))).points.shape == (0, FRAMES, 2)

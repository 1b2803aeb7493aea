"""Drawn clips with known motion: the scenes, their truth, and the suites ``shapes`` and ``shapes-64``.

A *pair* is a reference scene and a target caption with another subject on another ground; the reference's motion is
known exactly, so a generated clip can be judged against truth. Training, tuning and suites draw from disjoint seed
streams (``STREAMS``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fastvmt.datasets.drawn.motion import IN_PLACE, MOTIONS, TRAVEL, camera_path, subject_path
from fastvmt.datasets.drawn.scene import GROUND_COLOURS, PATTERNS, SHAPES, SUBJECT_COLOURS, Mover, Scene, coverage

STREAMS = {"train": 1, "tune": 2, "suite": 3, "heldout": 4}
"""First word of the seed of each stream; the second is the clip's number."""

CATEGORIES = ("camera", "single_object", "multiple_objects", "complex")
_TRAIN_MOTION_WEIGHTS = (0.30, 0.12, 0.14, 0.10, 0.08, 0.10, 0.06, 0.04, 0.03, 0.03)


def stream(name: str, number: int) -> np.random.Generator:
    """The generator of one clip.

    Args:
        name: a key of ``STREAMS``.
        number: the clip's number, 0 or more.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([STREAMS[name], number])))


def _pick(rng: np.random.Generator, names: tuple[str, ...], without: frozenset[str] = frozenset()) -> str:
    left = [n for n in names if n not in without]
    return left[int(rng.integers(len(left)))]


def make_scene(
    rng: np.random.Generator, motions: tuple[str, ...], camera: str, frames: int, size: int = 64, avoid: str = ""
) -> Scene:
    """Draw looks and paths for one scene.

    Args:
        rng: consumed.
        motions: one motion name per mover, back to front.
        camera: ``still``, ``pan``, ``zoom_in`` or ``zoom_out``.
        frames: T.
        size: side in px.
        avoid: a caption whose words the looks must not reuse (for target captions).
    """
    used: set[str] = set(avoid.split())
    movers: list[Mover] = []
    for motion in motions:
        shape = _pick(rng, SHAPES, frozenset(used))
        colour = _pick(rng, tuple(SUBJECT_COLOURS), frozenset(used))
        used |= {shape, colour}
        path = subject_path(rng, motion, frames, size)
        movers.append(Mover(shape, colour, path.x, path.y, path.angle, path.radius))
    ground = _pick(rng, tuple(GROUND_COLOURS), frozenset(used))
    pattern = _pick(rng, PATTERNS, frozenset(used))
    phase = (float(rng.integers(1024)) / 1024, float(rng.integers(1024)) / 1024)
    pan_x, pan_y, zoom = camera_path(rng, camera, frames, size)
    return Scene(size, size, ground, pattern, phase, tuple(movers), pan_x, pan_y, zoom)


def random_scene(rng: np.random.Generator, frames: int, size: int = 64) -> Scene:
    """One scene of the training mixture: mostly one mover under a still camera, a fifth with two or three."""
    count = int(rng.choice([1, 2, 3], p=[0.80, 0.16, 0.04]))
    motions = tuple(str(rng.choice(MOTIONS, p=_TRAIN_MOTION_WEIGHTS)) for _ in range(count))
    camera = str(rng.choice(["still", "pan", "zoom_in", "zoom_out"], p=[0.80, 0.14, 0.03, 0.03]))
    return make_scene(rng, motions, camera, frames, size)


@dataclass(frozen=True)
class Pair:
    """A reference scene and the caption of the clip to be generated with its motion."""

    name: str
    category: str
    reference: Scene
    target: str


def motions_of(rng: np.random.Generator, category: str, number: int) -> tuple[tuple[str, ...], str]:
    """What moves in pair ``number`` of a category: a motion for each mover, and the camera's.

    Args:
        rng: consumed.
    """
    moving = tuple(TRAVEL)
    if category == "camera":
        return ("static",), ("pan", "pan", "zoom_in", "zoom_out")[number % 4]
    if category == "single_object":
        return (moving[number % len(moving)],), "still"
    if category == "multiple_objects":
        return (_pick(rng, moving), _pick(rng, moving)), "still"
    return (_pick(rng, (*IN_PLACE[1:], "bounce", "circle")),), "pan"


def _pair(number: int, category: str, frames: int) -> Pair:
    rng = stream("suite", number)
    motions, camera = motions_of(rng, category, number)
    reference = make_scene(rng, motions, camera, frames)
    target = make_scene(rng, motions, "still", 1, avoid=reference.caption()).caption()
    return Pair(f"{category.replace('_', '-')}-{number:02d}", category, reference, target)


_NUMBERS: dict[str, dict[str, Iterable[int]]] = {
    "shapes": {
        "single_object": (100, 101, *range(108, 114)), "multiple_objects": (104, 105, 114, 115), "camera": (102, 103),
        "complex": (106, 107),
    },
    "shapes-64": {
        "single_object": range(40), "camera": range(40, 48), "multiple_objects": range(48, 56), "complex": range(56, 64),
    },
}  # fmt: skip
"""Of each suite's pairs by category. A number decides what is drawn, so that a suite which grows keeps its pairs."""


def suite_pairs(name: str, frames: int = 33) -> list[Pair]:
    """The pairs of a drawn suite, by category.

    Args:
        name: ``shapes`` (16 pairs: 8 single-object, 4 multiple-objects, 2 camera, 2 complex) or ``shapes-64`` (40
            single-object, 8 of each other category).
        frames: T of the reference clips.

    Raises:
        KeyError: for another name.
    """
    return [_pair(n, category, frames) for category, numbers in _NUMBERS[name].items() for n in numbers]


@dataclass(frozen=True)
class Truth:
    """What is known of a drawn clip.

    Attributes:
        tracks: (N, T, 2) points as (x, y) px, fixed to subjects and ground.
        visible: (N, T) bool: inside the frame and not behind another mover.
        owner: (N,) mover index, -1 for the ground.
        masks: (movers, T, H, W) bool: pixels where that mover is what one sees.
        centroids: (movers, T, 2) screen position (x, y) px of each mover's centre.
    """

    tracks: NDArray[np.float64]
    visible: NDArray[np.bool_]
    owner: NDArray[np.int64]
    masks: NDArray[np.bool_]
    centroids: NDArray[np.float64]


def truth(scene: Scene, points_per_mover: int = 12, ground_grid: int = 6) -> Truth:
    """Exact tracks, visibility, masks and centroids of a scene."""
    covers = coverage(scene)
    shape = (scene.frames, scene.height, scene.width)
    owner_map = np.full(shape, -1, np.int64)
    for index, cover in enumerate(covers):
        owner_map[cover > 0.5] = index
    masks = np.stack([owner_map == i for i in range(len(covers))]) if covers else np.zeros((0, *shape), bool)
    tracks, owners, centroids = [], [], []
    for index, mover in enumerate(scene.movers):
        centroids.append(np.stack(scene.to_screen(mover.x, mover.y), -1))
        for x, y in _inner_points(scene, index, covers[index], points_per_mover):
            tracks.append(np.stack(scene.to_screen(x, y), -1))
            owners.append(index)
    axis = (np.arange(ground_grid) + 0.5) / ground_grid
    for wy in axis * scene.height:
        for wx in axis * scene.width:
            ones = np.ones(scene.frames)
            tracks.append(np.stack(scene.to_screen(wx * ones, wy * ones), -1))
            owners.append(-1)
    all_tracks, owner = np.stack(tracks), np.array(owners)
    column, row = (np.rint(all_tracks[..., k]).astype(int) for k in (0, 1))
    inside = (column >= 0) & (column < scene.width) & (row >= 0) & (row < scene.height)
    seen = owner_map[np.arange(scene.frames), row.clip(0, scene.height - 1), column.clip(0, scene.width - 1)] == owner.reshape(
        -1, 1
    )
    return Truth(all_tracks, inside & seen, owner, masks, np.stack(centroids) if centroids else np.zeros((0, 1, 2)))


def _inner_points(
    scene: Scene, index: int, cover: NDArray[np.float32], count: int
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """World paths of points spread over a mover's first frame, well inside its outline."""
    mover = scene.movers[index]
    rows, columns = np.nonzero(cover[0] > 0.99)
    chosen = np.unique(np.linspace(0, len(rows) - 1, count).astype(int)) if len(rows) else np.array([], int)
    cx, cy = (scene.width - 1) / 2, (scene.height - 1) / 2
    out = []
    for k in chosen:
        wx = (columns[k] - cx - scene.pan_x[0]) / scene.zoom[0] + cx - mover.x[0]
        wy = (rows[k] - cy - scene.pan_y[0]) / scene.zoom[0] + cy - mover.y[0]
        turn, grow = mover.angle - mover.angle[0], mover.radius / mover.radius[0]
        cos, sin = np.cos(turn), np.sin(turn)
        out.append((mover.x + grow * (cos * wx - sin * wy), mover.y + grow * (sin * wx + cos * wy)))
    return out


def cut(scene: Scene, start: int, stop: int) -> Scene:
    """The frames start..stop-1 of a scene, as a scene."""
    part = slice(start, stop)
    movers = tuple(replace(m, x=m.x[part], y=m.y[part], angle=m.angle[part], radius=m.radius[part]) for m in scene.movers)
    return replace(scene, movers=movers, pan_x=scene.pan_x[part], pan_y=scene.pan_y[part], zoom=scene.zoom[part])

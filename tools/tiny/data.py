"""Batches of drawn clips for training, numbered so that a resumed run goes on where it stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fastvmt.datasets.drawn.motion import IN_PLACE, MOTIONS, TRAVEL
from fastvmt.datasets.drawn.scene import SHAPES, Scene, draw
from fastvmt.datasets.drawn.shapes import CATEGORIES, cut, make_scene, random_scene, stream

FULL_FRAMES = 33
HARD_SHAPES = {"circle": 0.08, "square": 0.12, "triangle": 0.08, "star": 0.28, "ring": 0.20, "cross": 0.24}
"""How often a focused run shows a lone subject of each shape: most often those that came out wrong."""

CATEGORY_SHARES = {"camera": 0.22, "single_object": 0.38, "multiple_objects": 0.22, "complex": 0.18}
"""How often a focused run shows each category of the suites; elsewhere a camera that moves is one clip in five."""
CAMERAS = ("pan", "pan", "zoom_in", "zoom_out")


def _favour(scene: Scene, rng: np.random.Generator) -> Scene:
    if len(scene.movers) != 1:
        return scene
    shape = str(rng.choice(SHAPES, p=[HARD_SHAPES[s] for s in SHAPES]))
    return replace(scene, movers=(replace(scene.movers[0], shape=shape),))


def _focused(rng: np.random.Generator, frames: int) -> Scene:
    """A scene of a category drawn by ``CATEGORY_SHARES``, its motions as free as the category lets them be."""
    category = str(rng.choice(CATEGORIES, p=[CATEGORY_SHARES[c] for c in CATEGORIES]))
    camera = str(rng.choice(CAMERAS)) if category in ("camera", "complex") else "still"
    among = {"camera": ("static", *IN_PLACE), "multiple_objects": (*TRAVEL, *MOTIONS), "complex": IN_PLACE[1:] + TRAVEL}
    count = int(rng.choice([2, 3], p=[0.9, 0.1])) if category == "multiple_objects" else 1
    return make_scene(rng, tuple(str(rng.choice(among.get(category, MOTIONS))) for _ in range(count)), camera, frames)


def draw_scenes(first: int, count: int, frames: int, name: str = "train", favour: bool = False) -> list[Scene]:
    """Scenes ``first .. first+count-1`` of a stream.

    Shorter ones are cut from paths of ``FULL_FRAMES`` frames, so that speeds are the same at every length.

    Args:
        first: number of the first scene.
        count: scenes.
        frames: T of each.
        name: a key of ``STREAMS``.
        favour: scenes by ``CATEGORY_SHARES``, the shapes of lone subjects by ``HARD_SHAPES``.
    """
    scenes = []
    for number in range(first, first + count):
        rng = stream(name, number)
        scene = _focused(rng, FULL_FRAMES) if favour else random_scene(rng, FULL_FRAMES)
        start = int(rng.integers(FULL_FRAMES - frames + 1))
        scenes.append(cut(_favour(scene, rng) if favour else scene, start, start + frames))
    return scenes


def fastest(scenes: list[Scene]) -> list[Scene]:
    """Half of the scenes: those in which a mover takes the longest step on the screen from one frame to the next."""

    def longest_step(scene: Scene) -> float:
        places = [np.stack(scene.to_screen(m.x, m.y)) for m in scene.movers]
        return max((float(np.hypot(*np.diff(p)).max()) for p in places), default=0.0)

    return sorted(scenes, key=longest_step)[-(len(scenes) // 2) :]


def paint(scenes: list[Scene]) -> Tensor:
    """Float video (count, frames, 64, 64, 3) in [-1, 1] of scenes of one length."""
    return torch.from_numpy(np.stack([draw(s) for s in scenes])).float() / 127.5 - 1


def draw_batch(first: int, count: int, frames: int, name: str = "train", favour: bool = False) -> tuple[Tensor, list[str]]:
    """Clips and captions of :func:`draw_scenes`."""
    scenes = draw_scenes(first, count, frames, name, favour)
    return paint(scenes), [s.caption() for s in scenes]

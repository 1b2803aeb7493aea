"""Batches of drawn clips for training, numbered so that a resumed run goes on where it stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from fastvmt.datasets.drawn.scene import SHAPES, Scene, draw
from fastvmt.datasets.drawn.shapes import cut, random_scene, stream

FULL_FRAMES = 33
HARD_SHAPES = {"circle": 0.08, "square": 0.12, "triangle": 0.08, "star": 0.28, "ring": 0.20, "cross": 0.24}
"""How often a focused run shows a lone subject of each shape: most often those that came out wrong."""


def _favour(scene: Scene, rng: np.random.Generator) -> Scene:
    if len(scene.movers) != 1:
        return scene
    shape = str(rng.choice(SHAPES, p=[HARD_SHAPES[s] for s in SHAPES]))
    return replace(scene, movers=(replace(scene.movers[0], shape=shape),))


def draw_scenes(first: int, count: int, frames: int, name: str = "train", favour: bool = False) -> list[Scene]:
    """Scenes ``first .. first+count-1`` of a stream.

    Shorter ones are cut from paths of ``FULL_FRAMES`` frames, so that speeds are the same at every length.

    Args:
        first: number of the first scene.
        count: scenes.
        frames: T of each.
        name: a key of ``STREAMS``.
        favour: redraw the shapes of lone subjects by ``HARD_SHAPES``.
    """
    scenes = []
    for number in range(first, first + count):
        rng = stream(name, number)
        scene = random_scene(rng, FULL_FRAMES)
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

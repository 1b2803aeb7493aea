"""Batches of drawn clips for training, numbered so that a resumed run goes on where it stopped."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fastvmt.datasets.scene import coverage, draw
from fastvmt.datasets.shapes import cut, random_scene, stream

FULL_FRAMES = 33


def draw_batch(first: int, count: int, frames: int, name: str = "train") -> tuple[Tensor, list[str]]:
    """Clips ``first .. first+count-1`` of a stream.

    Shorter clips are cut from paths of ``FULL_FRAMES`` frames, so that speeds are the same at every length.

    Returns:
        float video (count, frames, 64, 64, 3) in [-1, 1], and captions.
    """
    videos, captions = [], []
    for number in range(first, first + count):
        rng = stream(name, number)
        scene = random_scene(rng, FULL_FRAMES)
        start = int(rng.integers(FULL_FRAMES - frames + 1))
        videos.append(draw(cut(scene, start, start + frames)))
        captions.append(scene.caption())
    return torch.from_numpy(np.stack(videos)).float() / 127.5 - 1, captions


def subject_cells(first: int, count: int, frames: int, name: str = "train") -> Tensor:
    """Which latent cells of the same clips show a mover: float (count, 1 + (frames - 1) / 4, 16, 16) of 0 and 1."""
    found = []
    for number in range(first, first + count):
        rng = stream(name, number)
        scene = random_scene(rng, FULL_FRAMES)
        start = int(rng.integers(FULL_FRAMES - frames + 1))
        covers = coverage(cut(scene, start, start + frames))
        most = np.stack([np.zeros((frames, 64, 64), np.float32), *covers]).max(0)
        cells = np.greater(most, 0.5).reshape(frames, 16, 4, 16, 4).any(axis=(2, 4))
        later = cells[1:].reshape(-1, 4, 16, 16).any(axis=1)
        found.append(np.concatenate([cells[:1], later]))
    return torch.from_numpy(np.stack(found)).float()

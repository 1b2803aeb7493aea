"""Batches of drawn clips for training, numbered so that a resumed run goes on where it stopped."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fastvmt.datasets.scene import draw
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

"""Teach one block's queries and keys where things go: a cross-entropy on drawn clips, whose true motion is known.

For a token of the subject or the ground in one latent frame, the softmax of a method's logits (heads averaged, after rotary
embedding) over the tokens of another frame should peak where that piece of the world then is. At noise levels where the
place is open, the softmax learns to be as wide as what can be known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastvmt.datasets.drawn.scene import Scene, coverage

PATCH = 8  # px a token is wide and high
GROUND_SHARE = 0.25  # of the ground's mean beside the subjects' mean
MIDDLE = 2  # px frames before a latent frame's last one: about the middle of the four it holds

F64 = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Targets:
    """True places of a batch of clips; a *link* is a token and another frame in which its piece of the world is seen.

    Attributes:
        clip, frame, token, other: (N,) int: clip, latent frame and token of each link, and the latent frame it goes to.
        keys, parts: (N, 4): the tokens around the true place and their shares (bilinear; they sum to 1).
        ground: (N,) bool: a link of the ground.
    """

    clip: Tensor
    frame: Tensor
    token: Tensor
    other: Tensor
    keys: Tensor
    parts: Tensor
    ground: Tensor


def at_latent_times(scene: Scene) -> Scene:
    """The scene at one moment for every latent frame: 0, then about the middle of each group of four."""
    times = np.maximum(np.arange(0, scene.frames, 4) - MIDDLE, 0)
    movers = tuple(replace(m, x=m.x[times], y=m.y[times], angle=m.angle[times], radius=m.radius[times]) for m in scene.movers)
    return replace(scene, movers=movers, pan_x=scene.pan_x[times], pan_y=scene.pan_y[times], zoom=scene.zoom[times])


def _owners(scene: Scene) -> NDArray[np.int64]:
    """Who is seen at every pixel (F, H, W): a mover's index, or -1 for the ground."""
    owners = np.full((scene.frames, scene.height, scene.width), -1, np.int64)
    for index, cover in enumerate(coverage(scene)):
        owners[cover > 0.5] = index
    return owners


def _places(scene: Scene, owner: int, x: F64, y: F64, i: int) -> tuple[F64, F64]:
    """Screen places (N, F) in all frames of screen points (N,) px seen on ``owner`` in frame ``i``."""
    cx, cy = (scene.width - 1) / 2, (scene.height - 1) / 2
    wx = ((x - cx - scene.pan_x[i]) / scene.zoom[i] + cx)[:, None]
    wy = ((y - cy - scene.pan_y[i]) / scene.zoom[i] + cy)[:, None]
    if owner >= 0:
        m = scene.movers[owner]
        turn, grow = m.angle - m.angle[i], m.radius / m.radius[i]
        dx, dy = wx - m.x[i], wy - m.y[i]
        wx = m.x + grow * (np.cos(turn) * dx - np.sin(turn) * dy)
        wy = m.y + grow * (np.sin(turn) * dx + np.cos(turn) * dy)
    else:
        wx, wy = wx + np.zeros(scene.frames), wy + np.zeros(scene.frames)
    return scene.to_screen(wx, wy)  # type: ignore[return-value]


def links(scene: Scene) -> tuple[F64, NDArray[np.bool_]]:
    """Rows (frame, token, other frame, true row, true column in tokens) of one scene, and which are of the ground.

    A token counts for what covers more than half of it (more than nine tenths, for the ground), and a link only where its
    piece of the world is seen in the other frame: inside it and not behind something else.
    """
    small = at_latent_times(scene)
    owners = _owners(small)
    f, h, w = small.frames, small.height // PATCH, small.width // PATCH
    rows, ground = [], []
    for owner in range(-1, len(small.movers)):
        share = (owners == owner).reshape(f, h, PATCH, w, PATCH).mean((2, 4)).reshape(f, h * w)
        for i in range(f):
            tokens = np.flatnonzero(share[i] > (0.9 if owner < 0 else 0.5))
            x, y = _places(small, owner, PATCH * (tokens % w + 0.5) - 0.5, PATCH * (tokens // w + 0.5) - 0.5, i)
            column, row = np.rint(x).astype(int), np.rint(y).astype(int)
            inside = (column >= 0) & (column < small.width) & (row >= 0) & (row < small.height)
            seen = owners[np.arange(f), row.clip(0, small.height - 1), column.clip(0, small.width - 1)] == owner
            good = inside & seen
            good[:, i] = False
            n, j = np.nonzero(good)
            place = ((y[n, j] + 0.5) / PATCH - 0.5, (x[n, j] + 0.5) / PATCH - 0.5)
            rows.append(np.stack([np.full(len(n), i), tokens[n], j, *place], 1))
            ground.append(np.full(len(n), owner < 0))
    return np.concatenate(rows), np.concatenate(ground)


def targets(scenes: list[Scene]) -> Targets:
    """The links of a batch of scenes of one size."""
    found = [links(s) for s in scenes]
    h, w = scenes[0].height // PATCH, scenes[0].width // PATCH
    table = np.concatenate([np.insert(rows, 0, n, axis=1) for n, (rows, _) in enumerate(found)])
    row, column = table[:, 4].clip(0, h - 1), table[:, 5].clip(0, w - 1)
    top, left = np.floor(row).clip(0, h - 2).astype(int), np.floor(column).clip(0, w - 2).astype(int)
    down, right = row - top, column - left
    keys = np.stack([(top + a) * w + left + b for a in (0, 1) for b in (0, 1)], 1)
    parts = np.stack([(down if a else 1 - down) * (right if b else 1 - right) for a in (0, 1) for b in (0, 1)], 1)
    clip, frame, token, other = torch.from_numpy(table[:, :4].astype(np.int64)).unbind(1)
    ground = torch.from_numpy(np.concatenate([g for _, g in found]))
    return Targets(clip, frame, token, other, torch.from_numpy(keys), torch.from_numpy(parts).float(), ground)


def correspondence_loss(q: Tensor, k: Tensor, wanted: Targets, frames: int) -> Tensor:
    """Cross-entropy of the places that queries choose in other frames.

    Args:
        q, k: (B, frames * S, heads, d) after rotary embedding.
        wanted: of the same B clips.
        frames: latent frames.

    Returns:
        A scalar: the mean over links of subjects, and ``GROUND_SHARE`` of that over links of the ground.
    """
    count, all_tokens, heads, d = q.shape
    logits = torch.bmm(q.flatten(2), k.flatten(2).mT) / (heads * d**0.5)
    chances = logits.float().view(count, frames, all_tokens // frames, frames, -1).log_softmax(-1)
    at = (wanted.clip, wanted.frame, wanted.token, wanted.other)
    each = -(chances[at].gather(1, wanted.keys) * wanted.parts).sum(1)
    loss = each.new_zeros(())
    for part, weight in ((~wanted.ground, 1.0), (wanted.ground, GROUND_SHARE)):
        if bool(part.any()):
            loss = loss + weight * each[part].mean()
    return loss

"""The released windowed descriptor, written out pair by pair and tile by tile: slow, and meant to be read.

Conventions: frames F, grid H x W, raster tokens, (row, column). The vectorised form lives in ``methods/_math/released.py``.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


def same_frame(q: Tensor, k: Tensor, height: int, width: int) -> Tensor:
    """d = 0: expected position minus own position, over the whole frame."""
    place = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), -1).view(-1, 2).float()
    attention = torch.softmax(q @ k.T / q.shape[1] ** 0.5, -1)
    return attention @ place - place


def pair(q: Tensor, k: Tensor, height: int, width: int, tile: tuple[int, int], side: int) -> tuple[Tensor, Tensor]:
    """d > 0: displacements (S, 2) in raster order and window slots (P, side * side) as raster key indices."""
    th, tw = tile
    place = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), -1).view(-1, 2).float()
    scale, half = q.shape[1] ** -0.5, side // 2
    out, slots = torch.zeros(height * width, 2), []
    for top in range(0, height, th):
        for left in range(0, width, tw):
            representative = (top + th // 2) * width + left + tw // 2
            with torch.no_grad():
                centre = torch.softmax(q[representative] @ k.T * scale, -1) @ place
            rows = (centre[0] + torch.arange(side) - half).clamp(half, height - half - 1).long()
            columns = (centre[1] + torch.arange(side) - half).clamp(half, width - half - 1).long()
            index = (rows[:, None] * width + columns[None, :]).reshape(-1)
            slots.append(index)
            tokens = torch.tensor([(top + a) * width + left + b for a in range(th) for b in range(tw)])
            attention = torch.softmax(q[tokens] @ k[index].T * scale, -1)
            slot = torch.arange(side * side)
            weight = (slot % 2 == 0).float()
            value = torch.stack([slot // side, slot % side], -1).float() * weight[:, None]
            own = torch.tensor([[a, b] for a in range(th) for b in range(tw)]).float()
            out = out.index_put((tokens,), attention @ value - own)
    return out, torch.stack(slots)


def total_loss(
    q_ref: Tensor, k_ref: Tensor, q: Tensor, k: Tensor, grid: tuple[int, int], tile: tuple[int, int], side: int, span: int
) -> Tensor:
    """5 x weighted AMF loss + tracking loss, as the released code adds them up; all inputs (F, S, D)."""
    frames, (height, width) = q.shape[0], grid
    amf, pairs, slots = q.new_zeros(()), 0, {}
    for i in range(frames):
        for j in range(i, min(frames, i + span)):
            weight = 1 - 0.2 * (j - i) / (span - 1)
            if i == j:
                with torch.no_grad():
                    target = same_frame(q_ref[i], k_ref[j], height, width)
                moved = same_frame(q[i], k[j], height, width)
            else:
                with torch.no_grad():
                    target, _ = pair(q_ref[i], k_ref[j], height, width, tile, side)
                moved, slots[i, j] = pair(q[i], k[j], height, width, tile, side)
            amf = amf + weight * (moved - target).square().sum()
            pairs += 1
    track, anchors = q.new_zeros(()), 0
    mean = k.mean(-1)
    for i in range(frames):
        targets = list(range(i + 1, min(frames, i + span)))
        if len(targets) < 2:
            continue
        anchors += 1
        steps = [mean[b][slots[i, b]] - mean[a][slots[i, a]] for a, b in itertools.pairwise(targets)]
        track = track + torch.stack([s.norm(dim=-1).mean() for s in steps]).mean()
    return 5 * amf / pairs + track / max(1, anchors)

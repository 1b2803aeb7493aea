"""FastVMT's descriptor and losses as its paper has them (sections 3.2, 3.3, B.1, B.4); ``released`` has those of its code.

Shapes as in ``flow``: F frames, S tokens in raster order, P tiles, D features; pairs are grouped by offset d = j - i.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fastvmt.methods._math.flow import (
    Tiles,
    Windows,
    dense_bytes,
    dense_flow,
    window_centres,
    window_means,
    windowed_bytes,
    windowed_flow,
    windows_at,
)  # fmt: skip

if TYPE_CHECKING:
    from torch import Tensor

    from fastvmt.plugins.method import Shape


def held(shape: Shape, side: int, offsets: int, features: int) -> int:
    """Bytes of ``describe`` with a gradient; whole frames are taken offset by offset, the parts of each again for the backward
    pass where they are large."""
    frames, *grid = shape.grid
    pairs = [max(0, frames - d) for d in range(1, offsets + 1)]
    if not side or side >= max(grid):
        return sum(dense_bytes(n, grid[0] * grid[1], features) for n in pairs)
    return windowed_bytes(sum(pairs), (grid[0], grid[1]), side)


@dataclass(frozen=True)
class Seen:
    """Descriptors of one video, by offset: displacements (F - d, S, 2) in tokens, and the windows they were found in."""

    flows: list[Tensor]
    windows: list[Windows]


def describe(
    q: Tensor, k: Tensor, tiles: Tiles, side: int, offsets: range, scale: float, soft: bool = True,
    given: list[Windows] | None = None,
) -> Seen:  # fmt: skip
    """The descriptor of all pairs with these offsets.

    Args:
        q, k: (F, S, D) queries and keys.
        side: of a window, in tokens; as long as the grid's longer side, every token attends to the whole frame.
        scale: factor on the logits.
        soft: windows around expected positions, or around best keys.
        given: windows to take instead, one for each offset.
    """
    frames, whole = q.shape[0], side >= max(tiles.grid)
    flows: list[Tensor] = []
    windows: list[Windows] = []
    for n, d in enumerate(offsets[: max(0, frames - offsets.start)]):
        a, b = q[: frames - d], k[d:]
        if given is not None:
            box = given[n]
        elif whole:
            corner = torch.zeros(frames - d, tiles.number, dtype=torch.long, device=q.device)
            box = Windows(corner, corner, *tiles.grid)
        else:
            box = windows_at(window_centres(a, b, tiles, scale, soft), tiles.grid, side)
        windows.append(box)
        if whole:
            flows.append(dense_flow(a, k, torch.arange(d, frames, device=q.device), tiles.grid, scale))
        else:
            flows.append(windowed_flow(a, b, box, tiles, scale))
    return Seen(flows, windows)


def amf_loss(reference: Seen, generated: Seen, offsets: range, eq6: bool = False, tokens_mean: bool = True) -> Tensor:
    """Weighted squared distance of displacements over pairs (equation 5, normalised as B.1 says).

    Args:
        eq6: weights fall as in equation 6, from the first offset that is not 0; otherwise as in B.1, from 1 to 0.8.
        tokens_mean: mean over tokens (B.1), or their sum (equation 5).
    """
    total, pairs = generated.flows[0].new_zeros(()), 0
    for n, (a, b) in enumerate(zip(reference.flows, generated.flows, strict=True)):
        spread = offsets.stop - 1 if eq6 else max(1, len(generated.flows) - 1)
        weight = 1 - 0.2 * ((n + offsets.start - 1) if eq6 else n) / spread
        distance = (a - b).square().sum(-1)
        total = total + weight * (distance.mean(-1) if tokens_mean else distance.sum(-1)).sum()
        pairs += a.shape[0]
    return total / pairs


def window_loss(k: Tensor, windows: list[Windows], grid: tuple[int, int], square: bool = False) -> Tensor:
    """Change of the windows' mean key from one target frame to the next (equation 7, B.4), over F anchors.

    Args:
        k: (F, S, D).
        windows: of the offsets 1, 2 ...
        square: of the change (equation 7), or its norm (B.4).
    """
    frames, total = k.shape[0], k.new_zeros(())
    means = [window_means(k[d:], box, grid) for d, box in enumerate(windows, start=1)]
    for near, far in itertools.pairwise(means):
        n = far.shape[0]
        steps = torch.tensor([min(len(means), frames - 1 - i) - 1 for i in range(n)], device=k.device)
        change = (far - near[:n]).square().sum(-1)
        change = change if square else (change + 1e-20).sqrt()
        total = total + (change.mean(-1) / steps).sum()
    return total / frames

"""FastVMT's descriptor and losses as the authors' code computes them, vectorised.

Facts reproduced on purpose (checked against vectors made by running that code): window slots clamped one by one to the
interior, so that slots repeat; displacement relative to the window's corner without its origin, odd slots weighing
nothing; the pair of a frame with itself included and weighted most; losses summed over tokens; the tracking loss on
channel means. ``Q`` and ``K`` here are what comes after head reduction. Coordinates are (row, column).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fastvmt.errors import SpecError
from fastvmt.methods._math.expectation import soft_expectation
from fastvmt.methods._math.flow import Tiles, dense_flow, window_centres

if TYPE_CHECKING:
    from torch import Tensor

    from fastvmt.plugins.method import Shape


@dataclass(frozen=True)
class Flow:
    """Displacements by offset: ``same`` (F, S, 2) for d = 0, ``between[d-1]`` (F-d, S, 2), all in raster order;
    ``slots[d-1]`` holds the windows' row and column indices, each (F-d, P, l)."""

    same: Tensor
    between: list[Tensor]
    slots: list[tuple[Tensor, Tensor]]


def check_grid(shape: Shape, tile: tuple[int, int], groups: bool) -> None:
    """The authors' reshapes need grids they divide.

    Raises:
        SpecError: naming what does not divide.
    """
    frames, height, width = shape.grid
    tokens, (rows, columns) = frames * height * width, tile
    if (groups and tokens % shape.heads) or height % rows or width % columns:
        raise SpecError(
            f"fastvmt:released needs tokens ({tokens}) divisible by heads ({shape.heads}) and a grid ({height} rows, {width} "
            f"columns) divisible by the tile ({rows}x{columns}, rows x columns). Choose another size, or tile=2x2."
        )


def group_tokens(x: Tensor, heads: int) -> Tensor:
    """The authors' head reduction: means over groups of ``heads`` consecutive tokens, heads spread over positions.

    Args:
        x: (F, S, heads, d).

    Returns:
        (F, S, d): what their reshape makes of it (a true mean over heads would be ``x.mean(2)``).
    """
    f, s, n, d = x.shape
    groups = x.reshape(f * s // n, n, n * d).mean(1)
    return groups.reshape(f, s, d)


def roomy_side(side: int, shortest: int) -> int:
    """The window's side on a grid whose shorter side is ``shortest``.

    The clamp leaves slots ``shortest - 2 * (side // 2)`` cells to move in. With fewer than two every slot lies in one row for
    every query and the descriptor says nothing; such a window is cut to the authors' own proportion, 21 of 30, and odd.
    """
    if shortest - 2 * (side // 2) >= 2:
        return side
    return max(1, (shortest * 21 // 30 - 1) | 1)


def slot_index(centre: Tensor, side: int, size: int) -> Tensor:
    """Rows (or columns) addressed by the ``side`` slots of a window: each slot clamped to the interior, truncated.

    Args:
        centre: (B, P).

    Returns:
        (B, P, side) int64.

    Raises:
        ValueError: when the interior is empty: the authors' clamp then runs backwards, onto cells that do not exist.
    """
    half = side // 2
    if size - half - 1 < 0:
        raise ValueError(f"a window of {side} tokens has no room on a side of {size}")
    offsets = torch.arange(side, device=centre.device) - half
    wanted = centre[..., None] + offsets
    return torch.minimum(torch.maximum(wanted, torch.tensor(float(half))), torch.tensor(float(size - half - 1))).long()


def _counts(index: Tensor, weight: Tensor, low: int, size: int) -> Tensor:
    """Sum of slot weights that fall on each cell: index (B, P, l), weight (l,), result (B, P, size)."""
    out = torch.zeros(*index.shape[:2], size, device=index.device)
    return out.scatter_add_(2, index - low, weight.expand(index.shape).to(out.dtype))


def windowed(q: Tensor, k: Tensor, tiles: Tiles, side: int, scale: float) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The released windowed descriptor for pairs of one offset: q, k (B, S, D) to ((B, S, 2), slot indices)."""
    height, width = tiles.grid
    centres = window_centres(q, k, tiles, scale)
    rows, columns = slot_index(centres[..., 0], side, height), slot_index(centres[..., 1], side, width)
    top, left = int(rows.min()), int(columns.min())
    n_rows, n_columns = int(rows.max()) - top + 1, int(columns.max()) - left + 1
    slot = torch.arange(side, device=q.device)
    one = torch.ones(side, device=q.device)
    seen = _counts(rows, one, top, n_rows), _counts(columns, one, left, n_columns)
    count = seen[0][..., :, None] * seen[1][..., None, :]
    sums = []
    for along_rows in (True, False):
        total = torch.zeros_like(count)
        for parity in (0, 1):  # slot a*l + b weighs 1 when even: the parities of a*l and b agree
            a = ((slot * side) % 2 == parity).float()
            b = (slot % 2 == parity).float()
            by_row = _counts(rows, a * slot if along_rows else a, top, n_rows)
            by_column = _counts(columns, b if along_rows else b * slot, left, n_columns)
            total += by_row[..., :, None] * by_column[..., None, :]
        sums.append(total)
    values = (torch.stack(sums, -1) / count.clamp(min=1)[..., None]).flatten(2, 3)
    region = k.view(k.shape[0], height, width, -1)[:, top : top + n_rows, left : left + n_columns]
    queries, keys = q[:, tiles.order(q.device)], region.reshape(k.shape[0], -1, k.shape[2])
    moved = soft_expectation(queries, keys, values, scale, (seen[0].log(), seen[1].log()))
    local = torch.stack(torch.meshgrid(torch.arange(tiles.height), torch.arange(tiles.width), indexing="ij"), -1)
    moved = moved - local.reshape(-1, 2).float().to(q.device)
    return tiles.to_raster(moved), (rows, columns)


def flow(q: Tensor, k: Tensor, tiles: Tiles, side: int, span: int, scale: float) -> Flow:
    """The descriptor of all pairs with 0 <= d < span.

    Args:
        q, k: (F, S, D).
    """
    frames = q.shape[0]
    same = dense_flow(q, k, torch.arange(frames, device=q.device), tiles.grid, scale)
    between, slots = [], []
    for d in range(1, min(span, frames)):
        values, index = windowed(q[: frames - d], k[d:], tiles, side, scale)
        between.append(values)
        slots.append(index)
    return Flow(same, between, slots)


def amf_loss(reference: Flow, generated: Flow, span: int) -> Tensor:
    """Mean over pairs of weight times squared distance, *summed* over tokens; weights fall from 1 to 0.8."""
    total, pairs = generated.same.new_zeros(()), 0
    for d, (a, b) in enumerate(zip((reference.same, *reference.between), (generated.same, *generated.between), strict=True)):
        weight = 1 - 0.2 * d / max(1, span - 1)
        total = total + weight * (a - b).square().sum()
        pairs += a.shape[0]
    return total / pairs


def track_loss(k: Tensor, generated: Flow, grid: tuple[int, int]) -> Tensor:
    """The released tracking loss: channel means of K on the window slots, norms of their change over targets."""
    frames = k.shape[0]
    mean = k.mean(-1).view(frames, *grid)
    by_offset = []
    for d, (rows, columns) in enumerate(generated.slots, start=1):
        frame = torch.arange(d, frames, device=k.device).view(-1, 1, 1, 1)
        by_offset.append(mean[frame, rows[..., :, None], columns[..., None, :]].flatten(2))
    if len(by_offset) < 2:
        return k.new_zeros(())
    # Anchor i has targets i+1 .. min(i+span, F)-1; those with at least two count, each as a mean over its steps.
    total, anchors = k.new_zeros(()), frames - 2
    steps_of = torch.tensor([min(len(by_offset), frames - 1 - i) - 1 for i in range(anchors)], device=k.device)
    for near, far in itertools.pairwise(by_offset):
        n = far.shape[0]
        change = torch.linalg.vector_norm(far - near[:n], dim=-1).mean(-1)
        total = total + (change / steps_of[:n]).sum()
    return total / anchors


def bf16_time(sigma: float) -> float:
    """The time the released code tells the transformer, in 0..1000: 1000 sigma rounded to bfloat16."""
    return float(torch.tensor(sigma * 1000).to(torch.bfloat16))


def reference_sigma(step: int, sigmas: tuple[float, ...]) -> float:
    """The level at which the released code noises the reference at a step: the one nearest to the rounded time."""
    times = torch.tensor(sigmas[:-1], dtype=torch.float32) * 1000
    nearest = int((times - bf16_time(sigmas[step])).abs().argmin())
    return sigmas[nearest]

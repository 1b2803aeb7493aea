"""Attention motion flow: where the attention of a token moves from one frame to another, in tokens.

Shapes: F frames, a token grid of H rows and W columns, S = H*W tokens in raster order s = u*W + v, D features.
Displacements are (row, column) = (u, v). Pairs are grouped by offset d = j - i, so that one batched matrix product
serves all pairs of an offset; there is no Python loop over tiles or pairs.

Source: FastVMT (arXiv 2602.05551) sections 3.2, 3.3, B.1, B.4; DiTFlow (CVPR 2025) for the dense form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from fastvmt.core.lazy import no_grad
from fastvmt.methods._math.expectation import GPU_PARTS, parts, soft_expectation, wide

if TYPE_CHECKING:
    from torch import Tensor

KEEP_ELEMENTS = 96 << 20
"""Attention weights kept for the backward pass; beyond this they are computed again."""


@lru_cache(maxsize=16)
def positions(height: int, width: int, device: str = "cpu") -> Tensor:
    """(S, 2) token positions (row, column), fp32."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns], -1).reshape(-1, 2).float().to(device)


def dense_flow(
    q: Tensor, k: Tensor, targets: Tensor, grid: tuple[int, int], scale: float, top: int = 0, first: Tensor | None = None
) -> Tensor:
    """Expected displacement of every token, attending to all tokens of the target frame.

    Args:
        q: (B, S, D) queries, one row per frame pair; with ``first`` (F, S, D), one per frame.
        k: (F, S, D) keys of all frames.
        targets: (B,) target frame of each pair.
        grid: (H, W).
        scale: factor on the logits.
        top: attend to so many of the strongest keys alone; 0 for all.
        first: (B,) first frame of each pair. All pairs of a long clip at full size are gigabytes of queries and keys, which are
            then gathered a few pairs at a time and again in the backward pass, never together.

    Returns:
        (B, S, 2) displacement (row, column) in tokens.
    """
    centre = torch.tensor([(grid[0] - 1) / 2, (grid[1] - 1) / 2], device=q.device)
    place = positions(*grid, str(q.device))

    def chunk(q: Tensor, k: Tensor, own: Tensor, there: Tensor) -> Tensor:
        queries, keys = q[own], k[there]
        # Centred coordinates: smaller sums, less rounding.
        if top:
            logits, index = (scale * queries @ keys.transpose(1, 2)).topk(min(top, keys.shape[1]), -1)
            return (logits.softmax(-1, dtype=wide(logits))[..., None] * (place - centre)[index]).sum(-2)
        return soft_expectation(queries[:, None], keys, place - centre, scale)[:, 0]

    own = torch.arange(len(targets), device=q.device) if first is None else first
    size = _together(len(targets), *q.shape[1:])
    if size == len(targets):
        return chunk(q, k, own, targets) - (place - centre)
    parts = [
        torch.utils.checkpoint.checkpoint(chunk, q, k, a, b, use_reentrant=False)
        for a, b in zip(own.split(size), targets.split(size), strict=True)
    ]
    return torch.cat(parts) - (place - centre)


def _together(pairs: int, tokens: int, features: int) -> int:
    """Pairs whose weights, queries and keys may be there at the same time: all of them, or a few."""
    each = tokens * max(tokens, features)
    return pairs if pairs * each <= KEEP_ELEMENTS else max(1, KEEP_ELEMENTS // (4 * each))


def dense_bytes(pairs: int, tokens: int, features: int) -> int:
    """What ``dense_flow`` holds with a gradient at its peak: weights, logits and their slope, and queries and keys of the pairs
    that are taken together, with their gradients."""
    together = _together(pairs, tokens, features)
    return 4 * together * tokens * (3 * tokens + 4 * features)


def windowed_bytes(pairs: int, grid: tuple[int, int], side: int) -> int:
    """What ``windowed_flow`` keeps of so many pairs for the backward pass on a GPU: each token's weights over a quarter of the
    grid and a window, half as much again at work."""
    height, width = grid
    seen = min(min(height, height // GPU_PARTS + side) * width, height * min(width, width // GPU_PARTS + side))
    return 6 * pairs * height * width * seen


@no_grad
def hard_flow(q: Tensor, k: Tensor, targets: Tensor, grid: tuple[int, int], first: Tensor | None = None) -> Tensor:
    """Displacement to the best-matching token; arguments and result as ``dense_flow``."""
    place = positions(*grid, str(q.device))
    own = range(len(targets)) if first is None else first.tolist()
    best = [(q[i] @ k[j].T).argmax(-1) for i, j in zip(own, targets.tolist(), strict=True)]
    return place[torch.stack(best)] - place


@dataclass(frozen=True)
class Windows:
    """A window of ``rows`` x ``columns`` tokens per pair and tile, whole inside the frame.

    ``top`` and ``left`` have shape (pairs, P), int64: first row and column.
    """

    top: Tensor
    left: Tensor
    rows: int
    columns: int


@dataclass(frozen=True)
class Tiles:
    """Non-overlapping tiles of ``height`` x ``width`` tokens; the last ones are padded when the grid is no multiple.

    Padded tokens repeat the edge and are dropped again by ``to_raster``.
    """

    grid: tuple[int, int]
    height: int
    width: int

    @property
    def counts(self) -> tuple[int, int]:
        return -(-self.grid[0] // self.height), -(-self.grid[1] // self.width)

    @property
    def number(self) -> int:
        return self.counts[0] * self.counts[1]

    @lru_cache(maxsize=16)  # noqa: B019 - of a frozen value: few there are
    def order(self, device: torch.device) -> Tensor:
        """(P, height*width) raster index of each tile's tokens."""
        th, tw = self.counts
        rows = torch.arange(th * self.height, device=device).clamp(max=self.grid[0] - 1).view(th, 1, self.height, 1)
        columns = torch.arange(tw * self.width, device=device).clamp(max=self.grid[1] - 1).view(1, tw, 1, self.width)
        return (rows * self.grid[1] + columns).reshape(self.number, -1)

    def of_tokens(self, device: torch.device) -> Tensor:
        """(S,) the tile of each token."""
        rows, columns = (torch.arange(n, device=device) // m for n, m in zip(self.grid, (self.height, self.width), strict=True))
        return (rows[:, None] * self.counts[1] + columns).flatten()

    def representative(self, device: torch.device) -> Tensor:
        """(P,) raster index of the token at (height//2, width//2) of each tile."""
        return self.order(device)[:, (self.height // 2) * self.width + self.width // 2]

    def to_raster(self, values: Tensor) -> Tensor:
        """(B, P, n, c) in tile order to (B, S, c)."""
        b, c = values.shape[0], values.shape[-1]
        th, tw = self.counts
        whole = values.view(b, th, tw, self.height, self.width, c).permute(0, 1, 3, 2, 4, 5)
        whole = whole.reshape(b, th * self.height, tw * self.width, c)
        return whole[:, : self.grid[0], : self.grid[1]].reshape(b, -1, c)


@no_grad
def window_centres(q: Tensor, k: Tensor, tiles: Tiles, scale: float, soft: bool = True) -> Tensor:
    """Centre (row, column) of each tile's window from its representative query.

    Args:
        q, k: (B, S, D) queries and keys of the pairs' first and second frames.
        soft: expected position (equation 2); otherwise the best key's position (equation 4).

    Returns:
        (B, P, 2) fp32, in tokens.
    """
    place = positions(*tiles.grid, str(q.device))
    queries = q[:, tiles.representative(q.device)]
    if soft:
        return soft_expectation(queries[:, None], k, place, scale)[:, 0]
    return place[torch.bmm(queries, k.transpose(1, 2)).argmax(-1)]


def windows_at(centres: Tensor, grid: tuple[int, int], side: int) -> Windows:
    """Windows of ``side`` (cut to the grid) around centres, shifted so that they stay whole inside the frame."""
    rows, columns = min(side, grid[0]), min(side, grid[1])
    corner = torch.round(centres).long()
    top = (corner[..., 0] - rows // 2).clamp(0, grid[0] - rows)
    left = (corner[..., 1] - columns // 2).clamp(0, grid[1] - columns)
    return Windows(top, left, rows, columns)


def windowed_flow(q: Tensor, k: Tensor, windows: Windows, tiles: Tiles, scale: float) -> Tensor:
    """Expected displacement of every token, attending only to its tile's window.

    On large grids tiles are taken in the order of their windows along the side that leaves these more room: neighbours in that
    order lie in a rectangle little wider than a window, and only its keys are scored.

    Args:
        q, k: (B, S, D).

    Returns:
        (B, S, 2) absolute displacement (row, column) in tokens.
    """
    height, width = tiles.grid
    place = positions(height, width, str(q.device))
    middle = place.mean(0)  # centred coordinates: smaller sums, less rounding

    def expected(queries: Tensor, order: Tensor) -> Tensor:
        top, left = windows.top.gather(1, order), windows.left.gather(1, order)
        seen = _span(top, windows.rows, height), _span(left, windows.columns, width)
        return soft_expectation(queries, k, place - middle, scale, seen)

    if parts(q.device.type, tiles.number, tiles.height * tiles.width, len(place)) == 1:  # then no token need be padded or moved
        moved = expected(q[:, :, None], tiles.of_tokens(q.device).expand(len(q), -1))[:, :, 0]
    else:
        order = (windows.left if width - windows.columns > height - windows.rows else windows.top).argsort(1)
        pair = torch.arange(len(q), device=q.device)[:, None]
        found = expected(q[pair[..., None], tiles.order(q.device)[order]], order)
        moved = tiles.to_raster(found[pair, order.argsort(1)])
    return moved - (place - middle)


def _span(first: Tensor, length: int, size: int) -> Tensor:
    """(..., size): 0 on the ``length`` cells from the ``first`` on, -inf on the others."""
    off = torch.arange(size, device=first.device) - first[..., None]
    return torch.zeros(off.shape, device=off.device).masked_fill_((off < 0) | (off >= length), -torch.inf)


def window_means(k: Tensor, windows: Windows, grid: tuple[int, int]) -> Tensor:
    """Mean key feature of each window, by two sums of window indicators (equation before (7), B.4).

    Args:
        k: (B, S, D).

    Returns:
        (B, P, D).
    """
    height, width = grid
    k = k.to(wide(k))
    rows = torch.arange(height, device=k.device)
    columns = torch.arange(width, device=k.device)
    row_in = ((rows >= windows.top[..., None]) & (rows < windows.top[..., None] + windows.rows)).to(k.dtype)
    column_in = ((columns >= windows.left[..., None]) & (columns < windows.left[..., None] + windows.columns)).to(k.dtype)
    weight = (row_in[..., :, None] * column_in[..., None, :]).flatten(2) / (windows.rows * windows.columns)
    return torch.bmm(weight, k)

"""Attention that returns expected values instead of features; its logits are never all there at once.

Shapes: B pairs of frames, G groups of n queries, M = H*W keys in raster order, D features, c values a key.

On a CPU a block of groups is small enough for its logits to stay in a core's own cache, from the product to the sum; on a GPU
it is of all pairs, so that few kernels are launched. Where groups see some of the keys only, a block is scored against the
rectangle that holds all which its groups see; a key that one of them sees more than once is scored once, and weighs more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    Seen = tuple[Tensor, Tensor]

BLOCK_ELEMENTS = 1 << 18
"""Logits that a CPU works on at a time: 1 MiB."""
GPU_PARTS = 4
"""Blocks of a pair on a GPU where groups see some keys only: more would have smaller rectangles, and cost more launches."""


ALL = slice(None)


def wide(x: Tensor) -> torch.dtype:
    """The tensor's own precision, or float32 where that is less."""
    return torch.promote_types(x.dtype, torch.float32)


def soft_expectation(q: Tensor, k: Tensor, values: Tensor, scale: float, seen: Seen | None = None) -> Tensor:
    """Expected values of the keys that each query attends to.

    Args:
        q: (B, G, n, D) queries.
        k: (B, M, D) keys.
        values: (M, c), or (B, G, M, c) when they differ by group; constants, no gradient reaches them.
        scale: factor on the logits.
        seen: (B, G, H) and (B, G, W): how often a group sees each row and each column of the keys, as logarithms; a group sees
            something. Constants too. When left out, every query sees every key once.

    Returns:
        (B, G, n, c), in float32 or better: weights of half precision would round positions to a token or more.
    """
    alike = seen is None and values.dim() == 2  # then a block may begin at any query
    found: Tensor = _expectation().apply(
        q.flatten(1, 2)[:, :, None] if alike else q, k, values.to(wide(q)), scale, *(seen or (None, None))
    )
    return found.view(*q.shape[:3], -1)


@dataclass(frozen=True)
class _Block:
    """Some groups of some pairs, and the rows and columns of keys that they see (None: all)."""

    pairs: slice
    groups: slice
    region: tuple[slice, slice] | None

    def cut(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """The region of (..., M, c): a view, where it is of whole rows."""
        return x if self.region is None else x.unflatten(-2, grid)[(..., *self.region, slice(None))].flatten(-3, -2)

    def size(self, q: Tensor, keys: int) -> int:
        """Its weights: pairs, groups and queries times keys."""
        if self.region:
            keys = (self.region[0].stop - self.region[0].start) * (self.region[1].stop - self.region[1].start)
        return q[self.pairs, self.groups, :, 0].numel() * keys


def parts(device: str, groups: int, n: int, keys: int) -> int:
    """Blocks that a pair is parted into, where its groups of n queries see some of the keys only.

    From two on, neighbouring groups should see neighbouring keys: each block is scored against what its own groups see. A pair
    of one block, of a grid up to about 22 x 22, is scored against all keys: to look for fewer takes longer than they do.
    """
    return -(-groups // max(1, BLOCK_ELEMENTS // (n * keys))) if device == "cpu" else GPU_PARTS


def _blocks(q: Tensor, keys: int, seen: Seen | None) -> Iterator[_Block]:
    pairs, groups, n = q.shape[:3]
    cpu = q.device.type == "cpu"
    number = parts(q.device.type, groups, n, keys) if seen or cpu else 1
    each = -(-groups // number)
    step = max(1, BLOCK_ELEMENTS // (n * keys * each)) if cpu else pairs
    limits = [_limits(s) for s in seen] if seen and number > 1 else []
    for b in range(0, pairs, step):
        for g in range(0, groups, each):
            ends = [[end for pair in side[b : b + step] for end in pair[g : g + each]] for side in limits]
            region = None
            if seen and ends:
                rows, columns = (slice(min(a for a, _ in side), max(z for _, z in side)) for side in ends)
                width = seen[1].shape[-1]
                # Whole rows lie together: they need no copy, which costs more than a few columns.
                region = rows, columns if 8 * (columns.stop - columns.start) <= 7 * width else slice(0, width)
            yield _Block(slice(b, b + step), slice(g, g + each), region)


def _limits(seen: Tensor) -> list[list[list[int]]]:
    """By pair and group, the first row (or column) that is seen and the one behind the last."""
    there = (seen > -torch.inf).int()
    found: list[list[list[int]]] = torch.stack([there.argmax(-1), seen.shape[-1] - there.flip(-1).argmax(-1)], -1).tolist()
    return found


@cache
def _expectation() -> Any:
    """The autograd function of ``soft_expectation``, made when it is first used: planning needs no torch."""

    class Expectation(torch.autograd.Function):
        """``soft_expectation`` in one piece: of all that lies between, the backward pass keeps the weights alone."""

        @staticmethod
        def forward(  # type: ignore[override]
            ctx: Any, q: Tensor, k: Tensor, values: Tensor, scale: float, rows: Tensor | None, columns: Tensor | None
        ) -> Tensor:
            seen = None if rows is None or columns is None else (rows, columns)
            ctx.grid = grid = (seen[0].shape[-1], seen[1].shape[-1]) if seen else (1, k.shape[1])
            ctx.scale, ctx.blocks = scale, list(_blocks(q, k.shape[1], seen))
            zero, out = q.new_zeros(1, 1, 1), values.new_empty(*q.shape[:3], values.shape[-1])
            # In one piece: many small ones between what is freed at once leave gaps as large as they are.
            ctx.sizes = [block.size(q, k.shape[1]) for block in ctx.blocks] if any(ctx.needs_input_grad) else []
            kept = values.new_empty(sum(ctx.sizes))
            places: Iterable[Tensor | None] = kept.split(ctx.sizes) if ctx.sizes else [None] * len(ctx.blocks)
            for block, room in zip(ctx.blocks, places, strict=True):
                at = block.pairs, block.groups
                queries, keys = q[at], block.cut(k[block.pairs], grid)
                logits = torch.baddbmm(zero, queries.flatten(1, 2), keys.mT, beta=0, alpha=scale).to(values.dtype)
                logits = logits.view(*queries.shape[:3], -1)
                if seen:
                    down, across = (s[(*at, side)] for s, side in zip(seen, block.region or (ALL, ALL), strict=True))
                    logits += (down[..., None] + across[..., None, :]).flatten(2)[:, :, None]
                weights = torch.softmax(logits, -1, out=None if room is None else room.view(logits.shape))
                out[at] = weights @ block.cut(values if values.dim() == 2 else values[at], grid)
            ctx.save_for_backward(q, k, values, out, kept)
            return out

        @staticmethod
        @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
        def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
            q, k, values, out, kept = ctx.saved_tensors
            # The slope of a logit is weight * (g . value - g . out): one product, with 1 for one value more.
            g = torch.cat([g, -(g * out).sum(-1, keepdim=True)], -1).mul_(ctx.scale)
            values = torch.nn.functional.pad(values, (0, 1), value=1.0)
            of_q, of_k = torch.empty_like(q), torch.zeros_like(k)
            for block, weights in zip(ctx.blocks, kept.split(ctx.sizes), strict=True):
                at = block.pairs, block.groups
                queries, keys = q[at].flatten(1, 2), block.cut(k[block.pairs], ctx.grid)
                slope = g[at] @ block.cut(values if values.dim() == 2 else values[at], ctx.grid).mT
                slope = slope.mul_(weights.view(slope.shape)).flatten(1, 2).to(q.dtype)
                of_q[at] = (slope @ keys).view(q[at].shape)
                if block.region and block.region[1] != slice(0, ctx.grid[1]):
                    part = of_k[block.pairs].unflatten(1, ctx.grid)[:, block.region[0], block.region[1]]
                    part += (slope.mT @ queries).view(part.shape)
                else:
                    block.cut(of_k[block.pairs], ctx.grid).baddbmm_(slope.mT, queries)
            return of_q, of_k, None, None, None, None

    return Expectation

"""What parts of a model hold: weights by block, and the tensors that are alive inside a block, with and without a gradient.

The coefficients are measured: allocations on a CPU of blocks of Wan 2.1's real widths (1.3B and 14B), by
``python benchmarks/memory.py blocks``; ``tests/estimates/test_memory.py`` measures them again at a smaller width.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fastvmt.backbones.card import Card
from fastvmt.core.reading import parse_json
from fastvmt.errors import UserError

TEXT_ENCODER, TEXT_EMBEDDING, TEXT_BLOCKS, VAE = 5_680_000_000, 1_050_000_000, 24, 126_900_000
"""Parameters of Wan 2.1's UMT5-XXL encoder (of its embedding, that many blocks beside it) and VAE, counted on their configs,
for a backbone whose files are not here."""
LONGEST_HEADER = 100_000_000
"""Bytes of a .safetensors file's header, as its own library limits them."""
BLOCK = re.compile(r"(?:^|\.)blocks?\.(\d+)\.")
AT_ONCE = 3
"""Blocks on the device where they come in turn: one at work, one on its way, one that a backward pass has not let go of."""
FORWARD = (8.0, 1.5)
"""Tensors (tokens x width) alive inside a block without a gradient: so many, and more by the feed-forward's width over the
model's."""
BACKWARD = {2: (23.0, 2.3), 4: (15.0, 2.3)}
"""With a gradient, its own temporaries included, by bytes of a number: half precision keeps float32 copies of norms."""


@dataclass(frozen=True)
class Weights:
    """Parameters of one part.

    Attributes:
        whole: all of them.
        beside: those outside of its blocks.
        blocks: how many blocks it has.
    """

    whole: int
    beside: int
    blocks: int

    @property
    def in_turn(self) -> int:
        """What is on the device where blocks come in turn."""
        return self.beside + AT_ONCE * self.block

    @property
    def block(self) -> int:
        return -(-(self.whole - self.beside) // max(1, self.blocks))


def transformer(card: Card) -> Weights:
    """From its files, else by Wan's architecture: embeddings of text and time are what is outside of its blocks."""
    if card.folder:
        return _counted(card.folder / "transformer")
    width = card.heads * card.head_dim
    return Weights(card.parameters, min(card.parameters, 8 * width**2 + 4352 * width), card.blocks)


def text_encoder(card: Card) -> Weights:
    return _counted(card.folder / "text_encoder") if card.folder else Weights(TEXT_ENCODER, TEXT_EMBEDDING, TEXT_BLOCKS)


def vae(card: Card) -> int:
    """Its parameters."""
    return _counted(card.folder / "vae").whole if card.folder else card.vae_parameters or VAE


def inside(weights: Weights, width: int, size: int, gradient: bool) -> float:
    """Tensors (tokens x width) alive inside a block at its peak; ``size``: bytes of a number."""
    wider = max(0.0, (weights.block - 8 * width**2) / (2 * width**2))  # what attention leaves is the feed-forward's
    base, more = BACKWARD[size] if gradient else FORWARD
    return base + more * wider


@lru_cache(maxsize=64)
def _counted(folder: Path) -> Weights:
    """Parameters in a folder's safetensors files, from their headers alone.

    Raises:
        UserError: for a file that is none.
    """
    whole = beside = 0
    blocks: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with open(path, "rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = parse_json(file.read(min(size, LONGEST_HEADER)))
            sizes = {name: math.prod(map(int, t["shape"])) for name, t in header.items() if name != "__metadata__"}
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(f"{path}: it does not begin as a .safetensors file does. Fetch the folder anew.") from None
        found = {name: BLOCK.search(name) for name in sizes}
        whole += sum(sizes.values())
        beside += sum(n for name, n in sizes.items() if not found[name])
        blocks |= {match[1] for match in found.values() if match}
    return Weights(whole, beside, len(blocks))

"""What may be known of a run and a model before anything is loaded, and what passes through the model cost. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from fastvmt.backbones.noise_levels import resolve_steps
from fastvmt.errors import SpecError

GRADIENT_COST = 3.0
"""A forward and backward pass to the latent, in forwards (the backward is counted as two)."""
ACTIVATION_FACTOR = 22
"""Saved activations of a block in units of tokens x width x bytes (baselines measured on Wan2.1 are 20 to 22)."""
MODULATION = 32
"""Bytes a token and channel that a block keeps beside those where each token has a noise level of its own: eight fp32 tensors,
shift, scale and gate of both parts and two sums (counted from what autograd keeps; the same for every dtype)."""
KEPT_SHARE = 0.6
"""Of the free memory: what kept activations may take before they are recomputed."""
TAP_SHARE = 0.2
"""Part of the tapped block that must run before its queries and keys exist, in blocks."""
VELOCITY = "velocity"
"""Name of the tap that is the model's output."""


def kept_activations(tokens: int, width: int, size: int, blocks: int, per_token: bool = False) -> int:
    """Bytes of the activations of so many blocks that a backward pass needs; ``size``: bytes of a number."""
    return tokens * width * (size * ACTIVATION_FACTOR + MODULATION * per_token) * blocks


def fits_kept(activations: int, free: int) -> bool:
    """Whether they are kept where so many bytes are free; else they are recomputed in the backward pass."""
    return activations < KEPT_SHARE * free


def share_of(depth: float, blocks: int, control: int) -> float:
    """Part of a pass that so many blocks are, where those of a control branch run before them."""
    return (control + depth) / (control + blocks)


@dataclass(frozen=True)
class Shape:
    """What a method may know before anything is loaded.

    Attributes:
        blocks: transformer blocks.
        heads: attention heads.
        grid: tokens (F, h, w).
        sigmas: the run's noise levels, steps + 1 of them.
        control: blocks of a control branch, which run before the first block; 0 for a model that takes no control video.
    """

    blocks: int
    heads: int
    grid: tuple[int, int, int]
    sigmas: tuple[float, ...]
    control: int = 0

    def share(self, depth: float) -> float:
        """Part of a pass that so many blocks are; ``block + TAP_SHARE`` up to a block's queries and keys."""
        return share_of(depth, self.blocks, self.control)

    def block_index(self, block: float) -> int:
        """An index as it is, or a fraction of the depth: 0.5 of 30 blocks is the 15th, index 14.

        Raises:
            SpecError: for an index that the model does not have.
        """
        if isinstance(block, int) or block >= 1:
            if int(block) >= self.blocks:
                raise SpecError(f"block={block:g}: the model has {self.blocks} blocks, counted from 0.")
            return int(block)
        return max(0, round(block * self.blocks) - 1)

    def steps(self, text: str) -> str:
        """A named part of the grid as ``steps:first-last``."""
        first, last = resolve_steps(text, self.sigmas)
        return f"steps:{first}-{last}"

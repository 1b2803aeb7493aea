"""What a model with a control branch (VACE) is told beside latent, level and text: a control video, or that there is none.

As ``WanVACEPipeline`` prepares it without a mask and reference images: everything may change, so what must stay is an empty
video, what may change is the control video, and the mask is one everywhere. Without a control video that is empty as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastvmt.backbones.card import Card

Encode = Callable[[Tensor], Tensor]


class Control:
    """The control of a backbone's passes: of no video but within ``given``; nothing for a model without a branch.

    Args:
        encode: a video (1, 3, T, H, W) from -1 to 1 to its latent, not normalised.
        scale: mean and standard deviation of latents.
    """

    def __init__(self, card: Card, dtype: torch.dtype, encode: Encode, scale: Callable[[], tuple[Tensor, Tensor]]) -> None:
        self._card, self._dtype, self._encode, self._scale = card, dtype, encode, scale
        self._given: Tensor | None = None
        self._empty: Tensor | None = None

    def of(self, frames: NDArray[np.uint8], x: Tensor) -> Tensor:
        """What ``given`` takes for a control video (T, H, W, 3), uint8 RGB, beside a latent of its size."""
        video = torch.tensor(np.ascontiguousarray(frames)).to(x.device).permute(3, 0, 1, 2)[None]
        return self._latents(x, video.float() / 255 * 2 - 1)

    @contextmanager
    def given(self, control: Tensor) -> Iterator[None]:
        before, self._given = self._given, control
        try:
            yield
        finally:
            self._given = before

    def inputs(self, x: Tensor) -> dict[str, Tensor]:
        """What a pass on this latent gets beside it."""
        if not self._card.control_blocks:
            return {}
        if self._given is None and (self._empty is None or self._empty.shape[2:] != x.shape[2:]):
            self._empty = self._latents(x)
        return {"control_hidden_states": self._empty if self._given is None else self._given}  # type: ignore[dict-item]

    def _latents(self, x: Tensor, video: Tensor | None = None) -> Tensor:
        """(1, 2C + stride^2, F, H, W) in the model's dtype; ``video`` (1, 3, T, H, W) from -1 to 1."""
        card, device = self._card, x.device
        _, _, f, h, w = x.shape
        size = (f - 1) * card.vae_temporal + 1, h * card.vae_spatial, w * card.vae_spatial
        empty = self._encoded(torch.zeros(1, 3, *size, device=device))
        mask = torch.ones(1, card.vae_spatial**2, f, h, w, device=device)
        return torch.cat([empty, empty if video is None else self._encoded(video), mask], 1).to(self._dtype)

    @torch.no_grad()
    def _encoded(self, video: Tensor) -> Tensor:
        """Normalised as the pipeline does it, by a product with 1 / std: another last bit than ``encode_video``."""
        mean, std = self._scale()
        return (self._encode(video) - mean) * (1.0 / std)

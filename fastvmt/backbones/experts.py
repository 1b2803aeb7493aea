"""The transformers of a model: one, or two that share the noise levels between them (Wan2.2-A14B)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from fastvmt.backbones.offload import placed


class Experts:
    """Which transformer a pass runs, and where they are.

    Args:
        high: for the levels at and above the boundary; for all where there is no other.
        low: for those below.
        device: where a pass runs.
        offload: ``vae``: of two, only the one that runs is on the device; ``block``: of each, only the blocks whose turn it is.
    """

    def __init__(self, high: nn.Module, low: nn.Module | None, device: torch.device, offload: str) -> None:
        self._all: list[Any] = [high, low] if low is not None else [high]
        self._device, self._swap = device, offload == "vae" and low is not None
        for one in self._all:
            one.requires_grad_(False).eval()
            if self._swap:
                _move((*one.buffers(), *(high.parameters() if one is high else ())), device)
        self._blocks = [None if self._swap else placed(one, "blocks", device, offload == "block") for one in self._all]
        for one, blocks in zip(self._all, self._blocks, strict=True):
            if blocks:
                one.enable_gradient_checkpointing()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._all)

    @property
    def rope(self) -> Any:
        """The rotary embedding, which has no weights."""
        return self._all[0].rope

    @property
    def module(self) -> Any:
        """The transformer itself; two in a list, so that names of parts begin with ``0.`` and ``1.``."""
        return self._all[0] if len(self._all) == 1 else nn.ModuleList(self._all)

    @contextmanager
    def running(self, low: bool) -> Iterator[Any]:
        """The one for such a level, on the device for one pass; of two the other leaves it, but for what is being trained."""
        chosen = self._all[low]
        if self._swap:
            _move(self._all[not low].parameters(), torch.device("cpu"))
            _move(chosen.parameters(), self._device)
        with self._blocks[low] or nullcontext():
            yield chosen

    def release(self) -> None:
        """Put away the blocks that come in turn."""
        for blocks in self._blocks:
            if blocks:
                blocks.release()


def _move(tensors: Iterable[torch.Tensor], device: torch.device) -> None:
    for tensor in tensors:
        if not tensor.requires_grad and tensor.device != device:
            tensor.data = tensor.data.to(device)

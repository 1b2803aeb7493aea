"""The transformers of a model: one, or two that share the noise levels between them (Wan2.2-A14B)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn


class Experts:
    """Which transformer a pass runs, and where they are.

    Args:
        high: for the levels at and above the boundary; for all where there is no other.
        low: for those below.
        device: where a pass runs.
        swap: of two, only the one that runs is on the device.
    """

    def __init__(self, high: nn.Module, low: nn.Module | None, device: torch.device, swap: bool) -> None:
        self._all = (high,) if low is None else (high, low)
        self._device, self._swap = device, swap and low is not None
        for one in self._all:
            one.requires_grad_(False).eval()
            _move(one.parameters() if one is high or not self._swap else (), device)
            _move(one.buffers(), device)  # a few numbers, which are asked for outside a pass as well

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

    def of(self, low: bool) -> Any:
        """The one for such a level, on the device; with ``swap`` the other leaves it, but for what is being trained."""
        chosen = self._all[low]
        if self._swap:
            _move(self._all[not low].parameters(), torch.device("cpu"))
            _move(chosen.parameters(), self._device)
        return chosen


def _move(tensors: Iterable[torch.Tensor], device: torch.device) -> None:
    for tensor in tensors:
        if not tensor.requires_grad and tensor.device != device:
            tensor.data = tensor.data.to(device)

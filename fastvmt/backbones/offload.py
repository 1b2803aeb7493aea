"""Blocks of a model that come to the device in turn, one or two at a time, in passes with and without gradients.

diffusers' group offload puts a group away when its block has ended, and fetches the next one in the order of its first whole
pass. A pass that stops at a tap, or a recomputation that stops early, never ends its block, and a backward pass goes against
that order: block by block the whole model would stay on the device. So here the block that begins says who is there: itself,
and the one that follows in the direction of the pass, on its way in a stream of its own. All others are away, however the pass
before has ended.

A graph may hold no weight beside them: gradients need checkpointed blocks, whose weights come again for the backward pass.
"""

from __future__ import annotations

from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn


class BlocksInTurn:
    """The blocks of one model. As a context: none of them is there when a pass is over."""

    def __init__(self, blocks: nn.ModuleList, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.here: dict[int, Any] = {}
        """By number: what says on a GPU that a block has arrived."""
        self._last = -1
        self._homes = [[(t, self._home(t.data)) for t in (*b.parameters(), *b.buffers())] for b in blocks]
        for n, block in enumerate(blocks):
            self._put_away(n)
            block.register_forward_pre_hook(partial(self._begins, n), prepend=True)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    def release(self) -> None:
        """Put all blocks away."""
        for n in list(self.here):
            self._put_away(n)
        self._last = -1

    def _begins(self, n: int, *_: object) -> None:
        back = n == self._last - 1 or (self._last < 0 < n)  # a pass begins with block 0, a backward pass with any other
        self._last = n
        wanted = [b for b in (n, n - 1 if back else n + 1) if 0 <= b < len(self._homes)]
        for other in self.here.keys() - set(wanted):
            self._put_away(other)
        before = torch.cuda.current_stream(self.device).record_event() if self.stream else None
        for block in wanted:
            if block not in self.here:
                self._fetch(block, before)
        if self.stream:
            torch.cuda.current_stream(self.device).wait_event(self.here[n])

    def _fetch(self, n: int, before: Any) -> None:
        """
        Args:
            before: of what a GPU was given so far. Memory of the stream's own that is taken again was let go of before it.
        """
        with torch.cuda.stream(self.stream):  # of None: no other stream
            if self.stream:
                self.stream.wait_event(before)
            for tensor, home in self._homes[n]:
                tensor.data = home.to(self.device, non_blocking=True)
            self.here[n] = self.stream.record_event() if self.stream else None

    def _put_away(self, n: int) -> None:
        self.here.pop(n, None)
        for tensor, home in self._homes[n]:
            tensor.data = torch.empty(0, dtype=home.dtype, device=self.device)

    def _home(self, data: Tensor) -> Tensor:
        return data.pin_memory() if self.stream else data


def placed(module: nn.Module, blocks: str, device: torch.device, in_turn: bool) -> BlocksInTurn | None:
    """A module on its device, but for the blocks of this name where they come in turn."""
    found = BlocksInTurn(module.get_submodule(blocks), device) if in_turn else None  # type: ignore[arg-type]
    module.to(device)
    return found

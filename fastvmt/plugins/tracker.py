"""What a point tracker is: frames in, tracks out, and an identity that stands in every record made with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastvmt.media.files import Frames
from fastvmt.plugins import registry

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Tracks:
    """points (N, T, 2) as (x, y) in px of the given frames, the centre of the top left pixel at (0, 0); visible (N, T)."""

    points: F64
    visible: NDArray[np.bool_]


class Tracker:
    """Base of all trackers; making one loads nothing.

    Attributes:
        id: registered name.
        summary, source, licence: one line each.
    """

    id: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    source: ClassVar[str] = ""
    licence: ClassVar[str] = ""

    def identity(self) -> dict[str, Any]:
        """Everything that another number could come from: versions, weights digest, grid, chunks."""
        raise NotImplementedError

    def missing(self) -> str:
        """What has to be fetched first: one sentence with size and command, or ""."""
        return ""

    def track(self, frames: Frames, queries: F64 | None = None) -> Tracks:
        """Follow points of the first frame.

        Args:
            frames: uint8 RGB (T, H, W, 3).
            queries: (N, 2) points (x, y) of the first frame, px; the tracker's own grid when None.
        """
        raise NotImplementedError


@cache
def get(name: str) -> Tracker:
    """The tracker of that name, one per process (it may hold a network).

    Raises:
        SpecError: for an unknown name.
    """
    tracker: Tracker = registry.trackers.get(name)()
    return tracker

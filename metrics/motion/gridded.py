"""Tracks of a regular grid of a published script's own size, whatever the tracker's own grid is."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np

from fastvmt.core.sealed import sealed
from fastvmt.media.files import Frames
from fastvmt.metrics.motion.fidelity import MotionFidelity
from fastvmt.plugins.metric import Scored
from fastvmt.plugins.tracker import F64, Tracker, Tracks

_REFERENCES: dict[tuple[str, int, str], Tracks] = {}
"""By tracker, grid and digest: every method of a case is scored against the same clip."""


def grid_points(size: int, height: int, width: int) -> F64:
    """(size * size, 2) px, row by row, as CoTracker lays a grid of that ``grid_size`` over a clip: with 8 px of a 512 x 384
    frame left free all around.

    >>> grid_points(2, 384, 512).tolist()
    [[8.0, 8.0], [504.0, 8.0], [8.0, 376.0], [504.0, 376.0]]
    """
    x, y = (np.linspace(8, side - 8, size) * (own - 1) / (side - 1) for side, own in ((512, width), (384, height)))
    return np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)


class Gridded(MotionFidelity):
    """Base: tracks of ``grid`` x ``grid`` points, set by the metric and not by the tracker."""

    grid: ClassVar[int] = 10

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"grid": self.grid}

    def generated(self, scored: Scored) -> Tracks | None:
        key = ("tracks", self.tracker.id, self.grid)
        if key not in scored.cache:
            scored.cache[key] = self._tracked(self.tracker, scored.generated)
        found: Tracks = scored.cache[key]
        return found

    def reference(self, scored: Scored) -> Tracks | None:
        key = (self.tracker.id, self.grid, scored.case.reference.frames_digest)
        if key not in _REFERENCES:
            if len(_REFERENCES) >= 128:
                _REFERENCES.clear()
            _REFERENCES[key] = sealed(copy.deepcopy(self._tracked(self.tracker, scored.reference)))
        return _REFERENCES[key]

    def _tracked(self, tracker: Tracker, frames: Frames) -> Tracks:
        return tracker.track(frames, grid_points(self.grid, *frames.shape[1:3]))

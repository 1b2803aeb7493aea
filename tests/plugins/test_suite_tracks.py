"""Tracks that a suite of somebody else's says it knows are checked as a tracker's are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastvmt.errors import UserError
from fastvmt.model import Reference
from fastvmt.plugins import registry
from fastvmt.plugins.tracker import Tracks, tracks_of

FRAMES = np.zeros((3, 8, 8, 3), np.uint8)


class Knows:
    found: Tracks
    cases = entries = path = lambda self, *_: []

    def tracks(self, reference: Reference, points: int) -> Tracks:
        return self.found


@pytest.mark.parametrize(
    ("points", "said"), [(np.full((2, 3, 2), np.nan), "finite px"), (np.zeros((2, 4, 2)), "shape"), (np.zeros((2, 3)), "shape")]
)
def test_tracks_of_a_suite_are_finite_and_fit(points: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Knows, "found", Tracks(points, np.ones(points.shape[:2], bool)), raising=False)
    registry.suites.add_object("knows", Knows, "a test")
    known = Reference(frames_digest="", width=8, height=8, frames=3, source="drawn:knows/a")
    with pytest.raises(UserError, match=said):
        tracks_of(known, FRAMES, "lk", 2)

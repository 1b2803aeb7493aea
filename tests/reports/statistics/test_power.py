"""How many clips would tell two methods apart: numbers of the textbooks, and draws that the test itself decides."""

from __future__ import annotations

import numpy as np
import pytest

from fastvmt.reports.statistics import MOST_CLIPS, clips_needed, gaps


def differences(effect: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Two whose mean is so many of their standard deviations."""
    return np.array([-1.0, 1.0]) / 2**0.5 + effect


@pytest.mark.parametrize(
    ("effect", "clips"), [(0.2, 199), (0.3, 90), (0.5, 34), (0.8, 15), (1.0, 10), (9.0, 6), (0.01, MOST_CLIPS + 1)]
)
def test_a_paired_test_needs_as_many_as_the_tables_of_cohen_say(effect: float, clips: int) -> None:
    assert clips_needed(differences(effect)) == clips_needed(-differences(effect)) == clips


def test_what_needs_none_or_cannot_be_asked() -> None:
    assert clips_needed([1.0, -1.0]) is None and clips_needed([0.0, 0.0]) is None
    assert clips_needed([0.1, 0.1, 0.1]) == 6  # no spread: as few as can tell anything
    assert (clips_needed(differences(0.5), tests=6) or 0) > 34
    for wrong in ([1.0], [[1.0, 2.0]], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="two finite differences"):
            clips_needed(wrong)


def test_so_many_clips_are_told_apart_about_eight_times_of_ten() -> None:
    clips = clips_needed(differences(1.0))
    rng = np.random.default_rng(0)
    found = sum(gaps(np.stack([rng.normal(1, 1, clips), np.zeros(clips or 0)], 1))[0, 1].apart for _ in range(300))
    assert 0.72 < found / 300 < 0.88

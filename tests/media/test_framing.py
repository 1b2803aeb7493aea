"""One geometry for frames, masks and tracks, whatever the size policy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clips import noise

from fastvmt.errors import SpecError
from fastvmt.media.files import crop_box, fit_frames, fit_masks, fit_points

POLICIES = ("crop", "stretch", "pad")
sides = st.integers(24, 72)
SIZES = st.tuples(sides, sides, sides, sides)


def inside(point: Any, width: int, height: int, margin: float = 3.0) -> bool:
    return margin <= point[0] <= width - margin and margin <= point[1] <= height - margin


@settings(max_examples=60, deadline=None)
@given(SIZES, st.sampled_from(POLICIES), st.floats(0, 1), st.floats(0, 1))
def test_a_dot_lands_where_fit_points_says(sizes: tuple[int, int, int, int], fit: Any, across: float, down: float) -> None:
    width, height, to_width, to_height = sizes
    left, top = round(across * (width - 6)), round(down * (height - 6))
    frames, masks = np.zeros((1, height, width, 3), np.uint8), np.zeros((1, height, width), np.int32)
    frames[:, top : top + 6, left : left + 6] = 255
    masks[:, top : top + 6, left : left + 6] = 70_001
    corners = np.array([[left, top], [left + 6, top + 6]], float)
    said = fit_points(corners, (width, height), (to_width, to_height), fit)
    if not (inside(said[0], to_width, to_height, 1) and inside(said[1], to_width, to_height, 1)):
        return  # cut by the crop or at the rim, where the filter sees only one side
    centre = said.mean(0)
    light = fit_frames(frames, to_width, to_height, fit)[0, ..., 0].astype(float)
    mask = fit_masks(masks, to_width, to_height, fit)[0]
    assert set(np.unique(mask)) == {0, 70_001}
    rows, columns = np.indices(light.shape) + 0.5
    for weight, tolerance in ((light, 0.5), ((mask > 0).astype(float), 0.51)):
        found = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
        assert np.abs(found - centre).max() < tolerance, (found, centre)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.sampled_from(POLICIES))
def test_masks_cover_what_frames_show(sizes: tuple[int, int, int, int], fit: Any) -> None:
    """All of a white frame is shown where a mask of ones is 1, and bars are black where it is 0."""
    width, height, to_width, to_height = sizes
    light = fit_frames(np.full((1, height, width, 3), 255, np.uint8), to_width, to_height, fit)[0, ..., 0]
    mask = fit_masks(np.ones((1, height, width), bool), to_width, to_height, fit)[0]
    assert mask.dtype == bool and np.array_equal(light == 255, mask) and np.array_equal(light == 0, ~mask)
    assert mask.all() or fit == "pad"


def test_crop_of_davis_takes_11_px_from_each_side() -> None:
    assert crop_box(854, 480, 832, 480) == (11, 0, 843, 480)
    frames = noise(1, 854, 480)
    assert np.array_equal(fit_frames(frames, 832, 480), frames[:, :, 11:843])


def test_points_in_pixels_by_hand() -> None:
    middle_of_first_pixel = np.array([[0.5, 0.5]], np.float32)
    assert fit_points(middle_of_first_pixel, (64, 32), (128, 64), "crop").tolist() == [[1.0, 1.0]]
    assert fit_points(middle_of_first_pixel, (64, 32), (64, 64), "pad").tolist() == [[0.5, 16.5]]
    assert fit_points(middle_of_first_pixel, (64, 32), (32, 32), "crop").tolist() == [[-15.5, 0.5]]
    assert fit_points(np.zeros((2, 5, 2), np.int64), (64, 32), (32, 32), "stretch").shape == (2, 5, 2)


def test_an_unknown_policy() -> None:
    with pytest.raises(SpecError, match="fit 'zoom' unknown: crop, stretch, pad"):
        fit_frames(noise(1), 8, 8, "zoom")  # type: ignore[arg-type]

"""Bringing frames, masks and tracks to one size by the same geometry: crop, stretch or pad.

Positions are (x, y) in px, measured from the frame's top left corner: the centre of the top left pixel is (0.5, 0.5), and
the right edge of a frame of width W is x = W. In this convention a change of size is a plain multiplication. Trackers that
call the centre of the first pixel (0, 0) add 0.5 before ``fit_points`` and take it away after.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastvmt.errors import SpecError

Frames = NDArray[np.uint8]
Fit = Literal["crop", "stretch", "pad"]
"""``crop`` keeps the aspect and loses the margins, ``stretch`` keeps all and loses the aspect, ``pad`` adds black bars."""
Box = tuple[int, int, int, int]


class Placing(NamedTuple):
    """The part of the source that is shown, and where it lies in the target; boxes are left, top, right, bottom in px."""

    source: Box
    target: Box


def _middle(width: int, height: int, part_width: float, part_height: float) -> Box:
    """The middle part of a frame; of an extreme aspect, which would round a side to nothing, one column or row is kept."""
    kept_width, kept_height = min(width, max(1, round(part_width))), min(height, max(1, round(part_height)))
    left, top = (width - kept_width) // 2, (height - kept_height) // 2
    return left, top, left + kept_width, top + kept_height


def crop_box(width: int, height: int, to_width: int, to_height: int) -> Box:
    """The middle of a frame that has the target's aspect ratio: left, top, right, bottom in px.

    >>> crop_box(854, 480, 832, 480)
    (11, 0, 843, 480)
    """
    scale = max(to_width / width, to_height / height)
    return _middle(width, height, to_width / scale, to_height / scale)


def placing(width: int, height: int, to_width: int, to_height: int, fit: Fit) -> Placing:
    """Where a source of ``width`` and ``height`` lands in the target.

    >>> placing(64, 32, 32, 32, "pad")
    Placing(source=(0, 0, 64, 32), target=(0, 8, 32, 24))

    Raises:
        SpecError: when ``fit`` is not a known policy.
    """
    whole, target = (0, 0, width, height), (0, 0, to_width, to_height)
    if fit == "stretch":
        return Placing(whole, target)
    if fit == "crop":
        return Placing(crop_box(width, height, to_width, to_height), target)
    if fit == "pad":
        scale = min(to_width / width, to_height / height)
        return Placing(whole, _middle(to_width, to_height, width * scale, height * scale))
    raise SpecError(f"fit '{fit}' unknown: {', '.join(get_args(Fit))}.")


def fit_frames(frames: Frames, width: int, height: int, fit: Fit = "crop") -> Frames:
    """Frames (T, H, W, 3) brought to ``width`` and ``height``; the same array when they have that size already.

    Shrinking averages areas and growing uses Lanczos; a stretch that does both at once uses Lanczos.
    """
    count, from_height, from_width, _ = frames.shape
    source, target = placing(from_width, from_height, width, height, fit)
    if (from_width, from_height) == (width, height):
        return frames
    scales = width / from_width, height / from_height
    shrinks = (min(scales) if fit == "pad" else max(scales)) < 1
    how = Image.Resampling.BOX if shrinks else Image.Resampling.LANCZOS
    left, top, right, bottom = target
    fitted = np.zeros((count, height, width, 3), np.uint8)
    for number, frame in enumerate(frames):
        picture = Image.fromarray(frame).resize((right - left, bottom - top), how, box=source)
        fitted[number, top:bottom, left:right] = np.asarray(picture)
    return fitted


def fit_masks(masks: NDArray[Any], width: int, height: int, fit: Fit = "crop") -> NDArray[Any]:
    """Masks (T, H, W) of object ids or booleans by the geometry of ``fit_frames``; nearest pixel, so that ids never mix.

    Bars of ``pad`` become 0.
    """
    source, target = placing(masks.shape[2], masks.shape[1], width, height, fit)
    if masks.shape[1:] == (height, width):
        return masks
    columns = _nearest(source[0], source[2], target[2] - target[0])
    rows = _nearest(source[1], source[3], target[3] - target[1])
    fitted = np.zeros((len(masks), height, width), masks.dtype)
    fitted[:, target[1] : target[3], target[0] : target[2]] = masks[:, rows[:, None], columns]
    return fitted


def _nearest(first: int, end: int, count: int) -> NDArray[np.intp]:
    """For each of ``count`` target pixels, the source pixel of ``first`` to ``end`` under its centre."""
    return first + ((2 * np.arange(count) + 1) * (end - first)) // (2 * count)


def fit_points(points: NDArray[Any], from_size: tuple[int, int], to_size: tuple[int, int], fit: Fit = "crop") -> NDArray[Any]:
    """Positions (..., 2) as (x, y) px moved by the geometry of ``fit_frames``; sizes are (width, height).

    The centre of the first pixel is (0.5, 0.5). Points that a crop cuts off come out below 0 or beyond the target's size.

    >>> fit_points(np.array([[427.0, 240.0]]), (854, 480), (416, 240))
    array([[208., 120.]])
    """
    source, target = placing(*from_size, *to_size, fit)
    kind = np.result_type(points.dtype, np.float32)
    from_box, to_box = np.array(source, kind), np.array(target, kind)
    scale = (to_box[2:] - to_box[:2]) / (from_box[2:] - from_box[:2])
    moved: NDArray[Any] = (points - from_box[:2]) * scale + to_box[:2]
    return moved

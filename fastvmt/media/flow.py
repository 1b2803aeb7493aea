"""Dense optical flow without a network: OpenCV's dense inverse search."""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastvmt.media.files import Frames

SHORT_SIDE = 256


def consecutive_flow(frames: Frames) -> NDArray[np.float32]:
    """(T - 1, 2, H, W) flow from each frame to the next, columns and rows in px of the frames (T, H, W, 3) as they are."""
    large = [enlarged(f) for f in frames]
    found = np.stack([dis_flow(a, b) for a, b in itertools.pairwise(large)])
    height, width = frames.shape[1:3]
    scale = np.array([width / found.shape[3], height / found.shape[2]], np.float32)
    sized = [[cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA) for part in step] for step in found]
    return np.asarray(sized, np.float32) * scale[:, None, None]


def enlarged(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame (H, W, 3) with at least ``SHORT_SIDE`` px on its shorter side: DIS matches patches of 8 px on several scales."""
    factor = SHORT_SIDE / min(frame.shape[:2])
    if factor <= 1:
        return frame
    size = (round(frame.shape[1] * factor), round(frame.shape[0] * factor))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def dis_flow(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(2, H, W) flow in px by OpenCV's dense inverse search. It sees nothing move inside flat colour."""
    cv2.setNumThreads(1)  # the same sums on every machine
    grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in (before, after)]
    search: Any = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_MEDIUM)
    return np.moveaxis(np.asarray(search.calc(grey[0], grey[1], None), np.float32), -1, 0)

"""The formulas of the feature-based metrics, apart from any network: what a backend computes goes in, one number comes out.

CLIP scores follow FastVMT section 4.2 (mean cosine of frames and prompt; of consecutive frames). The VBench dimensions follow
VBench 0.1.5, per video, on the scale 0 to 1. Everything is computed in float64.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]
Midpoint = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.uint8]]


def unit_rows(features: ArrayLike) -> F64:
    """(T, D) features with rows of length 1.

    Raises:
        ValueError: when a row is zero or not finite.
    """
    rows = np.atleast_2d(np.asarray(features, np.float64))
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    if not (np.isfinite(length).all() and (length > 0).all()):
        raise ValueError("a feature vector is zero or not finite; the backend returned no usable features")
    out: F64 = rows / length
    return out


def text_similarity(frames: ArrayLike, text: ArrayLike) -> float:
    """Mean cosine between frame features (T, D) and the prompt's (D,); -1 to 1, higher is better.

    >>> text_similarity([[2.0, 0.0], [0.0, 1.0]], [1.0, 0.0])
    0.5
    """
    return float((unit_rows(frames) @ unit_rows(text)[0]).mean())


def temporal_consistency(frames: ArrayLike) -> float | None:
    """Mean cosine between consecutive frame features (T, D); -1 to 1; None for a single frame. A frozen clip scores 1."""
    rows = unit_rows(frames)
    return float((rows[1:] * rows[:-1]).sum(1).mean()) if len(rows) > 1 else None


def vbench_consistency(frames: ArrayLike) -> float | None:
    """VBench's subject and background consistency of one clip: mean over t >= 1 of the mean cosine to the frame before and to
    the first, cosines below 0 counted as 0; 0 to 1; None for a single frame. A frozen clip scores 1."""
    rows = unit_rows(frames)
    if len(rows) < 2:
        return None
    before = np.maximum((rows[1:] * rows[:-1]).sum(1), 0)
    first = np.maximum(rows[1:] @ rows[0], 0)
    return float(((before + first) / 2).mean())


def temporal_flickering(frames: NDArray[np.uint8]) -> float | None:
    """(255 - mean absolute change between consecutive frames) / 255 for uint8 (T, H, W, 3); None for a single frame."""
    if len(frames) < 2:
        return None
    total = sum(float(np.abs(b.astype(np.int16) - a).mean()) for a, b in itertools.pairwise(frames))
    return (255 - total / (len(frames) - 1)) / 255


def blend(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The midpoint without a network: the mean of two frames, rounded half to even."""
    return np.rint((a.astype(np.float64) + b) / 2).astype(np.uint8)


def motion_smoothness(frames: NDArray[np.uint8], midpoint: Midpoint = blend) -> float | None:
    """How well every dropped odd frame is foretold by its even neighbours: (255 - mean absolute error) / 255.

    Args:
        frames: uint8 (T, H, W, 3). With an even T the last frame is not used, as in VBench.
        midpoint: frame interpolation; VBench's is AMT-S.

    Returns:
        0 to 1; None under three frames.
    """
    kept = frames[::2]
    if len(kept) < 2:
        return None
    errors = [
        float(np.abs(midpoint(a, b).astype(np.int16) - frames[2 * n + 1]).mean())
        for n, (a, b) in enumerate(itertools.pairwise(kept))
    ]
    return (255 - float(np.mean(errors))) / 255


def flow_score(flow: ArrayLike) -> float:
    """Mean length of the longest 5 % of a flow field (2, H, W) in px: VBench's score of a pair of frames."""
    length = np.sort(np.linalg.norm(np.asarray(flow, np.float64), axis=0).ravel())[::-1]
    return float(length[: int(length.size * 0.05)].mean()) if length.size >= 20 else float(length.max())


def sampling_step(fps: float) -> int:
    """VBench looks at about eight frames a second: every so many-th frame."""
    return max(1, round(fps / 8))


def dynamic_degree(scores: Sequence[float], height: int, width: int, sampled: int) -> bool:
    """Does a clip move? True when at least ``round(4 * sampled / 16)`` pair scores exceed 6 px at 256 px on the shorter side.

    Args:
        scores: ``flow_score`` of consecutive sampled frames.
        height, width: of the frames, px.
        sampled: number of sampled frames.

    Without a pair nothing moves, even where ``need`` is 0.
    """
    limit, need = 6.0 * min(height, width) / 256.0, round(4 * sampled / 16)
    return bool(scores) and sum(s > limit for s in scores) >= need


def aesthetic_quality(raw: ArrayLike) -> float:
    """Mean of the head's frame scores (about 0 to 10) over ten."""
    return float(np.mean(np.asarray(raw, np.float64)) / 10)


def imaging_quality(raw: ArrayLike) -> float:
    """Mean of MUSIQ's frame scores (0 to 100) over a hundred."""
    return float(np.mean(np.asarray(raw, np.float64)) / 100)

"""Whether a video is (nearly) the reference itself, re-encoded or not: a cheap look at every video that is scored."""

from __future__ import annotations

import numpy as np

from fastvmt.media.files import Frames, fit_frames

MOST_FRAMES, WIDE, COPY = 17, 128, 0.1
"""A copy repeats more than ``COPY`` of the reference's change: x264 at CRF 35 keeps 0.2 and more, all else lies below -0.4
(docs/results/metrics.md)."""


def repeated(generated: Frames, reference: Frames) -> float | None:
    """Share of the reference's change over time that a video repeats pixel by pixel: 1 - mean (g - r)^2 / mean (r - still)^2,
    with the mean of the reference's frames as ``still``.

    1 for the reference itself, far below 0 for other looks and for one of its frames, held; None where it does not change.
    Up to ``MOST_FRAMES`` frames are looked at, ``WIDE`` px on their longer side.

    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, _ = clip("single-object-100")
    >>> repeated(frames, frames), repeated(frames[:1].repeat(33, axis=0), frames) < 0
    (1.0, True)
    """
    frames = min(len(generated), len(reference))
    chosen = np.unique(np.linspace(0, frames - 1, min(frames, MOST_FRAMES)).round().astype(int))
    a, b = (shrunk(clip[chosen], WIDE).astype(np.float32) for clip in (generated, reference))
    changes = float(np.square(b - b.mean(0)).mean())
    return None if changes == 0 else 1 - float(np.square(a - b).mean()) / changes


def shrunk(frames: Frames, longer: int) -> Frames:
    """Frames (T, H, W, 3) whose longer side is at most so many px."""
    height, width = frames.shape[1:3]
    scale = min(1.0, longer / max(height, width))
    return fit_frames(frames, max(1, round(width * scale)), max(1, round(height * scale)), "stretch")

"""What most points of a step agree on: one motion of the whole frame, or none that is worth the name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fastvmt.plugins.tracker import F64

LEAST_POINTS, LEAST_SPREAD = 8, 0.25
"""Points that must agree, and the area over which they are spread as a share of that of all points in the first frame."""
similarity: Callable[..., Any] = cv2.estimateAffinePartial2D
affine: Callable[..., Any] = cv2.estimateAffine2D


def agreed(
    start: NDArray[Any], end: NDArray[Any], tolerance: float, whole: float, form: Callable[..., Any] = similarity
) -> F64 | None:
    """The (2, 3) motion that most points agree on (RANSAC); None where these are few, or together in one place.

    Args:
        start, end: (N, 2); tolerance: how far off a point may be, in their unit.
        whole: ``spread`` of all points in the first frame.
        form: ``similarity`` or ``affine``; OpenCV draws by a fixed seed.
    """
    if len(start) < LEAST_POINTS:
        return None
    fit, agree = form(start, end, method=cv2.RANSAC, ransacReprojThreshold=tolerance, confidence=0.999)
    taken = start[agree[:, 0] == 1] if fit is not None else start[:0]
    return np.asarray(fit, np.float64) if len(taken) >= LEAST_POINTS and spread(taken) >= LEAST_SPREAD * whole else None


def spread(points: NDArray[Any]) -> float:
    """Root of the determinant of the points' covariance, an area; 0 for fewer than two."""
    return float(np.sqrt(max(0.0, np.linalg.det(np.cov(points.T))))) if len(points) > 1 else 0.0

"""How many reference clips would tell two methods apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastvmt.reports.statistics.together import ALPHA, fewest_clips

POWER = 0.8
MOST_CLIPS = 1000
"""Beyond it the number of clips is not worth knowing."""


def clips_needed(differences: ArrayLike, tests: int = 1, power: float = POWER) -> int | None:
    """Clips with which a paired two-sided test finds the mean of these differences with this power.

    Args:
        differences: one per reference clip, (clips,), at least two of them.
        tests: pairs that are tested together, each at ``ALPHA`` over their number.

    Returns:
        ``MOST_CLIPS + 1`` for more than ``MOST_CLIPS``; None where the mean is zero, which no number of clips finds.

    Raises:
        ValueError: for fewer than two differences, or numbers that are not finite.

    >>> clips_needed([-0.5, 1.5, -0.5, 1.5])
    44
    """
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"two finite differences are needed at least, not an array of shape {values.shape}.")
    mean, spread = float(values.mean()), float(values.std(ddof=1))
    if mean == 0:
        return None
    sizes = np.arange(fewest_clips(), MOST_CLIPS + 1)
    enough = np.nonzero(power_of(abs(mean) / spread if spread else np.inf, sizes, ALPHA / tests) >= power)[0]
    return int(sizes[enough[0]]) if len(enough) else MOST_CLIPS + 1


def power_of(
    effect: float, clips: np.ndarray[tuple[int], np.dtype[np.int64]], level: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Power of the paired t-test for a mean of so many standard deviations, by the non-central t distribution."""
    from scipy.special import nctdtr, stdtrit

    freedom = clips - 1.0
    # Beyond this a test cannot miss, and the distribution is not computed there.
    centre = np.minimum(effect * np.sqrt(clips), 30.0)
    return np.asarray(1 - nctdtr(freedom, centre, stdtrit(freedom, 1 - level / 2)))

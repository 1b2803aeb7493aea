"""The pinned noise levels of a run, and ways to name a part of them.

diffusers' flow-matching scheduler shifts its default path twice (its issue 13243); a grid computed here and stored in
the job cannot change under a version.
"""

from __future__ import annotations

import math
import re

from fastvmt.core.spelling import shown
from fastvmt.errors import SpecError


def sigma_grid(steps: int, shift: float, strength: float = 1.0) -> tuple[float, ...]:
    """``steps`` falling noise levels and a final 0.

    ``s = shift * b / (1 + (shift - 1) * b)`` for b evenly from ``strength`` down to (not including) 0, in float32 as
    diffusers computes them. With ``strength`` below 1 all steps are kept and start lower (the convention of the
    released FastVMT code), which only makes sense for methods that start from the reference.

    Raises:
        SpecError: for steps < 1, shift <= 0 or strength outside (0, 1].
    """
    if steps < 1 or not 0 < shift < math.inf or not 0 < strength <= 1:
        raise SpecError(
            f"steps={steps}, shift={shift}, strength={strength}: need steps >= 1, a finite shift > 0, 0 < strength <= 1."
        )
    import numpy as np  # commands that plan nothing need not wait for it

    b = np.linspace(strength, 0, steps + 1)[:-1].astype(np.float32)
    s = np.float32(shift) * b / (np.float32(1) + np.float32(shift - 1) * b)
    return (*(min(float(v), 1.0) for v in s), 0.0)  # where the shift is small, float32 rounds above 1


def own_grid(text: str) -> tuple[float, float]:
    """Shift and strength of levels that are written ``7:0.75``, or ``7`` for strength 1.

    Raises:
        SpecError: for another form, or numbers that ``sigma_grid`` does not take.
    """
    try:
        shift, strength = (float(part) for part in (text if ":" in text else f"{text}:1").split(":"))
        sigma_grid(1, shift, strength)
    except (ValueError, SpecError):
        raise SpecError(f"grid='{shown(text)}' cannot be read: use SHIFT:STRENGTH, as 7:0.75, or run for the run's.") from None
    return shift, strength


def resolve_steps(text: str, sigmas: tuple[float, ...]) -> tuple[int, int]:
    """A named part of the grid as first and last step index, inclusive; (0, -1) when it is empty.

    ``steps:0-9`` are indices, ``share:0.2`` the first fifth of the steps (rounded, at least one),
    ``sigma:1.0-0.9`` the steps whose noise level lies in the interval.

    Raises:
        SpecError: for another form, or a number that is not finite.

    >>> resolve_steps("share:0.2", tuple(1 - i / 50 for i in range(51)))
    (0, 9)
    """
    count = len(sigmas) - 1
    kind, _, rest = text.partition(":")
    numbers = re.split(r"(?<=[\d.])-", rest)
    try:
        if not all(math.isfinite(float(v)) for v in numbers):
            raise ValueError(rest)
        if kind == "steps" and len(numbers) == 2:
            first, last = (int(v) for v in numbers)
            return max(first, 0), min(last, count - 1)
        if kind == "share" and len(numbers) == 1:
            return (0, min(count, max(1, round(float(rest) * count))) - 1) if float(rest) > 0 else (0, -1)
        if kind == "sigma" and len(numbers) == 2:
            high, low = max(map(float, numbers)), min(map(float, numbers))
            inside = [i for i in range(count) if low - 1e-6 <= sigmas[i] <= high + 1e-6]
            return (inside[0], inside[-1]) if inside else (0, -1)
    except ValueError:
        pass
    raise SpecError(f"guided='{shown(text)}' cannot be read: use steps:0-9, share:0.2 or sigma:1.0-0.9.")

"""How the ground of a drawn-suite clip moves: its known pattern is fitted to every frame, each from the one before.

A pattern of one period P is at w(u, v), u = (x - cx) / (z P) + p: phases p and zoom z follow from the picture alone. A
striped ground shows no movement along its stripes, and a plain one none at all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastvmt.datasets.drawn.scene import PATTERN_PERIOD_PX, Scene, pattern_weight

F64 = NDArray[np.float64]
PHASES, ROUNDS, FAR = 16, 6, 0.25
"""First guesses a side; rounds of fitting a frame; farthest change of a phase between frames."""
_DELTA = 1e-3


def visible(pattern: str) -> tuple[int, ...]:
    """Coordinates of (pan x, pan y, zoom) that a pattern shows."""
    return {"plain": (), "striped": (0, 2)}.get(pattern, (0, 1, 2))


def found(light: NDArray[np.float32], ground: NDArray[np.bool_], pattern: str) -> F64:
    """(T, 3) pan x, pan y (px) and log zoom times a quarter of the width, of a clip at the drawing's scale.

    Args:
        light: (T, H, W) brightness; ground: where the ground is what one sees; pattern: not ``plain``.
    """
    height, width = light.shape[1:]
    x = (np.arange(width) - (width - 1) / 2) / PATTERN_PERIOD_PX
    y = (np.arange(height) - (height - 1) / 2) / PATTERN_PERIOD_PX
    guess, track = _first(light[0], ground[0], pattern, x, y), []
    for frame, seen in zip(light, ground, strict=True):
        guess = _fitted(frame, seen, pattern, x, y, guess)
        track.append(guess)
    phases = np.stack(track)
    zoom = np.exp(phases[:, 2:])
    moved = -np.cumsum(np.diff(phases[:, :2], axis=0, prepend=phases[:1, :2]) * zoom, 0) * PATTERN_PERIOD_PX
    return np.column_stack([moved, phases[:, 2] * width / 4])


def known(scene: Scene) -> F64:
    """What ``found`` should find, up to a constant, of a scene whose camera pans or zooms."""
    return np.column_stack([scene.pan_x, scene.pan_y, np.log(scene.zoom) * scene.width / 4])


def _drawn(pattern: str, x: F64, y: F64, phase: F64) -> F64:
    """(H, W) pattern weight at phases (u, v) and log zoom."""
    z = float(np.exp(-phase[2]))
    u, v = (x * z + phase[0]).astype(np.float32)[None, None], (y * z + phase[1]).astype(np.float32)[None, :, None]
    return pattern_weight(pattern, u, v)[0].astype(np.float64)


def _first(light: NDArray[np.float32], ground: NDArray[np.bool_], pattern: str, x: F64, y: F64) -> F64:
    """The phase of the best of ``PHASES`` x ``PHASES`` x 5 guesses of the first frame."""
    grid = np.arange(PHASES) / PHASES
    zooms = np.log([0.85, 0.92, 1.0, 1.09, 1.18])
    guesses = [np.array([u, v, z]) for z in zooms for v in (grid if pattern != "striped" else (0.0,)) for u in grid]
    return max(guesses, key=lambda g: _likeness(light[ground], _drawn(pattern, x, y, g)[ground]))


def _likeness(light: NDArray[np.float32], weight: F64) -> float:
    """Correlation of darkness with the pattern's weight, which is 1 where the ground is dark."""
    a, b = light - light.mean(), weight - weight.mean()
    return float(-(a * b).sum() / max(1e-9, float(np.sqrt((a * a).sum() * (b * b).sum()))))


def _fitted(light: NDArray[np.float32], ground: NDArray[np.bool_], pattern: str, x: F64, y: F64, guess: F64) -> F64:
    """Gauss-Newton from the phase of the frame before; brightness and contrast are fitted along."""
    free = visible(pattern)
    seen, start = light[ground].astype(np.float64), guess
    if len(seen) < 50:
        return guess
    for _ in range(ROUNDS):
        here = _drawn(pattern, x, y, guess)[ground]
        slopes = []
        for k in free:
            step = np.zeros(3)
            step[k] = _DELTA
            slopes.append(
                (_drawn(pattern, x, y, guess + step)[ground] - _drawn(pattern, x, y, guess - step)[ground]) / (2 * _DELTA)
            )
        design = np.stack([np.ones_like(here), here, *slopes], 1)
        solved, *_ = np.linalg.lstsq(design, seen, rcond=None)
        if abs(solved[1]) < 1e-6:
            return guess
        change = np.zeros(3)
        change[list(free)] = solved[2:] / solved[1]
        guess = guess + np.clip(change, -0.1, 0.1)
    return guess if np.abs(guess - start).max() < FAR else start

"""Paths of drawn subjects and cameras, as functions of a seeded generator.

Every path is built on normalised time 0..1 and sampled at T frames, so the same motion can be drawn at any length.
Lengths are pixels on a 64-pixel frame and scale with the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

TRAVEL = ("linear", "arc", "circle", "zigzag", "bounce", "accelerate")
IN_PLACE = ("static", "rotate", "grow", "shrink")
MOTIONS = TRAVEL + IN_PLACE


@dataclass(frozen=True)
class Path:
    """x, y in px, angle in rad, radius in px; each of shape (T,)."""

    x: F64
    y: F64
    angle: F64
    radius: F64


def _two_points(rng: np.random.Generator, low: float, high: float, apart: float) -> tuple[F64, F64]:
    """Two points inside the frame at least ``apart`` px from each other."""
    while True:
        a, b = rng.uniform(low, high, 2), rng.uniform(low, high, 2)
        if float(np.hypot(*(b - a))) >= apart:
            return a, b


def subject_path(rng: np.random.Generator, motion: str, frames: int, size: int = 64) -> Path:
    """Draw one path of the named motion.

    Args:
        rng: the seeded generator; consumed.
        motion: one of ``MOTIONS``.
        frames: T, at least 1.
        size: frame side in px (the shorter one).

    Raises:
        KeyError: for an unknown motion name.
    """
    t = np.linspace(0.0, 1.0, frames) if frames > 1 else np.zeros(1)
    s = size / 64
    r0 = rng.uniform(8.5, 12.0) * s
    low, high = r0 + 1, size - 2 - r0
    angle0, radius = rng.uniform(-np.pi, np.pi) if motion == "rotate" else 0.0, np.full(frames, r0)
    angle = np.full(frames, angle0)
    if motion in ("linear", "accelerate", "zigzag", "bounce"):
        a, b = _two_points(rng, low, high, 16 * s)
        u = t**1.8 if motion == "accelerate" else t
        x, y = a[0] + (b[0] - a[0]) * u, a[1] + (b[1] - a[1]) * u
        if motion == "zigzag":
            n = np.array([-(b - a)[1], (b - a)[0]]) / np.hypot(*(b - a))
            wave = rng.uniform(5, 9) * s * (1 - np.abs(((t * 2 + 0.5) % 2) - 1) * 2)
            x, y = np.clip(x + n[0] * wave, low, high), np.clip(y + n[1] * wave, low, high)
        elif motion == "bounce":
            floor, top = high, rng.uniform(low, low + 8 * s)
            hop = np.abs(np.cos(np.pi * t * 1.5))
            y = floor - (floor - top) * hop
            x = a[0] + (b[0] - a[0]) * t
    elif motion in ("circle", "arc"):
        sweep = rng.uniform(1.0, 1.75) * np.pi if motion == "circle" else rng.uniform(0.5, 0.9) * np.pi
        reach = rng.uniform(8, 13) * s if motion == "circle" else rng.uniform(14, 20) * s
        sweep, start = sweep * rng.choice([-1.0, 1.0]), rng.uniform(-np.pi, np.pi)
        x, y = reach * np.cos(start + sweep * t), reach * np.sin(start + sweep * t)
        x, y = x + _slide(rng, x, low, high), y + _slide(rng, y, low, high)
    elif motion in IN_PLACE:
        c = rng.uniform(low + 3 * s, high - 3 * s, 2)
        x, y = np.full(frames, c[0]), np.full(frames, c[1])
        if motion == "rotate":
            angle = angle0 + rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.2) * np.pi * t
        elif motion == "grow":
            radius = r0 * (0.75 + (rng.uniform(1.3, 1.5) - 0.75) * t)
        elif motion == "shrink":
            radius = r0 * (1.4 + (rng.uniform(0.7, 0.8) - 1.4) * t)
    else:
        raise KeyError(motion)
    return Path(x, y, angle, radius)


def _slide(rng: np.random.Generator, values: F64, low: float, high: float) -> float:
    """An offset that brings the values inside [low, high], or centres them when they do not fit."""
    room_low, room_high = low - values.min(), high - values.max()
    return float(rng.uniform(room_low, room_high)) if room_low < room_high else float((room_low + room_high) / 2)


def camera_path(rng: np.random.Generator, motion: str, frames: int, size: int = 64) -> tuple[F64, F64, F64]:
    """Pan in px and zoom factor, each (T,), for ``still``, ``pan``, ``zoom_in`` or ``zoom_out``.

    Raises:
        KeyError: for an unknown motion name.
    """
    t = np.linspace(0.0, 1.0, frames) if frames > 1 else np.zeros(1)
    zero, one = np.zeros(frames), np.ones(frames)
    if motion == "still":
        return zero, zero, one
    if motion == "pan":
        reach, way = rng.uniform(8, 22) * size / 64, rng.uniform(-np.pi, np.pi)
        return reach * np.cos(way) * (t - 0.5), reach * np.sin(way) * (t - 0.5), one
    if motion in ("zoom_in", "zoom_out"):
        ratio = rng.uniform(1.25, 1.5)
        zoom = ratio ** (t - 0.5)
        return zero, zero, zoom if motion == "zoom_in" else zoom[::-1].copy()
    raise KeyError(motion)

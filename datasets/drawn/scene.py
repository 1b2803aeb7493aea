"""A drawn scene: what moves, where, over what ground; and the exact picture of it.

Per-pixel arithmetic is limited to IEEE-exact operations (+ - * / sqrt abs min max floor) on float32, and everything
transcendental is computed per frame in float64 and rounded to 1/1024 px first, so that a seed draws the same bytes on
every machine. Edges are anti-aliased by clamping a signed distance.

Coordinates are pixels, x to the right, y down, the centre of the top-left pixel at (0, 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

SUBJECT_COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (230, 40, 40),
    "green": (40, 200, 60),
    "blue": (50, 90, 240),
    "yellow": (245, 225, 50),
    "orange": (250, 140, 30),
    "purple": (170, 60, 220),
    "cyan": (50, 220, 230),
    "white": (245, 245, 245),
}
GROUND_COLOURS: dict[str, tuple[int, int, int]] = {
    "gray": (105, 105, 105),
    "brown": (115, 80, 55),
    "navy": (40, 50, 105),
    "forest": (45, 90, 55),
    "maroon": (110, 45, 55),
    "teal": (40, 95, 100),
}
PATTERNS = ("plain", "checker", "striped", "dotted")
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
PATTERN_PERIOD_PX = 16.0


@dataclass(frozen=True)
class Mover:
    """One drawn subject. ``x, y`` (world px), ``angle`` (rad) and ``radius`` (px) are float64 arrays of shape (T,)."""

    shape: str
    colour: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    angle: NDArray[np.float64]
    radius: NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """Movers (later ones in front) over a patterned ground seen by a camera.

    ``pan_x, pan_y`` (px) and ``zoom`` (factor about the frame's centre) are float64 arrays of shape (T,):
    screen = (world - centre) * zoom + centre + pan.
    """

    width: int
    height: int
    ground: str
    pattern: str
    phase: tuple[float, float]
    movers: tuple[Mover, ...]
    pan_x: NDArray[np.float64]
    pan_y: NDArray[np.float64]
    zoom: NDArray[np.float64]

    @property
    def frames(self) -> int:
        return len(self.zoom)

    def to_screen(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """World to screen px; the last axis of ``x`` and ``y`` is time."""
        cx, cy = (self.width - 1) / 2, (self.height - 1) / 2
        return (x - cx) * self.zoom + cx + self.pan_x, (y - cy) * self.zoom + cy + self.pan_y

    def caption(self) -> str:
        """Names subjects and ground, never the motion."""
        return Described(tuple((m.colour, m.shape) for m in self.movers), self.ground, self.pattern).caption()


class Described(NamedTuple):
    """What a caption names: (colour, shape) of each subject, back to front, then the ground's colour and pattern."""

    subjects: tuple[tuple[str, str], ...]
    ground: str
    pattern: str

    def caption(self) -> str:
        names = " and ".join(f"a {colour} {shape}" for colour, shape in self.subjects) or "an empty scene"
        return f"{names} on a {self.ground} {self.pattern} background"


def read_caption(caption: str) -> Described | None:
    """The inverse of ``Scene.caption``; None for another form of caption or unknown words.

    >>> read_caption("a red circle and a blue star on a gray plain background").subjects
    (('red', 'circle'), ('blue', 'star'))
    """
    names, _, place = caption.partition(" on a ")
    subjects = tuple(tuple(name.split()[1:]) for name in names.split(" and ") if name.startswith("a "))
    ground, *rest = [*place.split(), ""][:3]
    known = all(len(s) == 2 and s[0] in SUBJECT_COLOURS and s[1] in SHAPES for s in subjects)
    if not known or ground not in GROUND_COLOURS or rest[0] not in PATTERNS:
        return None
    found = Described(tuple((colour, shape) for colour, shape in subjects), ground, rest[0])
    return found if found.caption() == caption else None


def _snap(values: NDArray[np.float64], shape: tuple[int, ...]) -> F32:
    """Round to 1/1024 so that the last bits of a platform's sin and cos never reach a pixel."""
    return (np.round(np.asarray(values) * 1024) / 1024).astype(np.float32).reshape(shape)


@cache
def _pixels(width: int, height: int) -> tuple[F32, F32]:
    return np.arange(width, dtype=np.float32).reshape(1, 1, -1), np.arange(height, dtype=np.float32).reshape(1, -1, 1)


def _triangle_wave(u: F32) -> F32:
    """Period 1, range -1 to 1, exact arithmetic only."""
    out: F32 = np.abs(u - np.floor(u + np.float32(0.5))) * np.float32(4) - np.float32(1)
    return out


def pattern_weight(name: str, u: F32, v: F32) -> F32:
    """Two-tone weight in 0..1 for ground coordinates in periods; soft edges about two pixels wide."""
    if name == "plain":
        return np.zeros(np.broadcast_shapes(u.shape, v.shape), np.float32)
    if name == "checker":
        w = _triangle_wave(u) * _triangle_wave(v) * np.float32(3)
    elif name == "striped":
        w = np.broadcast_to(_triangle_wave(u) * np.float32(2), np.broadcast_shapes(u.shape, v.shape))
    else:
        du, dv = u - np.floor(u) - np.float32(0.5), v - np.floor(v) - np.float32(0.5)
        w = (np.float32(0.27) - np.sqrt(du * du + dv * dv)) * np.float32(8)
    return np.clip(w * np.float32(0.5) + np.float32(0.5), 0, 1)


def _half_plane_triangle(x: F32, y: F32, r: F32) -> F32:
    s = np.float32(0.8660254)
    return np.maximum(np.maximum(s * x - np.float32(0.5) * y, -s * x - np.float32(0.5) * y), y) - r * np.float32(0.5)


def signed_distance(shape: str, x: F32, y: F32, r: F32) -> F32:
    """Distance in px to the outline (negative inside) of ``shape`` with radius ``r``, in the subject's own axes."""
    if shape == "circle":
        return np.sqrt(x * x + y * y) - r * np.float32(0.9)
    if shape == "ring":
        return np.abs(np.sqrt(x * x + y * y) - r * np.float32(0.72)) - r * np.float32(0.26)
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - r * np.float32(0.82)
    if shape == "cross":
        ax, ay, arm = np.abs(x), np.abs(y), r * np.float32(0.34)
        return np.minimum(np.maximum(ax - r, ay - arm), np.maximum(ax - arm, ay - r))
    if shape == "triangle":
        up = np.float32(0.12)
        return _half_plane_triangle(x, y - r * up, r * np.float32(1.2))
    star_r = r * np.float32(1.08)
    return np.minimum(_half_plane_triangle(x, y, star_r), _half_plane_triangle(x, -y, star_r))


def _cover(distance: F32) -> F32:
    """Signed distance in px to covered share; the ramp is two pixels wide, as behind a small lens."""
    return np.clip(np.float32(0.5) - distance * np.float32(0.5), 0, 1)


def _local(scene: Scene, mover: Mover) -> tuple[F32, F32, F32]:
    """Pixel coordinates in a mover's own axes, shape (T, H, W), and its radius on screen, shape (T, 1, 1)."""
    px, py = _pixels(scene.width, scene.height)
    sx, sy = scene.to_screen(mover.x, mover.y)
    dx, dy = px - _snap(sx, (-1, 1, 1)), py - _snap(sy, (-1, 1, 1))
    cos, sin = _snap(np.cos(mover.angle), (-1, 1, 1)), _snap(np.sin(mover.angle), (-1, 1, 1))
    return cos * dx + sin * dy, cos * dy - sin * dx, _snap(mover.radius * scene.zoom, (-1, 1, 1))


def coverage(scene: Scene) -> list[F32]:
    """Per mover, the share of each pixel it would cover if nothing were in front: (T, H, W) in 0..1."""
    out = []
    for mover in scene.movers:
        x, y, r = _local(scene, mover)
        out.append(_cover(signed_distance(mover.shape, x, y, r)))
    return out


def draw(scene: Scene) -> NDArray[np.uint8]:
    """Render the scene.

    Returns:
        uint8 RGB of shape (T, H, W, 3).
    """
    px, py = _pixels(scene.width, scene.height)
    cx, cy = np.float32((scene.width - 1) / 2), np.float32((scene.height - 1) / 2)
    inverse_zoom = _snap(1 / scene.zoom, (-1, 1, 1))
    u = ((px - cx - _snap(scene.pan_x, (-1, 1, 1))) * inverse_zoom + cx) / np.float32(PATTERN_PERIOD_PX)
    v = ((py - cy - _snap(scene.pan_y, (-1, 1, 1))) * inverse_zoom + cy) / np.float32(PATTERN_PERIOD_PX)
    w = pattern_weight(scene.pattern, u + np.float32(scene.phase[0]), v + np.float32(scene.phase[1]))
    light = np.array(GROUND_COLOURS[scene.ground], np.float32)
    tone = np.float32(1) - np.float32(0.4) * w
    planes = np.stack([np.broadcast_to(tone * c, (scene.frames, scene.height, scene.width)) for c in light])
    for mover in scene.movers:
        x, y, r = _local(scene, mover)
        cover = _cover(signed_distance(mover.shape, x, y, r))
        # One half darker: an inner edge that turns with the subject, so that rotation is visible on a disc too.
        tone = np.float32(1) - np.float32(0.38) * np.clip(x * np.float32(0.5) + np.float32(0.5), 0, 1)
        for plane, c in zip(planes, SUBJECT_COLOURS[mover.colour], strict=True):
            plane += cover * (tone * np.float32(c) - plane)
    return np.moveaxis(np.clip(planes + np.float32(0.5), 0, 255).astype(np.uint8), 0, -1)

"""Charts of the report page as plain geometry; ``files/parts.jinja`` writes them as SVG, which works without scripts.

Coordinates are px of the drawing's own box. Colours are classes (``s0`` ... ``s7``), so that light and dark are the style
sheet's affair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

COLOURS = 8
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 12, 44
MOST_LINES = 8
"""Of one line chart; of more, that many are drawn, first to last evenly."""


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Series:
    """A line: ``path`` is an SVG path; ``end`` its last point, where the name may stand."""

    name: str
    colour: int
    path: str
    end: tuple[float, float]


@dataclass(frozen=True)
class Lines:
    """A line chart. ``said`` tells in words what it shows."""

    title: str
    x: str
    y: str
    said: str
    xticks: tuple[Tick, ...]
    yticks: tuple[Tick, ...]
    series: tuple[Series, ...]
    width: float = 440
    height: float = 240
    left: float = LEFT
    right: float = RIGHT
    top: float = TOP
    bottom: float = BOTTOM


@dataclass(frozen=True)
class Square:
    x: float
    y: float
    level: int
    """0 (least) to 10 (most): a class of the style sheet."""
    text: str


@dataclass(frozen=True)
class Heat:
    """Square matrices side by side, one each step."""

    title: str
    said: str
    name: str
    side: float
    squares: tuple[Square, ...]


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers that cover the range, the outer ones outside it or on its ends."""
    span = high - low
    if not math.isfinite(span) or span <= 1e-9 * max(abs(low), abs(high)) or span < 1e-200:
        pad = abs(low) * 0.1 if abs(low) > 1e-200 else 1.0
        low, high, span = low - pad, high + pad, 2 * pad
    raw = span / wanted
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{n * step:.12g}") for n in range(first, last + 1)]


def number(value: float) -> str:
    """A number for an axis."""
    return f"{value:.4g}".replace("e+0", "e").replace("e-0", "e-").replace("-", "−")


@dataclass(frozen=True)
class Axis:
    """Numbers to px along one side."""

    ticks: list[float] = field(default_factory=list)
    start: float = 0.0
    end: float = 1.0

    def at(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return round(self.start + (self.end - self.start) * (value - low) / (high - low), 2)

    @property
    def marks(self) -> tuple[Tick, ...]:
        return tuple(Tick(self.at(t), number(t)) for t in self.ticks)


def lines(title: str, x: str, y: str, found: Mapping[str, Sequence[tuple[float, float]]]) -> Lines | None:
    """A line chart of named series of points; None when there is nothing finite to draw."""
    series = {k: [p for p in v if all(math.isfinite(c) for c in p)] for k, v in found.items()}
    series = {k: v for k, v in series.items() if v}
    if len(series) > MOST_LINES:
        names = list(series)
        keep = {names[round(i * (len(names) - 1) / (MOST_LINES - 1))] for i in range(MOST_LINES)}
        series = {k: v for k, v in series.items() if k in keep}
    points = [p for s in series.values() for p in s]
    if not points or max(len(s) for s in series.values()) < 2:
        return None
    empty = Lines(title, x, y, "", (), (), ())
    across = Axis(ticks(min(p[0] for p in points), max(p[0] for p in points)), empty.left, empty.width - empty.right)
    up = Axis(ticks(min(p[1] for p in points), max(p[1] for p in points), 4), empty.height - empty.bottom, empty.top)
    drawn = []
    for n, (name, s) in enumerate(series.items()):
        spots = [(across.at(a), up.at(b)) for a, b in s]
        path = "M" + " L".join(f"{a:g},{b:g}" for a, b in spots)
        drawn.append(Series(name, n % COLOURS, path, spots[-1]))
    said = "; ".join(f"{k}: from {number(s[0][1])} to {number(s[-1][1])}" for k, s in series.items())
    return Lines(title, x, y, said, across.marks, up.marks, tuple(drawn))


def heat(title: str, name: str, matrix: Sequence[Sequence[float]]) -> Heat:
    """A matrix of cosines: −1 and below 0 at level 0, 1 at level 10."""
    n = len(matrix)
    side = round(120 / n, 3)
    squares = tuple(
        Square(round(c * side, 2), round(r * side, 2), max(0, min(10, round(10 * v))), f"{r + 1}, {c + 1}: {v:.3f}")
        for r, row in enumerate(matrix)
        for c, v in enumerate(row)
    )
    off = [row[c] for r, row in enumerate(matrix) for c in range(len(row)) if c != r]
    said = f"{n} gradients; cosines from {min(off):.2f} to {max(off):.2f}" if off else "one gradient"
    return Heat(title, said, name, side, squares)

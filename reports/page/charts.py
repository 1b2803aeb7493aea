"""Charts of the report page as plain geometry; ``files/parts.jinja`` writes them as SVG, which works without scripts.

Coordinates are px of the drawing's own box. Colours are classes (``s0`` ... ``s7``), so that light and dark are the style
sheet's affair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

COLOURS = 8
MOST_LINES = 8
"""Of one line chart; of more, that many are drawn, first to last evenly."""


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """Numbers to px along one side: the first of ``ticks`` lies at ``start``, the last at ``end``."""

    ticks: Sequence[float]
    start: float
    end: float

    def at(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return round(self.start + (self.end - self.start) * (value - low) / (high - low), 2)

    @property
    def marks(self) -> tuple[Tick, ...]:
        return tuple(Tick(self.at(t), number(t)) for t in self.ticks)


@dataclass(frozen=True)
class Frame:
    """A chart's box and what stands along its sides; ``left`` to ``bottom`` are margins."""

    x: str
    y: str
    across: Axis
    up: Axis
    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    @classmethod
    def of(
        cls, x: str, y: str, xticks: Sequence[float], yticks: Sequence[float], size: tuple[float, float],
        margins: tuple[float, float, float, float],
    ) -> Frame:  # fmt: skip
        (width, height), (left, right, top, bottom) = size, margins
        across, up = Axis(xticks, left, width - right), Axis(yticks, height - bottom, top)
        return cls(x, y, across, up, width, height, left, right, top, bottom)


@dataclass(frozen=True)
class Series:
    """A line: ``path`` is an SVG path."""

    name: str
    colour: int
    path: str


@dataclass(frozen=True)
class Lines:
    """A line chart. ``said`` tells in words what it shows."""

    title: str
    said: str
    frame: Frame
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Square:
    x: float
    y: float
    level: int
    """0 (least) to 10 (most): a class of the style sheet."""
    text: str


@dataclass(frozen=True)
class Heat:
    """A square matrix of one step."""

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


def lines(title: str, x: str, y: str, found: Mapping[str, Sequence[tuple[float, float]]]) -> list[Lines | Heat]:
    """A line chart of named series of points; none when there is nothing finite to draw."""
    series = {k: [p for p in v if all(math.isfinite(c) for c in p)] for k, v in found.items()}
    series = {k: v for k, v in series.items() if v}
    if len(series) > MOST_LINES:
        names = list(series)
        series = {k: series[k] for k in (names[round(i * (len(names) - 1) / (MOST_LINES - 1))] for i in range(MOST_LINES))}
    if max(map(len, series.values()), default=0) < 2:
        return []
    xs, ys = zip(*(p for s in series.values() for p in s), strict=True)
    frame = Frame.of(x, y, ticks(min(xs), max(xs)), ticks(min(ys), max(ys), 4), (440, 240), (58, 16, 12, 44))
    drawn = []
    for n, (name, s) in enumerate(series.items()):
        path = "M" + " L".join(f"{frame.across.at(a):g},{frame.up.at(b):g}" for a, b in s)
        drawn.append(Series(name, n % COLOURS, path))
    said = "; ".join(f"{k}: from {number(s[0][1])} to {number(s[-1][1])}" for k, s in series.items())
    return [Lines(title, said, frame, tuple(drawn))]


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

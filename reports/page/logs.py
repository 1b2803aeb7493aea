"""What methods wrote into their artefacts, as line charts: losses, gradients, spreads of windows.

A log is data of somebody else's code: whatever is not numbers where numbers are expected is passed over, and a key nobody
has heard of is drawn when its shape says how. ``files/parts.jinja`` writes the charts as SVG, which works without scripts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLOURS = 8
"""Classes of the style sheet (``s0`` ... ``s7``), so that light and dark are its affair."""
WIDTH, HEIGHT = 400, 150
"""Of a drawing, in px."""
MOST_LINES, MOST_POINTS, MOST_CHARTS = 8, 400, 12
DRAWN = 1e300
"""Larger numbers, infinite ones and not-a-numbers are no points of a chart."""
DEPTH = 5
PASSED_OVER = ("path", "repeats_differ", "at", "cosine")
"""Not charts: sketches of latents and matrices of cosines (figures of their own), a remark, and places of inner steps."""

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """A line chart: ``x`` and ``y`` are the ends of its axes, ``series`` a name and SVG path each; ``said`` tells it."""

    title: str
    said: str
    x: tuple[str, str]
    y: tuple[str, str]
    series: tuple[tuple[str, str], ...]


def charts(log: Mapping[str, Any]) -> list[Chart]:
    """Charts of one artefact's log, at most ``MOST_CHARTS``: a chart for each name, a line for each step it was logged at."""
    found: dict[str, dict[str, Points]] = {}
    for name, step, value in _leaves(log):
        if (number := _number(value)) is not None and step:
            found.setdefault(name, {}).setdefault("by step", []).append((float(step), number))
        elif points := _points(value):
            found.setdefault(name, {})[f"step {step}" if step else name] = points
    made = [_chart(name, lines) for name, lines in found.items() if max(map(len, lines.values())) > 1]
    return made[:MOST_CHARTS]


def _leaves(value: Any, name: str = "", step: str = "", depth: int = 0) -> Iterator[tuple[str, str, Any]]:
    """Name, step and value of everything nested: {"a": {"0": {"b": 1}}} is ("a b", "0", 1). Steps in their order."""
    if not isinstance(value, Mapping) or depth == DEPTH:
        yield name.replace("_", " "), step, value
        return
    items = [(str(k), v) for k, v in value.items() if str(k) not in PASSED_OVER]
    if not step and name and items and all(k.isdecimal() and len(k) < 9 for k, _ in items):
        for k, v in sorted(items, key=lambda item: int(item[0])):
            yield from _leaves(v, name, k, depth + 1)
        return
    for k, v in items:
        yield from _leaves(v, f"{name} {k}".strip(), step, depth + 1)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if abs(value) <= DRAWN else None
    except OverflowError:
        return None


def _points(values: Any) -> Points:
    """A list of numbers against their places (1, 2 ...); empty when it is no such list."""
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        return []
    places = range(0, len(values), max(1, -(-len(values) // MOST_POINTS)))
    return [(n + 1.0, y) for n in places if (y := _number(values[n])) is not None]


def _chart(title: str, lines: Mapping[str, Points]) -> Chart:
    """Of many lines ``MOST_LINES`` are drawn, first to last evenly."""
    names = list(lines)
    if len(names) > MOST_LINES:
        names = [names[round(i * (len(names) - 1) / (MOST_LINES - 1))] for i in range(MOST_LINES)]
    xs, ys = zip(*(point for name in names for point in lines[name]), strict=True)
    ends = (min(xs), max(xs)), (min(ys), max(ys))
    series = tuple((name, _path(lines[name], *ends)) for name in names)
    said = "; ".join(f"{name}: from {lines[name][0][1]:.4g} to {lines[name][-1][1]:.4g}" for name in names)
    x, y = ((f"{low:.4g}", f"{high:.4g}") for low, high in ends)
    return Chart(title, said, x, y, series)


def _path(points: Points, x: tuple[float, float], y: tuple[float, float]) -> str:
    return "M" + " L".join(f"{WIDTH * _share(a, *x):.1f},{HEIGHT * (1 - _share(b, *y)):.1f}" for a, b in points)


def _share(value: float, low: float, high: float) -> float:
    """Where a value lies between two others, 0 to 1; halved first, since the range may be larger than any number."""
    return (value / 2 - low / 2) / (high / 2 - low / 2) if high / 2 > low / 2 else 0.5

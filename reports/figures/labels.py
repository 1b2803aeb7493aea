"""Labels beside points: each where it covers the fewest points and other labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastvmt.reports.figures.style import GREY, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Box = tuple[float, float, float, float]
DISTANCES = (7.0, 13.0, 20.0, 30.0, 42.0)
"""From a point to its label, in points, the nearest first."""


def place_labels(axes: Axes, places: Sequence[tuple[float, float]], labels: Sequence[str], bars: Sequence[Box] = ()) -> None:
    """Write every label near its place; those that had to move away get a thin line back.

    Call it when the limits of the axes are final. ``bars`` are boxes in data coordinates (left, low, right, high)
    that stay free if possible.
    """
    figure = axes.figure.get_figure(root=True) or new_figure(1, 1)
    figure.draw_without_rendering()
    canvas: Any = figure.canvas
    renderer = canvas.get_renderer()
    unit = figure.dpi / 72
    points = [tuple(map(float, axes.transData.transform(p))) for p in places]
    frame = axes.get_window_extent(renderer)
    limits = (frame.x0, frame.y0, frame.x1, frame.y1)
    taken = [(x - 4 * unit, y - 4 * unit, x + 4 * unit, y + 4 * unit) for x, y in points]
    for left, low, right, high in bars:
        (x0, y0), (x1, y1) = axes.transData.transform((left, low)), axes.transData.transform((right, high))
        taken.append((x0 - 2 * unit, y0 - 2 * unit, x1 + 2 * unit, y1 + 2 * unit))
    for (x, y), place, label in zip(points, places, labels, strict=True):
        text = axes.annotate(label, place, (0, 0), textcoords="offset points", fontsize=7, parse_math=False)
        size = text.get_window_extent(renderer)
        best = (math.inf, 0.0, 0.0)
        for distance in DISTANCES:
            for turn in range(12):
                dx, dy = distance * math.cos(turn * math.pi / 6), distance * math.sin(turn * math.pi / 6)
                box = _box(x + dx * unit, y + dy * unit, dx, size.width, size.height)
                cost = sum(_overlap(box, other) for other in taken) + 3 * _outside(box, limits) + distance * unit * 2
                best = min(best, (cost, dx, dy))
        _, dx, dy = best
        text.set_position((dx, dy))
        text.set_horizontalalignment("left" if dx > 1 else "right" if dx < -1 else "center")
        text.set_verticalalignment("center")
        taken.append(_box(x + dx * unit, y + dy * unit, dx, size.width, size.height))
        if math.hypot(dx, dy) > DISTANCES[1]:
            arrow = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3}
            axes.annotate("", place, (dx, dy), textcoords="offset points", arrowprops=arrow)


def _box(x: float, y: float, dx: float, width: float, height: float) -> Box:
    left = x if dx > 1 else x - width if dx < -1 else x - width / 2
    return left, y - height / 2, left + width, y + height / 2


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _outside(box: Box, limits: Box) -> float:
    area = (box[2] - box[0]) * (box[3] - box[1])
    return area - _overlap(box, limits)

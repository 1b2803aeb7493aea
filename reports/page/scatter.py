"""Quality against time and bars of each metric, from a finished table, as plain geometry; see ``charts``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fastvmt.reports.page.charts import Axis, Frame, ticks
from fastvmt.reports.tables.view import Cell, Column, Line, View

Ends = tuple[float, float] | None
Box = tuple[float, float, float, float]
LETTER = 7.2
"""Px of a letter of a point's name, about."""


@dataclass(frozen=True)
class Point:
    """``upright`` and ``flat`` are the ends of the interval's bars in px; None without an interval."""

    x: float
    y: float
    upright: Ends
    flat: Ends
    colour: int
    name: str
    said: str
    hollow: bool
    anchor: str = "start"
    label_x: float = 0.0
    label_y: float = 0.0

    def label(self, dx: float, dy: float, anchor: str) -> Point:
        """The point with its name there."""
        return replace(self, anchor=anchor, label_x=round(self.x + dx, 1), label_y=round(self.y + dy, 1))

    @property
    def box(self) -> Box:
        """What the name covers with a gap: left, top, right, bottom."""
        wide = LETTER * len(self.name) + 12
        left = self.label_x - (wide if self.anchor == "end" else 0)
        return left, self.label_y - 13, left + wide, self.label_y + 3


@dataclass(frozen=True)
class Scatter:
    frame: Frame
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Bar:
    name: str
    colour: int
    x: float
    width: float
    ends: Ends
    text: str
    mark: str


@dataclass(frozen=True)
class Bars:
    title: str
    bars: tuple[Bar, ...]
    zero: float


def _ends(cell: Cell) -> tuple[float, float]:
    assert cell.value is not None
    return (cell.value if cell.low is None else cell.low), (cell.value if cell.high is None else cell.high)


def _whisker(axis: Axis, cell: Cell) -> Ends:
    return None if cell.low is None or cell.high is None else (axis.at(cell.low), axis.at(cell.high))


def scatters(view: View, colours: Mapping[str, int]) -> list[Scatter]:
    """Quality against seconds per video, one chart for each column in which more is better and that is no ratio of times."""
    time = next((c for c in view.columns if c.key == "time" or c.key.startswith("time:")), None)
    chosen = [c for c in view.columns if time and c.direction == "up" and c.unit not in ("s", "×")]
    return [s for c in chosen if time and (s := _scatter(view, time, c, colours)) is not None]


def _scatter(view: View, time: Column, quality: Column, colours: Mapping[str, int]) -> Scatter | None:
    cells = [(line, view.cell(line.key, time.key), view.cell(line.key, quality.key)) for line in view.lines]
    drawn = [(line, t, q) for line, t, q in cells if t.value is not None and q.value is not None]
    if not drawn:
        return None
    xs = [v for _, t, _ in drawn for v in _ends(t)]
    ys = [v for _, _, q in drawn for v in _ends(q)]
    xticks, yticks = ticks(min(0.0, *xs), max(xs), 6), ticks(min(ys), max(ys))
    frame = Frame.of(time.title, quality.title, xticks, yticks, (720, 400), (66, 28, 18, 52))
    points: list[Point] = []
    for line, t, q in sorted(drawn, key=lambda d: d[1].value or 0.0):
        assert t.value is not None and q.value is not None
        said = f"{line.head}: {time.head} {time.text(t.value)} {time.unit}, {quality.head} {quality.text(q.value)}, n = {q.n}"
        point = Point(
            frame.across.at(t.value), frame.up.at(q.value), _whisker(frame.up, q), _whisker(frame.across, t),
            colours.get(line.key, 0), line.head, said, not line.ranked,
        )  # fmt: skip
        points.append(_named(point, points, frame.width))
    return Scatter(frame, tuple(points))


def _named(point: Point, before: Sequence[Point], width: float) -> Point:
    """The point with its name where it covers neither another name nor the edge: right above it by default."""
    places = [
        point.label(12, -9, "start"),
        point.label(12, 19, "start"),
        point.label(-12, -9, "end"),
        point.label(-12, 19, "end"),
    ]
    if places[0].box[2] > width:
        places = places[2:] + places[:2]
    return next((p for p in places if not any(_touch(p.box, other.box) for other in before)), places[0])


def _touch(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def bars(view: View, colours: Mapping[str, int]) -> list[Bars]:
    """For each column that has a direction, a bar for each line, as in the paper's Figure 7."""
    found = []
    for at, column in enumerate(view.columns):
        rows = [(line, line.cells[at]) for line in view.lines if line.cells[at].value is not None]
        if column.direction == "none" or len(rows) < 2:
            continue
        ends = [v for _, c in rows for v in _ends(c)]
        axis = Axis([min(0.0, *ends), max(0.0, *ends) or 1.0], 0.0, 200.0)
        found.append(Bars(column.title, tuple(_bar(line, c, column, axis, colours) for line, c in rows), axis.at(0.0)))
    return found


def _bar(line: Line, cell: Cell, column: Column, axis: Axis, colours: Mapping[str, int]) -> Bar:
    assert cell.value is not None
    zero, end = axis.at(0.0), axis.at(cell.value)
    place = min(zero, end), round(abs(end - zero), 2)
    return Bar(line.head, colours.get(line.key, 0), *place, _whisker(axis, cell), column.text(cell.value), cell.mark)

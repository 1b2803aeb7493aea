"""Quality against time and bars of each metric, from a finished table, as plain geometry; see ``charts``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fastvmt.reports.page.charts import Axis, Tick, ticks
from fastvmt.reports.tables.view import Cell, Column, Line, View


@dataclass(frozen=True)
class Point:
    x: float
    y: float
    low: float | None
    high: float | None
    left: float | None
    right: float | None
    colour: int
    name: str
    said: str
    hollow: bool
    anchor: str = "start"
    label_x: float = 0.0
    label_y: float = 0.0


@dataclass(frozen=True)
class Scatter:
    key: str
    title: str
    x: str
    y: str
    xticks: tuple[Tick, ...]
    yticks: tuple[Tick, ...]
    points: tuple[Point, ...]
    width: float = 720
    height: float = 400
    left: float = 66
    right: float = 28
    top: float = 18
    bottom: float = 52


@dataclass(frozen=True)
class Bar:
    name: str
    colour: int
    x: float
    width: float
    low: float | None
    high: float | None
    text: str
    mark: str


@dataclass(frozen=True)
class Bars:
    title: str
    bars: tuple[Bar, ...]
    zero: float
    height: float = 0
    gap: float = 26


def _ends(cell: Cell) -> tuple[float, float]:
    assert cell.value is not None
    return (cell.value if cell.low is None else cell.low), (cell.value if cell.high is None else cell.high)


def quality_columns(view: View) -> list[Column]:
    """Columns of a view in which more is better and that are no ratio of times."""
    return [c for c in view.columns if c.direction == "up" and c.unit not in ("s", "×")]


def time_column(view: View) -> Column | None:
    """A view's seconds per video."""
    return next((c for c in view.columns if c.key == "time" or c.key.startswith("time:")), None)


def scatters(view: View, colours: Mapping[str, int]) -> list[Scatter]:
    """Quality against time, one chart for each column in which more is better."""
    time = time_column(view)
    if time is None:
        return []
    return [s for c in quality_columns(view) if (s := _scatter(view, time, c, colours)) is not None]


def _scatter(view: View, time: Column, quality: Column, colours: Mapping[str, int]) -> Scatter | None:
    cells = [(line, view.cell(line.key, time.key), view.cell(line.key, quality.key)) for line in view.lines]
    drawn = [(line, t, q) for line, t, q in cells if t.value is not None and q.value is not None]
    if not drawn:
        return None
    base = Scatter(quality.key, quality.title, time.title, quality.title, (), (), ())
    xs = [v for _, t, _ in drawn for v in _ends(t)]
    ys = [v for _, _, q in drawn for v in _ends(q)]
    across = Axis(ticks(0.0 if min(xs) >= 0 else min(xs), max(xs), 6), base.left, base.width - base.right)
    up = Axis(ticks(min(ys), max(ys)), base.height - base.bottom, base.top)
    points: list[Point] = []
    for line, t, q in sorted(drawn, key=lambda d: d[1].value or 0.0):
        assert t.value is not None and q.value is not None
        x, y = across.at(t.value), up.at(q.value)
        said = f"{line.head}: {time.head} {time.text(t.value)} {time.unit}, {quality.head} {quality.text(q.value)}, n = {q.n}"
        points.append(_placed(points, base, Point(
            x, y, *_whisker(up, q), *_whisker(across, t), colours.get(line.key, 0), line.head, said, not line.ranked,
        )))  # fmt: skip
    return Scatter(quality.key, quality.title, time.title, quality.title, across.marks, up.marks, tuple(points))


def _whisker(axis: Axis, cell: Cell) -> tuple[float | None, float | None]:
    return (None, None) if cell.low is None or cell.high is None else (axis.at(cell.low), axis.at(cell.high))


def _placed(before: Sequence[Point], chart: Scatter, point: Point) -> Point:
    """The point with its name where it covers neither another name nor the edge: right above it by default."""
    text = 7.2 * len(point.name) + 12
    places = [(12.0, -9.0, "start"), (12.0, 19.0, "start"), (-12.0, -9.0, "end"), (-12.0, 19.0, "end")]
    if point.x + text > chart.width:
        places = places[2:] + places[:2]
    for dx, dy, anchor in places:
        left = point.x + dx - (text if anchor == "end" else 0)
        mine = (left, point.y + dy - 13, left + text, point.y + dy + 3)
        if all(not _touch(mine, _box(p)) for p in before):
            break
    else:
        dx, dy, anchor = places[0]
    return replace(point, anchor=anchor, label_x=round(point.x + dx, 1), label_y=round(point.y + dy, 1))


def _box(point: Point) -> tuple[float, float, float, float]:
    text = 7.2 * len(point.name)
    left = point.label_x - (text if point.anchor == "end" else 0)
    return left, point.label_y - 13, left + text, point.label_y + 3


def _touch(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
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
        zero = axis.at(0.0)
        made = tuple(_bar(line, cell, column, axis, zero, colours) for line, cell in rows)
        found.append(Bars(column.title, made, zero, 26.0 * len(made)))
    return found


def _bar(line: Line, cell: Cell, column: Column, axis: Axis, zero: float, colours: Mapping[str, int]) -> Bar:
    assert cell.value is not None
    end = axis.at(cell.value)
    low, high = _whisker(axis, cell)
    return Bar(line.head, colours.get(line.key, 0), min(zero, end), round(abs(end - zero), 2), low, high,
               column.text(cell.value), cell.mark)  # fmt: skip

"""A table laid out in rows and columns of pieces, before any form gives them its signs.

Titles, heads, groups, notes and reasons are hostile input: here control and direction characters are dropped and white space
becomes one space; each form then escapes what has a meaning in it.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, replace
from itertools import groupby

from fastvmt.reports.tables.view import Cell, Column, View, cell_text

MOST_COLUMNS = 9
"""A wider table is turned: a line for each metric, a column for each method."""
HEAD_WIDTH = 18
"""A longer column head is broken where the numbers under it are narrower."""
UNTITLED_GROUP = "–"
_UNSEEN = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF, 0xFFFE, 0xFFFF])
"""Marks of text direction and of byte order, and what XML has no place for."""
_PARTS = re.compile(r"[^\s:=,/_-]*[\s:=,/_-]*")


@dataclass(frozen=True)
class GridRow:
    """One printed row: its head, the group it belongs to, and each cell with the column that says how it prints."""

    head: str
    group: str
    cells: tuple[tuple[Cell, Column], ...]


@dataclass(frozen=True)
class Grid:
    """A view laid out: columns across and lines down, or turned. ``over`` holds a group for each head, if turned."""

    heads: tuple[str, ...]
    over: tuple[str, ...]
    rows: tuple[GridRow, ...]

    @property
    def grouped(self) -> bool:
        """Whether the rows stand in groups."""
        return any(row.group for row in self.rows)

    @property
    def bands(self) -> list[tuple[str, list[GridRow]]]:
        """Rows that follow each other in one group, with what heads them: nothing where there is nothing to say."""
        found = [(group, list(rows)) for group, rows in groupby(self.rows, key=lambda row: row.group)]
        return [(group or (UNTITLED_GROUP if n else ""), rows) for n, (group, rows) in enumerate(found)]


def clean(text: str) -> str:
    """One line without control characters, direction overrides or broken code points."""
    kept = (" " if c.isspace() else "" if unicodedata.category(c) == "Cc" else c for c in text.translate(_UNSEEN))
    return " ".join("".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in kept).split())


def sound(view: View) -> View:
    """The view with plain, finite numbers: a value that is not finite becomes a missing cell that says so."""
    lines = [replace(line, cells=tuple(_sound(c) for c in line.cells)) for line in view.lines]
    return replace(view, lines=tuple(lines))


def _sound(cell: Cell) -> Cell:
    n, expected = int(cell.n), int(cell.expected)
    if cell.value is not None and not math.isfinite(cell.value):
        return Cell(None, n=n, expected=expected, why=cell.why or "not finite")
    ends = [float(end) for end in (cell.low, cell.high) if end is not None and math.isfinite(end)]
    low, high = ends if len(ends) == 2 else (None, None)
    value = None if cell.value is None else float(cell.value)
    return replace(cell, value=value, low=low, high=high, n=n, expected=expected, tied=bool(cell.tied))


def is_wide(view: View) -> bool:
    """Whether the view is to be turned: too many columns, and fewer lines than columns, so that turning helps."""
    return len(view.columns) > MOST_COLUMNS and 0 < len(view.lines) < len(view.columns)


def grid(view: View, turned: bool) -> Grid:
    """The layout of a view, all words clean and none escaped."""
    titles = tuple(clean(c.title) for c in view.columns)
    heads = tuple(clean(f"{line.head} ({line.note})" if line.note else line.head) for line in view.lines)
    groups = tuple(clean(line.group) for line in view.lines)
    if turned:
        rows = [
            GridRow(title, "", tuple((line.cells[n], column) for line in view.lines))
            for n, (title, column) in enumerate(zip(titles, view.columns, strict=True))
        ]
        return Grid(heads, groups if any(groups) else (), tuple(rows))
    across = [tuple(zip(line.cells, view.columns, strict=True)) for line in view.lines]
    return Grid(titles, (), tuple(GridRow(h, g, c) for h, g, c in zip(heads, groups, across, strict=True)))


def pieces(cell: Cell, column: Column) -> tuple[str, str]:
    """The number that a mark is put on, and what follows it; a missing cell has no number and follows with its reason."""
    if cell.value is None:
        return "", clean(cell_text(cell, column)) or "–"
    number = column.text(cell.value)
    return number, cell_text(cell, column)[len(number) :]


def tail(view: View, legend: str | None = None) -> list[str]:
    """What stands under the table, a paragraph each."""
    empty = [] if view.lines and view.columns else ["note: there is nothing to show in this table"]
    said = [view.legend if legend is None else legend, *empty, *(f"note: {note}" for note in view.notes)]
    digests = (("suite digest", view.suite_digest), ("table digest", view.digest))
    return [clean(s) for s in said if s] + [f"{name}: {clean(digest)}" for name, digest in digests if digest]


def fold(text: str, width: int) -> list[str]:
    """Text in lines of a width, broken behind spaces and the signs of labels, within a word only if it is too long."""
    lines = [""]
    for part in _PARTS.findall(text):
        if wide_of(lines[-1] + part.rstrip()) > width and lines[-1]:
            lines.append("")
        for sign in part:
            if wide_of(lines[-1] + sign.rstrip()) > width and lines[-1]:
                lines.append("")
            lines[-1] += sign
    return [line.rstrip() for line in lines]


def wide_of(text: str) -> int:
    """Columns that a text takes on a terminal."""
    from rich.cells import cell_len

    return cell_len(text)

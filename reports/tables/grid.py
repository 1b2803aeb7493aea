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

from fastvmt.reports.tables.view import HALF, INTERVAL, INTERVALS, SCORES, VALUE, Cell, Column, Line, View, cell_text

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
    """A view laid out."""

    columns: tuple[Column, ...]
    rows: tuple[GridRow, ...]

    @property
    def heads(self) -> tuple[str, ...]:
        """What stands over each column."""
        return tuple(clean(column.title) for column in self.columns)

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


def grid(view: View) -> Grid:
    """The layout of a view, all words clean and none escaped."""
    cells = [[line.cells[n] for line in view.lines] for n in range(len(view.columns))]
    pairs = [_counted(column, found) for column, found in zip(view.columns, cells, strict=True)]
    rows = [
        GridRow(_head(line), clean(line.group), tuple((found[n], column) for column, found in pairs))
        for n, line in enumerate(view.lines)
    ]
    return Grid(tuple(column for column, _ in pairs), tuple(rows))


def _head(line: Line) -> str:
    """A line's head; a note that its group says already is left out."""
    return clean(f"{line.head} ({line.note})" if line.note and not line.group.startswith(line.note) else line.head)


def _counted(column: Column, cells: list[Cell]) -> tuple[Column, list[Cell]]:
    """A column of which every number stands on the same part of the videos says so in its head instead of in each cell."""
    valued = [cell for cell in cells if cell.value is not None]
    if len(counts := {cell.n for cell in valued}) != 1 or all(cell.n == cell.expected for cell in valued):
        return column, cells
    return replace(column, head=f"{column.head} (n={counts.pop()})"), [replace(c, expected=c.n) for c in cells]


def pieces(cell: Cell, column: Column, spread: str = INTERVAL) -> tuple[str, str]:
    """The number that a mark is put on, and what follows it; a missing cell has no number and follows with its reason."""
    if cell.value is None:
        return "", clean(cell_text(cell, column)) or "–"
    number = column.text(cell.value)
    return number, cell_text(cell, column, spread)[len(number) :]


def for_people(view: View) -> tuple[View, str]:
    """The view with the columns that people see, and how much of the intervals beside them."""
    view = sound(view)
    return (view.of(view.main), HALF if INTERVALS in view.legend else INTERVAL) if view.brief else (view, INTERVAL)


def tail(view: View, spread: str = INTERVAL) -> list[str]:
    """What stands under the table, a paragraph each: what signs mean, notes, and what is left out."""
    empty = [] if view.lines and view.columns else ["note: there is nothing to show in this table"]
    half = "value ± half of the 95 % interval over reference clips"
    said = {HALF: half, SCORES: half, VALUE: ""}.get(spread, INTERVALS)
    paragraphs = [view.legend.replace(INTERVALS, said).removeprefix("; "), *empty, *(f"note: {note}" for note in view.notes)]
    return [clean(paragraph) for paragraph in paragraphs if paragraph]


def more(view: View, notes: int = 0) -> str:
    """Says what of a view people do not see: columns, and so many notes; or ""."""
    hidden = {"column": len(view.columns) - len(view.main) if view.brief else 0, "note": notes}
    said = [f"{n} more {what}{'s' * (n > 1)}" for what, n in hidden.items() if n]
    return f"{' and '.join(said)}: --columns all" if said else ""


def digests(view: View) -> list[str]:
    """Digest of suite and table, a paragraph each."""
    found = (("suite digest", view.suite_digest), ("table digest", view.digest))
    return [f"{name}: {clean(digest)}" for name, digest in found if digest]


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

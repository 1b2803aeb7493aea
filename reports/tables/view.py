"""A table as an object: cells with interval and n, columns with unit and direction, lines in groups.

Every printed form (terminal, Markdown, CSV, LaTeX, HTML, JSON) is made from a ``View`` by ``render``; a view is made from the
tidy frame by ``views``. Marks are computed here, on the printed precision, never typed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastvmt.core.content_address import digest
from fastvmt.jobs.numbering import slug

INTERVAL, HALF, SCORES, VALUE = "interval", "half", "scores", "value"
"""How much of its interval a cell says: both ends, half of its width, that of scores alone (not of costs), or nothing."""
INTERVALS = "value [95 % interval over reference clips]"
LEGEND = (
    f"{INTERVALS}; bold: best, underlined: second, ties share the mark, controls are not "
    "ranked; ≈: cannot be told from the best (5 %, all rows of a column tested together); nothing is bold where that is all"
)


MOST_OF_LABEL = 50
"""Characters of a label in the id of a table or the name of a figure; an id has 64 at most."""


def id_of(label: str) -> str:
    """A method's label as a part of ids and file names: its slug, a long one cut and told apart by a digest of the label.

    >>> id_of("fastvmt:no-window"), len(id_of("fastvmt:" + "no-window:" * 9))
    ('fastvmt-no-window', 50)
    """
    whole = slug(label)
    return whole if len(whole) <= MOST_OF_LABEL else f"{whole[:41]}-{digest(label)[:8]}"


@dataclass(frozen=True)
class Cell:
    """One number of a table, or the reason why there is none.

    Attributes:
        value: mean over the videos compared; None where there is none.
        low, high: ends of its 95 % interval; None with fewer than two reference clips.
        n: videos behind it; expected: videos that should stand behind it.
        mark: ``best``, ``second`` or nothing.
        tied: not the best, and not to be told from it.
        why: what is said in place of a missing value (``failed``, ``undefined``, ``missing``, ``elsewhere``), or "".
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    expected: int = 0
    mark: str = ""
    tied: bool = False
    why: str = ""


EMPTY = Cell(None)


@dataclass(frozen=True)
class Column:
    """``key`` is a metric's label; ``head`` what is printed; ``direction`` up, down or none."""

    key: str
    head: str
    unit: str = ""
    direction: str = "none"
    decimals: int = 3

    @property
    def title(self) -> str:
        """Head, unit and arrow: ``time [s] ↓``."""
        arrow = {"up": " ↑", "down": " ↓"}.get(self.direction, "")
        return self.head + (f" [{self.unit}]" if self.unit else "") + arrow

    def text(self, value: float | None) -> str:
        return "" if value is None else f"{value:z.{self.decimals}f}"


@dataclass(frozen=True)
class Line:
    """One row. ``group`` heads the lines of one kind; ``note`` stands behind the head (``control``, ``base``)."""

    key: str
    head: str
    cells: tuple[Cell, ...]
    group: str = ""
    note: str = ""
    ranked: bool = True


@dataclass(frozen=True)
class View:
    """A finished table.

    Attributes:
        id: short name for files and ``--tables``.
        protocol: under which the videos were made, which ``setting`` also says; "" where it does not apply.
        title: one line; setting: suite, backbone, size; notes: what a reader has to know; legend: what cells and marks say.
        verdict: sentences that say what the numbers decide; every form opens with them.
        main: keys of the columns that people see first, in their order; empty for all columns.
        whole: people see every column, interval and note.
    """

    id: str
    title: str
    setting: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    digest: str = ""
    suite_digest: str = ""
    legend: str = LEGEND
    protocol: str = ""
    verdict: tuple[str, ...] = ()
    main: tuple[str, ...] = ()
    whole: bool = False

    @property
    def brief(self) -> bool:
        """Whether forms for people show the main columns alone."""
        return bool(self.main) and not self.whole

    def of(self, keys: Sequence[str]) -> View:
        """The view with these columns alone, in this order."""
        at = [[c.key for c in self.columns].index(key) for key in keys]
        lines = tuple(replace(line, cells=tuple(line.cells[n] for n in at)) for line in self.lines)
        return replace(self, columns=tuple(self.columns[n] for n in at), lines=lines)

    @property
    def groups(self) -> list[str]:
        return list(dict.fromkeys(line.group for line in self.lines))

    def line(self, key: str) -> Line:
        return next(line for line in self.lines if line.key == key)

    def cell(self, line: str, column: str) -> Cell:
        """The cell of a line's key and a column's key."""
        return self.line(line).cells[[c.key for c in self.columns].index(column)]

    def data(self) -> dict[str, Any]:
        """The table as plain data, for JSON."""
        heads = [vars(c) | {"title": c.title} for c in self.columns]
        lines = [
            {"key": r.key, "head": r.head, "group": r.group, "note": r.note, "ranked": r.ranked,
             "cells": {c.key: vars(cell) for c, cell in zip(self.columns, r.cells, strict=True)}}
            for r in self.lines
        ]  # fmt: skip
        return {
            "id": self.id, "title": self.title, "setting": self.setting, "columns": heads, "lines": lines,
            "notes": list(self.notes), "legend": self.legend, "digest": self.digest, "suite_digest": self.suite_digest,
            "protocol": self.protocol, "verdict": list(self.verdict), "main": list(self.main),
        }  # fmt: skip


def cell_text(cell: Cell, column: Column, spread: str = INTERVAL) -> str:
    """A cell as plain text: ``0.812 [0.790, 0.831]`` or ``0.812 ±.020``, with ``(n=7)`` where videos are missing, or why it is
    empty."""
    if cell.value is None:
        return cell.why or "–"
    text = column.text(cell.value)
    silent = spread == VALUE or (spread == SCORES and column.direction == "down")
    if cell.low is not None and cell.high is not None and not silent:
        ends = f"[{column.text(cell.low)}, {column.text(cell.high)}]"
        one_sided = (cell.low == cell.value) != (cell.high == cell.value)  # half of it on either side would be a lie
        text += f" {ends}" if spread == INTERVAL or one_sided else f" ±{_half((cell.high - cell.low) / 2, column.decimals)}"
    if cell.tied:
        text += " ≈"
    return text if cell.n == cell.expected else f"{text} (n={cell.n})"


def _half(width: float, decimals: int) -> str:
    """Half of an interval to two digits, and to no more decimals than its number has."""
    digits = min(decimals, max(0, 1 - math.floor(math.log10(width)))) if width > 0 else decimals
    text = f"{width:.{digits}f}"
    return text.removeprefix("0") if "." in text else text


def marked(columns: Sequence[Column], lines: Sequence[Line], silent: Collection[str] = ()) -> tuple[Line, ...]:
    """The lines with best and second marked in every column that has a direction.

    Compared as printed: two values that print alike share the mark, and behind a shared first place nobody is second. Where no
    ranked line can be told from the best, none is: a mark would claim a winner.

    Args:
        silent: keys of columns that have no marks, as too few clips stand behind them.
    """
    rows = [list(line.cells) for line in lines]
    for at, column in enumerate(columns):
        if column.direction == "none" or column.key in silent:
            continue
        ranked = [
            (n, float(column.text(c.value)))
            for n, line in enumerate(lines)
            if line.ranked and (c := line.cells[at]).value is not None
        ]
        order = sorted({v for _, v in ranked}, reverse=column.direction == "up")
        first = [n for n, v in ranked if v == order[0]]
        if all(n in first or rows[n][at].tied for n, _ in ranked):
            continue
        second = [n for n, v in ranked if len(order) > 1 and v == order[1]] if len(first) == 1 else []
        for mark, numbers in (("best", first), ("second", second)):
            for n in numbers:
                rows[n][at] = replace(rows[n][at], mark=mark, tied=rows[n][at].tied and mark != "best")
    return tuple(replace(line, cells=tuple(cells)) for line, cells in zip(lines, rows, strict=True))

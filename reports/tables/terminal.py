"""A table on a terminal, with as much of the intervals as it has room for; else in blocks of columns that repeat the first one.

No number is ever broken.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from fastvmt.core.screen.terminal import PLAIN, STYLES
from fastvmt.reports.tables.grid import HEAD_WIDTH, Grid, clean, digests, fold, for_people, grid, more, pieces, tail, wide_of
from fastvmt.reports.tables.view import HALF, INTERVAL, INTERVALS, SCORES, VALUE, Cell, Column, Line, View

PLAIN_WIDTH = 100
"""Columns of text where the width of the terminal is not known."""
LINES_UNDER = 5
"""So many lines stand under a table; what else there is to say has to be asked for."""
GAP = "  "
_SIGNS = {"best": "*", "second": "'"}


@dataclass(frozen=True)
class Strip:
    """One printed column: its head, a cell for each row, and how wide it is."""

    head: str
    cells: tuple[str, ...]
    width: int


def terminal(view: View, width: int | None = None, colour: bool | None = None) -> str:
    """Text of at most ``width`` columns; one number that is wider by itself still stays whole.

    Args:
        width: columns of text; the terminal's, or ``PLAIN_WIDTH`` where there is none, and paragraphs then stay unbroken.
        colour: bold and underlined marks, else ``*`` and ``'``; by default on a terminal unless NO_COLOR is set.
    """
    on_terminal = sys.stdout.isatty()
    if colour is None:
        colour = on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    broken = width is not None or on_terminal
    width = width or shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns
    shown, _ = for_people(view)
    spread, blocks = _blocks(shown, width, colour, view.whole) if shown.lines and shown.columns else (INTERVAL, [])

    def wrapped(texts: Sequence[str]) -> list[list[str]]:
        return [(textwrap.wrap(text, width) if broken else [text]) or [""] for text in texts]

    title = ["\n".join(lines) for lines in wrapped([clean(text) for text in (view.title, view.setting) if text])]
    if colour:
        title[:1] = [_styled(text, "bold", 0, len(text)) for text in title[:1]]
    verdict = "\n".join(line for lines in wrapped([clean(text) for text in view.verdict]) for line in lines)
    legend = view.legend if colour else _plain_legend(shown)
    under = wrapped(tail(replace(shown, legend=legend), spread))
    if view.whole or not view.main:
        under += wrapped(digests(view))
    else:
        under = _few(view, under)
    parts = [verdict, "\n".join(title), *blocks, "\n".join(line for lines in under for line in lines)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _few(view: View, under: list[list[str]]) -> list[list[str]]:
    """As many paragraphs as there is room for under a table, and what else there is."""
    lines = [sum(map(len, under[: n + 1])) for n in range(len(under))]
    kept = sum(n <= LINES_UNDER for n in lines)
    if kept < len(under) or more(view):
        kept = sum(n < LINES_UNDER for n in lines)
    said = more(view, len(under) - kept)
    return [*under[:kept], *([[said]] if said else [])]


def drawn(text: str) -> str:
    """Text in which every simple Markdown table is drawn as ``terminal`` draws a view."""
    parts = []
    for ruled, block in groupby(text.splitlines(), lambda line: line.startswith("|")):
        lines = list(block)
        if not ruled:
            parts += lines
            continue
        (first, *heads), _, *rows = ([cell.strip() for cell in line.strip("| ").split("|")] for line in lines)
        cells = [
            Line(str(n), f"{first} {row[0]}", tuple(Cell(None, why=text) for text in row[1:])) for n, row in enumerate(rows)
        ]
        columns = tuple(Column(str(n), head) for n, head in enumerate(heads))
        parts.append(terminal(View("", "", "", columns, tuple(cells), legend="")).rstrip())
    return "\n".join(parts)


def _plain_legend(view: View) -> str:
    """The legend with the signs that stand for bold and underlined where neither can be shown."""
    legend = view.legend.replace("bold: best", "*: best").replace("underlined: second", "': second")
    if "*: best" in legend or not any(cell.mark for line in view.lines for cell in line.cells):
        return legend
    return "; ".join(text for text in (legend, "*: best, ': second") if text)


def _blocks(view: View, width: int, colour: bool, whole: bool) -> tuple[str, list[str]]:
    """How much of the intervals is said, and the view: in one block if it fits, else with whole intervals in several."""
    laid = grid(view)
    spreads = (INTERVAL, HALF, SCORES, VALUE) if INTERVALS in view.legend else (INTERVAL,)  # else nothing would explain ±
    for spread in () if whole else spreads:
        for narrow in (False, True):
            if len(blocks := _split(laid, width, colour, spread, narrow)) == 1:
                return spread, blocks
    return INTERVAL, _split(laid, width, colour, INTERVAL, False)


def _split(laid: Grid, width: int, colour: bool, spread: str, narrow: bool) -> list[str]:
    """Blocks of columns; the first column is narrowed, its heads broken, where that takes fewer blocks."""
    strips = [_strip(laid, at, colour, spread, narrow) for at in range(len(laid.columns))]
    firsts = sorted({_first(laid, max(20, width * share // 20)) for share in (5, 6, 8)}, reverse=True)
    packed = [(first, _packed(strips, first, width)) for first in firsts]
    first, blocks = min(packed, key=lambda pair: len(pair[1]))
    return [_block(laid, block, first, colour) for block in blocks]


def _packed(strips: Sequence[Strip], first: int, width: int) -> list[list[Strip]]:
    blocks: list[list[Strip]] = [[]]
    for strip in strips:
        if blocks[-1] and first + sum(len(GAP) + s.width for s in [*blocks[-1], strip]) > width:
            blocks.append([])
        blocks[-1].append(strip)
    return blocks


def _first(laid: Grid, most: int) -> int:
    """Width of the first column: what its longest head needs, and no more than ``most``."""
    indent = len(GAP) if laid.grouped else 0
    return min(max((wide_of(row.head) + indent for row in laid.rows), default=0), most)


def _strip(laid: Grid, at: int, colour: bool, spread: str, narrow: bool) -> Strip:
    """A column, its numbers brought under each other, marked by style, or by sign where there is no style.

    Args:
        narrow: its head may be broken between words, to the width of the numbers.
    """
    cells = [row.cells[at] for row in laid.rows]
    found = [(*pieces(replace(c, tied=False), column, spread), c.mark, c.tied) for c, column in cells]
    wide = max((len(number) for number, *_ in found), default=0)
    signs = ["≈" if tied else "" if colour else _SIGNS.get(mark, "") for _, _, mark, tied in found]
    texts = []
    for (number, rest, mark, _), sign in zip(found, signs, strict=True):
        start = wide - len(number)
        text = " " * start + number + (sign or " " * any(signs)) + rest if number else rest.rjust(wide)
        texts.append((text.rstrip(), mark if colour and number and mark in STYLES else "", start))
    head = laid.heads[at]
    least = max(map(wide_of, head.split()), default=0) if narrow else wide_of(head)
    width = max([min(least, HEAD_WIDTH), *(wide_of(text) for text, _, _ in texts)])
    return Strip(head, tuple(_styled(_padded(text, width), style, start, wide) for text, style, start in texts), width)


def _block(laid: Grid, strips: Sequence[Strip], first: int, colour: bool) -> str:
    """The first column and some others; only heads are broken."""
    whole = first + sum(len(GAP) + strip.width for strip in strips)
    lines = [*_heads(first, strips), "─" * whole]
    numbers = iter(range(len(laid.rows)))
    for group, band in laid.bands:
        names = [_settled(part) for part in fold(group, whole)] if group else []
        lines += [_styled(name, "bold" if colour else "", 0, len(name)) for name in names]
        for row, n in zip(band, numbers, strict=False):
            indent = GAP if laid.grouped else ""
            heads = fold(row.head, first - len(indent))
            cells = "".join(GAP + strip.cells[n] for strip in strips)
            lines.append(_padded(indent + _settled(heads[0]), first) + cells)
            lines += [indent + _settled(head) for head in heads[1:]]
    return "\n".join(line.rstrip() for line in lines)


def _heads(first: int, strips: Sequence[Strip]) -> list[str]:
    """The heads, each broken to its column, the shorter ones on the ground."""
    folds = [fold(strip.head, strip.width) for strip in strips]
    tall = max([1, *map(len, folds)])
    folds = [[""] * (tall - len(lines)) + lines for lines in folds]
    rows = [[_padded(_settled(lines[n]), s.width) for lines, s in zip(folds, strips, strict=True)] for n in range(tall)]
    return [" " * first + "".join(GAP + text for text in row) for row in rows]


def _styled(text: str, style: str, start: int, end: int) -> str:
    return f"{text[:start]}{STYLES[style]}{text[start:end]}{PLAIN}{text[end:]}" if style else text


def _padded(text: str, width: int) -> str:
    return text + " " * (width - wide_of(text))


def _settled(text: str) -> str:
    """Text that runs from right to left gets a mark behind it, so that the numbers after it are not drawn into it."""
    return text + "\u200e" if any(unicodedata.bidirectional(c) in ("R", "AL") for c in text) else text

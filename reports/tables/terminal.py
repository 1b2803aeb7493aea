"""A table on a terminal: turned, or in blocks of columns that repeat the first one, so that no number is ever broken."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from fastvmt.core.screen.terminal import PLAIN, STYLES
from fastvmt.reports.tables.grid import HEAD_WIDTH, Grid, clean, fold, grid, is_wide, pieces, sound, tail, wide_of
from fastvmt.reports.tables.view import Cell, Column, Line, View

PLAIN_WIDTH = 100
"""Columns of text where the width of the terminal is not known."""
GAP = "  "
_SIGNS = {"best": "*", "second": "'"}


@dataclass(frozen=True)
class Strip:
    """One printed column: its head, what stands over it, a cell for each row, and how wide it is."""

    head: str
    over: str
    cells: tuple[str, ...]
    width: int


def terminal(view: View, width: int | None = None, colour: bool | None = None) -> str:
    """Text of at most ``width`` columns; one number that is wider by itself still stays whole.

    Args:
        width: columns of text; the terminal's, or ``PLAIN_WIDTH`` where there is none, and paragraphs then stay unbroken.
        colour: bold and underlined marks, else ``*`` and ``'``; by default on a terminal unless NO_COLOR is set.
    """
    view = sound(view)
    on_terminal = sys.stdout.isatty()
    if colour is None:
        colour = on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    broken = width is not None or on_terminal
    width = width or shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns
    title = [clean(text) for text in (view.title, view.setting) if text]
    under = tail(view, view.legend if colour else _plain_legend(view))
    if broken:
        title, under = (["\n".join(textwrap.wrap(text, width) or [""]) for text in texts] for texts in (title, under))
    if colour:
        title[:1] = [_styled(text, "bold", 0, len(text)) for text in title[:1]]
    blocks = _blocks(view, width, colour) if view.lines and view.columns else []
    parts = ["\n".join(title), *blocks, "\n".join(under)]
    return "\n\n".join(part for part in parts if part) + "\n"


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


def _blocks(view: View, width: int, colour: bool) -> list[str]:
    """The view in as few blocks of columns as fit; turned if it has to be, or if that takes fewer blocks."""
    straight = [] if is_wide(view) else _split(grid(view, False), width, colour)
    turned = _split(grid(view, True), width, colour) if len(straight) != 1 else []
    return turned if turned and (not straight or len(turned) < len(straight)) else straight


def _split(laid: Grid, width: int, colour: bool) -> list[str]:
    """Blocks of columns; the first column is narrowed, its heads broken, where that takes fewer blocks."""
    strips = [_strip(laid, at, colour) for at in range(len(laid.heads))]
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
    longest = max([wide_of(row.head) + indent for row in laid.rows] + [wide_of(name) for name, _ in laid.bands], default=0)
    return max(len("group") if laid.over else 0, min(longest, most))


def _strip(laid: Grid, at: int, colour: bool) -> Strip:
    """A column, its numbers brought under each other, marked by style, or by sign where there is no style."""
    found = [(*pieces(*row.cells[at]), row.cells[at][0].mark) for row in laid.rows]
    wide = max((len(number) for number, _, _ in found), default=0)
    signed = not colour and any(mark in _SIGNS for _, _, mark in found)
    texts = []
    for number, rest, mark in found:
        start = wide - len(number)
        behind = (_SIGNS.get(mark, " ") if signed else "") + rest if number else ""
        text = " " * start + number + behind if number else rest.rjust(wide)
        texts.append((text.rstrip(), mark if colour and number and mark in STYLES else "", start))
    cells = max((wide_of(text) for text, _, _ in texts), default=0)
    heads = [laid.heads[at], *(laid.over[at : at + 1])]
    width = max([cells, *(min(wide_of(head), HEAD_WIDTH) for head in heads)])
    shown = tuple(_styled(_padded(text, width), style, start, wide) for text, style, start in texts)
    return Strip(heads[0], "".join(heads[1:]), shown, width)


def _block(laid: Grid, strips: Sequence[Strip], first: int, colour: bool) -> str:
    """The first column and some others; only heads are broken."""
    lines = _folded("", [strip.head for strip in strips], first, strips, raised=True)
    lines.append("─" * (first + sum(len(GAP) + strip.width for strip in strips)))
    if laid.over:
        lines += _folded("group", [strip.over for strip in strips], first, strips)
    numbers = iter(range(len(laid.rows)))
    for group, band in laid.bands:
        names = [_settled(part) for part in fold(group, first + sum(len(GAP) + s.width for s in strips))] if group else []
        lines += [_styled(name, "bold" if colour else "", 0, len(name)) for name in names]
        for row, n in zip(band, numbers, strict=False):
            indent = GAP if laid.grouped else ""
            heads = fold(row.head, first - len(indent))
            cells = "".join(GAP + strip.cells[n] for strip in strips)
            lines.append(_padded(indent + _settled(heads[0]), first) + cells)
            lines += [indent + _settled(head) for head in heads[1:]]
    return "\n".join(line.rstrip() for line in lines)


def _folded(name: str, texts: Sequence[str], first: int, strips: Sequence[Strip], raised: bool = False) -> list[str]:
    """A row of words, each broken to its column; ``raised`` puts the shorter ones on the ground."""
    folds = [fold(text, strip.width) for text, strip in zip(texts, strips, strict=True)]
    tall = max([1, *map(len, folds)])
    folds = [[""] * (tall - len(fold)) + fold if raised else fold + [""] * (tall - len(fold)) for fold in folds]
    lines = []
    for n in range(tall):
        cells = "".join(GAP + _padded(_settled(fold[n]), s.width) for fold, s in zip(folds, strips, strict=True))
        lines.append(_padded("" if n else name, first) + cells)
    return lines


def _styled(text: str, style: str, start: int, end: int) -> str:
    return f"{text[:start]}{STYLES[style]}{text[start:end]}{PLAIN}{text[end:]}" if style else text


def _padded(text: str, width: int) -> str:
    return text + " " * (width - wide_of(text))


def _settled(text: str) -> str:
    """Text that runs from right to left gets a mark behind it, so that the numbers after it are not drawn into it."""
    return text + "\u200e" if any(unicodedata.bidirectional(c) in ("R", "AL") for c in text) else text

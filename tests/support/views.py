"""Tables for tests of their printed forms, a hostile one among them, and readers of what was printed."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

from markdown_it import MarkdownIt

from fastvmt.reports.tables.render import markdown
from fastvmt.reports.tables.view import Cell, Column, Line, View, marked

COLUMNS = (
    Column("fidelity", "fidelity", "", "up", 3),
    Column("time", "time", "s", "down", 2),
    Column("work", "work", "", "none", 1),
)
LINES = marked(COLUMNS, (
    Line("dense", "ditflow", (Cell(0.935, 0.9, 0.95, 8, 8), Cell(17.371, 16.1, 18, 8, 8), Cell(20, n=8, expected=8)), "methods", "base"),
    Line("fast", "fastvmt", (Cell(0.95, 0.93, 0.97, 7, 8), Cell(7.81, n=8, expected=8), Cell(8.5, n=8, expected=8)), "methods"),
    Line("other", "smm", (Cell(0.94, 0.9, 0.98, 8, 8, tied=True), Cell(None, expected=8, why="failed"), Cell(None)), "methods"),
    Line("none", "none", (Cell(-0.1, -0.2, -0.05, 8, 8), Cell(2.34, n=8, expected=8), Cell(1, n=8, expected=8)), "floor", "control", False),
))  # fmt: skip
SMALL = View(
    "small", "Comparison", "shapes (8 cases)", COLUMNS, LINES, ("7 of 8 are compared.",), "1ffd9951", "1633d601",
    "bold: best, underlined: second; ≈: not separable from the best",
)  # fmt: skip
HOSTILE = (
    "a|b\\|c`d``", "</td></table><script>alert(1)</script>", "\\input{/etc/passwd}", "=cmd()|' /C calc'!A0", "two\nlines\r\n\r\nhere",
    "\u202edlrow \u05e9\u05dc\u05d5\u05dd\u2066", "[x](http://evil) *b* _u_ ~~s~~ $x$ ${}^%#&amp;", "[1ex] --- ,, ?`", "*[a]: b\\",
    "-1+1", "@SUM(A1)", "\x1b[31mred\x1b[0m\x07\x00", "na\u00efve \u0141\u00f3d\u017a \u03b1\u03a9 \u6f22 \U0001f389 \ufb01", "", "  ", "\ud800",
    "\\end{tabular}\\end{document}", "%", "^^5c", "\u2028x", "x" * 300,
)  # fmt: skip


def hostile(id: str = "hostile") -> View:
    """Every hostile text as a head, a group, a note behind a head, a unit, a reason, a note and a digest."""
    columns = tuple(Column(f"c{n}", text, text, ("up", "down", "none")[n % 3], 1) for n, text in enumerate(HOSTILE[:8]))
    lines = []
    for n, text in enumerate(HOSTILE):
        cells = [Cell(float(n + at), n + at - 2.0, n + at + 1.0, 3, 3) for at in range(len(columns))]
        cells[n % len(columns)] = Cell(None, expected=3, why=text)
        lines.append(Line(text, text, tuple(cells), HOSTILE[n // 4], text))
    return View(id, HOSTILE[2], HOSTILE[0], columns, marked(columns, lines), HOSTILE, HOSTILE[4], HOSTILE[-4], HOSTILE[1],
                verdict=HOSTILE)  # fmt: skip


def wide(lines: int = 3, columns: int = 10) -> View:
    heads = tuple(Column(f"c{at}", f"metric_{at}", "", "up", 3) for at in range(columns))
    rows = [
        Line(
            f"m{n}",
            f"method {n}",
            tuple(Cell((n * 31 + at * 7) % 97 / 100, n=1, expected=1) for at in range(columns)),
            "ab"[n % 2],
        )
        for n in range(lines)
    ]
    return replace(SMALL, id="wide", columns=heads, lines=marked(heads, rows))


class Tables(HTMLParser):
    """The rows of cell texts of every table of a page, and all its tags and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._open = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            self.tables[-1][-1][-1] += data


def rendered(view: View) -> Tables:
    return Tables(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown(view)))

"""The printed forms of tables: what they look like, that they hold the same numbers, and that no text can break them."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from fastvmt.reports.latex import document, tex
from fastvmt.reports.render import FORMATS, csv_text, html, json_text, markdown, render, terminal, write
from fastvmt.reports.view import Cell, Column, Line, View, marked
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len

from fastvmt.errors import SpecError

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
    return View(id, HOSTILE[2], HOSTILE[0], columns, marked(columns, lines), HOSTILE, HOSTILE[4], HOSTILE[-4], HOSTILE[1])


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


# ------------------------------------------------------------------------------------------------------------- readers


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


# -------------------------------------------------------------------------------------------------------------- golden


def test_markdown_reads_raw() -> None:
    assert (
        markdown(SMALL)
        == """\
**Comparison** · shapes (8 cases)

|                | fidelity ↑                            | time [s] ↓                      | work |
|----------------|--------------------------------------:|--------------------------------:|-----:|
| **methods**    |                                       |                                 |      |
| ditflow (base) |            0.935 [0.900, 0.950]       | <ins>17.37</ins> [16.10, 18.00] | 20.0 |
| fastvmt        |        **0.950** [0.930, 0.970] (n=7) |         **7.81**                |  8.5 |
| smm            | <ins>0.940</ins> [0.900, 0.980] ≈     |           failed                |    – |
| **floor**      |                                       |                                 |      |
| none (control) |           -0.100 [-0.200, -0.050]     |             2.34                |  1.0 |

bold: best, underlined: second; ≈: not separable from the best

note: 7 of 8 are compared.

suite digest: 1633d601

table digest: 1ffd9951
"""
    )


def test_terminal_without_colour() -> None:
    assert (
        terminal(SMALL, 100, False)
        == """\
Comparison
shapes (8 cases)

                  fidelity ↑                    time [s] ↓             work
───────────────────────────────────────────────────────────────────────────
methods
  ditflow (base)   0.935  [0.900, 0.950]        17.37' [16.10, 18.00]  20.0
  fastvmt          0.950* [0.930, 0.970] (n=7)   7.81*                  8.5
  smm              0.940' [0.900, 0.980] ≈      failed                    –
floor
  none (control)  -0.100  [-0.200, -0.050]       2.34                   1.0

*: best, ': second; ≈: not separable from the best
note: 7 of 8 are compared.
suite digest: 1633d601
table digest: 1ffd9951
"""
    )


def test_terminal_with_colour() -> None:
    text = terminal(SMALL, 100, True)
    assert "\x1b[1m0.950\x1b[0m [0.930, 0.970] (n=7)" in text and "\x1b[4m0.940\x1b[0m" in text
    assert "bold: best, underlined: second" in text and "*" not in text


def test_latex_source() -> None:
    assert (
        render(SMALL, "tex")
        == r"""% small; table digest: 1ffd9951
\begin{table}[!htbp]
\centering
\caption{Comparison. shapes (8 cases)}
\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%
\begin{tabular}{@{}lrrr@{}}
\toprule
\hspace{1em} & fidelity $\uparrow$ & time [s] $\downarrow$ & work \\
\midrule
\multicolumn{4}{@{}l}{\textit{methods}} \\
ditflow (base) & 0.935 {\scriptsize [0.900, 0.950]} & \underline{17.37} {\scriptsize [16.10, 18.00]} & 20.0 \\
fastvmt & \textbf{0.950} {\scriptsize [0.930, 0.970]} (n=7) & \textbf{7.81} & 8.5 \\
smm & \underline{0.940} {\scriptsize [0.900, 0.980]} $\approx$ & \textit{failed} & \textit{\textendash{}} \\
\midrule
\multicolumn{4}{@{}l}{\textit{floor}} \\
none (control) & $-$0.100 {\scriptsize [$-$0.200, $-$0.050]} & 2.34 & 1.0 \\
\bottomrule
\end{tabular}}
\par\smallskip
\begin{minipage}{\linewidth}\footnotesize\raggedright
bold: best, underlined: second; $\approx$: not separable from the best\par
note: 7 of 8 are compared.\par
suite digest: 1633d601\par
table digest: 1ffd9951\par
\end{minipage}
\end{table}
"""
    )


def test_csv_is_tidy_and_exact() -> None:
    rows = csv_text(SMALL).split("\r\n")
    assert rows[:4] == [
        "table,line,head,group,column,unit,direction,value,low,high,n,expected,mark,tied,why,protocol",
        "small,dense,ditflow,methods,fidelity,,up,0.935,0.9,0.95,8,8,,false,,",
        "small,dense,ditflow,methods,time,s,down,17.371,16.1,18.0,8,8,second,false,,",
        "small,dense,ditflow,methods,work,,none,20.0,,,8,8,,false,,",
    ]
    assert rows[8] == "small,other,smm,methods,time,s,down,,,,0,8,,false,failed,"
    assert len(rows) == 1 + 12 + 1 and rows[-1] == ""


def test_html_fragment() -> None:
    text = html(SMALL)
    assert text.startswith(
        '<table class="view" data-table="small">\n<caption>Comparison <small>shapes (8 cases)</small></caption>'
    )
    assert (
        '<td class="best" data-sort="0.95" data-n="7"><strong>0.950</strong> <small>[0.930, 0.970] (n=7)</small></td>' in text
    )
    assert '<td class="second" data-sort="17.371" data-n="8"><ins>17.37</ins>' in text
    assert '<td class="missing" data-sort="">failed</td>' in text
    assert (
        '<th scope="col" data-column="time" data-direction="down"><bdi>time</bdi> [s] <abbr title="lower is better">↓</abbr></th>'
        in text
    )
    assert '<th scope="rowgroup" colspan="4"><bdi>floor</bdi></th>' in text
    assert "style=" not in text and "<p>note: 7 of 8 are compared.</p>" in text and "<p>table digest: 1ffd9951</p>" in text


# ------------------------------------------------------------------------------------------------- numbers and reasons


def test_numbers_come_back_from_csv_and_json() -> None:
    third = np.float64(1) / 3
    view = replace(
        SMALL, lines=(Line("a", "a", (Cell(third, np.float64(0.1), 1e-17, np.int64(3), 3), Cell(0.1 + 0.2), Cell(1e300))),)
    )  # type: ignore[arg-type]
    rows = list(csv.DictReader(io.StringIO(csv_text(view))))
    assert [float(r["value"]) for r in rows] == [1 / 3, 0.1 + 0.2, 1e300]
    assert (float(rows[0]["low"]), float(rows[0]["high"]), rows[0]["n"]) == (0.1, 1e-17, "3")
    cells = json.loads(json_text(view))["lines"][0]["cells"]
    assert [cells[c.key]["value"] for c in COLUMNS] == [1 / 3, 0.1 + 0.2, 1e300]
    assert json.loads(json_text(SMALL)) == SMALL.data() | {"notes": list(SMALL.notes)}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), np.float64("-inf")])
def test_not_finite_is_a_missing_cell(format: str, bad: float) -> None:
    view = replace(SMALL, lines=(Line("a", "a", (Cell(bad, 1, 2, 1, 1), Cell(1.5, bad, 3, 1, 1), Cell(2)), "g"),))
    text = render(view, format)
    assert "not finite" in text
    words = text.replace("not finite", "").lower()
    assert "nan" not in words and "inf" not in words
    if format == "json":
        assert json.loads(text)["lines"][0]["cells"]["fidelity"]["value"] is None


@pytest.mark.parametrize("format", FORMATS)
def test_reasons_and_counts_are_visible(format: str) -> None:
    text = render(SMALL, format)
    assert "failed" in text
    assert "(n=7)" in text or format in ("csv", "json")
    if format == "csv":
        assert "0.95,0.93,0.97,7,8,best" in text
    if format != "csv":
        assert "7 of 8 are compared." in text and "1633d601" in text and "1ffd9951" in text


def test_ties_share_the_mark_in_every_form() -> None:
    column = Column("x", "x", "", "up", 2)
    lines = marked([column], [Line(k, k, (Cell(v, n=1, expected=1),)) for k, v in (("a", 0.501), ("b", 0.499), ("c", 0.1))])
    view = replace(SMALL, columns=(column,), lines=lines)
    assert markdown(view).count("**0.50**") == 2 and "<ins>" not in markdown(view)
    assert terminal(view, 80, False).count("0.50*") == 2 and "0.10'" not in terminal(view, 80, False)
    assert render(view, "tex").count(r"\textbf{0.50}") == 2 and r"\underline" not in render(view, "tex")
    assert html(view).count('class="best"') == 2 and csv_text(view).count(",best,") == 2


# ------------------------------------------------------------------------------------------------------- turned, blocks


def test_wide_table_is_turned_and_holds_the_same_numbers() -> None:
    view = wide()
    straight = {
        (line.key, c.key): c.text(cell.value) for line in view.lines for c, cell in zip(view.columns, line.cells, strict=True)
    }
    (rows,) = rendered(view).tables
    assert rows[0] == ["", "method 0", "method 1", "method 2"] and rows[1] == ["group", "a", "b", "a"]
    turned = {(f"m{n}", f"c{at}"): text for at, row in enumerate(rows[2:]) for n, text in enumerate(row[1:])}
    assert turned == straight
    assert [line.split()[0] for line in terminal(view, 100, False).split("\n")[5:16]] == [
        "group",
        *(f"metric_{n}" for n in range(10)),
    ]
    source = render(view, "tex")
    assert r"\cmidrule(lr){2-2} \cmidrule(lr){3-3} \cmidrule(lr){4-4}" in source and source.count("metric\\_") == 10


def test_nine_columns_are_not_turned_and_nor_is_a_table_that_is_longer_than_wide() -> None:
    assert "metric\\_0" not in markdown(wide(columns=9)).split("\n")[3]
    assert markdown(wide(columns=9)).split("\n")[2].count("metric_") == 9
    assert markdown(wide(lines=12)).split("\n")[2].count("metric_") == 10


def test_groups_span_their_lines_in_turned_latex() -> None:
    view = wide()
    view = replace(view, lines=tuple(replace(line, group="x" if n < 2 else "") for n, line in enumerate(view.lines)))
    assert r" & \multicolumn{2}{c}{x} & \multicolumn{1}{c}{} \\" in render(view, "tex")
    assert r"\cmidrule(lr){2-3}" in render(view, "tex") and r"{4-4}" not in render(view, "tex")


@settings(max_examples=30, deadline=None)
@given(lines=st.integers(1, 14), columns=st.integers(1, 14), width=st.integers(40, 140), interval=st.booleans())
def test_terminal_fits_and_breaks_no_number(lines: int, columns: int, width: int, interval: bool) -> None:
    view = wide(lines, columns)
    if interval:
        more = [
            tuple(replace(c, low=(c.value or 0) - 0.25, high=(c.value or 0) + 0.25) for c in line.cells) for line in view.lines
        ]
        view = replace(view, lines=tuple(replace(line, cells=cells) for line, cells in zip(view.lines, more, strict=True)))
    text = terminal(view, width, False)
    assert max(cell_len(line) for line in text.split("\n")) <= width
    for line in view.lines:
        for cell in line.cells:
            ends = f" [{cell.low:.3f}, {cell.high:.3f}]" if interval else ""
            assert f"{cell.value:.3f}{ends}" in text.replace("*", "").replace("'", "").replace("  [", " [")


def test_blocks_repeat_the_first_column() -> None:
    text = terminal(wide(12, 9), 40, False)
    assert text.count("method 3") > 1 and text.count("metric_0") == 1


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_only_where_it_is_wanted(environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert "\x1b" not in terminal(SMALL)  # captured, so no terminal
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert ("\x1b[1m" in terminal(SMALL)) == coloured


def test_paragraphs_stay_whole_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    note = "word " * 60
    assert f"note: {note.strip()}\n" in terminal(replace(SMALL, notes=(note,)))
    assert max(map(len, terminal(replace(SMALL, notes=(note,)), 60).split("\n"))) <= 60


# ------------------------------------------------------------------------------------------------------------- hostile


def test_hostile_markdown_keeps_its_cells_and_makes_no_element() -> None:
    view = hostile()
    page = rendered(view)
    (rows,) = page.tables
    assert {len(row) for row in rows} == {len(view.columns) + 1}
    allowed = {"table", "thead", "tbody", "tr", "th", "td", "p", "strong", "ins"}
    assert {tag for tag, _ in page.tags} <= allowed
    heads = [row[0] for row in rows]
    for text in (
        "a|b\\|c`d``",
        "</td></table><script>alert(1)</script>",
        "two lines here",
        "[x](http://evil) *b* _u_ ~~s~~ $x$ ${}^%#&amp;",
    ):
        assert f"{text} ({text})" in heads
    assert rows[0][3].startswith("\\input{/etc/passwd}")


def test_hostile_html_keeps_its_cells_and_makes_no_element() -> None:
    view = hostile()
    page = Tables(html(view))
    (rows,) = page.tables
    assert {len(row) for row in rows} == {1, len(view.columns) + 1}
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [
        name for _, attributes in page.tags for name in attributes if name.startswith("on") or name in ("style", "href", "src")
    ]
    assert any(row[0].startswith("</td></table><script>alert(1)</script>") for row in rows)


def test_hostile_csv_computes_nothing() -> None:
    view = hostile()
    rows = list(csv.reader(io.StringIO(csv_text(view), newline="")))
    assert len(rows) == 1 + len(view.lines) * len(view.columns) and {len(row) for row in rows} == {16}
    texts = {cell for row in rows for cell in (*row[:7], *row[12:])}
    assert not [t for t in texts if t.startswith(("=", "+", "-", "@"))]
    assert {"'=cmd()|' /C calc'!A0", "'-1+1", "'@SUM(A1)"} <= texts
    assert {"-1.0"} <= {row[8] for row in rows}, "numbers are not text"


@pytest.mark.parametrize("format", sorted(set(FORMATS) - {"json"}))
def test_no_form_lets_control_or_direction_signs_through(format: str) -> None:
    text = render(hostile(), format)
    assert not set("\x1b\x07\x00\u202e\u2066\u2028\ud800") & set(text)


def test_json_keeps_every_text() -> None:
    view = hostile()
    assert json.loads(json_text(view).encode()) == json.loads(json.dumps(view.data()))


def test_right_to_left_text_does_not_draw_numbers_into_itself() -> None:
    view = replace(SMALL, lines=(replace(LINES[0], head="\u05e9\u05dc\u05d5\u05dd", note=""),))
    assert "\u05e9\u05dc\u05d5\u05dd\u200e" in terminal(view, 100, False)
    assert "<bdi>\u05e9\u05dc\u05d5\u05dd</bdi>" in html(view)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_any_text_stays_in_its_cell(text: str) -> None:
    view = replace(SMALL, lines=(replace(LINES[0], head=text, note=""), *LINES[1:]), notes=(text,))
    for rows in (*rendered(view).tables, *Tables(html(view)).tables):
        assert [len(row) for row in rows if len(row) != 1] == [4] * len([row for row in rows if len(row) != 1])
        assert any("17.37" in row[2] for row in rows if len(row) == 4)
    assert len(list(csv.reader(io.StringIO(csv_text(view), newline="")))) == 13


# --------------------------------------------------------------------------------------------------------------- LaTeX


def test_latex_escapes() -> None:
    assert tex("a_b & 50% #1 {x} $y$ ^ ~") == r"a\_b \& 50\% \#1 \{x\} \$y\$ \textasciicircum{} \textasciitilde{}"
    assert tex("\\input{/etc/passwd}") == r"\textbackslash{}input\{/etc/passwd\}"
    assert (
        tex("× ± – ≈ ↑ Ł ö 漢") == r"$\times$ $\pm$ \textendash{} $\approx$ $\uparrow$ \L{} \"{o} \texttt{U+6F22}\allowbreak{}"
    )
    assert tex("[1ex]") == "{[}1ex]" and tex("--") == "-{}-"
    assert "\n" not in tex("a\n\nb")


def test_a_digest_cannot_leave_its_comment() -> None:
    first = render(replace(SMALL, id="a\nb", digest="x\n\\bye\u2028%"), "tex").split("\n")[0]
    assert first == "% ab; table digest: x\\bye%"


def test_latex_compiles(tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("pdflatex is missing")
        pytest.skip("no pdflatex on this machine")
    every = "".join(chr(n) for n in (*range(0x20, 0x250), *range(0x370, 0x400), *range(0x2010, 0x2070), *range(0x2190, 0x2270)))
    letters = replace(SMALL, notes=(every,))
    empty = replace(SMALL, lines=())
    views = [SMALL, hostile(), wide(), letters, empty, replace(empty, columns=()), *[wide()] * 6]
    (tmp_path / "t.tex").write_text(document(views), encoding="utf-8")
    flags = ["-halt-on-error", "-no-shell-escape", "-interaction=nonstopmode"]
    done = subprocess.run(["pdflatex", *flags, "t.tex"], cwd=tmp_path, capture_output=True, timeout=120)
    log = (tmp_path / "t.log").read_text(errors="replace")
    assert done.returncode == 0, log[-3000:]
    assert (tmp_path / "t.pdf").read_bytes().startswith(b"%PDF")
    assert "/etc/passwd" not in "".join(line for line in log.split("\n") if line.startswith("("))
    assert "Missing character" not in log


def test_document_of_no_tables_is_a_document() -> None:
    text = document([])
    assert text.startswith("\\documentclass{article}") and "\\begin{document}\nNo tables." in text


# --------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("view", [replace(SMALL, lines=()), replace(SMALL, lines=(), columns=())])
def test_an_empty_table_says_so(format: str, view: View) -> None:
    text = render(view, format)
    assert format in ("csv", "json") or "there is nothing to show in this table" in text


def test_unknown_format_names_the_known() -> None:
    with pytest.raises(SpecError, match=r"'pdf' is not a format of tables; known are terminal, md, csv, tex, html, json\."):
        render(SMALL, "pdf")


def test_files_hold_what_is_printed(tmp_path: Path) -> None:
    paths = write(SMALL, tmp_path / "a" / "b", ("md", "csv", "tex", "html", "json"))
    assert [p.name for p in paths] == ["small.md", "small.csv", "small.tex", "small.html", "small.json"]
    for path in paths[:3]:
        assert path.read_bytes() == render(SMALL, path.suffix[1:]).encode()
    assert b"&#8593;" in paths[3].read_bytes() and paths[3].read_bytes().isascii()
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == sorted(p.name for p in paths)


@pytest.mark.parametrize(
    ("view", "formats", "said"),
    [
        (SMALL, ("md", "pdf"), "'pdf' is not a format"),
        (SMALL, ("md", "terminal"), "printed, not written"),
        (replace(SMALL, id="../x"), ("md",), "cannot name a file"),
        (replace(SMALL, id=""), ("md",), "cannot name a file"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, view: View, formats: tuple[str, ...], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        write(view, tmp_path / "out", formats)
    assert not (tmp_path / "out").exists()

"""The printed forms of tables: what they look like, that they hold the same numbers, and what is written to files."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from support.views import COLUMNS, SMALL, rendered, wide

from fastvmt.errors import SpecError
from fastvmt.reports.tables.render import FORMATS, csv_text, html, json_text, markdown, render, terminal, write
from fastvmt.reports.tables.view import Cell, Column, Line, View, marked

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
  smm              0.940≈ [0.900, 0.980]        failed                    –
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
    assert "\x1b[1m0.950\x1b[0m  [0.930, 0.970] (n=7)" in text and "\x1b[4m0.940\x1b[0m" in text
    assert "bold: best, underlined: second" in text and "*" not in text


def test_latex_source() -> None:
    assert (
        render(SMALL, "tex")
        == r"""% small
% suite digest: 1633d601
% table digest: 1ffd9951
\begin{table}[!htbp]
\centering
\caption{Comparison. shapes (8 cases)}
\label{tab:small}
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
\end{minipage}
\end{table}
"""
    )


def test_csv_is_tidy_and_exact() -> None:
    rows = csv_text(SMALL).split("\r\n")
    assert rows[:4] == [
        "table,line,head,group,column,unit,direction,value,low,high,n,expected,mark,tied,why,protocol,heading",
        "small,dense,ditflow,methods,fidelity,,up,0.935,0.9,0.95,8,8,,false,,,fidelity",
        "small,dense,ditflow,methods,time,s,down,17.371,16.1,18.0,8,8,second,false,,,time",
        "small,dense,ditflow,methods,work,,none,20.0,,,8,8,,false,,,work",
    ]
    assert rows[8] == "small,other,smm,methods,time,s,down,,,,0,8,,false,failed,,time"
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


def test_ties_share_the_mark_in_every_form() -> None:
    column = Column("x", "x", "", "up", 2)
    lines = marked([column], [Line(k, k, (Cell(v, n=1, expected=1),)) for k, v in (("a", 0.501), ("b", 0.499), ("c", 0.1))])
    view = replace(SMALL, columns=(column,), lines=lines)
    assert markdown(view).count("**0.50**") == 2 and "<ins>" not in markdown(view)
    assert terminal(view, 80, False).count("0.50*") == 2 and "0.10'" not in terminal(view, 80, False)
    assert render(view, "tex").count(r"\textbf{0.50}") == 2 and r"\underline" not in render(view, "tex")
    assert html(view).count('class="best"') == 2 and csv_text(view).count(",best,") == 2


# -------------------------------------------------------------------------------------------------------------- blocks


def test_every_column_of_a_wide_table_is_printed_in_blocks() -> None:
    view = wide()
    (rows,) = rendered(view).tables
    printed = {
        (row[0], head): text for row in rows[1:] if len(row) > 1 for head, text in zip(rows[0][1:], row[1:], strict=True)
    }
    text = terminal(view, 40, False)
    for line in view.lines:
        for column, cell in zip(view.columns, line.cells, strict=True):
            assert printed[line.head, column.title] == column.text(cell.value)
    assert text.count("method 0") > 1 and all(column.head in text for column in view.columns)


@settings(max_examples=30, deadline=None)
@given(lines=st.integers(1, 14), columns=st.integers(1, 14), width=st.integers(40, 140), interval=st.booleans())
def test_terminal_fits_and_breaks_no_number(lines: int, columns: int, width: int, interval: bool) -> None:
    view = replace(wide(lines, columns), whole=True)
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


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_only_where_it_is_wanted(environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert "\x1b" not in terminal(SMALL)  # captured, so no terminal
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert ("\x1b[1m" in terminal(SMALL)) == coloured


# --------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("view", [replace(SMALL, lines=()), replace(SMALL, lines=(), columns=())])
def test_an_empty_table_says_so(format: str, view: View) -> None:
    text = render(view, format)
    assert format in ("csv", "json") or "there is nothing to show in this table" in text


def test_unknown_format_names_the_known() -> None:
    with pytest.raises(SpecError, match=r"pdf: there is no such choice\. .*terminal, md, csv, tex, html, json\."):
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
        (SMALL, ("md", "pdf"), "pdf: there is no such choice"),
        (SMALL, ("md", "terminal"), "printed, not written"),
        (replace(SMALL, id="../x"), ("md",), "cannot name a file"),
        (replace(SMALL, id=""), ("md",), "cannot name a file"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, view: View, formats: tuple[str, ...], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        write(view, tmp_path / "out", formats)
    assert not (tmp_path / "out").exists()

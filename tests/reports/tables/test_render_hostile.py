"""The printed forms of tables: no text can break them, and LaTeX takes every letter."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.places import need_latex
from support.views import LINES, SMALL, Tables, hostile, rendered, wide

from fastvmt.reports.tables.latex import document, tex
from fastvmt.reports.tables.render import FORMATS, csv_text, html, json_text, render, terminal


def test_hostile_markdown_keeps_its_cells_and_makes_no_element() -> None:
    view = hostile()
    page = rendered(view)
    (rows,) = page.tables
    assert {len(row) for row in rows} == {len(view.columns) + 1}
    allowed = {"table", "thead", "tbody", "tr", "th", "td", "p", "strong", "ins"}
    assert {tag for tag, _ in page.tags} <= allowed
    heads = [row[0] for row in rows]
    for text in (
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
    assert len(rows) == 1 + len(view.lines) * len(view.columns) and {len(row) for row in rows} == {17}
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
    text = render(replace(SMALL, id="a\nb}%", digest="x\n\\bye\u2028%", notes=("a", "b", "c", "d\u2028\\bye")), "tex")
    assert text.startswith("% ab}%\n% note: d \\bye\n% suite digest: 1633d601\n% table digest: x \\bye %\n\\begin{table}")
    assert "\\label{tab:a-b--}" in text


def test_latex_compiles(tmp_path: Path) -> None:
    need_latex()
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

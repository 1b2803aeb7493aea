"""What people see of a table: eight columns at first that fit a plain terminal, others on demand, under names of their own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from support.cli import bench
from support.runs import make_run
from support.views import SMALL

from fastvmt.model import Case
from fastvmt.plugins.metric import Metric
from fastvmt.reports.tables.headings import display, heading
from fastvmt.reports.tables.look import Look, main_columns, read_names
from fastvmt.reports.tables.render import FORMATS, csv_text, render, terminal
from fastvmt.reports.tables.view import Cell, Column, Line, View, marked
from fastvmt.reports.tables.views import comparison
from fastvmt.reports.tidy import gather

LABELS = (
    "FastVMT",
    "DiTFlow",
    "MOFT",
    "MotionClone",
    "SMM",
    "MotionInversion",
    "MotionDirector",
    "DeT",
    "No transfer",
    "SDEdit",
)
FIELD = (
    Column("trajectory", "Trajectory", "", "up", 3), Column("motion_fidelity", "Motion fid.", "", "up", 3),
    Column("text_similarity", "Text sim.", "", "up", 4), Column("temporal_consistency", "Temp. cons.", "", "up", 4),
    Column("time", "Time", "s", "down", 2), Column("speed_up", "Speed-up", "×", "up", 2), Column("forwards", "FE", "", "down", 1),
    Column("own", "Own score", "", "up", 3), Column("hidden", "Hidden", "", "up", 3),
)  # fmt: skip
MAIN = tuple(c.key for c in FIELD[:8])
METRICS = ("trajectory", "motion_fidelity", "motion_fidelity_wrong", "motion_fidelity_moving", "text_similarity:clip=tiny-shapes",
           "temporal_consistency:clip=tiny-shapes", "time", "forwards", "peak_memory")  # fmt: skip
FIRST = (*METRICS[:2], *METRICS[4:7], "speed_up", "forwards")


def scored(lines: int, spread: float, shown: tuple[str, ...] = MAIN, tied: bool = False) -> View:
    """A comparison with values as large as real ones, seconds of hours among them."""
    sizes = {"time": 1234.5, "forwards": 161.5, "speed_up": 3.4}
    rows = []
    for n, head in enumerate(LABELS[:lines]):
        cells = [(v := sizes.get(c.key, 0.9) - n / 100, max(0.0, spread * v)) for c in FIELD]
        found = tuple(Cell(v, v - s, v + s, 16, 16, tied=tied and n > 0) for v, s in cells)
        group = "controls" if n > 7 else "training-free methods"
        rows.append(Line(head.lower(), head, found, group, "control" if n > 7 else "", n < 8))
    verdict = ("FastVMT follows the motion as the reference does, by 0.42 [0.36, 0.48] over no transfer, on 16 clips.",)
    return View("comparison", "Methods compared", "shapes " * 30, FIELD, marked(FIELD, rows), ("a note " * 40,) * 4, "1f", "16",
                verdict=verdict, main=shown)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(lines=st.integers(1, 10), spread=st.floats(0, 0.5), shown=st.integers(1, 8), tied=st.booleans(), colour=st.booleans())
def test_what_is_printed_at_first_fits_a_plain_terminal(
    lines: int, spread: float, shown: int, tied: bool, colour: bool
) -> None:
    view = scored(lines, spread, MAIN[:shown], tied)
    text = terminal(view, 100, colour)
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[4m"):
        text = text.replace(code, "")
    assert max(map(cell_len, text.splitlines())) <= 100
    rows = [line.split() for line in text.splitlines() if line.startswith("  ")]
    for line in view.lines:  # each method once, with all its numbers
        (row,) = (r for r in rows if r[: len(line.head.split())] == line.head.split())
        assert sum(word[0].isdigit() for word in row) >= shown
    under = text.rstrip().split("\n\n")[-1].splitlines()
    assert len(under) <= 5 and "Hidden" not in text and "digest" not in text
    assert under[-1].startswith(f"{9 - shown} more column") and under[-1].endswith("--columns all")


def test_intervals_stand_where_there_is_room() -> None:
    view = scored(4, 0.05)
    wide, middle, narrow = (terminal(view, width, False) for width in (220, 130, 80))
    assert "0.900* [0.855, 0.945]" in wide and "0.900* ±.045" in middle and "±" not in narrow
    assert "±" in terminal(scored(5, 0.02, MAIN[:7]), 100, False)  # the field's columns: scores have theirs
    (whole,) = Look(("all",)).of([view])
    assert "0.900* [0.855, 0.945]" in terminal(whole, 80, False) and "Hidden" in terminal(whole, 80, False)


@pytest.mark.parametrize("form", ["terminal", "md", "html", "tex"])
def test_every_printed_form_opens_with_the_verdict_and_keeps_the_rest_back(form: str) -> None:
    view = scored(4, 0.05)
    text = render(view, form)
    assert text.index("FastVMT follows the motion") < text.index("DiTFlow") and "Hidden" not in text
    assert json.loads(render(view, "json"))["verdict"] == list(view.verdict) and "hidden" in csv_text(view)


def test_a_part_of_the_videos_is_said_once_in_the_head() -> None:
    lines = tuple(replace(line, cells=tuple(replace(c, n=7, expected=8) for c in line.cells)) for line in SMALL.lines[:2])
    for form in ("terminal", "md", "html", "tex"):
        text = render(replace(SMALL, lines=lines, notes=()), form)
        assert text.count("n=7") == 3, form


# --- which columns ----------------------------------------------------------------------------------------------------


class Stub:
    def __init__(self, **metrics: dict[str, Any]) -> None:
        self.metrics = {k: type("M", (Metric,), {"id": k.partition(":clip")[0]} | more)() for k, more in metrics.items()}


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        ({k: {} for k in METRICS}, FIRST),
        ({"time": {"timing": True}, "peak_memory": {"timing": True}}, ("peak_memory", "time", "speed_up")),
        ({"motion_fidelity_moving": {}, "outline": {}, "trajectory_wrong": {"direction": "none"}},
         ("motion_fidelity_moving", "outline", "speed_up")),
        ({k: {} for k in METRICS} | {"mine": {"direction": "none"}, "yours": {}},
         (*FIRST[:4], "mine", *FIRST[4:])),
    ],
)  # fmt: skip
def test_which_columns_are_shown_at_first(metrics: dict[str, dict[str, Any]], shown: tuple[str, ...]) -> None:
    stub: Any = Stub(**metrics)
    assert main_columns(stub, [*metrics, "speed_up"]) == shown


def test_headings_are_the_fields() -> None:
    assert [heading(k) for k in MAIN if k not in ("speed_up", "own")] == [
        c.head for c in FIELD if c.key in MAIN[:5] + MAIN[6:7]
    ]
    assert heading("vbench:subject_consistency:backend=native") == "Subject cons."
    assert display("fastvmt:no-window") == "FastVMT:no-window" and display("somebodys") == "somebodys"


# --- as a user types it -----------------------------------------------------------------------------------------------


def value(metric: str, case: Case, label: str, seed: int) -> float:
    return 0.25 + (len(metric) + len(label) + int(case.id[-1])) / 100


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("look") / "r", 3, ("fastvmt", "ditflow", "none"), metrics=METRICS, values=value,
                    videos=False)  # fmt: skip


def test_columns_and_rows_are_chosen(root: Path) -> None:
    data = json.loads(bench("table", root, "--json", "--columns", "time,Text sim.,peak_*", "--rows", "fast*,No transfer").out)
    assert [row["method"] for row in data["rows"]] == ["fastvmt", "none"]
    assert list(data["rows"][0]["metrics"]) == ["time", METRICS[4], "peak_memory"]
    assert any("Not shown: DiTFlow" in note for note in data["notes"])
    first, whole = (bench("table", root, *more).out for more in ((), ("--columns", "all")))
    assert "3 more columns: --columns all" in first and "Motion fid. wrong" not in first
    assert "Motion fid. wrong" in whole and "more column" not in whole


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--columns", "trajektory"), "Did you mean trajectory"),
        (("--rows", "fastmvt"), "Did you mean fastvmt"),
        (("--names", "[methods]\nfastmvt = 'x'"), "methods.fastmvt: there is no such one. Did you mean fastvmt"),
        (("--names", "[metrics]\ntime = 3"), "metrics.time: "),
        (("--names", '[metrics]\ntime = "a\\nb"'), "a name in one line"),
        (("--names", "[rows]\na = 'b'"), "rows: "),
        (("--names", "["), "--names "),
        (("--names", ""), ""),
        (("--names", None), "cannot be read"),
    ],
)
def test_what_there_is_not_is_said_in_one_sentence(root: Path, tmp_path: Path, options: tuple[str, str], said: str) -> None:
    option, word = options
    if option == "--names":
        (tmp_path / "n.toml").write_text(word or "") if word is not None else None
        word = str(tmp_path / "n.toml")
    found = bench("table", root, option, word)
    assert found.code == (2 if said else 0) and said in found.err, found.err
    assert len(found.err.strip().splitlines()) == bool(said)


@pytest.mark.parametrize("ending", ["toml", "json"])
def test_names_stand_in_every_output(root: Path, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"n.{ending}"
    file.write_text(
        "[methods]\nfastvmt = 'Ours & <b>'\nsmm = 'not here'\n[metrics]\ntext_similarity = 'Words'\n"
        if ending == "toml"
        else json.dumps({"methods": {"fastvmt": "Ours & <b>"}, "metrics": {"text_similarity": "Words"}})
    )
    look = Look(names=read_names(file))
    view = comparison(look.named(gather([root])))
    forms = {form: render(view, form) for form in FORMATS} | {"typed": bench("table", root, "--names", file).out}
    html = "Ours &amp; &lt;b&gt;"
    ours = {"md": html, "typed": html, "html": html, "tex": r"Ours \& \textless{}b\textgreater{}"}
    for form, text in forms.items():
        assert ours.get(form, "Ours & <b>") in text and "FastVMT" not in text, form
        assert "Words" in text, form


def test_names_stand_in_a_comparison_and_on_the_page(root: Path, tmp_path: Path) -> None:
    (tmp_path / "n.toml").write_text("[methods]\nditflow = 'Theirs & <b>'\n")
    more = ("--names", tmp_path / "n.toml")
    said = bench("report", root, *more, "--no-figures", "--no-tracks", "--formats", "csv", "--out", tmp_path / "page")
    assert said.code == 0 and "Theirs &amp; &lt;b&gt;" in (tmp_path / "page" / "index.html").read_text()
    assert "Theirs & <b>" in (tmp_path / "page" / "tables" / "ratios-fastvmt.csv").read_text()

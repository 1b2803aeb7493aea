"""What a person at a terminal sees: a word at once, what is going on, tables as wide as the terminal, an end in words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.cli import bench
from support.light_runs import make_quick, quick
from support.runs import make_run
from support.terminal import CTRL_C, left_standing, on_terminal

from fastvmt.core.screen import status_line
from fastvmt.reports.tables.terminal import drawn
from fastvmt.runner.progress import Progress

HEAVY = ("typer", "rich", "pydantic", "numpy", "torch", "av", "pandas", "fastvmt.runner.settings")


def test_the_first_word_waits_for_no_import() -> None:
    """Half a second of imports comes after it."""
    program = f"import sys, fastvmt.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


def test_a_table_on_a_terminal_is_drawn_for_its_width_and_markdown_elsewhere(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 2, ("none", "fastvmt", "ditflow"), videos=False)
    said = on_terminal("table", run, columns=70)
    assert said.code == 0 and said.out.index("bench table: starting ...") < said.out.index("reading the numbers")
    standing = left_standing(said.out)
    assert "2 clips are too few" in standing[0] and "Methods compared" in standing and not any("|" in line for line in standing)
    drawn_lines = [line for line in standing if line and not line.startswith(("note:", "videos:"))]
    assert max(map(len, drawn_lines)) <= 70 and "bench table" not in "".join(standing)
    assert "|----" in bench("table", run).out


def test_a_mistake_on_a_terminal_leaves_its_sentence_alone(tmp_path: Path) -> None:
    said = on_terminal("table", tmp_path)
    assert said.code == 2
    assert [line for line in left_standing(said.out) if line] == [
        f"bench: {tmp_path} is not a run folder: it has no config.json. `bench run` makes one."
    ]


def test_ctrl_c_before_the_first_video_says_how_to_go_on_and_shows_no_table(tmp_path: Path) -> None:
    run = make_quick(tmp_path / "run", 2, [quick(do="wait", mark=str(tmp_path / "never"))])
    said = on_terminal("resume", run, press=lambda seen: CTRL_C if "step 1/1" in seen or "0/2 videos  quick" in seen else b"")
    standing = [line for line in left_standing(said.out) if line]
    assert said.code == 130, said.out
    assert standing[-1] == f"Interrupted before the first video; nothing is made yet. Go on with: bench resume {run}"
    assert "Methods compared" not in said.out and "0/2 videos" in said.out


def test_the_line_of_a_run_has_a_bar_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("fastvmt.runner.progress.time.monotonic", lambda: now[0])
    progress = Progress(4, 0, "none")
    progress.stage(1, "loading tiny")
    now[0] += 50
    assert str(progress._line()) == f"{'-' * 20} 0/4 videos  loading tiny"
    for step in range(4):
        progress.step(1, "bus none s0", step, 9)
        now[0] += 3
    assert str(progress._line()).endswith("0/4 videos  about 148 s left  bus none s0 step 4/9")  # 12 s for 0.3 of 4 videos
    progress.event("made", "", job="bus none s0")
    progress.stage(1, "scoring bus [bold]none s0")
    assert str(progress._line()) == f"{'#' * 5}{'-' * 15} 1/4 videos  about 36 s left  scoring bus [bold]none s0"


def test_the_line_counts_what_can_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    now = [7.0]
    monkeypatch.setattr(status_line._line, "stream", object())
    monkeypatch.setattr(status_line._line, "show", said.append)
    monkeypatch.setattr("fastvmt.core.screen.status_line.time.monotonic", lambda: now[0])
    for n in range(3):
        status_line.doing("making the page", n, 4)
        now[0] += 10
    status_line.doing("drawing")
    bars = [f"making the page [{'#' * 5 * n}{'-' * (20 - 5 * n)}] {n}/4" for n in range(3)]
    assert said == [bars[0], f"{bars[1]}, about 30 s left", f"{bars[2]}, about 20 s left", "drawing"]


def test_whoever_imports_the_package_sees_nothing_of_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    status_line.doing("reading")
    status_line.begin("bench run")  # no terminal
    status_line.doing("reading")
    assert capsys.readouterr() == ("", "")


def test_a_table_in_markdown_is_drawn_as_any_other() -> None:
    text = "five blocks\n\n| block | sigma 1 | sigma 0.5 |\n|---|---|---|\n| 0 | 0.21 | 0.44 |\n| 1 | 0.3 | – |\nend"
    lines = drawn(text).splitlines()
    assert lines[0] == "five blocks" and lines[-1] == "end" and "|" not in "".join(lines)
    assert [line.split() for line in lines[-3:-1]] == [["block", "0", "0.21", "0.44"], ["block", "1", "0.3", "–"]]

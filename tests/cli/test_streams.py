"""The exit code of a command is its own, whatever becomes of those who read its words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.cli import command
from support.gate_runs import bench, only, run_folder

PROGRAM = """
import sys, typer
from fastvmt.cli import program
app = typer.Typer()
@app.command()
def talk(code: int, lines: int) -> None:
    for n in range(lines):
        print("worse", "\\u2191 \\udcff", n)
        print("note", n, file=sys.stderr)
    raise typer.Exit(code)
program.app, sys.argv[0] = app, "bench"
program.main()
"""


def gone() -> int:
    """The writing end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize("code", [0, 1, 3])
@pytest.mark.parametrize("which", [{"stdout"}, {"stderr"}, {"stdout", "stderr"}])
@pytest.mark.parametrize("lines", [1, 5000])
def test_a_code_survives_readers_that_go_away(code: int, which: set[str], lines: int) -> None:
    streams = {name: gone() if name in which else subprocess.PIPE for name in ("stdout", "stderr")}
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(code), str(lines)], **streams)  # type: ignore[call-overload]
    assert done.returncode == code
    assert b"Exception" not in (done.stderr or b"") and b"Broken" not in (done.stderr or b"")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "| head -1", "| true", "2>&1 | grep -q worse"])
def test_a_code_survives_in_a_shell(closed: str) -> None:
    call = f"set -o pipefail; \"{sys.executable}\" -c '{PROGRAM}' 1 5000 {closed}"
    assert subprocess.run(["bash", "-c", call], capture_output=True).returncode == 1


@pytest.mark.parametrize(("code", "lines", "ends"), [(0, 1, 2), (0, 5000, 2), (1, 1, 1)])
def test_words_that_a_full_disk_does_not_take_are_never_green(code: int, lines: int, ends: int) -> None:
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-c", PROGRAM, str(code), str(lines)]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == ends and "Exception" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("bench: the disk takes no more") == (ends == 2)


def test_the_end_of_some_input_is_not_told_as_the_gates_worse() -> None:
    ending = PROGRAM.replace("raise typer.Exit(code)", "raise EOFError")
    done = subprocess.run([sys.executable, "-c", ending, "0", "1"], capture_output=True, text=True)
    assert done.returncode == 70 and "EOFError" in done.stderr


def test_letters_that_a_terminal_does_not_know_are_no_error() -> None:
    ascii_only = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = subprocess.run([sys.executable, "-c", PROGRAM, "1", "1"], env=ascii_only, capture_output=True)
    assert (done.returncode, done.stdout) == (1, b"worse ? ? 0\n")


def test_a_verdict_survives_a_reader_that_has_heard_enough(tmp_path: Path) -> None:
    bench("baseline", "write", run_folder(tmp_path / "before"), "--out", tmp_path / "b.json")
    words = command("check", run_folder(tmp_path / "r", only(-0.2)), "--baseline", tmp_path / "b.json")
    assert subprocess.run(words, stdout=gone(), stderr=subprocess.DEVNULL).returncode == 1

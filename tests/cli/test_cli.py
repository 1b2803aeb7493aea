"""The command line's words: help at once, lists, descriptions, one sentence per mistake, exit code 2."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.cli import bench, command

import fastvmt


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom fastvmt.cli import app\nfrom typer.testing import CliRunner\n"
        "said = CliRunner().invoke(app, ['--help'])\nassert said.exit_code == 0 and 'resume' in said.output\n"
        "print([m for m in ('torch', 'diffusers', 'cv2', 'av', 'pandas', 'matplotlib', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
    heavy = subprocess.run(
        [sys.executable, "-c", code.replace("import sys", "import sys, torch", 1)], capture_output=True, text=True
    )
    assert "torch" in heavy.stdout  # the check above can fail


def test_planning_every_method_needs_no_torch() -> None:
    code = (
        "import sys\nfrom fastvmt.cli.program import main\nsys.argv = ['bench', 'plan', '--methods', 'all', '--limit', '1']\n"
        "try:\n    main()\nfinally:\n    print('torch.nn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "False", done.stdout + done.stderr


@pytest.mark.parametrize(
    ("raised", "code", "words"),
    [
        ("ValueError('odd')", 70, "error in fastvmt-bench"), ("OSError(5, 'odd')", 70, "error in fastvmt-bench"),
        ("PermissionError(13, 'Permission denied', 'x/y')", 2, "x/y: permission denied"), ("SystemExit(1)", 1, ""),
        ("MemoryError()", 2, "more memory than there is"),
    ],
)  # fmt: skip
def test_only_the_gate_ends_with_1(raised: str, code: int, words: str) -> None:
    program = f"from fastvmt.cli.program import guarded\ndef call():\n    raise {raised}\nguarded(call)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == code and words in done.stderr and ("Traceback" in done.stderr) == (code == 70)


def test_a_reader_that_goes_away_is_no_verdict() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command("list", "metrics"), stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.returncode == 0 and done.stderr == b""


def test_both_names_are_one_program() -> None:
    import tomllib

    from support.places import ROOT

    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"bench": "fastvmt.cli:main", "fastvmt-bench": "fastvmt.cli:main"}


def test_the_help_of_a_run_begins_with_what_is_common_and_has_panels() -> None:
    said = bench("run", "--help").out
    panels = ["Options", "What to run", "Model and size", "Where", "Speed", "Output"]
    places = [said.index(f"─ {panel} ─") for panel in panels]
    assert places == sorted(places)
    common = set(re.findall(r"--[a-z-]+", said[: places[1]])) - {"--help"}
    assert common == {
        f"--{n}" for n in ["methods", "suite", "backbone", "seeds", "metrics", "width", "height", "frames", "steps", "out"]
    }


def test_version() -> None:
    assert bench("--version").out.split() == ["fastvmt-bench", fastvmt.__version__]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("run --methods none,fastv", "none,fastvmt"), ("run --suite shapes-", "shapes-64"), ("plan --backbone ti", "tiny"),
        ("score x --metrics peak_m", "peak_memory"), ("run --fit cr", "crop"), ("resume x --executor ra", "ray"),
        ("list sui", "suites"), ("describe ditflow-", "ditflow-50"),
    ],
)  # fmt: skip
def test_a_shell_completes_names(typed: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = f"bench {typed}"
    for name, value in {"_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": len(words.split()) - 1}.items():
        monkeypatch.setenv(name, str(value))
    assert bench().out.split() == [found]


def test_lists_and_descriptions() -> None:
    names = {
        kind: {r["name"] for r in bench("list", kind, "--json").data} for kind in ("methods", "metrics", "suites", "backbones")
    }
    assert {
        "none",
        "sdedit",
        "ditflow",
        "fastvmt",
        "fastvmt:no-window",
        "fastvmt:no-window-loss",
        "fastvmt:no-step-skip",
    } <= names["methods"]
    assert {"motion_fidelity", "motion_fidelity@smm-script", "time", "peak_memory"} <= names["metrics"]
    assert {"shapes", "shapes-64"} <= names["suites"] and {"tiny", "wan2.1-1.3b", "wan2.1-14b"} <= names["backbones"]
    about = bench("describe", "fastvmt", "--json").data
    assert about["parameters"]["interval"]["default"] == 3 and "2602.05551" in about["source"]
    assert about["ablations"]["reuse"] == "no-step-skip"
    assert bench("describe", "motion_fidelity", "--json").data["direction"] == "up"
    assert bench("describe", "wan2.1-1.3b", "--json").data["download_gb"] == 28.9
    assert "no transfer" in bench("list", "methods").out


@pytest.mark.parametrize(
    ("words", "args"),
    [
        ("Did you mean fastvmt", ["run", "--methods", "fastvm"]),
        ("--frames 29 or --frames 33", ["run", "--frames", "32"]),
        ("not a multiple of 8", ["plan", "--width", "70"]),
        ("No suite is called 'shaps'. Did you mean shapes", ["run", "--suite", "shaps"]),
        ("hf download Wan-AI/Wan2.1-T2V-14B-Diffusers", ["run", "--backbone", "wan2.1-14b", "--frames", "33", "--limit", "1"]),
        ("No backbone is called 'wan'", ["plan", "--backbone", "wan"]),
        ("keeps 6 % of an edit", ["run", "--solver", "unipc"]),
        ("comma-separated integers", ["run", "--seeds", "a"]),
        ("No metric is called 'fvd'", ["run", "--metrics", "fvd"]),
        ("is not a run folder", ["table", "nowhere"]),
        ("is not a run folder", ["resume", "nowhere"]),
        ("there is no such file", ["run", "--plugin", "nowhere.py"]),
        ("Nothing is called 'xyz'", ["describe", "xyz"]),
        ("There is no list of 'things'", ["list", "things"]),
        ("Did you mean methods", ["list", "method"]),
        ("Did you mean fastvmt", ["describe", "fastvm"]),
        ("Did you mean category", ["table", "nowhere", "--by", "categry"]),
        ("Did you mean terminal", ["report", "nowhere", "--print", "termnal"]),
        ("Did you mean parquet", ["report", "nowhere", "--frame", "parqet"]),
        ("Did you mean html", ["report", "nowhere", "--formats", "md,htm"]),
        ("Did you mean wandb", ["export", "nowhere", "--to", "wand", "--out", "x"]),
        ("Did you mean stretch", ["import", "nowhere", "--method", "m", "--video-fit", "strech"]),
    ],
)
def test_one_sentence_per_mistake(words: str, args: list[str], tmp_path: Path) -> None:
    said = bench(*args, cwd=tmp_path)
    assert said.code == 2 and words in said.err, said.err
    assert said.err.startswith("bench: ") and len(said.err.strip().splitlines()) == 1


def test_odd_clips_each_get_their_sentence(clips: Path, tmp_path: Path) -> None:
    said = bench("run", "--suite", clips / "odd", "--prompt", "a bus", "--frames", "33", cwd=tmp_path)
    assert said.code == 2
    for words in ("stops at frame 28", "rotate90.mov: 3 frames", "unordered.mov: 4 frames", "movi_a.gif: 24 frames"):
        assert words in said.err

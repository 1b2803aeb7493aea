"""Text of a run folder, a baseline, a study or a suite that would steer a terminal, a spreadsheet or a shell."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.cli import Said, bench, command
from support.runs import make_cases, make_run

from fastvmt.core.screen.terminal import visible
from fastvmt.model import Failure, Reference
from fastvmt.store.layout import CONFIG

STEERING = "\x1b[2Jmine\x1b]0;t\x07 \x9b31m \u202edrow\u2066 \u200b \r gone \x7f"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]")
FORMULA = '=HYPERLINK("http://x.invalid","a")'
HOME = "/home/somebody/secret"


def _from_home(reference: Reference) -> Reference:
    return reference.model_copy(update={"source": f"{HOME}/clip.mp4", "notes": (STEERING,)})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hostile text in every field that takes any."""
    known = {"prompt": STEERING, "caption": STEERING}
    cases = [c.model_copy(update=known | {"reference": _from_home(c.reference)}) for c in make_cases(2)]
    trace = (
        f'Traceback\n  File "{HOME}/lib/site-packages/torch/nn.py", line 3, in f\n  File "{HOME}/method.py", line 1\n{STEERING}'
    )
    why = Failure(job_key="", kind="error", stage="denoise", message=f"{STEERING} {HOME}/x.py", traceback=trace)
    run = make_run(
        tmp_path_factory.mktemp("r") / "run", cases=cases, methods=("none", "fastvmt", "ditflow"), failed={("case-0001", "ditflow", 0): why},
        metrics=("motion_fidelity", "time"), notes=(STEERING, f"a clip of {HOME}/a.mp4"),
    )  # fmt: skip
    lines = (run / "records.jsonl").read_text().splitlines()
    record = json.loads(lines[0])
    record.pop("crc32", None)
    lines[0] = json.dumps(record | {"status": "failed", "value": None, "details": {"cause": f"{STEERING} in {HOME}/y.py"}})
    (run / "records.jsonl").write_text("\n".join(lines) + "\n")
    return run


COMMANDS = (
    "table RUN", "table RUN --json", "status RUN", "status RUN --json", "compare RUN", "compare RUN --json", "report RUN --print md",
    "meta RUN", "report RUN --print json", "gc RUN --dry-run", "study make RUN --methods none,fastvmt --cases 1 --out OUT/s", "merge RUN --out OUT/m",
    "export RUN --to parquet --out OUT/p", "baseline write RUN --out OUT/b.json", "check RUN --tolerances RUN/config.json",
)  # fmt: skip


def typed(line: str, run: Path, out: Path) -> Said:
    return bench(*(str(word).replace("RUN", str(run)).replace("OUT", str(out)) for word in line.split()))


@pytest.mark.parametrize("line", COMMANDS)
def test_nothing_of_a_run_folder_steers_the_terminal(line: str, run: Path, tmp_path: Path) -> None:
    said = typed(line, run, tmp_path)
    assert said.code in (0, 2, 3, 4) and not RAW.search(said.out + said.err)
    if "json" in line.split()[-1] and said.code == 0:
        assert said.data


def test_words_of_a_baseline_and_of_errors_stay_words(run: Path, tmp_path: Path) -> None:
    bench("baseline", "write", run, "--out", tmp_path / "b.json", "--allow-failures")
    known = json.loads((tmp_path / "b.json").read_text())
    for where, value in (("title", STEERING), ("device", STEERING), ("suite", STEERING), ("format", STEERING), (STEERING, 1)):
        (tmp_path / "x.json").write_text(json.dumps(known | {where: value}))
        said = bench("check", run, "--baseline", tmp_path / "x.json")
        assert said.code == 2 and "bench:" in said.err and not RAW.search(said.out + said.err), where


def test_a_tables_own_marks_and_nothing_else_reach_a_terminal(run: Path) -> None:
    """On a terminal of its own: bold and underlined are ours."""
    main, side = pty.openpty()
    done = subprocess.Popen(
        command("compare", run), stdout=side, stderr=side, env=os.environ | {"TERM": "xterm", "COLUMNS": "90"}
    )
    os.close(side)
    out = b""
    try:
        while part := os.read(main, 65536):
            out += part
    except OSError:
        pass  # its end
    assert done.wait() == 0
    text = re.sub("\r\x1b\\[2K(bench compare: [^\r\n]*)?", "", out.decode().replace("\r\n", "\n"))  # the line that is wiped
    assert "\x1b[1m" in text and not RAW.search(re.sub("\x1b\\[[014]m", "", text))


def test_json_stays_the_same_json() -> None:
    facts = {"a": STEERING, "\x1b": ["\U000e0041", "é", "\ud83d"]}
    assert json.loads(visible(json.dumps(facts, ensure_ascii=False))) == facts


def test_the_command_to_go_on_takes_no_words_from_a_strangers_log(run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(run, tmp_path / "run; touch x")
    evil = [
        "--executor", "slurm", "--slurm", "setup=touch x", "--slurm", "partition=$(touch x)", "--slurm", "account=a;b", "--plugin", "/x.py",
        "--address", "h$(x)", "--workers", "2; touch x", "--slurm", "qos=high", "`x`", "\x1b[2J",
    ]  # fmt: skip
    (run / "events.jsonl").write_text(json.dumps({"event": "started", "how": evil[:-1]}) + "\n")
    said = bench("status", run).out
    assert f"go on with: bench resume '{run}' --executor slurm --slurm qos=high\n" in said
    (run / "events.jsonl").write_text(json.dumps({"event": "started", "how": evil}) + "\n")
    assert f"go on with: bench resume '{run}'\n" in bench("status", run).out, "a line with control characters is none of ours"


def test_no_cell_of_any_csv_file_is_a_formula(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", cases=2, methods=("none", "fastvmt"), metrics=("motion_fidelity",))

    facts = json.loads((run / CONFIG).read_text())
    facts["methods"][1]["label"] = FORMULA
    facts["suite"]["cases"][0]["category"] = "@SUM(1)"
    (run / CONFIG).write_text(json.dumps(facts))
    assert bench("report", run, "--frame", "csv", "--no-page", "--no-figures", "--formats", "csv").code == 0
    cells = [
        cell for file in (run / "report").rglob("*.csv") for row in csv.reader(file.read_text().splitlines()) for cell in row
    ]
    assert f"'{FORMULA}" in cells and "'@SUM(1)" in cells
    assert not [c for c in cells if c[:1] in tuple("=+-@\t\r") and not re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", c)]


def test_what_is_published_shows_no_path_of_a_machine(run: Path, tmp_path: Path) -> None:
    assert bench("report", run, "--out", tmp_path / "report", "--no-figures", "--no-tracks", "--frame", "csv").code == 0
    assert bench("merge", run, "--out", tmp_path / "m").code == 0
    for form in ("hub", "hub-evals", "every-eval-ever", "papers"):
        repo = ("--repo", "me/bench") if form == "hub-evals" else ()
        assert bench("export", run, "--to", form, *repo, "--out", tmp_path / form).code == 0
    files = [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix not in (".webp", ".mkv", ".mp4")]
    assert len(files) > 10
    shown = {p.name for p in files if "somebody" in p.read_text(errors="replace")}
    assert shown <= {"failures.jsonl", "records.jsonl"}, "logs are kept as they were"
    trace = (tmp_path / "report" / "failures.html").read_text()
    assert "torch/nn.py" in trace and "…/method.py" in trace

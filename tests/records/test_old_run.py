"""A run folder that version 0.1.0 wrote, before records had fields for the machine, still does all that a run does.

``data/old_run`` is ``bench run --methods none,fastvmt,ditflow --no-controls --limit 2 --steps 2 --frames 9 --metrics
trajectory,subject_colour,vbench:temporal_flickering:backend=native,time,forwards,peak_memory`` without what it can do without;
beside it lie the table and the baseline that the same version made of it.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.places import ROOT

from fastvmt import api
from fastvmt.exchange.merge.merge import merge
from fastvmt.reports.gate import baseline
from fastvmt.reports.gate.check import check
from fastvmt.reports.gate.tolerances import Tolerances
from fastvmt.reports.tables.run_table import as_data
from fastvmt.reports.tidy import gather
from fastvmt.runner.settings import Options

DATA = ROOT / "tests" / "data"
ADDED = "ground_colour"
QUIET = Options(style="none")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return shutil.copytree(DATA / "old_run", tmp_path / "old_run")


def table(folder: Path, added: str = "") -> dict[str, Any]:
    """The table as ``bench table --json`` prints it, without its verdict, where the videos lie, and one metric."""
    data: dict[str, Any] = json.loads(json.dumps(as_data(api.table(folder)) | {"videos": ""}))
    assert data.pop("verdict")[0].startswith("2 clips are too few")  # which that version did not have
    return _numbers(data, added)


def _numbers(data: dict[str, Any], added: str = "") -> dict[str, Any]:
    """Without what that version said otherwise: names of rows, marks (it ranked two clips), and notes."""
    del data["notes"]
    for row in data["rows"]:
        row.pop("name", None)
        for cell in (*row["metrics"].values(), *filter(None, [row["speed_up"]])):
            del cell["mark"], cell["tied"]
    for place in (data["identities"], *(row["metrics"] for row in data["rows"])):
        assert (added in place) == bool(added)
        place.pop(added, None)
    return data


STORED = _numbers(json.loads((DATA / "old_run_table.json").read_text()) | {"videos": ""})


def test_it_resumes_with_nothing_left_to_do_and_the_same_table(old: Path) -> None:
    before = {
        p: p.read_bytes() for p in (*old.glob("artefacts/*/*"), *old.glob("re*"), *old.glob("references/*")) if p.is_file()
    }
    outcome = api.resume(old, QUIET).outcome
    assert (outcome.made, outcome.found, outcome.failed) == (0, 6, 0)
    assert all(p.read_bytes().startswith(content) for p, content in before.items())  # and what has a new formula is scored anew
    rows = table(old)["rows"]
    for row, stored in zip(rows, copy.deepcopy(STORED["rows"]), strict=True):
        new, former = (side["metrics"].pop("trajectory") for side in (row, stored))
        assert row == stored and new["n"] == former["n"]


def test_it_is_scored_on_merged_and_reported_with_the_same_numbers(old: Path, tmp_path: Path) -> None:
    records = (old / "records.jsonl").read_bytes()
    api.score(old, (ADDED,), QUIET)
    assert (old / "records.jsonl").read_bytes().startswith(records)
    assert (old / "records.jsonl").read_bytes().count(b"\n") == records.count(b"\n") + 6
    moved = ("digest",)  # over every number, the added ones among them
    assert {k: v for k, v in table(old, ADDED).items() if k not in moved} == {k: v for k, v in STORED.items() if k not in moved}
    merge([old, DATA / "old_run"], tmp_path / "merged")
    assert table(tmp_path / "merged", ADDED)["rows"] == STORED["rows"]
    api.report([old], tmp_path / "report", page=False, figures=False, formats=("json",))
    assert any((tmp_path / "report").rglob("*.json"))


def test_it_passes_the_gate_against_the_baseline_of_its_own_time_which_is_written_the_same_today(
    old: Path, tmp_path: Path
) -> None:
    now = baseline.of(gather([old]))
    baseline.write(tmp_path / "baseline.json", now)
    written = re.sub(r'\n *"count": (true|false),', "", (tmp_path / "baseline.json").read_text())  # new since that time
    before = (DATA / "old_run_baseline.json").read_text()
    before = re.sub(r'("pixels"\s*},\s*"direction": )"up"', r'\1"none"', before)  # flickering was ranked then
    assert written == before
    outcome = check(now, baseline.read(DATA / "old_run_baseline.json"), Tolerances())
    assert outcome.exit_code() == 0 and not outcome.refused
    verdicts = {r.verdict for r in outcome.rows}
    assert "identical" in verdicts and not verdicts & {"worse", "not compared"}, outcome.rows

"""A method that copies the reference, and the reference itself as a row: what a reader of table, verdict and comparison is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.cli import bench
from support.clips import make
from support.runs import make_run, paint

from fastvmt.model import Job
from fastvmt.reports.tables.compare import ranks, versus
from fastvmt.reports.tables.run_table import first_table
from fastvmt.reports.tables.shared_cases import apart
from fastvmt.reports.tidy import Tidy, gather
from fastvmt.runner.plan.methods import CONTROLS
from fastvmt.runner.scoring.score import score_job
from fastvmt.runner.worker import Worker
from fastvmt.store.folder import Store

SIZE = (9, 32, 32)
MOTION = "motion_fidelity"
RIVAL = "imported:rival"
METRICS = (MOTION, "time", "forwards")


def low(metric: str, case: Any, label: str, seed: int) -> float:
    """Every method of ours has little motion, so that a copy would lead."""
    return {"time": 3.0, "forwards": 8.0}.get(metric, 0.1 if label == "none" else 0.2) + int(case.id[-4:]) / 100


def scored(folder: Path, label: str) -> Tidy:
    """The run, with the videos of one method scored as a worker does it."""
    store = Store.open(folder)
    config = store.config()
    for job in config.jobs():
        if job.method.label == label:
            for record in score_job(store, config, job, [MOTION, "forwards"]):
                store.add(record)
    return gather([folder])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", 7, methods=("none", "fastvmt", "ditflow"), frames=SIZE, metrics=METRICS, values=low)


def test_the_reference_re_encoded_and_imported_is_said_to_be_a_copy_and_wins_nothing(tmp_path: Path, run: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for case in Store.open(run).config().suite.cases:
        made = {"crf": "30", "preset": "medium"}  # loses pixels
        make(theirs / f"{case.id}.mp4", paint(case, "", 0, *SIZE), pixels="yuv420p", options=made)
    assert bench("import", theirs, "--method", "rival", "--into", run).code == 0
    tidy = scored(run, RIVAL)
    view = first_table(tidy)
    line = view.line(RIVAL)
    copied, ours = (view.cell(k, MOTION) for k in (RIVAL, "fastvmt"))
    assert copied.value is not None and ours.value is not None and copied.value > ours.value + 0.2
    assert not line.ranked and "copies" in line.note and {c.mark for c in line.cells} == {""}
    assert [k for k in ("none", "fastvmt", "ditflow") if tidy.copies(k)] == []
    said = f"{RIVAL}: 7 of 7 videos are (nearly) their reference"
    assert any(note.startswith(said) for note in view.notes) and any(note.startswith(said) for note in versus(tidy).notes)
    assert any("rival" in s and "(nearly) the reference itself" in s for s in view.verdict)
    assert not any(s.startswith(("imported:rival follow", "In motion imported:rival")) for s in view.verdict)
    assert RIVAL not in [row.key for row in ranks(tidy).lines]


@pytest.mark.parametrize("share", [0.4, 0.6])
def test_a_row_of_which_less_than_half_are_copies_stays_ranked_and_is_said(run: Path, share: float) -> None:
    tidy = gather([run])
    count = tidy.counts["fastvmt"]
    count.copies = round(share * count.made)
    assert tidy.copies("fastvmt") is (share > 0.5)


def test_the_reference_is_a_row_that_no_model_makes_and_nothing_is_compared_with(tmp_path: Path) -> None:
    methods = ("none", "fastvmt", "ditflow", "reference")
    absent = [(f"case-{n:04d}", "reference", 0) for n in range(7)]
    folder = make_run(tmp_path / "run", 7, methods, frames=SIZE, metrics=METRICS, values=low, missing=absent)
    reports: list[str] = []
    worker = Worker(folder, "", lambda kind, **facts: reports.append(kind))  # type: ignore[arg-type]
    jobs: list[Job] = [j for j in worker.config.jobs() if j.method.ceiling]
    for job in jobs:
        worker.handle({"task": "generate", "job": job.model_dump(mode="json")})
    assert reports == ["made"] * 7 and worker._generator is None
    cases = {c.id: c.reference.frames_digest for c in worker.config.suite.cases}
    assert all((a := worker.store.artefact(j)) and a.frames_digest == cases[j.case_id] for j in jobs)

    tidy, without = (
        scored(folder, "reference"),
        gather([make_run(tmp_path / "w", 7, methods[:3], frames=SIZE, metrics=METRICS, values=low)]),
    )
    view, plain = first_table(tidy), first_table(without)
    line = view.line("reference")
    assert (line.group, line.note, line.ranked) == ("controls", "ceiling", False)
    top = view.cell("reference", MOTION)
    assert top.value is not None and top.value > 0.5 and top.n == 7 and top.low is not None
    assert [view.cell("reference", m).why for m in ("time", "forwards")] == ["–", "–"]
    for label in methods[:3]:
        assert [view.cell(label, m) for m in METRICS] == [plain.cell(label, m) for m in METRICS], "as without the ceiling"
    assert view.verdict == plain.verdict and not any("nearly" in note or "taken over" in note for note in view.notes)
    assert apart(tidy, MOTION, tidy.methods).keys() == apart(without, MOTION, without.methods).keys()
    assert {row.key for row in versus(tidy).lines} == {"none", "ditflow"}
    said = bench("compare", folder, "--base", "reference")
    assert said.code == 2 and "reference" in said.err


def test_a_ceiling_that_is_not_scored_costs_no_other_row_a_case(tmp_path: Path) -> None:
    methods = ("none", "fastvmt", "reference")
    absent = [(f"case-{n:04d}", "reference", 0) for n in range(3)]
    view = first_table(gather([make_run(tmp_path / "r", 7, methods, frames=SIZE, metrics=METRICS, values=low, missing=absent)]))
    assert view.cell("fastvmt", MOTION).n == 7 and view.cell("reference", MOTION).value is None


def test_it_stands_in_every_table_unless_controls_are_switched_off(tmp_path: Path) -> None:
    assert CONTROLS == ("none", "sdedit", "reference")
    argv = ("plan", "--suite", "shapes", "--limit", "2", "--methods", "fastvmt", "--metrics", "trajectory", "--json")
    counted, bare = bench(*argv).data, bench(*argv, "--no-controls").data
    assert counted["left"] == {"none": 2, "sdedit": 2, "reference": 2, "fastvmt": 2} and bare["left"] == {"fastvmt": 2}


def test_the_ceiling_of_the_known_motion_is_judged_by_the_references_own_words(tmp_path: Path) -> None:
    """Its subject has the reference's colours, not those that the prompt asks of a method."""
    argv = ("run", "--suite", "shapes", "--limit", "1", "--methods", "reference", "--no-controls", "--metrics", "trajectory")
    assert bench(*argv, "--out", tmp_path / "run").code == 0
    (record,) = Store.open(tmp_path / "run").records().values()
    assert record.metric == "trajectory" and record.value is not None and record.value > 0.9

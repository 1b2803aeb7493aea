"""The frontier on numbers whose answer is known: who is dominated, who is like a cheaper row, and what is drawn of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.cli import Said, bench
from support.page_runs import Page
from support.runs import make_run, values

from fastvmt.api import Result
from fastvmt.model import Case
from fastvmt.reports.frontier.standing import CONTROLS, DOMINATED, LIKE, ON, Frontier, Standing, frontier_of
from fastvmt.reports.page.bundle import tables_of
from fastvmt.reports.tables.run_table import build
from fastvmt.reports.tidy import WORK, gather
from fastvmt.runner.settings import Outcome
from fastvmt.store.folder import Store

CHEAP, DEAR = "fastvmt:inner=4", "fastvmt:inner=20"
ROWS = {
    "none": (0.02, 20.0, 2.0), "sdedit": (0.99, 10.0, 1.0), "reference": (1.0, 1.0, 1.0), "moft": (0.02, 25.0, 2.5),
    "smm": (0.5, 40.0, 5.0), CHEAP: (0.7, 36.0, 4.0), "fastvmt": (0.7, 60.0, 6.0), "ditflow": (0.9, 90.0, 3.0),
    DEAR: (0.8, 90.0, 9.0),
}  # fmt: skip
"""Trajectory, forward-equivalents and seconds."""


def run(folder: Path, labels: Sequence[str] = tuple(ROWS), clips: int = 16) -> Path:
    """A run with these rows; clips differ by more than the rows that are alike."""
    rng = np.random.default_rng(0)
    noise = {label: rng.normal(0, 0.01, clips) for label in ROWS}

    def value(metric: str, case: Case, label: str, seed: int) -> float:
        n = int(case.id[-4:])
        return ROWS[label][0] + float(noise[label][n]) - 0.02 * (n % 3) if metric == "trajectory" else ROWS[label][2]

    root = make_run(folder, clips, labels, metrics=("trajectory", "time"), values=value, videos=False)
    store = Store.open(root)
    for job in store.config().jobs():
        meta = store.folder(job) / "meta.json"
        meta.write_text(json.dumps(json.loads(meta.read_text()) | {"forward_equivalents": ROWS[job.method.label][1]}))
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("frontier") / "r")


@pytest.fixture(scope="module")
def found(root: Path) -> Frontier:
    return frontier_of(gather([root]))


def test_who_is_dominated_by_whom(found: Frontier) -> None:
    assert found.standings[WORK] == {
        "moft": Standing(LIKE, "none"), CHEAP: Standing(ON), "smm": Standing(DOMINATED, CHEAP), "fastvmt": Standing(LIKE, CHEAP),
        "ditflow": Standing(ON), DEAR: Standing(DOMINATED, "ditflow"),
    }  # fmt: skip
    by_seconds = found.standings["time"]
    assert {k for k, s in by_seconds.items() if s == Standing(DOMINATED, "ditflow")} == {CHEAP, "fastvmt", "smm", DEAR}


def test_controls_are_shown_and_neither_judged_nor_better_than_anybody(found: Frontier) -> None:
    by_group = {group: [line.key for line in found.view.lines if line.group == group] for group in found.view.groups}
    assert by_group == {
        ON: [CHEAP, "ditflow"],
        LIKE: ["moft", "fastvmt"],
        DOMINATED: ["smm", DEAR],
        CONTROLS: ["sdedit", "none"],
    }
    assert found.view.line("smm").note == "by FastVMT:inner=4" and found.view.line("moft").note == "≈ No transfer"


def test_each_cost_has_its_sentence_where_they_disagree(found: Frontier, tmp_path: Path) -> None:
    by_work, by_seconds = found.view.verdict
    assert by_work == (
        "By forward-equivalents, of 6 rows 2 are dominated (another one costs no more and is better in trajectory, 16 clips) and 2 "
        "cannot be told from one on the frontier that costs no more; on the frontier: FastVMT:inner=4 and DiTFlow."
    )
    assert by_seconds.startswith("By seconds, of 6 rows 4 are dominated") and by_seconds.endswith("on the frontier: DiTFlow.")
    agreed = frontier_of(gather([run(tmp_path / "r", ("none", "smm", CHEAP, "fastvmt"))]))
    assert len(agreed.view.verdict) == 1 and agreed.view.verdict[0].endswith("; by seconds the same.")


def test_few_clips_dominate_nobody(tmp_path: Path) -> None:
    few = frontier_of(gather([run(tmp_path / "r", clips=5)]))
    assert few.view.verdict == ("5 clips are too few to say which rows are dominated.",)
    assert DOMINATED not in few.view.groups


def test_two_methods_make_no_frontier(tmp_path: Path) -> None:
    two = run(tmp_path / "r", ("none", "sdedit", "reference", "fastvmt", "ditflow"))
    assert not frontier_of(gather([two])) and "frontier" not in [view.id for view in tables_of(gather([two]))]
    assert bench("report", two).code == 0
    assert {p.name for p in (two / "report" / "figures").glob("*.svg")} & {"frontier.svg", "quality-time.svg"} == {
        "quality-time.svg"
    }


def test_where_no_motion_is_known_the_next_score_of_motion_counts(tmp_path: Path) -> None:
    """Real clips: the trajectory is asked for by default, and undefined in all of them."""

    def value(metric: str, case: Case, label: str, seed: int) -> float | None:
        return None if metric == "trajectory" else values(metric, case, label, seed)

    metrics = ("trajectory", "motion_fidelity", "time")
    real = make_run(tmp_path / "r", 8, ("none", "fastvmt", "ditflow", "smm"), metrics=metrics, values=value, videos=False)
    found = frontier_of(gather([real]))
    assert found.motion == "motion_fidelity" and found.standings["time"]["smm"].state != DOMINATED
    assert found.standings["time"]["ditflow"] == Standing(LIKE, "fastvmt")


def test_the_frontier_is_the_first_figure_of_the_page_and_says_its_numbers(root: Path) -> None:
    said = bench("report", root)
    assert said.code == 0, said.err
    folder = root / "report"
    (first, *_) = [dict(attributes) for tag, attributes in Page(folder / "index.html").tags if tag == "img"]
    alt = str(first["alt"])
    assert "against forward-equivalents per video" in alt and re.search(r"DiTFlow 0\.88\d for 90\b", alt)
    assert "DeT" not in alt and "FastVMT:inner=4 0.68" in alt
    assert {p.suffix for p in (folder / "figures").glob("frontier.*")} == {".svg", ".png", ".pdf"}
    assert "against seconds per video" in (folder / "figures" / "quality-time.svg").read_text()
    assert (folder / "tables" / "frontier.csv").is_file()


@pytest.mark.parametrize("labels", [tuple(ROWS), ("none", "fastvmt")])
def test_the_command_prints_the_table_and_names_the_pictures(
    labels: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run(tmp_path / "r", labels)
    store = Store.open(folder)
    asked = []

    def made(request: object, *how: object) -> Result:
        asked.append(request)
        return Result(folder, Outcome(1, 0, 0, False), build(store, store.config()), None)

    monkeypatch.setattr("fastvmt.api.run", made)

    def frontier(*more: str) -> Said:
        return bench("frontier", "fastvmt", "--over", "inner=4,20", "--with", "ditflow,smm", *more)

    said = frontier()
    assert said.code == 0, said.err
    assert asked[0].methods == ("ditflow", "smm", "fastvmt", CHEAP, DEAR) and asked[0].optional == {CHEAP, DEAR}  # type: ignore[attr-defined]
    if len(labels) > 2:
        assert "By forward-equivalents, of 6 rows 2 are dominated" in said.out and "on the frontier" in said.out
        assert f"{folder / 'report' / 'figures' / 'frontier.svg'}\n" in said.out
        assert {line["key"]: line["group"] for line in frontier("--json").data["frontier"]["lines"]}["smm"] == DOMINATED
    else:
        assert "there is no frontier: fewer than three rows" in said.err and "Methods compared" in said.out

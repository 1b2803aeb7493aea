"""Which cases a report opens with: chosen by the numbers, said why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.runs import make_run, make_setting, make_spec

from fastvmt.model import MethodSpec
from fastvmt.reports.page.telling import telling
from fastvmt.reports.tables.compare import ranks
from fastvmt.reports.tidy import Tidy, gather

SCORES = {"fastvmt": [0.9, 0.5, 0.7, 0.8, 0.1], "ditflow": [0.2] * 5, "none": [0.8, 0.0, 0.0, 0.7, 0.05]}
RIVAL = MethodSpec(label="imported:rival", method="imported", version=1, params={"source": "a page"})


def run_of(folder: Path, labels: tuple[str, ...], metrics: tuple[str, ...] = ("motion_fidelity", "time")) -> Tidy:
    """Five cases with the scores above; what was imported comes first and has none."""

    def value(metric: str, case: Any, label: str, seed: int) -> float:
        return 1.0 if metric == "time" and label in SCORES else SCORES[label][int(case.id[-1])]

    methods = [RIVAL, *(make_spec(label, make_setting()) for label in labels)]
    return gather([make_run(folder, 5, methods, metrics=metrics, values=value, videos=False)])


@pytest.mark.parametrize(
    ("labels", "metrics", "cases", "shown"),
    [
        (("none", "ditflow", "fastvmt"), ("motion_fidelity", "time"), {"Best": 2, "Typical": 3, "Worst": 4}, ["none", "fastvmt", "ditflow"]),
        (("ditflow", "fastvmt"), ("motion_fidelity",), {"Best": 0, "Typical": 2, "Worst": 4}, ["fastvmt", "ditflow"]),
        (("none", "fastvmt"), ("time",), {"case-0000": 0, "case-0001": 1, "case-0002": 2}, ["none", "fastvmt"]),
    ],
)  # fmt: skip
def test_cases_are_chosen_by_the_score_of_the_method_that_leads(
    tmp_path: Path, labels: tuple[str, ...], metrics: tuple[str, ...], cases: dict[str, int], shown: list[str]
) -> None:
    found = telling(run_of(tmp_path / "r", labels, metrics))
    assert {t.title: int(t.case[-1]) for t in found} == cases
    assert all([*t.labels][: len(shown)] == shown for t in found)
    assert all(("FastVMT" in t.why) == ("motion_fidelity" in metrics) for t in found)
    assert all("no transfer" not in t.why for t in found if "none" not in labels)


def test_imported_videos_without_a_score_are_not_on_top_of_a_ranking(tmp_path: Path) -> None:
    tidy = run_of(tmp_path / "r", ("none", "ditflow", "fastvmt"))
    assert next(iter(tidy.methods)) == RIVAL.label
    assert [line.key for line in ranks(tidy).lines] == ["ditflow", "fastvmt", RIVAL.label]

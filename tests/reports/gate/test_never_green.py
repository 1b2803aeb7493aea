"""What must not pass as green: a loss on the same machine, what is missing, what cannot be told, and a baseline that says two things."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.gate_runs import SCORE, SECONDS, bench, measured, only, rows_of, run_folder, toml
from support.gate_runs import stored as stored  # a fixture
from support.runs import make_setting

from fastvmt.reports.gate import tolerances
from fastvmt.reports.gate.baseline import Measured
from fastvmt.reports.gate.check import check
from fastvmt.reports.gate.sentence import headline
from fastvmt.reports.gate.verdicts import GateResult


def judged(run: Measured, base: Measured, absolute: float = 0.1) -> GateResult:
    return check(run, base, tolerances.Tolerances(metrics={"*": tolerances.Tolerance(absolute=absolute)}))


def with_videos(side: Measured, **changes: Any) -> Measured:
    return side.model_copy(update={"videos": tuple(v.model_copy(update=changes) for v in side.videos)})


def losing(spread: float, **changes: Any) -> tuple[Measured, Measured]:
    """A run and its baseline: 0.22 lost in the mean, over three clips that differ by so much."""
    lost = [-0.22 - spread, -0.22, -0.22 + spread]
    return with_videos(measured([0.75 + d for d in lost]), **changes), measured([0.75] * 3)


@pytest.mark.parametrize("spread", [0.0, 0.05, 0.1, 0.5])
def test_a_loss_beyond_the_tolerance_on_the_same_machine_is_worse_however_much_the_clips_differ(spread: float) -> None:
    outcome = judged(*losing(spread))
    assert outcome.exit_code() == 1 and outcome.rows[0].value == pytest.approx(-0.22)
    assert ("no chance is in it" in outcome.rows[0].sentence) == (spread > 0.1), "said where the interval alone would not tell"


def test_what_is_lost_within_the_tolerance_or_gained_is_not_worse() -> None:
    run, base = losing(0.5)
    assert judged(run, base, absolute=0.23).rows[0].verdict == "unclear" and judged(base, run).exit_code() == 0
    fair = measured([0.75 - 0.1] * 3)
    assert judged(fair, base).rows[0].verdict != "worse", "what may be lost may be lost in full"


MACHINES: dict[str, tuple[dict[str, Any], list[dict[str, str]]]] = {
    "device": ({"device": "another"}, []), "torch": ({"software": 0}, [{"torch": "3"}]),
    "made again": ({"unsteady": True}, []), "no such software": ({"software": 9}, [{"torch": "2"}]),
}  # fmt: skip


@pytest.mark.parametrize("name", MACHINES)
def test_where_chance_is_possible_the_interval_decides_and_unclear_is_the_headline(name: str) -> None:
    changes, software = MACHINES[name]
    run, base = losing(0.5, **changes)
    base = with_videos(base.model_copy(update={"software": ({"torch": "2"},)}), software=0)
    outcome = judged(run.model_copy(update={"software": tuple(software)}), base)
    assert (outcome.exit_code(), outcome.exit_code(strict=True)) == (0, 1)
    for strict in (False, True):
        assert headline(outcome, strict).startswith(
            "Cannot say: nothing that was compared is worse; too noisy to tell 1 of 1 check"
        )
    assert "--strict" in headline(outcome)


def test_the_version_of_the_benchmark_is_what_is_judged_and_no_other_machine() -> None:
    run, base = losing(0.5, software=0)
    run = run.model_copy(update={"software": ({"torch": "2", "fastvmt-bench": "2"},)})
    base = with_videos(base.model_copy(update={"software": ({"torch": "2", "fastvmt-bench": "1"},)}), software=0)
    assert judged(run, base).exit_code() == 1


def test_a_margin_inside_one_run_that_is_missed_is_worse_however_much_the_clips_differ(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r", only(lambda case, seed: 2.0 if case == "case-0000" else -0.5))
    wish = '[[better]]\nmetric = "motion_fidelity"\nof = "fastvmt"\nthan = "none"\nby = 0.9\n'
    code, said = bench("check", run, "--tolerances", toml(tmp_path, wish))
    assert code == 1 and "worse" in said


FIVE = [(f"case-{n:04d}", "fastvmt", 0) for n in range(5)]


def unscored(metric: str, label: str, number: int) -> Any:
    """No record of a metric for the first clips of a method."""

    def change(m: str, case: str, name: str, seed: int) -> float:
        if (m, name) == (metric, label) and int(case[-4:]) < number:
            raise KeyError
        return 0.0

    return change


CASES: dict[str, dict[str, Any]] = {
    "never made": {"missing": FIVE}, "one not made": {"missing": FIVE[:1]}, "a seed left out": {"seeds": (1,)},
    "scored in part": {"change": unscored(SCORE, "fastvmt", 5)}, "seconds in part": {"change": unscored(SECONDS, "fastvmt", 1)},
    "not scored": {"metrics": (SCORE,)}, "a method left out": {"methods": ("none", "ditflow")},
    "every one missing of one": {"missing": [(f"case-{n:04d}", "ditflow", 0) for n in range(8)]},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("strict", [[], ["--strict"]])
def test_what_the_baseline_has_and_the_run_lacks_is_never_green(
    tmp_path: Path, stored: Path, name: str, strict: list[str]
) -> None:
    code, said = bench("check", run_folder(tmp_path / "r", **CASES[name]), "--baseline", stored, *strict)
    assert code == 4, said
    assert said.splitlines()[-1].startswith("gate: could not")


def test_what_is_worse_comes_before_what_is_missing(tmp_path: Path, stored: Path) -> None:
    run = run_folder(tmp_path / "r", only(-0.2), missing=FIVE)
    code, said = bench("check", run, "--baseline", stored, "--json")
    rows = rows_of(said)
    assert code == 1 and "without 5 of 8" in rows[SCORE, "fastvmt"]["sentence"]
    assert rows["videos", "fastvmt"]["missing"] and "case-0000 seed 0" in rows["videos", "fastvmt"]["sentence"]


def test_a_control_that_was_not_made_is_missing_although_nothing_of_it_is_gated(tmp_path: Path, stored: Path) -> None:
    run = run_folder(tmp_path / "r", missing=[("case-0000", "none", 0)])
    code, said = bench("check", run, "--baseline", stored)
    assert code == 4 and "1 of 8 videos that the baseline has is not there: case-0000 seed 0 (not made)" in said


MARGIN = '[[better]]\nmetric = "motion_fidelity"\nof = "fastvmt"\nthan = "none"\nby = 0.1\n'
SPEED = '[[speed_up]]\nof = "fastvmt"\nover = "ditflow"\nat_least = 1.5\n'
LACKING: dict[str, tuple[str, dict[str, Any]]] = {
    "five of fastvmt": (MARGIN, {"missing": FIVE}), "one of none": (MARGIN, {"missing": [("case-0001", "none", 0)]}),
    "one failed": (MARGIN, {"failed": {FIVE[0]: "out of luck"}}), "scored in part": (MARGIN, {"change": unscored(SCORE, "none", 1)}),
    "seconds of five": (SPEED, {"missing": FIVE}), "one of ditflow": (SPEED, {"failed": {("case-0001", "ditflow", 0): "no"}}),
}  # fmt: skip


@pytest.mark.parametrize("name", LACKING)
def test_a_floor_over_a_part_of_what_the_run_planned_is_never_green(tmp_path: Path, name: str) -> None:
    wish, how = LACKING[name]
    code, said = bench("check", run_folder(tmp_path / "r", **how), "--tolerances", toml(tmp_path, wish))
    assert code == 4 and "without" in said, said


def test_a_failure_that_the_baseline_has_too_is_no_news_for_a_floor(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r", failed={FIVE[0]: "out of luck"})
    bench("baseline", "write", run, "--out", tmp_path / "b.json", "--allow-failures")
    assert bench("check", run, "--baseline", tmp_path / "b.json", "--tolerances", toml(tmp_path, MARGIN + SPEED))[0] == 0


def test_a_metric_whose_direction_is_not_known_here_cannot_be_judged(tmp_path: Path) -> None:
    base = measured([0.5, 0.6], direction="up")
    run = measured([0.1, 0.1], direction="unknown")
    for said in ("unknown", "none", "down"):
        assert check(measured([0.1, 0.1], direction=said), base, tolerances.Tolerances()).exit_code() == 1, "the baseline knows"
    both = check(run, run, tolerances.Tolerances())
    assert both.exit_code() == 4 and "which way is better is not known here" in both.rows[0].sentence
    other = measured([0.5, 0.6]).metrics | run.metrics | {"known": base.metrics["score"]}
    mixed = run.model_copy(update={"metrics": other})
    mixed = mixed.model_copy(
        update={"videos": tuple(v.model_copy(update={"values": v.values | {"known": 0.5}}) for v in run.videos)}
    )
    outcome = check(mixed, mixed, tolerances.Tolerances())
    assert (outcome.exit_code(), outcome.exit_code(strict=True)) == (0, 4)


def test_a_baseline_that_says_two_things_of_one_video_is_refused(tmp_path: Path, stored: Path) -> None:
    raw = json.loads(stored.read_text())
    raw["videos"].append(raw["videos"][3] | {"values": {SCORE: 0.1}})
    (tmp_path / "b.json").write_text(json.dumps(raw))
    code, said = bench("check", tmp_path, "--baseline", tmp_path / "b.json")
    assert code == 2 and "none case-0001 seed 0 stands in it twice" in said
    twice = stored.read_text().replace('"values": {', '"values": {"motion_fidelity": 0.01, ', 1)
    (tmp_path / "b.json").write_text(twice)
    code, said = bench("check", tmp_path, "--baseline", tmp_path / "b.json")
    assert code == 2 and "motion_fidelity" in said and "twice" in said


def test_a_baseline_of_another_case_ends_in_a_verdict(tmp_path: Path, stored: Path) -> None:
    raw = json.loads(stored.read_text())
    raw["videos"].append(raw["videos"][3] | {"case": "nowhere", "software": 99})
    (tmp_path / "b.json").write_text(json.dumps(raw))
    failing = run_folder(tmp_path / "r", failed={FIVE[0]: "out of luck"})
    assert bench("check", failing, "--baseline", tmp_path / "b.json")[0] == 1


@pytest.mark.parametrize(("low", "high"), [(-1e99, 1e99), (1e-300, 1e99)])
def test_numbers_of_any_size_end_in_a_verdict(low: float, high: float) -> None:
    for facts in ("up", "down"):
        run, base = measured([low, low], direction=facts), measured([high, high], direction=facts)
        assert check(run, base, tolerances.Tolerances()).exit_code() in (0, 1)
    timed = [side.model_copy(update={"metrics": {"score": side.metrics["score"].model_copy(update={"timing": True})},
                                     "setting": make_setting()}) for side in (base, run)]  # fmt: skip
    assert check(timed[0], timed[1], tolerances.Tolerances()).exit_code() in (0, 1)

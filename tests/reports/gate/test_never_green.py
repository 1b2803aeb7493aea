"""What must not pass as green: a loss on the same machine, what is missing, what cannot be told, and a baseline that says two things."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.gate_runs import SCORE, SECONDS, bench, measured, only, rows_of, run_folder, toml
from support.gate_runs import stored as stored  # a fixture
from support.runs import make_setting

from fastvmt.reports.gate import tolerances
from fastvmt.reports.gate.baseline import Measured, MethodFacts, Video
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


def wide() -> Measured:
    """Six clips, two seeds, a method and a control, a gated score and a number beside it that nobody judges."""
    plain = measured([0.5 + 0.01 * n for n in range(6)])
    videos = tuple(
        v.model_copy(update={"method": label, "seed": seed, "values": v.values | {"beside": 1.0}})
        for label in ("m", "control") for seed in (0, 1) for v in plain.videos
    )  # fmt: skip
    methods = plain.methods | {"control": MethodFacts(identity={}, control=True)}
    beside = plain.metrics["score"].model_copy(update={"direction": "none"})
    return plain.model_copy(update={"videos": videos, "methods": methods, "metrics": plain.metrics | {"beside": beside}})


def without(side: Measured, gone: Callable[[Video], bool]) -> Measured:
    return side.model_copy(update={"videos": tuple(v for v in side.videos if not gone(v))})


def gapped(metric: str, label: str, why: str) -> Callable[[Measured], Measured]:
    """A number that one video has lost."""

    def change(side: Measured) -> Measured:
        def lose(v: Video) -> Video:
            if (v.method, v.case, v.seed) != (label, "c000", 0):
                return v
            values = {k: x for k, x in v.values.items() if k != metric}
            return v.model_copy(update={"values": values, "gaps": {metric: why} if why else {}})

        return side.model_copy(update={"videos": tuple(lose(v) for v in side.videos)})

    return change


def no_metric(side: Measured, metric: str) -> Measured:
    metrics = {k: f for k, f in side.metrics.items() if k != metric}
    return with_videos(side.model_copy(update={"metrics": metrics}), values=dict.fromkeys(metrics, 0.5))


def renamed(side: Measured) -> Measured:
    facts = {k: f.model_copy(update={"identity": {"version": 2}}) for k, f in side.metrics.items()}
    return side.model_copy(update={"metrics": facts})


def no_control(side: Measured) -> Measured:
    left = without(side, lambda v: v.method == "control")
    return left.model_copy(update={"methods": {"m": side.methods["m"]}})


LESS: dict[str, Callable[[Measured], Measured]] = {
    "half of the cases": lambda s: without(s, lambda v: v.case > "c002"), "one case": lambda s: without(s, lambda v: v.case == "c000"),
    "one seed": lambda s: without(s, lambda v: v.seed == 1), "a method": no_control,
    "the gated metric": lambda s: no_metric(s, "score"), "a metric beside": lambda s: no_metric(s, "beside"),
    "a version of the metric": renamed,
    **{f"{metric} of {label} {why}": gapped(metric, label, why)
       for metric, label in (("score", "m"), ("score", "control"), ("beside", "m")) for why in ("failed", "missing", "undefined", "")},
}  # fmt: skip


@pytest.mark.parametrize("name", LESS)
def test_less_than_the_baseline_holds_is_never_green_under_strict_and_is_said_without_it(name: str) -> None:
    base = wide()
    assert judged(base, base).exit_code(strict=True) == 0
    outcome = judged_score(LESS[name](base), base)
    assert outcome.exit_code(strict=True) in (1, 4)
    assert headline(outcome).startswith(("Worse", "Cannot say")) or "not compared " in headline(outcome)


def judged_score(run: Measured, base: Measured) -> GateResult:
    return check(run, base, tolerances.Tolerances(metrics={"score": tolerances.Tolerance(absolute=0.1)}))


def test_a_margin_and_a_speed_up_over_a_part_of_the_videos_are_not_green_under_strict() -> None:
    """The number is undefined there, or the video was taken over and its seconds belong elsewhere: neither is a failure."""
    margin = tolerances.Tolerances(metrics={}, better=(tolerances.Better(metric="score", of="m", than="control"),))
    speed = tolerances.Tolerances(metrics={}, speed_up=(tolerances.SpeedUp(of="m", over="control", at_least=0.5),))
    whole = with_videos(wide(), stages={"guidance": 1.0})
    reused = whole.model_copy(
        update={"videos": (whole.videos[0].model_copy(update={"stages": {}, "values": {"score": 0.5}}), *whole.videos[1:])}
    )
    for allowed, part in ((margin, gapped("score", "m", "undefined")(whole)), (speed, reused)):
        assert check(whole, None, allowed).exit_code(strict=True) == 0
        outcome = check(part, None, allowed)
        assert outcome.exit_code(strict=True) == 4 and "over a part of what was planned 1 of 1 check" in headline(outcome)


def counts(values: list[float], device: str = "") -> Measured:
    side = measured(values, direction="down", metric="work")
    facts = {"work": side.metrics["work"].model_copy(update={"count": True})}
    return with_videos(side.model_copy(update={"metrics": facts}), device=device)


@pytest.mark.parametrize("pattern", [None, "*", "wor*"])
def test_counted_work_may_not_grow_by_anything_on_any_machine(pattern: str | None) -> None:
    """One pair alone is enough, and what others saved does not pay for it; a pattern gives it no tolerance."""
    allowed = tolerances.Tolerances(metrics={pattern: tolerances.Tolerance(relative=0.5)} if pattern else None)
    base, more, less = counts([17.4] * 6), counts([18.4, *[15.0] * 5], "another"), counts([17.4, *[15.0] * 5], "another")
    outcome = check(more, base, allowed)
    assert outcome.exit_code() == 1 and "more on 1 of 6: c000 seed 0" in outcome.rows[0].sentence
    assert check(less, base, allowed).rows[0].verdict == "better"
    own = tolerances.Tolerances(metrics={"work": tolerances.Tolerance(absolute=1.0)})
    assert check(more, base, own).exit_code() == 0

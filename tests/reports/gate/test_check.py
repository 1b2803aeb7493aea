"""The gate's verdicts on runs made by hand: what is worse, what cannot be compared, failures and gaps."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.gate_runs import SCORE, SECONDS, Change, bench, measured, only, rows_of, run_folder, toml
from support.gate_runs import stored as stored  # a fixture
from support.runs import make_setting, share

from fastvmt.errors import SpecError
from fastvmt.reports.gate import tolerances
from fastvmt.reports.gate.baseline import MethodFacts
from fastvmt.reports.gate.check import check


def test_the_same_numbers_are_identical(tmp_path: Path, stored: Path) -> None:
    code, said = bench("check", run_folder(tmp_path / "r"), "--baseline", stored, "--json")
    found = rows_of(said)
    assert code == 0 and found[SCORE, "fastvmt"]["verdict"] == "identical"
    assert found[SECONDS, "fastvmt"]["verdict"] == "same" and (SCORE, "none") not in found, "controls are not gated"


def test_a_clear_drop_is_worse_and_the_sentence_says_by_how_much(tmp_path: Path, stored: Path) -> None:
    code, said = bench("check", run_folder(tmp_path / "r", only(-0.2)), "--baseline", stored)
    assert code == 1 and said.splitlines()[-1] == "gate: worse (1 worse, 2 same, 1 identical)"
    (line,) = [x for x in said.splitlines() if x.startswith("worse")]
    assert (
        f"{SCORE}, fastvmt: 0.7" in line
        and "difference -0.2000 [-0.2000, -0.2000], allowed to -0.0200 over 8 pairs of 8 clips" in line
    )


def test_a_small_drop_in_the_noise_is_unclear_and_fails_under_strict_alone(tmp_path: Path, stored: Path) -> None:
    noisy = run_folder(tmp_path / "r", only(lambda case, seed: 0.4 * (share("noise", case) - 0.55)))
    code, said = bench("check", noisy, "--baseline", stored, "--json")
    assert code == 0 and rows_of(said)[SCORE, "fastvmt"]["verdict"] == "unclear"
    assert bench("check", noisy, "--baseline", stored, "--strict")[0] == 1


def test_more_memory_and_seconds_are_worse_and_less_is_better(tmp_path: Path, stored: Path) -> None:
    for name, change, verdict in (("slow", 3.0, "worse"), ("fast", -3.0, "better")):
        said = bench("check", run_folder(tmp_path / name, only(change, SECONDS)), "--baseline", stored, "--json")[1]
        assert rows_of(said)[SECONDS, "fastvmt"]["verdict"] == verdict


SPEED = '[[speed_up]]\nof = "fastvmt"\nover = "ditflow"\nat_least = 2.5\nrelative = 0.2\n'


def test_a_slower_method_fails_by_its_speed_up_even_on_another_machine(tmp_path: Path, stored: Path) -> None:
    """Every second doubles there, which is no loss; fastvmt alone takes three times as long, which is one."""

    def twice(slow: float) -> Change:
        def change(metric: str, case: str, label: str, seed: int) -> float:
            level = {"none": 2.0, "ditflow": 20.0}.get(label, 6.0) + share(metric, case, label) - 0.5
            return level * (slow if label == "fastvmt" else 1.0) if metric == SECONDS else 0.0

        return change

    wish = toml(tmp_path, SPEED + "[metrics.time]\nrelative = 0.1\n")
    good = run_folder(tmp_path / "good", twice(1.0), device="another machine")
    code, said = bench("check", good, "--baseline", stored, "--tolerances", wish)
    assert code == 0 and re.search(r"against baseline, fastvmt: (3\.\d\d) → \1, ratio 1\.000", said)
    assert "not compared  time, fastvmt: another device (baseline: a test's device; run: another machine)" in said
    bad = run_folder(tmp_path / "bad", twice(5.0), device="another machine")
    code, said = bench("check", bad, "--baseline", stored, "--tolerances", wish, "--json")
    assert code == 1
    assert {r["metric"] for r in json.loads(said)["rows"] if r["verdict"] == "worse"} == {
        "speed-up over ditflow: floor", "speed-up over ditflow: against baseline",
    }  # fmt: skip


def test_seconds_under_other_conditions_are_no_loss_and_those_of_a_baseline_that_says_none_are_compared(
    tmp_path: Path, stored: Path
) -> None:
    def limited(name: str, watts: int, slower: float) -> Path:
        """All seconds longer by so many, on a card of this power."""
        root = run_folder(tmp_path / name, only(slower, SECONDS))
        for path in root.glob("artefacts/*/meta.json"):
            path.write_text(json.dumps(json.loads(path.read_text()) | {"conditions": {"power_limit": f"{watts}.00"}}))
        return root

    half = limited("half", 300, 3.0)
    assert bench("check", half, "--baseline", stored)[0] == 1, "the baseline says none"
    full = tmp_path / "full.json"
    assert bench("baseline", "write", limited("full", 600, 0.0), "--out", full)[0] == 0
    code, said = bench("check", half, "--baseline", full)
    assert code == 0 and "time, fastvmt: other conditions (power_limit: 600.00 in the baseline, 300.00 in the run)" in said
    assert bench("check", limited("slow", 600, 3.0), "--baseline", full)[0] == 1


def test_a_floor_inside_the_interval_is_unclear(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r")
    for floor, verdict in ((2.5, "same"), (3.31, "unclear"), (4.0, "worse")):
        wish = toml(tmp_path, f'[[speed_up]]\nof = "fastvmt"\nover = "ditflow"\nat_least = {floor}\n')
        code, said = bench("check", run, "--tolerances", wish, "--json")
        assert (code, rows_of(said)["speed-up over ditflow: floor", "fastvmt"]["verdict"]) == (int(verdict == "worse"), verdict)


def test_a_stage_of_its_own_has_its_own_speed_up(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r", stages=lambda label: {"guidance": 1.0 if label == "fastvmt" else 4.0, "denoise": 9.0})
    wish = '[[speed_up]]\nof = "fastvmt"\nover = "ditflow"\nstage = "%s"\nat_least = 3\n'
    code, said = bench("check", run, "--tolerances", toml(tmp_path, wish % "guidance"))
    assert code == 0 and "speed-up over ditflow (guidance): floor, fastvmt: speed-up 4.00" in said
    code, said = bench("check", run, "--tolerances", toml(tmp_path, wish % "training"))
    assert code == 4 and "no pair has seconds of both in stage training" in said


def test_a_method_has_to_beat_its_control_by_the_margin_asked_for(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r")
    lossy = run_folder(tmp_path / "lossy", failed={("case-0000", "fastvmt", 0): "out of luck"})
    wish = '[[better]]\nmetric = "motion_fidelity"\nof = "fastvmt"\nthan = "none"\nby = %s\n'
    assert bench("check", run, "--tolerances", toml(tmp_path, wish % 0.5))[0] == 0
    code, said = bench("check", run, "--tolerances", toml(tmp_path, wish % 0.9))
    assert code == 1 and "motion_fidelity over none, fastvmt: better by 0.675 [" in said
    assert "; without 1 of 8 videos over 7 pairs" in bench("check", lossy, "--tolerances", toml(tmp_path, wish % 0.5))[1]
    code, said = bench("check", run, "--tolerances", toml(tmp_path, wish.replace("none", "nobody") % 0.5))
    assert code == 4 and "the run has no method nobody" in said


def test_the_first_pattern_in_the_file_decides_and_a_relative_one_is_of_the_baseline(tmp_path: Path, stored: Path) -> None:
    run = run_folder(tmp_path / "r", only(-0.05))
    for first, code in ((0.1, 0), (0.05, 1)):  # 0.05 of 0.8 is a loss of 6 %
        wish = toml(tmp_path, f'[metrics."motion_*"]\nrelative = {first}\n[metrics."*"]\nabsolute = 1000\n')
        assert bench("check", run, "--baseline", stored, "--tolerances", wish)[0] == code


def test_only_the_methods_named_are_gated(tmp_path: Path, stored: Path) -> None:
    run = run_folder(tmp_path / "r", only(-0.5, method="none"))
    assert bench("check", run, "--baseline", stored)[0] == 0
    wish = toml(tmp_path, '[metrics.motion_fidelity]\nabsolute = 0.1\nmethods = ["no*"]\n')
    code, said = bench("check", run, "--baseline", stored, "--tolerances", wish, "--json")
    assert code == 1 and set(rows_of(said)) == {(SCORE, "none")}


def test_another_suite_or_setting_is_never_green(tmp_path: Path, stored: Path) -> None:
    wish = toml(tmp_path, '[metrics."*"]\nabsolute = 1\n[[speed_up]]\nof = "fastvmt"\nover = "ditflow"\nat_least = 1\n')
    other = run_folder(tmp_path / "suite", suite="others")
    for args in ((), ("--tolerances", wish)):
        code, said = bench("check", other, "--baseline", stored, *args)
        assert code == 4 and "the run is of another suite (others" in said and "gate: could not compare" in said
    for number, place in enumerate(("/home/me/wan", "/data/wan")):  # the same weights elsewhere are no other setting
        moved = run_folder(tmp_path / f"moved{number}", setting=make_setting(backbone=place))
        assert number or bench("baseline", "write", moved, "--out", tmp_path / "moved.json")[0] == 0
        assert "/home/me" not in (tmp_path / "moved.json").read_text()
        code, said = bench("check", moved, "--baseline", tmp_path / "moved.json")
        assert code == 0, said
    steps = run_folder(tmp_path / "steps", setting=make_setting(steps=5))
    code, said = bench("check", steps, "--baseline", stored)
    assert code == 4 and "differ in steps, sigmas" in said


def test_a_run_without_videos_and_patterns_that_match_nothing_are_never_green(tmp_path: Path, stored: Path) -> None:
    every = [(f"case-{n:04d}", m, 0) for n in range(8) for m in ("none", "fastvmt", "ditflow")]
    empty = run_folder(tmp_path / "empty", missing=every)
    code, said = bench("check", empty, "--baseline", stored)
    assert code == 4 and "not made" in said
    code, said = bench(
        "check",
        run_folder(tmp_path / "r"),
        "--baseline",
        stored,
        "--tolerances",
        toml(tmp_path, "[metrics.tyme]\nabsolute = 1\n"),
    )
    assert code == 4 and "not compared  tyme: no metric and method of run or baseline match" in said
    assert bench("check", tmp_path / "r")[0] == 4, "neither baseline nor floors"


def test_another_metric_under_the_same_name_is_not_compared_and_what_differs_is_named(tmp_path: Path, stored: Path) -> None:
    raw = json.loads(stored.read_text())
    raw["metrics"][SCORE]["identity"]["backend"] = "another tracker"
    changed = tmp_path / "b.json"
    changed.write_text(json.dumps(raw))
    code, said = bench("check", run_folder(tmp_path / "r"), "--baseline", changed)
    assert code == 0 and f"not compared  {SCORE}, fastvmt: another metric under this name: backend (another tracker → " in said


def config_of(run: Path, **changes: object) -> Path:
    raw = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(raw | changes))
    return run


@pytest.mark.parametrize("change", [{"threads": 2}, {"offload": "block"}, {"repeats": 3}])
def test_seconds_under_other_threads_offloading_or_repeats_are_not_compared(
    tmp_path: Path, stored: Path, change: dict[str, object]
) -> None:
    slower = config_of(run_folder(tmp_path / "r", only(3.0, SECONDS)), **change)
    code, said = bench("check", slower, "--baseline", stored, "--json")
    row, (name,) = rows_of(said)[SECONDS, "fastvmt"], change
    assert code == 0 and row["verdict"] == "not compared" and f"timed differently: {name} " in row["sentence"]
    raw = json.loads(stored.read_text())
    del raw["timed"]
    (tmp_path / "older.json").write_text(json.dumps(raw))
    code, said = bench("check", slower, "--baseline", tmp_path / "older.json", "--json")
    assert code == 1 and any("does not say its threads" in n for n in json.loads(said)["notes"])


def test_another_preset_is_not_compared_and_other_parameters_are_said() -> None:
    base = measured([0.5, 0.6])
    presets = {"m": MethodFacts(identity={"params": {"block": 4}}, preset="released")}
    outcome = check(base.model_copy(update={"methods": presets}), base, tolerances.Tolerances())
    assert outcome.exit_code() == 4 and "another preset (paper → released)" in outcome.rows[0].sentence
    block = {"m": MethodFacts(identity={"params": {"block": 7}}, preset="paper")}
    outcome = check(base.model_copy(update={"methods": block}), base, tolerances.Tolerances())
    assert outcome.exit_code() == 0 and outcome.notes == ("m: block (4 → 7) changed since the baseline.",)


def test_one_reference_clip_has_no_interval_whatever_its_numbers() -> None:
    base = measured([0.9, 0.9, 0.9], clips=["5a3e"] * 3)
    run = measured([0.1, 0.1, 0.1], clips=["5a3e"] * 3)
    elsewhere = run.model_copy(update={"videos": tuple(v.model_copy(update={"device": "another"}) for v in run.videos)})
    (row,) = check(elsewhere, base, tolerances.Tolerances()).rows
    assert row.verdict == "unclear" and "one reference clip has no interval" in row.sentence and row.low is None


def test_a_direction_of_none_cannot_be_worse() -> None:
    base = measured([0.5, 0.6], direction="none")
    with pytest.raises(SpecError, match=r"tolerance for 'score': neither more nor less"):
        check(base, base, tolerances.Tolerances(metrics={"score": tolerances.Tolerance(absolute=0.1)}))
    assert check(base, base, tolerances.Tolerances()).exit_code() == 4


def test_a_new_failure_is_worse_and_an_old_one_is_not(tmp_path: Path, stored: Path) -> None:
    at = ("case-0003", "fastvmt", 0)
    run = run_folder(tmp_path / "r", failed={at: "out of luck"})
    code, said = bench("check", run, "--baseline", stored)
    assert code == 1 and "1 of 8 videos that the baseline has failed: case-0003 seed 0 (error)" in said
    assert f"{SCORE}, fastvmt: 0.7" in said and "over 7 pairs of 7 clips" in said, "the rest is compared all the same"
    code, said = bench("baseline", "write", run, "--out", tmp_path / "b.json")
    assert code == 2 and "fastvmt case-0003 seed 0: failed (error)" in said and not (tmp_path / "b.json").exists()
    code, said = bench("baseline", "write", run, "--out", tmp_path / "b.json", "--allow-failures")
    assert code == 0 and "fastvmt case-0003 seed 0: failed (error)" in said
    assert bench("check", run, "--baseline", tmp_path / "b.json")[0] == 0


FLOORS = (
    '[[better]]\nmetric = "motion_fidelity"\nof = "fastvmt"\nthan = "none"\nby = 0.1\n'
    '[[speed_up]]\nof = "fastvmt"\nover = "ditflow"\nat_least = 1.5\nrelative = 0.2\n'
)
"""Three checks of fastvmt."""
OF_DITFLOW = '[[better]]\nmetric = "motion_fidelity"\nof = "ditflow"\nthan = "none"\nby = 0.1\n'


def jobs_of(label: str) -> list[tuple[str, str, int]]:
    return [(f"case-{n:04d}", label, 0) for n in range(8)]


def test_a_floor_under_a_method_whose_every_video_failed_is_worse(tmp_path: Path, stored: Path) -> None:
    run = run_folder(tmp_path / "r", failed=dict.fromkeys(jobs_of("fastvmt"), "out of luck"))
    code, said = bench("check", run, "--tolerances", toml(tmp_path, FLOORS + OF_DITFLOW), "--json")
    found = {k: r["verdict"] for k, r in rows_of(said).items()}
    assert code == 1 and found["motion_fidelity over none", "ditflow"] == "same"
    assert found["motion_fidelity over none", "fastvmt"] == found["speed-up over ditflow: floor", "fastvmt"] == "worse"
    code, said = bench("check", run, "--baseline", stored, "--tolerances", toml(tmp_path, FLOORS), "--json")
    assert code == 1 and {r["verdict"] for r in rows_of(said).values()} == {"worse"}
    undefined = run_folder(tmp_path / "u", only(float("nan")))
    code, said = bench("check", undefined, "--tolerances", toml(tmp_path, FLOORS + OF_DITFLOW), "--json")
    row = rows_of(said)["motion_fidelity over none", "fastvmt"]
    assert code == 1 and row["verdict"] == "worse" and "nothing of it is left to measure" in row["sentence"]


def test_a_floor_that_cannot_be_checked_is_not_green(tmp_path: Path) -> None:
    """The method to be held against is what failed: no verdict on fastvmt."""
    run = run_folder(tmp_path / "r", failed=dict.fromkeys(jobs_of("ditflow"), "out of luck"))
    wish = toml(tmp_path, FLOORS)
    code, said = bench("check", run, "--tolerances", wish, "--junit", tmp_path / "x.xml", "--github")
    assert code == 4 and "gate: could not make every check (2 not compared, 1 same)" in said
    words = "1 check that was asked for could not be made: speed-up over ditflow: floor, fastvmt"
    assert words in said and "::error title=gate%3A not compared" in said
    assert words in (tmp_path / "x.xml").read_text()


def test_what_a_machine_cannot_compare_stays_green_under_strict_and_a_pattern_without_a_match_does_not(
    tmp_path: Path, stored: Path
) -> None:
    run = run_folder(tmp_path / "r", device="another machine")
    assert bench("check", run, "--baseline", stored, "--strict")[0] == 0
    wish = toml(tmp_path, "[metrics.motion_fidelity]\nabsolute = 0.1\n[metrics.tyme]\nabsolute = 1\n")
    assert bench("check", run, "--baseline", stored, "--tolerances", wish)[0] == 0
    code, said = bench("check", run, "--baseline", stored, "--tolerances", wish, "--strict")
    assert code == 4 and "not compared  tyme" in said


def test_numbers_that_became_undefined_are_never_a_quiet_pass(tmp_path: Path, stored: Path) -> None:
    one = run_folder(tmp_path / "one", only(lambda case, seed: float("nan") if case == "case-0002" else 0.0))
    code, said = bench("check", one, "--baseline", stored, "--json")
    row = rows_of(said)[SCORE, "fastvmt"]
    assert (code, row["verdict"]) == (0, "unclear") and "case-0002 seed 0 (undefined)" in row["sentence"]
    code, said = bench("check", run_folder(tmp_path / "all", only(float("nan"))), "--baseline", stored, "--json")
    assert code == 1 and rows_of(said)[SCORE, "fastvmt"]["verdict"] == "worse"


def test_a_metric_that_fails_now_is_worse() -> None:
    base = measured([0.5, 0.6, 0.7])
    videos = [
        v.model_copy(update={"values": {}, "gaps": {"score": "failed"}}) if n == 0 else v for n, v in enumerate(base.videos)
    ]
    (row,) = check(base.model_copy(update={"videos": tuple(videos)}), base, tolerances.Tolerances()).rows
    assert row.verdict == "worse" and "the metric now fails on 1 of 3 videos" in row.sentence

"""What the gate says it can find is what it finds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.gate_runs import SCORE, SECONDS, bench, measured, only, run_folder
from support.gate_runs import stored as stored  # a fixture
from support.runs import share

from fastvmt.reports.gate import power, tolerances
from fastvmt.reports.gate.check import check
from fastvmt.reports.gate.verdicts import Gains, Judgement, decide
from fastvmt.reports.statistics import mean_intervals


def row(values: np.ndarray, tolerance: float) -> Judgement:
    clips = tuple(f"c{n:03d}" for n in range(len(values)))
    return Judgement("score", "m", "same", "", clips=len(clips), gains=Gains(tuple(values), clips, tolerance))


def spread(clips: int) -> np.ndarray:
    values = np.random.default_rng(clips).normal(0, 1, clips)
    return np.asarray((values - values.mean()) / values.std(ddof=1))


@pytest.mark.parametrize("clips", [4, 16])
@pytest.mark.parametrize("strict", [False, True])
def test_the_smallest_drop_is_found_nine_times_of_ten_in_runs_drawn_anew(clips: int, strict: bool) -> None:
    drop = power.drop_of(row(spread(clips), 2.5), strict)
    assert drop
    fails = {"worse", "unclear"} if strict else {"worse"}
    drawn = mean_intervals(np.random.default_rng(7).normal(-drop, 1, (clips, 200)))
    assert 0.84 < sum(decide(i.low, i.high, 2.5) in fails for i in drawn) / 200 < 0.96


def test_where_no_chance_is_in_a_number_the_tolerance_is_what_is_found() -> None:
    base = measured([0.5 + 0.1 * n for n in range(6)])
    found = check(base, base, tolerances.Tolerances(metrics={"score": tolerances.Tolerance(absolute=0.03)}))
    (facts,), whole = power.powers(found, rounds=50)
    assert facts.exact and facts.drop == pytest.approx(0.03) and facts.alarms.value == whole.value == 0


def test_two_clips_have_no_interval_so_nothing_can_be_found_and_strict_always_fails() -> None:
    outcome = row(np.array([0.1, -0.1]), 0.5)
    assert power.drop_of(outcome) == np.inf and power.drop_of(outcome, strict=True) == 0


def test_bench_check_prints_what_each_check_finds_and_opens_with_the_worst_of_it(tmp_path: Path, stored: Path) -> None:
    run = run_folder(tmp_path / "r", only(lambda case, seed: 4 * (share("noise", case) - 0.5), SECONDS, "ditflow"))
    code, said = bench("check", run, "--baseline", stored, "--power", "--json")
    rows = {(r["metric"], r["method"]): r for r in json.loads(said)["power"]}
    assert code == 0 and rows[SCORE, "fastvmt"]["drop"] == pytest.approx(0.02) and json.loads(said)["whole"]["value"] < 0.05
    assert rows[SECONDS, "ditflow"]["relative"] and rows[SECONDS, "ditflow"]["drop"] > 0.13 > rows[SECONDS, "fastvmt"]["drop"]
    code, said = bench("check", run, "--baseline", stored, "--power", "--strict")
    assert code == 0 and said.splitlines()[1].split() == ["check", "clips", "may", "lose", "finds", "false", "alarms"]
    first = bench("check", run, "--baseline", stored)[1].splitlines()[0]
    assert first.startswith("Not worse: 4 checks over 8 clips; smallest loss found 9 times of 10: motion_fidelity 0.02, time ")

"""Properties of the gate's rule, and its own false alarms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gate_runs import SCORE, bench, measured, run_folder
from support.gate_runs import stored as stored  # a fixture
from support.runs import share

from fastvmt.reports.gate import calibrate, tolerances
from fastvmt.reports.gate.baseline import Measured
from fastvmt.reports.gate.check import check
from fastvmt.reports.gate.verdicts import Gains, decide

numbers = st.floats(-1, 1, allow_nan=False).map(lambda v: round(v, 3))
sides = st.lists(st.tuples(numbers, numbers, st.floats(0, 1).map(lambda v: round(v, 3))), min_size=2, max_size=12)


@settings(max_examples=40, deadline=None)
@given(sides, st.floats(0, 0.5), st.sampled_from(["up", "down"]))
def test_making_values_worse_never_turns_worse_into_anything_else(
    triples: list[tuple[float, float, float]], tolerance: float, direction: str
) -> None:
    sign = 1 if direction == "up" else -1
    allowed = tolerances.Tolerances(metrics={"score": tolerances.Tolerance(absolute=tolerance)})
    base = measured([b for _, b, _ in triples], direction=direction)
    rows = [
        check(measured([a - sign * harm * k for a, _, k in triples], direction=direction), base, allowed).rows[0]
        for harm in (0, 1)
    ]
    low, high = rows[0].low or 0.0, rows[0].high or 0.0
    best = high if direction == "up" else -low
    # The ends of a bootstrap interval have a noise of their own; what is worse by less than that may become unclear.
    assert best + 0.05 * (high - low) >= -tolerance or rows[1].verdict == "worse"


def test_an_interval_that_excludes_the_loss_is_no_loss_however_wide() -> None:
    assert decide(-0.1, 5.0, 0.1) == "same" and decide(-0.11, 5.0, 0.1) == "unclear"
    assert decide(-0.5, -0.1, 0.1) == "unclear" and decide(-0.5, -0.1001, 0.1) == "worse"


def noise(clips: int) -> tuple[float, ...]:
    return tuple(np.random.default_rng(5).normal(0, 1, clips))


def gains(clips: int, tolerance: float) -> Gains:
    return Gains(noise(clips), tuple(f"c{n:04d}" for n in range(clips)), tolerance)


def rate(clips: int, tolerance: float = 0.0) -> float:
    return calibrate.alarms([gains(clips, tolerance)], rounds=400)[0].value


def test_false_alarms_are_about_the_nominal_share_and_fall_with_the_tolerance() -> None:
    """A 95 % interval leaves 2.5 % on the side that is worse (both sides together: the 5 %)."""
    rates = [rate(40, t) for t in (0.0, 0.1, 0.2, 0.4)]
    assert 0.012 < rates[0] < 0.045 and rates == sorted(rates, reverse=True) and rates[-1] < 0.005
    assert rate(5) < 0.06, "few clips must not cry wolf more often"


def test_the_whole_gate_alarms_more_often_than_its_parts_and_the_tolerances_named_hold_it_down() -> None:
    run, base = many(0.0), many(1.0)
    zero = tolerances.Tolerances(metrics={"*": tolerances.Tolerance(absolute=0.0)})
    found = calibrate.calibrate(run, base, zero, rounds=400)
    assert found is not None and len(found.rates) == 6
    assert found.whole.value > 2 * max(r.rate.value for r in found.rates) and found.whole.value > calibrate.PROMISED
    named = tolerances.Tolerances(metrics={r.metric: tolerances.Tolerance(absolute=r.holds) for r in found.rates})
    again = calibrate.calibrate(run, base, named, rounds=400)
    assert again is not None and again.whole.value <= calibrate.PROMISED
    assert any(r.holds > 0 and r.rate.value > calibrate.PROMISED / 6 for r in found.rates), "and zero would not have done"


def many(spread: float) -> Measured:
    """Six metrics of twelve clips, each with noise of its own."""
    parts = [measured([spread * v for v in np.random.default_rng(n).normal(0, 1, 12)], metric=f"s{n}") for n in range(6)]
    videos = [
        v.model_copy(
            update={"values": {k: x for p in parts for k, x in p.videos[n].values.items()}, "frames_digest": f"{n} {spread}"}
        )
        for n, v in enumerate(parts[0].videos)
    ]
    facts = {k: f for p in parts for k, f in p.metrics.items()}
    return parts[0].model_copy(update={"videos": tuple(videos), "metrics": facts})


def test_a_true_loss_of_the_noises_size_is_found() -> None:
    """Power: with 40 clips a loss of one standard deviation is worse in nearly every draw."""
    found = 0
    for draw in range(50):
        values = np.random.default_rng(draw).normal(-1, 1, 40)
        base = measured([0.0] * 40)
        found += check(measured(list(values)), base, tolerances.Tolerances()).exit_code()
    assert found >= 48


def test_calibrate_prints_a_rate_and_a_tolerance_for_each_verdict(tmp_path: Path, stored: Path) -> None:
    other = run_folder(tmp_path / "r", lambda m, case, label, seed: 0.05 * (share(m, case, label, "again") - 0.5))
    code, said = bench("check", other, "--baseline", stored, "--calibrate")
    lines = said.splitlines()
    assert code == 0 and len(lines) == 5 and all("false alarms at tolerance" in x for x in lines[:-1])
    assert lines[-1].startswith("the gate as a whole: ") and "under 5 % (1.2 % for each of 4)" in lines[-1]
    assert any(x.startswith(f"{SCORE}, fastvmt: ") and "(run against baseline)" in x for x in lines)
    code, said = bench("check", run_folder(tmp_path / "same"), "--baseline", stored, "--calibrate")
    assert code == 4 and "no noise to judge by" in said


def test_calibrate_takes_the_seeds_of_a_run_where_videos_are_identical(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r", lambda m, case, label, seed: 0.1 * share(m, case, label, seed), seeds=(0, 1, 2, 3))
    bench("baseline", "write", run, "--out", tmp_path / "b.json")
    code, said = bench("check", run, "--baseline", tmp_path / "b.json", "--calibrate", "--json")
    found = json.loads(said)["rates"]
    assert code == 0 and {r["source"] for r in found} == {"seeds of the run"} and all(r["clips"] == 8 for r in found)

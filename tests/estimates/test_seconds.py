"""Seconds from past videos: lines that are known, outliers, classes that must not mix, and how wrong it was."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.cli import bench
from support.runs import make_run

from fastvmt.estimates import plan_estimate
from fastvmt.estimates import seconds as costmodel
from fastvmt.estimates.seconds import Prediction, Sample, fit, last_time, past, predict
from fastvmt.store.folder import Store

BASE = Sample("d", ("w", 64, 64, 33), "m", 1e12, 1.0, 0.1, 0.5, 1000, 0.0, "r")


def line(slope: float, base: float, works: list[float], noise: float = 0.0) -> list[Sample]:
    rng = random.Random(0)
    return [replace(BASE, work=x, seconds=(slope * x + base) * (1 + noise * rng.uniform(-1, 1))) for x in works]


def test_a_line_is_found_and_a_busy_hour_does_not_bend_it() -> None:
    works = [n * 1e12 for n in (20, 20, 30, 40, 84, 84, 90, 100)] * 3
    exact = fit(line(3e-13, 2.0, works))
    assert exact and exact.slope == pytest.approx(3e-13) and exact.base == pytest.approx(2.0) and exact.spread < 1e-9
    noisy = line(3e-13, 2.0, works, noise=0.02)
    noisy[3] = replace(noisy[3], seconds=noisy[3].seconds * 12)
    noisy[9] = replace(noisy[9], seconds=noisy[9].seconds * 7)
    bent = fit(noisy)
    assert bent and bent(60e12) == pytest.approx(3e-13 * 60e12 + 2.0, rel=0.03)


def test_no_line_is_negative_and_one_work_is_a_ratio() -> None:
    falling = fit([replace(BASE, work=w, seconds=s) for w, s in ((1e12, 5.0), (2e12, 4.0), (3e12, 3.0), (4e12, 2.0))])
    assert falling and falling.slope == 0 and 2 < falling.base < 5
    under = fit([replace(BASE, work=w, seconds=s) for w, s in ((2e12, 1.0), (3e12, 2.0), (4e12, 3.0))])
    assert under and under.base == 0 and under.slope > 0
    one = fit(line(2e-12, 0.0, [5e12] * 4))
    assert one and one(10e12) == pytest.approx(20.0)
    assert fit(line(1e-12, 0, [1e12, 2e12])) is None


def plan_run(folder: Path, seconds: dict[str, float]) -> Store:
    """A run whose videos of each method took so many seconds."""
    root = make_run(folder, cases=4, methods=tuple(seconds), videos=False, metrics=("time",), device="cpu",
                    stages=lambda label: {"denoise": seconds[label], "load": 9.0})  # fmt: skip
    return Store.open(root)


def test_only_the_same_class_of_device_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costmodel, "_device_name", lambda device: "cpu")
    store = plan_run(tmp_path / "a", {"none": 2.0, "fastvmt": 6.0})
    config = store.config()
    works = {"none": 1e12, "fastvmt": 3e12}
    found = predict(config, works, past(store.root))
    assert found.seconds == {"none": 2.0, "fastvmt": 6.0} and found.load == 9.0 and "2 of 2 methods at their own" in found.basis
    for other in (
        config.model_copy(update={"threads": 7}),
        config.model_copy(update={"setting": config.setting.model_copy(update={"dtype": "bfloat16"})}),
    ):
        assert predict(other, works, past(store.root)) == Prediction()
    monkeypatch.setattr(costmodel, "_device_name", lambda device: "another cpu")
    assert predict(config, works, past(store.root)) == Prediction()


@pytest.mark.parametrize("times", [1, 4, 100, 1000])
@pytest.mark.parametrize("law", [
    lambda w: 3e-13 * w, lambda w: 5.0 + 3e-14 * w, lambda w: 8e-11 * w**0.8, lambda w: 1e-15 * w**1.2,
], ids=["proportional", "mostly overhead", "sublinear", "superlinear"])  # fmt: skip
def test_the_interval_of_another_size_holds_and_is_called_an_extrapolation(
    law: Callable[[float], float], times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Videos of a small size by a law and 10 % of noise; what a larger size takes by the same law lies inside."""
    monkeypatch.setattr(costmodel, "_device_name", lambda device: "cpu")
    config = Store.open(plan_run(tmp_path / "a", {"none": 2.0}).root).config()
    device, one_pass = costmodel.device_class(config), 1e12
    works = {"none": 40 * one_pass * times}
    held = 0
    for seed in range(20):
        rng = random.Random(seed)
        samples = [
            replace(BASE, device=device, work=n * one_pass, seconds=law(n * one_pass) * rng.uniform(0.9, 1.1), one_pass=one_pass)
            for n in (8, 8, 20, 30, 40, 84)
        ]  # fmt: skip
        found = predict(config, works, samples, one_pass=one_pass * times)
        assert bool(found.beyond) == (times > 2) == ("half of them" not in found.basis)
        assert found.low["none"] < found.seconds["none"] < found.high["none"]
        held += found.low["none"] <= law(works["none"]) <= found.high["none"]
        assert times > 1 or found.high["none"] / found.low["none"] < 4
    assert held >= 19


def test_seconds_of_a_real_model_predicted_from_tiny_are_inside() -> None:
    """231 s were predicted from videos of a thousandth of the work, half of them within 4 % of their fit; it took 1584 s."""
    low, high = costmodel.widened([231.0], 0.04, 1000)
    assert low < 231 < 1584 < high


def test_a_machine_without_a_gpu_learns_from_the_newest_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login node: its runs are on nodes whose names it sees in their videos alone."""
    monkeypatch.setattr(costmodel, "_device_name", lambda device: "a GPU elsewhere")
    root = plan_run(tmp_path / "a", {"none": 2.0}).root
    config = Store.open(root).config().model_copy(update={"device": "cuda"})
    dtype, works = config.setting.dtype, {"none": 1e12}
    (sample, *_) = past(root)
    videos = [
        *[replace(sample, device=f"Old GPU, {dtype}", seconds=8.0, made=1.0)] * 3,
        *[replace(sample, device=f"New GPU, {dtype}", seconds=2.0, made=2.0)] * 3,
        *[replace(sample, device=f"cpu, {dtype}, 4 threads", seconds=99.0, made=3.0)] * 3,
        *[replace(sample, device="Newest GPU, float16", seconds=1.0, made=4.0)] * 3,
    ]
    found = predict(config, works, videos)
    assert found.seconds == {"none": 2.0} and f"on New GPU, {dtype} (the GPU of the newest videos)" in found.basis
    assert "another device" in found.beyond and found.low["none"] < 2.0 / 3 and found.high["none"] > 2.0 * 3
    assert predict(config, works, videos[6:]) == Prediction()
    monkeypatch.setattr(costmodel, "_device_name", lambda device: "Old GPU")
    assert predict(config, works, videos).seconds == {"none": 8.0} and "newest" not in predict(config, works, videos).basis
    assert not predict(config, works, videos).beyond
    assert predict(config, works, videos, elsewhere=True).seconds == {"none": 2.0}  # --device-memory
    store = Store.open(root)
    costmodel.remember(store, config, found, {"none": 4}, costmodel.likely_class(config, videos, True))
    assert json.loads((root / "plan.json").read_text())["device"] == f"New GPU, {dtype}"


def test_what_videos_share_counts_once_in_every_sum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costmodel, "_device_name", lambda device: "cpu")
    root = make_run(tmp_path / "a", cases=2, seeds=(0, 1, 2), methods=("none",), videos=False, metrics=("time",), device="cpu",
                    stages=lambda label: {"train": 30.0, "denoise": 10.0})  # fmt: skip
    config = Store.open(root).config()
    each = Prediction({"none": 40.0}, "", {"none": 0.75})
    assert plan_estimate._seconds_left(config, each, {"none": 6}) == {"none": 2 * 40.0 + 4 * 10.0}
    assert plan_estimate._seconds_left(config, each, {"none": 1}) == {"none": 40.0}
    wall = plan_estimate._wall(config, each, {"none": 6}, 120.0, plan_estimate.Conditions(1))
    assert wall == 120.0


def test_seconds_of_a_video_taken_over_do_not_count(tmp_path: Path) -> None:
    store = plan_run(tmp_path / "a", {"none": 2.0})
    assert len(past(store.root)) == 4
    for path in (store.root / "artefacts").glob("*/meta.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"reused_from": "elsewhere"}))
    assert past(store.root) == []


def test_damaged_neighbours_are_passed_over(tmp_path: Path) -> None:
    store = plan_run(tmp_path / "a", {"none": 2.0})
    for name, text in (("b", "{"), ("c", "[]"), ("d", '{"setting": {}}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
        (tmp_path / name / "plan.json").write_text(text)
    next((store.root / "artefacts").glob("*/meta.json")).write_text('{"stages": 3}')
    assert len(past(store.root)) == 3 and last_time(store.root, "cpu", past(store.root)) is None


def test_the_last_prediction_is_held_against_what_happened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costmodel, "_device_name", lambda device: "cpu")
    store = plan_run(tmp_path / "a", {"none": 2.0, "fastvmt": 6.0})
    config = store.config()
    monkeypatch.setattr(costmodel.time, "time", lambda: 0.0)
    costmodel.remember(store, config, Prediction({"none": 1.0, "fastvmt": 6.0}, "x"), {"none": 4, "fastvmt": 4})
    found = last_time(tmp_path / "a new run", costmodel.device_class(config), past(tmp_path / "a new run"))
    assert found and (found.run, found.videos, found.predicted, found.took) == ("a", 8, 28.0, 32.0)
    assert found.off == pytest.approx(32 / 28 - 1)
    assert last_time(tmp_path / "n", "another device", past(tmp_path / "n")) is None
    monkeypatch.setattr(costmodel.time, "time", lambda: 4e9)  # begun after all videos were made
    costmodel.remember(store, config, Prediction({"none": 1.0}, "x"), {"none": 4})
    assert last_time(tmp_path / "n", costmodel.device_class(config), past(tmp_path / "n")) is None


def test_a_plan_learns_from_runs_and_says_how_wrong_it_was(xs: Path, tmp_path: Path) -> None:
    """As a user sees it: unknown, then predicted from the first run, then held against the second one."""

    def args(seed: str) -> list[str | Path]:
        return ["--backbone", xs, "--limit", "3", "--methods", "fastvmt", "--threads", "1", "--metrics", "time", "--seeds", seed,
                "--out", tmp_path / "runs" / seed]  # fmt: skip

    left = {"none": 3, "sdedit": 3, "reference": 3, "fastvmt": 3}
    before = bench("plan", *args("0"), "--json").data
    assert before["seconds"] is None and before["last"] is None and before["left"] == left
    assert bench("run", *args("0")).code == 0
    second = bench("plan", *args("1"), "--json").data
    each = second["seconds_each"]
    # Which method is slower is no matter here: on random weights a busy machine's unrest is larger than guidance.
    assert second["seconds"] == pytest.approx(3 * sum(each.values()), rel=0.01) and all(
        (s > 0) is (k != "reference") for k, s in each.items()
    )
    assert "from 9 measured videos of these weights and this size" in second["seconds_basis"]
    assert bench("run", *args("1")).code == 0
    note = json.loads((tmp_path / "runs" / "1" / "plan.json").read_text())
    assert note["seconds"] == each and note["left"] == left
    third = bench("plan", *args("2"))
    assert "last time on this device: predicted " in third.out and " for the 9 videos looked at in 1" in third.out
    done = bench("plan", *args("1"), "--json").data
    assert done["seconds"] == done["wall_seconds"] == 0 and done["done"] == 12 and done["last"]["videos"] == 9

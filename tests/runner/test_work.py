"""Several runners on one folder, in real processes: each job once, whoever dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from support.cli import bench, spawn, start
from support.elsewhere import foreign, workers_of
from support.light_runs import events, make_quick, quick, times, wait_for

from fastvmt.model import Failure
from fastvmt.runner.crew.leases import Leases
from fastvmt.runner.crew.neighbours import Neighbours
from fastvmt.runner.queue import Task
from fastvmt.store.folder import Store


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The table of twelve quick jobs that one worker did."""
    said = bench("resume", make_quick(tmp_path_factory.mktemp("alone") / "run", 12), "--json")
    assert said.code == 0, said.err
    return str(said.data["digest"])


def test_eight_runners_on_one_folder_do_each_job_once(tmp_path: Path, alone: str) -> None:
    run = make_quick(tmp_path / "run", 12, [quick(work=0.05)])
    crew = [start("work", run, stdout=subprocess.PIPE) for _ in range(7)]
    driver = bench("resume", run, "--json")
    assert [c.communicate()[0] and c.returncode for c in crew] == [0] * 7
    assert driver.code == 0 and driver.data["rows"][0]["made"] == 12
    assert set(times(run, "generating").values()) == set(times(run, "done").values()) == {1} and len(times(run, "made")) == 12
    assert len(Store.open(run).records()) == 12
    again = bench("resume", run, "--json")
    assert again.data["outcome"] == {"made": 0, "found": 12, "failed": 0, "interrupted": False, "unscored": 0}
    assert not [p for p in (run / "leases").rglob("*") if p.is_file()]


def test_a_second_driver_is_refused_and_a_helper_is_not(tmp_path: Path) -> None:
    gate = tmp_path / "open"
    run = make_quick(tmp_path / "run", 2, [quick(do="wait", mark=str(gate))])
    driver = start("resume", run, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: events(run, "generating"))
    assert bench("resume", run).code == 2
    helper = start("work", run, "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: len(times(run, "generating")) == 2)  # each has one
    gate.touch()
    assert driver.wait(60) == helper.wait(60) == 0
    assert helper.stdout and json.loads(helper.stdout.read())["outcome"]["failed"] == 0
    assert set(times(run, "generating").values()) == {1}
    for process in (driver, helper):
        process.communicate()


def test_a_killed_helper_loses_only_what_it_had_in_work(tmp_path: Path, alone: str) -> None:
    gate = tmp_path / "open"
    run = make_quick(tmp_path / "run", 4, [quick(do="wait", mark=str(gate))])
    helper = start("work", run, "--workers", "1")
    wait_for(lambda: events(run, "generating"))
    helper.send_signal(signal.SIGKILL)
    helper.wait()
    wait_for(lambda: not workers_of(run))
    gate.touch()
    said = bench("work", run, "--json")
    assert said.code == 0 and said.data["outcome"]["made"] == 4
    assert set(times(run, "made").values()) == {1} and sorted(times(run, "generating").values()) == [1, 1, 1, 2]


def test_a_job_that_failed_is_not_tried_again_by_the_others_but_by_the_next_start(tmp_path: Path) -> None:
    run = make_quick(tmp_path / "run", 1, [quick(do="raise"), quick("quick:good")])
    first, second = bench("work", run, "--json"), bench("work", run, "--json")
    assert (first.code, second.code) == (3, 3)
    assert first.data["outcome"]["made"] == 1 and second.data["outcome"] == {
        "made": 0,
        "found": 1,
        "failed": 1,
        "interrupted": False,
        "unscored": 0,
    }
    assert set(times(run, "generating").values()) == {1}
    assert bench("resume", run).code == 3 and sorted(times(run, "generating").values()) == [1, 2]
    assert len(Store.open(run).failures()) == 1


def test_a_training_that_failed_is_not_repeated_by_the_others_but_by_the_next_start(tmp_path: Path) -> None:
    trained = quick("trained", do="raise").model_copy(update={"method": "trained"})
    run = make_quick(tmp_path / "run", 1, [trained], seeds=(0, 1))
    ends = [bench("work", run, "--json") for _ in range(2)]
    assert [e.code for e in ends] == [3, 3] and [e.data["outcome"]["failed"] for e in ends] == [2, 2]
    assert len(events(run, "preparing")) == 1 and not events(run, "generating")
    found = Store.open(run).failures().values()
    assert len(found) == 2 and all("preparation failed: RuntimeError: a light method's own error" in f.message for f in found)
    assert bench("resume", run).code == 3 and len(events(run, "preparing")) == 2


def test_a_training_that_fails_at_another_runner_is_known_with_its_reason(tmp_path: Path) -> None:
    run = make_quick(tmp_path / "run", 1, [quick()])
    one, two = Store.open(run), Store.open(run)
    for store, name in ((one, "one"), (two, "two")):
        store.join(name)
    here, there = Neighbours(one), Neighbours(two)
    here.begin()
    there.begin()
    task = Task(one.config().jobs()[0], "prepare", prepared="p" * 32)
    assert here.claim(task) == ("ours", task)
    one.event("unprepared", key=task.prepared, kind="non_finite", stage="train", message="NaN")
    here.leases.release(task.lease)
    assert there.claim(task) == ("failed", None) and there.why(task.prepared) == ("non_finite", "train", "NaN", "")
    here.leases.close()
    there.leases.close()


def test_what_a_living_runner_is_making_is_not_cleared_away(tmp_path: Path) -> None:
    run = make_quick(tmp_path / "run", 1)
    store, other = Store.open(run), Leases(run)
    other.start()
    store.holder = other.token
    living = store.new_folder()
    store.holder = "0" * 16
    dead = store.new_folder()
    assert bench("resume", run).code == 0
    assert living.exists() and not dead.exists()
    other.close()


def test_a_runner_clears_away_one_that_fell_silent_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTVMT_LEASE_SILENCE", "1")
    gate = tmp_path / "open"
    run = make_quick(tmp_path / "run", 1, [quick(do="wait", mark=str(gate))])
    foreign(run)
    (run / "leases" / f"prepare-{'b' * 32}.0").write_text("f" * 16)
    driver = start("resume", run)
    wait_for(lambda: not (run / "leases" / "holders" / ("f" * 16)).exists())
    gate.touch()
    assert driver.wait(60) == 0 and not [p for p in (run / "leases").rglob("*") if p.is_file()]


def test_every_writers_log_is_read_and_a_sound_record_outlives_a_failed_one(tmp_path: Path) -> None:
    store = Store.open(make_quick(tmp_path / "run", 1))
    store.add(Failure(job_key="a", kind="error", stage="s", message="m"))
    store.join("other-1")
    store.add(Failure(job_key="b", kind="error", stage="s", message="m"))
    with open(store.log("failures"), "ab") as file:
        file.write(b'{"job_key": "c", "ki')
    reader = Store.open(store.root)
    assert set(reader.failures()) == {"a", "b"}
    assert reader.warnings == [f"failures{os.sep}other-1.jsonl: its last line was torn by a kill; dropped."]


def test_a_machine_without_the_runs_device_does_not_join(tmp_path: Path) -> None:
    run = make_quick(tmp_path / "run", 1, device="cuda")
    said = bench("work", run)
    assert said.code == 2 and "no CUDA device here" in said.err and not events(run, "generating")
    said = bench("resume", run)
    assert said.code == 2 and "run on CUDA with 1 videos to make" in said.err and not events(run, "generating")
    store = Store.open(run)
    config = store.config().model_dump(mode="json")
    (run / "config.json").write_text(json.dumps(config | {"device": "cpu"}))
    assert bench("resume", run).code == 0
    (run / "config.json").write_text(json.dumps(config))
    assert bench("resume", run, "--json").data["outcome"]["found"] == 1  # a table needs no GPU


def test_a_machine_without_the_weights_makes_nothing_and_says_what_to_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "empty"))
    run = make_quick(tmp_path / "run", 1)
    facts = json.loads((run / "config.json").read_text())
    facts["setting"]["backbone"] = "wan2.1-1.3b"
    (run / "config.json").write_text(json.dumps(facts))
    for command_ in ("resume", "work"):
        said = spawn(command_, run)
        assert said.code == 2 and "hf download Wan-AI/Wan2.1-T2V-1.3B-Diffusers" in said.err and not events(run, "generating")

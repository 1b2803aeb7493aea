"""Whole runs as a user starts them: real processes, real signals, the random Wan."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support.cli import Said, bench, start
from support.light_runs import children, events, finished, make_quick, quick
from support.places import SUPPORT

from fastvmt.store.folder import Store

TOYS = SUPPORT / "toys.py"


def args(xs: Path, out: Path, *more: str, methods: str = "ditflow,fastvmt", limit: int = 2) -> list[str]:
    return ["run", "--backbone", str(xs), "--suite", "shapes", "--limit", str(limit), "--methods", methods, "--threads", "1",
            "--metrics", "motion_fidelity,time", "--out", str(out), *more]  # fmt: skip


def digest_of(said: Said) -> str:
    assert said.code == 0, said.err
    return str(said.data["digest"])


@pytest.fixture(scope="module")
def undisturbed(xs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    said = bench(*args(xs, out, "--json"))
    assert said.code == 0, said.err
    return out, said.data


def test_a_run_in_work_is_not_touched_by_another_command(
    xs: Path, undisturbed: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(undisturbed[0], out)
    next(out.glob("references/*.mkv")).unlink()
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != "lock"}
    holder = Store(out)
    holder.lock()
    said = bench(*args(xs, out, "--metrics", "time"))  # other metrics are no other run: its config.json would be written
    holder.unlock()
    assert said.code == 2 and f"in use by process {os.getpid()}" in said.err
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != "lock"} == before


def test_one_command_plans_makes_scores_and_tabulates(xs: Path, undisturbed: tuple[Path, dict[str, Any]]) -> None:
    out, data = undisturbed
    assert [r["method"] for r in data["rows"]] == ["none", "sdedit", "reference", "ditflow", "fastvmt"]
    assert [r["control"] for r in data["rows"]] == [True, True, True, False, False]
    assert all(r["made"] == r["planned"] == 2 for r in data["rows"])
    fast, ceiling = data["rows"][4], data["rows"][2]["metrics"]
    assert ceiling["motion_fidelity"]["value"] > 0.5 and ceiling["time"]["value"] is None
    assert fast["metrics"]["time"]["n"] == 2 and fast["speed_up"]["n"] == 2
    assert fast["speed_up"]["value"] > 0 and fast["speed_up"]["low"] is None  # two clips have no interval
    for name in ("config.json", "events.jsonl", "records.jsonl", "table.md", "sheet.png"):
        assert (out / name).stat().st_size > 0
    folders = sorted((out / "artefacts").iterdir())
    assert len(folders) == 10 and all(
        {"frames.mkv", "video.mp4", "meta.json"} == {p.name for p in f.iterdir()} for f in folders
    )
    plan = bench("plan", *args(xs, out)[1:], "--json").data
    assert plan["jobs"] == plan["done"] == 10 and plan["seconds"] == 0
    text = bench("table", out).out
    assert "No transfer" in text and "Speed-up: over DiTFlow" in text and str(out) in text


def test_the_same_command_again_makes_nothing(xs: Path, undisturbed: tuple[Path, dict[str, Any]]) -> None:
    out, data = undisturbed
    before = {p: p.stat().st_mtime_ns for p in (out / "artefacts").rglob("*")}
    again = bench(*args(xs, out, "--json")).data
    assert again["outcome"]["made"] == 0 and again["outcome"]["found"] == 10 and again["digest"] == data["digest"]
    assert again["rows"] == data["rows"]
    resumed = bench("resume", out, "--json").data
    assert resumed["digest"] == data["digest"]
    assert before == {p: p.stat().st_mtime_ns for p in (out / "artefacts").rglob("*")}


def test_two_workers_give_the_same_table(xs: Path, tmp_path: Path, undisturbed: tuple[Path, dict[str, Any]]) -> None:
    assert digest_of(bench(*args(xs, tmp_path / "run", "--workers", "2", "--json"))) == undisturbed[1]["digest"]


def test_a_video_made_in_another_run_is_taken_over_without_its_seconds(
    xs: Path, undisturbed: tuple[Path, dict[str, Any]]
) -> None:
    out, data = undisturbed
    other = bench(*args(xs, out.with_name("other"), "--json", methods="fastvmt,ditflow:inner=2"))
    assert other.code == 0 and other.data["outcome"] == {
        "made": 2,
        "found": 8,
        "failed": 0,
        "interrupted": False,
        "unscored": 0,
    }
    fast, new = other.data["rows"][3:]
    assert fast["metrics"]["motion_fidelity"] == data["rows"][4]["metrics"]["motion_fidelity"]
    assert fast["metrics"]["time"]["n"] == 0 and new["metrics"]["time"]["n"] == 2
    assert any("taken over from other runs" in n for n in other.data["notes"])


def test_scoring_again_generates_nothing(tmp_path: Path, undisturbed: tuple[Path, dict[str, Any]]) -> None:
    out = shutil.copytree(undisturbed[0], tmp_path / "run")  # more records change the digest that other tests look at
    said = bench("score", out, "--metrics", "motion_fidelity@smm-script", "--json")
    assert said.code == 0 and said.data["outcome"]["made"] == 0
    assert said.data["rows"][0]["metrics"]["motion_fidelity@smm-script"]["n"] == 2


@pytest.mark.slow
def test_kill_9_at_random_moments_resumes_to_the_same_table(
    xs: Path, tmp_path: Path, undisturbed: tuple[Path, dict[str, Any]]
) -> None:
    """10 kills of the runner or of a worker, over as many runs as it takes; every run then ends as the undisturbed one."""
    rng, kills, rounds = random.Random(7), 0, 0
    while kills < 10:
        rounds += 1
        out = tmp_path / f"run{rounds}"
        argv = args(xs, out, "--workers", "2", "--no-reuse")
        process = start(*argv)
        while kills < 10:
            try:
                process.wait(timeout=rng.uniform(0.5, 9.0))
                break
            except subprocess.TimeoutExpired:
                victim = rng.choice([process.pid, *children(process.pid)])
                done_before = finished(out)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    kills += 1
                if victim == process.pid:
                    process.wait()
                    assert done_before <= finished(out)
                    process = start(*argv)
        assert process.wait() in (0, 3)  # 3: a job whose worker was killed twice is a recorded failure, tried again below
        assert digest_of(bench(*args(xs, out, "--no-reuse", "--json"))) == undisturbed[1]["digest"]
        made = [e["key"] for e in events(out, "made")]
        assert len(made) == len(set(made)), "a finished job was done again"
        assert not list((out / "artefacts").glob(".making-*"))


KINDS = {
    "raises": ("error", "RuntimeError: a toy's own error (toys.py, line 29, adjust at step 0)"), "gives-nan": ("non_finite", "adjust at step 0"), "wrong-shape": ("wrong_output", "shape"),
    "out-of-memory": ("out_of_memory", "out of memory"), "aborts": ("crash", "signal SIGSEGV"), "hangs": ("timeout", "longer than 9 s"),
}  # fmt: skip


def test_whatever_a_method_does_becomes_a_record_and_the_run_goes_on(xs: Path, tmp_path: Path) -> None:
    said = bench(*args(xs, tmp_path / "run", "--plugin", str(TOYS), "--no-controls", "--json", "--timeout", "9", "--workers", "2",
                       methods=",".join([*KINDS, "none"]), limit=1))  # fmt: skip
    assert said.code == 3, said.err
    *bad, good = said.data["rows"]
    assert good["made"] == 1 and {r["method"]: (r["made"], r["failed"]) for r in bad} == {
        k: (0, {v[0]: 1}) for k, v in KINDS.items()
    }
    store = Store.open(tmp_path / "run")
    failures = {job.method.label: store.failures()[job.key] for job in store.config().jobs() if job.key in store.failures()}
    for name, (kind, words) in KINDS.items():
        assert failures[name].kind == kind and words in failures[name].message and failures[name].stage
        assert any(f"1 failed ({kind})" in note for note in said.data["notes"])


def test_prints_of_a_method_stay_out_of_the_protocol(tmp_path: Path) -> None:
    said = bench("resume", make_quick(tmp_path / "run", 1, [quick(do="print")]), "--json")
    assert said.code == 0 and said.data["rows"][0]["made"] == 1
    log = (tmp_path / "run" / "workers" / "worker-1.log").read_text()
    assert "raw bytes" in log
    assert "safe path True folder \n" in log  # rule 6 of the layout: nothing of the current folder can be imported


def test_a_metric_that_fails_on_some_clips_shows_n(tmp_path: Path) -> None:
    run = make_quick(tmp_path / "run", 1, seeds=(0, 1), metrics=("half",))
    cell = bench("resume", run, "--json").data["rows"][0]["metrics"]["half"]
    assert cell["n"] == 1 and cell["failed"] == 1 and cell["mean"] == 1.0


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_exits_130(xs: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with start(*args(xs, out, methods="ditflow,fastvmt", limit=8), stderr=subprocess.PIPE) as process:
        assert process.stderr
        for line in process.stderr:
            if "made in" in line:
                break
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130 and time.monotonic() - began < 20
    assert "bench resume" in rest and "Traceback" not in rest
    assert len(finished(out)) >= 1
    assert json.loads((out / "events.jsonl").read_text().splitlines()[-1])["interrupted"] is True


@pytest.mark.slow
def test_real_clips_end_to_end(clips: Path, tmp_path: Path) -> None:
    said = bench(
        "run", "--suite", str(clips), "--methods", "none,sdedit,ditflow,fastvmt", "--frames", "33", "--steps", "2", "--limit", "1",
        "--out", str(tmp_path / "run"), "--json",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert [r["made"] for r in said.data["rows"]] == [1] * 5


def test_python_does_what_the_command_does(xs: Path, undisturbed: tuple[Path, dict[str, Any]]) -> None:
    import fastvmt

    request = fastvmt.Request(
        methods=("ditflow", "fastvmt"), backbone=str(xs), limit=2, threads=1, metrics=("motion_fidelity", "time")
    )
    result = fastvmt.run(request, undisturbed[0], fastvmt.Options(style="none"))
    assert result.table.digest == undisturbed[1]["digest"] and result.outcome.found == 10


@pytest.mark.slow
def test_two_threads_make_the_same_video_twice(tmp_path: Path) -> None:
    """Gradients of indexing, as DiTFlow's dense flow has them, are summed in any order unless torch is told otherwise."""
    once = ("run", "--methods", "ditflow", "--no-controls", "--limit", "1", "--steps", "4", "--threads", "2",
            "--metrics", "trajectory", "--no-reuse", "--json")  # fmt: skip
    first, second = (digest_of(bench(*once, "--out", str(tmp_path / name))) for name in ("a", "b"))
    assert first == second

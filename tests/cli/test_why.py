"""``bench why``: what is behind a failure, found by whatever a reader has at hand."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from support.cli import bench
from support.runs import make_run

from fastvmt import Request, api
from fastvmt.core.content_address import digest
from fastvmt.model import Failure, MetricRecord
from fastvmt.store.folder import Store

FAILED = {
    ("case-0000", "fastvmt", 0): "RuntimeError: boom (mine.py, line 12, adjust at step 3)",
    ("case-0001", "none", 1): "NonFinite: steer at step 2 left NaN",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos that could not be made, and a number of one that was; an older failure of it was overcome."""
    root = tmp_path_factory.mktemp("why")
    folder = make_run(
        root / "a run", 2, ("none", "fastvmt"), (0, 1), failed=FAILED, videos=False, metrics=("time", "motion_fidelity")
    )
    store = Store.open(folder)
    job = next(j for j in store.config().jobs() if (j.case_id, j.method.label, j.seed) == ("case-0001", "fastvmt", 0))
    for metric, status in (("motion_fidelity", "failed"), ("time", "failed"), ("time", "ok")):
        details = {"cause": "ValueError: no tracks (mine.py, line 7, score)", "traceback": "Traceback\nValueError: no tracks"}
        value = 1.0 if status == "ok" else None
        store.add(
            MetricRecord(
                key=digest(metric), job_key=job.key, metric=metric, identity={}, status=status, value=value, details=details
            )
        )
    return folder


def key(run: Path, number: int) -> str:
    return str(bench("why", run, "--json").data[number - 1]["job"])


def test_without_a_job_every_failure_has_a_line(run: Path) -> None:
    said = bench("why", run)
    lines = said.out.splitlines()
    assert said.code == 0 and len(lines) == 4
    assert lines[0] == f"  1  {key(run, 1)[:12]}  case-0000 fastvmt s0: {FAILED['case-0000', 'fastvmt', 0]}"
    assert "case-0001 fastvmt s0: motion_fidelity: ValueError: no tracks (mine.py, line 7, score)" in lines[2]


def test_a_single_failure_is_told_whole(run: Path) -> None:
    video, number = bench("why", run, "1").out, bench("why", run, "3").out
    assert "Traceback …" in video and "RuntimeError: boom" in video and f"job: {key(run, 1)}" in video
    assert "  window: " in video  # the method's parameters
    assert f"try it again: bench resume '{run}'" in video
    assert "ValueError: no tracks" in number and f"bench score '{run}' --metrics motion_fidelity" in number


@pytest.mark.parametrize("what", ["1", "case-0000", "case-0000 fastvmt s0", "KEY"])
def test_a_failure_is_found_by_number_key_and_name(what: str, run: Path) -> None:
    said = bench("why", run, what.replace("KEY", key(run, 1)[:6]), "--json")
    assert [row["name"] for row in said.data] == ["case-0000 fastvmt s0"]


@pytest.mark.parametrize(("what", "count"), [("fastvmt", 2), ("motion_fidelity", 1)])
def test_a_method_or_a_metric_names_all_of_its_own(what: str, count: int, run: Path) -> None:
    assert len(bench("why", run, what, "--json").data) == count


def test_what_has_not_failed_is_refused_with_what_has(run: Path) -> None:
    said = bench("why", run, "case-0000 fastvmt s1")
    assert said.code == 2 and "Did you mean case-0000 fastvmt s0" in said.err


def test_status_prints_the_numbers_that_why_takes(run: Path) -> None:
    said = bench("status", run)
    assert bench("why", run).out.splitlines()[0] in said.out.splitlines()
    assert "2 failed, 0 missing" in said.out and "1 numbers failed" in said.out and "bench why" in said.out


def test_the_command_for_a_video_is_for_that_one_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    plan, _ = api.plan(Request(methods=("none", "sdedit"), seeds=(0, 3), limit=2, steps=2, metrics=("time",)), folder)
    store = plan.open_store(folder)
    job = next(j for j in store.config().jobs() if j.seed == 3 and j.method.label == "sdedit")
    store.add(Failure(job_key=job.key, kind="error", stage="denoise", message="no"))
    again = shlex.split(bench("why", folder, job.key[:8], "--json").data[0]["again"])
    assert again[:2] == ["bench", "run"] and again[-2:] == ["--out", str(folder)]
    said = bench("plan", *again[2:], "--json").data
    assert (said["jobs"], said["done"]) == (1, 0) and [m["label"] for m in said["methods"]] == [job.method.label]
    assert again[again.index("--cases") + 1] == job.case_id and again[again.index("--seeds") + 1] == "3"


def test_no_command_runs_a_file_that_only_the_folder_names(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    plan, _ = api.plan(Request(methods=("none",), limit=1, steps=2, metrics=("time",)), folder)
    store = plan.open_store(folder)
    config = store.config().model_copy(update={"plugins": ("/proc/self/cwd/share/evil.py",)})
    (folder / "config.json").write_text(config.model_dump_json())
    store.add(Failure(job_key=config.jobs()[0].key, kind="error", stage="denoise", message="no"))
    said = bench("why", folder)
    assert said.code == 0 and "evil" not in said.out and f"try it again: bench resume {folder}" in said.out


def test_a_run_without_failures_says_so(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r", 1, ("none",), videos=False)
    said = bench("why", folder)
    assert said.code == 0 and "nothing has failed" in said.out and bench("why", folder, "--json").data == []

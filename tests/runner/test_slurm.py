"""SLURM tasks that are preempted, killed, left alone or can only die; submitit is real, SLURM's own programs are stand-ins."""

from __future__ import annotations

import json
import os
import signal
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from support.elsewhere import resume, said, workers_of
from support.light_runs import alive, events, make_quick, quick, times, wait_for
from support.places import SUPPORT

from fastvmt.errors import SpecError
from fastvmt.plugins import trust
from fastvmt.runner.executors.on_slurm import Crew, Join, minutes
from fastvmt.runner.runner import Runner
from fastvmt.runner.settings import Options
from fastvmt.runner.work import work
from fastvmt.store.folder import Store


def test_a_preempted_task_comes_back(tmp_path: Path) -> None:
    gate = tmp_path / "open"
    run = make_quick(tmp_path / "run", 2, [quick(do="wait", mark=str(gate))])
    driver = resume(run, "--executor", "slurm", "--slurm", "cluster=local")
    wait_for(lambda: len(workers_of(run)) == 1 and events(run, "generating"), 120)
    worker, task = next(iter(workers_of(run).items()))
    os.kill(task, signal.SIGUSR2)  # as submitit asks SLURM to warn
    wait_for(lambda: not alive(worker) and workers_of(run), 120)
    gate.touch()
    outcome = said(driver)
    assert outcome.code == 0 and outcome.data["rows"][0]["made"] == 2
    assert sorted(times(run, "generating").values()) == [1, 2] and set(times(run, "made").values()) == {1}


def test_a_killed_task_is_replaced_while_work_gets_done(tmp_path: Path) -> None:
    gate = tmp_path / "open"
    run = make_quick(tmp_path / "run", 1, [quick(), quick("quick:waits", do="wait", mark=str(gate))])
    driver = resume(run, "--executor", "slurm", "--slurm", "cluster=local")
    wait_for(lambda: len(times(run, "done")) == 1 and len(times(run, "generating")) == 2, 120)
    os.kill(next(iter(workers_of(run).values())), signal.SIGKILL)
    gate.touch()
    outcome = said(driver)
    assert outcome.code == 0 and [r["made"] for r in outcome.data["rows"]] == [1, 1]


def test_tasks_that_only_die_are_an_error_with_their_last_words(tmp_path: Path) -> None:
    plugin = tmp_path / "dies.py"
    plugin.write_text(
        "import os, sys\nfrom fastvmt.plugins.method import Method\nclass Other(Method):\n    id = 'other'\nMETHODS = {'other': Other}\n"
        "if 'submitit' in sys.modules:\n    print('no luck today', file=sys.stderr, flush=True)\n    os._exit(9)\n"
    )
    run = make_quick(tmp_path / "run", 1)
    config = Store.open(run).config()
    (run / "config.json").write_text(config.model_copy(update={"plugins": (*config.plugins, str(plugin))}).model_dump_json())
    trust.remember(plugin, sha256(plugin.read_bytes()).hexdigest())
    outcome = said(resume(run, "--executor", "slurm", "--slurm", "cluster=local"))
    assert outcome.code == 2 and "1 jobs left and none done: " in outcome.err
    assert "no luck today" in "".join(p.read_text() for p in (run / "slurm").rglob("*.err"))


def crew(run: Path, monkeypatch: pytest.MonkeyPatch, cluster: str = "debug", task: Any = work, **options: Any) -> Crew:
    """A driver in this process; its tasks' ``bench work`` is in this process too."""
    monkeypatch.setattr(Crew, "_executor", lambda self, given: None)
    store = Store.open(run)
    how = Options(executor="slurm", slurm=(("cluster", cluster),), style="none", **options)
    return Crew(store, store.config(), how, task)


def test_fail_fast_reaches_the_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_quick(tmp_path / "run", 3, [quick(do="raise")])
    outcome = crew(run, monkeypatch, fail_fast=True).run()
    assert outcome.failed == 1 and len(events(run, "generating")) == 1
    late = Join(work, str(run), 0.0, fail_fast=True)
    assert late(0) == {} and len(events(run, "generating")) == 1  # one that waited in the queue
    assert crew(run, monkeypatch).run().failed == 3


def test_fail_fast_heeds_the_failures_of_the_others(tmp_path: Path) -> None:
    gate = tmp_path / "open"
    store = Store.open(make_quick(tmp_path / "run", 3, [quick(do="wait", mark=str(gate))]))
    other = Store.open(store.root)
    other.join("other")
    runner = Runner(store, store.config(), Options(style="none", fail_fast=True, workers=1))
    helper = Thread(target=lambda: (
        wait_for(lambda: times(store.root, "generating")), other.event("failed", key="k", kind="error"),
        wait_for(lambda: runner._stop), gate.touch(),
    ))  # fmt: skip
    helper.start()
    assert runner.run().made == 1
    helper.join()


@pytest.mark.parametrize("wrong", [ZeroDivisionError, SpecError])
def test_an_error_in_a_debug_task_starts_no_debugger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: type[Exception]
) -> None:
    def broken(folder: Path, options: Options) -> None:
        raise wrong("in pieces")

    monkeypatch.setattr("pdb.post_mortem", lambda *a: pytest.fail("a debugger waits for a person"))
    with pytest.raises(wrong, match="in pieces"):
        crew(make_quick(tmp_path / "run", 1), monkeypatch, task=broken).run()
    assert not capsys.readouterr().out


def test_a_driver_stopped_while_it_asks_for_its_tasks_does_not_forget_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import submitit

    driver = crew(make_quick(tmp_path / "run", 1), monkeypatch, "slurm")
    driver._list.parent.mkdir()
    names = [f"tasks-{'0' * 16}/7_{n}" for n in range(2)]
    driver._list.write_text(json.dumps(names))

    class Slow:
        def __init__(self, folder: Path, job_id: str) -> None:
            self.job_id = job_id

        def done(self, force_check: bool) -> bool:
            if self.job_id == "7_0":
                return True
            raise KeyboardInterrupt

    monkeypatch.setattr(submitit, "SlurmJob", Slow)
    with pytest.raises(KeyboardInterrupt):
        driver._submitted()
    assert json.loads(driver._list.read_text()) == names
    monkeypatch.setattr(Slow, "done", lambda self, force_check: self.job_id == "7_0")
    assert [t.job_id for t in driver._submitted()] == ["7_1"] and json.loads(driver._list.read_text()) == names[1:]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with SLURM's programs on its path, and their queue."""
    for name in ("sbatch", "srun", "sacct", "scontrol", "scancel"):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(SUPPORT / "fake_slurm.py")
    (SUPPORT / "fake_slurm.py").chmod(0o755)
    (tmp_path / "queue").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(tmp_path / "queue"))
    return tmp_path / "queue"


def test_an_array_of_slurm_tasks_with_a_preemption_and_a_driver_that_left(tmp_path: Path, slurm: Path) -> None:
    gate = tmp_path / "open"
    run = make_quick(tmp_path / "run", 4, [quick(do="wait", mark=str(gate))])
    theirs = run / "slurm" / "100_0_submitted.pkl"  # what came with the folder; a task that found it would run what is in it
    theirs.parent.mkdir()
    theirs.write_bytes(b"theirs")
    given = ("partition=gpu", "time=1:30:00", "licenses=a")
    more = ["--executor", "slurm", "--workers", "2", *(word for one in given for word in ("--slurm", one))]
    left = said(resume(run, *more, "--no-wait"))
    assert left.code == 0 and "--executor slurm" in left.err and left.data["outcome"]["made"] == 0
    script = (slurm / "100.script").read_text()
    assert "--array=0-1%2" in script and "--partition=gpu" in script and "--time=90" in script and "--licenses=a" in script
    wait_for(lambda: len(workers_of(run)) == 2 and len(times(run, "generating")) == 2, 120)
    driver = resume(run, *more)
    worker, task = next(iter(workers_of(run).items()))
    os.kill(task, signal.SIGUSR2)
    wait_for(lambda: not alive(worker) and len(workers_of(run)) == 2, 120)
    gate.touch()
    outcome = said(driver)
    assert outcome.code == 0 and outcome.data["rows"][0]["made"] == 4
    assert len(list(slurm.glob("*.script"))) == 1 and (slurm / "requeued").read_text().startswith("100_")
    assert set(times(run, "made").values()) == {1} and sorted(times(run, "generating").values()) == [1, 1, 1, 2]
    assert theirs.read_bytes() == b"theirs"


@pytest.mark.parametrize(
    ("given", "cores"),
    [({}, 3), ({"gres": "gpu:8"}, 24), ({"gres": "gpu:a100:2,tmp:9"}, 6), ({"gpus_per_task": "4"}, 12), ({"gres": "gpu"}, 3),
     ({"gpus_per_node": "8", "cpus_per_task": "5"}, 5)],
)  # fmt: skip
def test_a_task_has_cores_for_each_of_its_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], cores: int
) -> None:
    for device, wanted in (("cuda", cores), ("cpu", 5 if "cpus_per_task" in given else 3)):
        driver = crew(make_quick(tmp_path / device, 1, device=device, threads=3), monkeypatch)
        assert driver._parameters(dict(given))["cpus_per_task"] == wanted


def test_times_as_sbatch_takes_them() -> None:
    given = {"90": 90, "0:30": 1, "1:30:00": 90, "2-12": 3600, "1-0:30": 1470, "0": 1}
    assert {text: minutes(text) for text in given} == given

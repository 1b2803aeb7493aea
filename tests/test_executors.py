"""The same table wherever the work is done; a lost actor, node, task or driver costs what was in work and no more."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from helpers import ENV, Said, bench, command
from quick_runs import events, make_quick, quick, times
from test_work import gone, wait_for

from fastvmt import executors
from fastvmt.errors import SpecError
from fastvmt.executors.on_slurm import Crew, Join, minutes
from fastvmt.leases import Leases
from fastvmt.model import Job
from fastvmt.runner import Options, Outcome, Runner, _device, _Worker
from fastvmt.status import go_on
from fastvmt.store import Store
from fastvmt.tasks import Task, Tasks
from fastvmt.worker import place

HERE = Path(__file__).parent
OWN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0",
       "RAY_raylet_start_wait_time_s": "180"}  # fmt: skip


class Nodes:
    """A two-node Ray cluster in a process of its own."""

    def __init__(self, place: Path) -> None:
        with open(place / "said", "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "ray_nodes.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                text=True, env=ENV | OWN,
            )  # fmt: skip
        self.address = self.line()
        assert self.address, (place / "said").read_text()[-2000:]

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def kill_one(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.line() == "killed"

    def close(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    found = Nodes(tmp_path_factory.mktemp("nodes"))
    yield found
    found.close()


def resume(run: Path, *more: str) -> subprocess.Popen[str]:
    argv = command("resume", run, "--no-reuse", "--json", *more)
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV | OWN)


def said(process: subprocess.Popen[str]) -> Said:
    out, err = process.communicate(timeout=240)
    assert "Traceback" not in err, err
    return Said(process.returncode, out, err)


def workers_of(run: Path) -> dict[int, int]:
    """Worker processes of a run folder, each with its parent."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            argv = (path / "cmdline").read_bytes().split(b"\0")
            if b"fastvmt.worker" in argv and str(run.resolve()).encode() in argv:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
                if fields[0] not in "ZX":
                    found[int(path.name)] = int(fields[1])
    return found


def digest_of(outcome: Said) -> Any:
    assert outcome.code == 0, outcome.err
    return outcome.data["digest"], outcome.data["rows"]


def test_the_same_table_from_every_executor(xs: Path, tmp_path: Path) -> None:
    """Real videos of the random Wan: one worker here, two in a Ray cluster of our own, one as a task."""
    argv = ["run", "--backbone", str(xs), "--suite", "shapes", "--limit", "2", "--methods", "fastvmt", "--no-controls", "--threads", "1",
            "--metrics", "motion_fidelity", "--no-reuse", "--json"]  # fmt: skip
    here = bench(*argv, "--out", tmp_path / "local")
    ray = bench(*argv, "--out", tmp_path / "ray", "--executor", "ray", "--workers", "2")
    slurm = bench(*argv, "--out", tmp_path / "slurm", "--executor", "slurm", "--slurm", "cluster=debug")
    assert digest_of(ray) == digest_of(here) == digest_of(slurm)
    assert ray.data["outcome"] == here.data["outcome"] == slurm.data["outcome"]
    for name in ("ray", "slurm"):
        assert not list((tmp_path / name).rglob("*.pkl")) or name == "slurm"
        assert len(times(tmp_path / name, "made")) == 2


# --- ray -----------------------------------------------------------------------------------------------------------------


def waiting(place: Path, address: str, cases: int = 2) -> tuple[Path, Path, subprocess.Popen[str]]:
    """A run on two nodes whose jobs are all in work and wait for a gate."""
    gate = place / "open"
    run = make_quick(place / "run", cases, [quick(do="wait", mark=str(gate))])
    driver = resume(run, "--executor", "ray", "--address", address)
    wait_for(lambda: len(times(run, "generating")) == 2 and len(workers_of(run)) == 2, 120)
    return run, gate, driver


def test_killing_an_actor_costs_what_it_had_in_work(tmp_path: Path, nodes: Nodes) -> None:
    run, gate, driver = waiting(tmp_path, nodes.address, cases=3)
    worker, actor = next(iter(workers_of(run).items()))
    os.kill(actor, signal.SIGKILL)
    wait_for(lambda: gone(worker))  # no worker outlives its actor
    gate.touch()
    outcome = said(driver)
    assert outcome.code == 0 and outcome.data["rows"][0]["made"] == 3
    assert len(events(run, "crashed")) == 1 and sorted(times(run, "generating").values()) == [1, 1, 2]
    assert set(times(run, "made").values()) == {1}


def test_killing_a_worker_in_its_actor_is_a_crash_like_any(tmp_path: Path, nodes: Nodes) -> None:
    run = make_quick(tmp_path / "run", 2, [quick(do="segfault", mark=str(tmp_path / "once"))])
    outcome = said(resume(run, "--executor", "ray", "--address", nodes.address, "--workers", "1"))
    assert outcome.code == 0 and [e["how"] for e in events(run, "crashed")] == ["signal SIGSEGV"]


def test_a_hang_in_an_actor_ends_with_its_grandchild(tmp_path: Path, nodes: Nodes) -> None:
    mark = tmp_path / "grandchild"
    run = make_quick(tmp_path / "run", 1, [quick(do="hang", mark=str(mark))])
    outcome = said(resume(run, "--executor", "ray", "--address", nodes.address, "--workers", "1", "--timeout", "1"))
    assert outcome.code == 3 and outcome.data["rows"][0]["failed"] == {"timeout": 1}
    wait_for(lambda: gone(int(mark.read_text())) and not workers_of(run))


def test_killing_the_driver_ends_its_workers_and_the_same_command_goes_on(tmp_path: Path, nodes: Nodes) -> None:
    run, gate, driver = waiting(tmp_path, nodes.address)
    driver.kill()
    driver.communicate()
    wait_for(lambda: not workers_of(run), 120)
    gate.touch()
    again = said(resume(run, "--executor", "ray", "--address", nodes.address))
    here = bench("resume", make_quick(tmp_path / "here", 2, [quick(do="wait", mark=str(gate))]), "--no-reuse", "--json")
    assert digest_of(again) == digest_of(here)


class FakeRay:
    """A cluster that is only a list of nodes."""

    def __init__(self, *nodes: dict[str, float], broken: str = "") -> None:
        self._nodes, self._broken, self.over = nodes, broken, False

    def is_initialized(self) -> bool:
        return False

    def init(self, **given: Any) -> None:
        if self._broken:
            raise Exception(self._broken)  # as Ray does when its own node does not come up

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": n} for n in self._nodes] + [
            {"Alive": False, "Resources": {"CPU": 999.0, "GPU": 9.0}}
        ]

    def shutdown(self) -> None:
        self.over = True


def on_ray(
    place: Path, monkeypatch: pytest.MonkeyPatch, ray: FakeRay, workers: int = 0, address: str = "auto", **config: Any
) -> executors.Executor:
    monkeypatch.setitem(sys.modules, "ray", ray)  # type: ignore[arg-type]
    store = Store.open(make_quick(place / "run", 1, **config))
    return executors.new(store, store.config(), Options(workers=workers, executor="ray", address=address))


@pytest.mark.parametrize(
    ("device", "nodes", "slots"),
    [("cpu", [{"CPU": 7.0}, {"CPU": 7.0}], 2), ("cpu", [{"CPU": 4.0}, {"GPU": 1.0}], 1),
     ("cuda", [{"CPU": 8.0, "GPU": 4.0}, {"CPU": 1.0, "GPU": 4.0}, {"CPU": 64.0}], 5)],
)  # fmt: skip
def test_room_is_counted_node_by_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, nodes: list[dict[str, float]], slots: int
) -> None:
    executor = on_ray(tmp_path, monkeypatch, FakeRay(*nodes), device=device, threads=4)
    assert executor.slots == slots
    executor.close()


@pytest.mark.parametrize(
    ("device", "nodes", "words"),
    [("cpu", [{"CPU": 32.0}, {"CPU": 32.0}], "64 CPU cores .* largest of the cluster's 2 nodes has 32.*--threads 32 or fewer"),
     ("cuda", [{"CPU": 32.0}], "no node of the cluster has a GPU.*--device cpu"),
     ("cuda", [{"CPU": 32.0}, {"GPU": 8.0}], "no node of the cluster with a GPU has a core")],
)  # fmt: skip
def test_a_cluster_that_can_never_hold_a_worker_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, nodes: list[dict[str, float]], words: str
) -> None:
    for workers in (0, 4):
        ray = FakeRay(*nodes)
        with pytest.raises(SpecError, match=words):
            on_ray(tmp_path / str(workers), monkeypatch, ray, workers, device=device, threads=64)
        assert ray.over


def test_a_cluster_of_our_own_that_does_not_start_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match=r"could not be started on this machine \(The current node timed out\)"):
        on_ray(tmp_path, monkeypatch, FakeRay(broken="The current node timed out\nand more"), address="")


def test_killing_a_node_moves_its_job_to_the_other(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path)
    run, gate, driver = waiting(tmp_path, nodes.address)
    nodes.kill_one()
    wait_for(lambda: events(run, "crashed"), 120)
    gate.touch()
    outcome = said(driver)
    assert outcome.code == 0 and outcome.data["rows"][0]["made"] == 2 and len(events(run, "crashed")) == 1
    nodes.close()


# --- slurm ---------------------------------------------------------------------------------------------------------------


def test_a_preempted_task_comes_back(tmp_path: Path) -> None:
    gate = tmp_path / "open"
    run = make_quick(tmp_path / "run", 2, [quick(do="wait", mark=str(gate))])
    driver = resume(run, "--executor", "slurm", "--slurm", "cluster=local")
    wait_for(lambda: len(workers_of(run)) == 1 and events(run, "generating"), 120)
    worker, task = next(iter(workers_of(run).items()))
    os.kill(task, signal.SIGUSR2)  # as submitit asks SLURM to warn
    wait_for(lambda: gone(worker) and workers_of(run), 120)
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
        "import os, sys\nfrom fastvmt.method import Method\nclass Other(Method):\n    id = 'other'\nMETHODS = {'other': Other}\n"
        "if 'submitit' in sys.modules:\n    print('no luck today', file=sys.stderr, flush=True)\n    os._exit(9)\n"
    )
    run = make_quick(tmp_path / "run", 1)
    config = Store.open(run).config()
    (run / "config.json").write_text(config.model_copy(update={"plugins": (*config.plugins, str(plugin))}).model_dump_json())
    outcome = said(resume(run, "--executor", "slurm", "--slurm", "cluster=local"))
    assert outcome.code == 2 and "1 jobs left and none done: " in outcome.err
    assert "no luck today" in "".join(p.read_text() for p in (run / "slurm").glob("*.err"))


def crew(run: Path, monkeypatch: pytest.MonkeyPatch, cluster: str = "debug", **options: Any) -> Crew:
    """A driver in this process; its tasks' ``bench work`` is in this process too."""
    monkeypatch.setattr(Crew, "_executor", lambda self, given: None)
    store = Store.open(run)
    return Crew(store, store.config(), Options(executor="slurm", slurm=(("cluster", cluster),), style="none", **options))


def test_fail_fast_reaches_the_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_quick(tmp_path / "run", 3, [quick(do="raise")])
    outcome = crew(run, monkeypatch, fail_fast=True).run()
    assert outcome.failed == 1 and len(events(run, "generating")) == 1
    late = Join(str(run), 0.0, fail_fast=True)
    assert late(0) == {} and len(events(run, "generating")) == 1  # one that waited in the queue
    assert crew(run, monkeypatch).run().failed == 3


def test_fail_fast_heeds_the_failures_of_the_others(tmp_path: Path) -> None:
    gate = tmp_path / "open"
    store = Store.open(make_quick(tmp_path / "run", 3, [quick(do="wait", mark=str(gate))]))
    other = Store.open(store.root)
    other.join("other")
    runner = Runner(store, store.config(), Options(style="none", fail_fast=True))
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

    monkeypatch.setattr("fastvmt.api.work", broken)
    monkeypatch.setattr("pdb.post_mortem", lambda *a: pytest.fail("a debugger waits for a person"))
    with pytest.raises(wrong, match="in pieces"):
        crew(make_quick(tmp_path / "run", 1), monkeypatch).run()
    assert not capsys.readouterr().out


def test_ctrl_c_in_a_debug_task_is_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastvmt.api.work", lambda folder, options: Outcome(0, 0, 0, interrupted=True))
    run = make_quick(tmp_path / "run", 1)
    assert crew(run, monkeypatch).run().interrupted
    assert events(run, "ended")[-1]["interrupted"]


def test_a_driver_stopped_while_it_asks_for_its_tasks_does_not_forget_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import submitit

    driver = crew(make_quick(tmp_path / "run", 1), monkeypatch, "slurm")
    driver._list.parent.mkdir()
    driver._list.write_text('["7_0", "7_1"]')

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
    assert driver._list.read_text() == '["7_0", "7_1"]'
    monkeypatch.setattr(Slow, "done", lambda self, force_check: self.job_id == "7_0")
    assert [t.job_id for t in driver._submitted()] == ["7_1"] and driver._list.read_text() == '["7_1"]'


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with SLURM's programs on its path, and their queue."""
    for name in ("sbatch", "srun", "sacct", "scontrol", "scancel"):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(HERE / "fake_slurm.py")
    (HERE / "fake_slurm.py").chmod(0o755)
    (tmp_path / "queue").mkdir()
    monkeypatch.setitem(ENV, "PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setitem(ENV, "FAKE_SLURM", str(tmp_path / "queue"))
    return tmp_path / "queue"


def test_an_array_of_slurm_tasks_with_a_preemption_and_a_driver_that_left(tmp_path: Path, slurm: Path) -> None:
    gate = tmp_path / "open"
    run = make_quick(tmp_path / "run", 4, [quick(do="wait", mark=str(gate))])
    more = (
        "--executor",
        "slurm",
        "--workers",
        "2",
        "--slurm",
        "partition=gpu",
        "--slurm",
        "time=1:30:00",
        "--slurm",
        "licenses=a",
    )
    left = said(resume(run, *more, "--no-wait"))
    assert left.code == 0 and "--executor slurm" in left.err and left.data["outcome"]["made"] == 0
    script = (slurm / "100.script").read_text()
    assert "--array=0-1%2" in script and "--partition=gpu" in script and "--time=90" in script and "--licenses=a" in script
    wait_for(lambda: len(workers_of(run)) == 2 and len(times(run, "generating")) == 2, 120)
    driver = resume(run, *more)
    worker, task = next(iter(workers_of(run).items()))
    os.kill(task, signal.SIGUSR2)
    wait_for(lambda: gone(worker) and len(workers_of(run)) == 2, 120)
    gate.touch()
    outcome = said(driver)
    assert outcome.code == 0 and outcome.data["rows"][0]["made"] == 4
    assert len(list(slurm.glob("*.script"))) == 1 and (slurm / "requeued").read_text().startswith("100_")
    assert set(times(run, "made").values()) == {1} and sorted(times(run, "generating").values()) == [1, 1, 1, 2]


# --- words ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch, name: str, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SpecError, match=rf"needs {library}, .*pip install 'fastvmt-bench\[{name}\]'"):
        executors.check(Options(executor=name))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--executor", "dask"], "use one of local, ray, slurm"), (["--address", "auto"], "belongs to --executor ray"),
        (["--slurm", "partition=x"], "belong to --executor slurm"), (["--executor", "slurm", "--slurm", "gpu"], "KEY=VALUE"),
        (["--executor", "slurm", "--slurm", "time=soon"], "H:M:S"), (["--no-wait"], "belong to --executor slurm"),
        (["--executor", "slurm", "--slurm", "cluster=moon"], "use slurm, or local or debug"),
        (["--executor", "slurm"], "cluster=local"), (["--workers", "-1"], "at least 1"),
    ],
)  # fmt: skip
def test_wrong_words_are_refused(tmp_path: Path, more: list[str], words: str) -> None:
    outcome = bench("resume", make_quick(tmp_path / "run", 1), *more)
    assert outcome.code == 2 and words in outcome.err and len(outcome.err.splitlines()) == 1


def test_the_way_to_go_on_is_the_way_it_was_begun(tmp_path: Path) -> None:
    run = make_quick(tmp_path / "run", 1)
    assert go_on(run) == f"bench resume {run}"
    store = Store.open(run)
    given = Options(executor="slurm", workers=4, slurm=(("partition", "gpu"), ("setup", "module load cuda")))
    store.event("started", jobs=1, how=executors.words(given))
    store.event("made", key="k")
    store.event("started", jobs=1)  # of a scoring
    wanted = f"bench resume {run} --executor slurm --workers 4 --slurm partition=gpu --slurm 'setup=module load cuda'"
    assert go_on(run) == wanted and wanted in bench("status", run).out
    assert executors.words(Options(executor="ray", address="auto")) == ["--executor", "ray", "--address", "auto"]


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


def test_each_worker_sees_its_own_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastvmt.executors.local.visible_gpus", lambda: ["3", "GPU-7"])
    monkeypatch.setattr("fastvmt.runner.has_cuda", lambda: True)
    gate = tmp_path / "open"
    store = Store.open(make_quick(tmp_path / "run", 4, [quick(do="wait", mark=str(gate))], device="cuda"))
    runner = Runner(store, store.config(), Options(style="none"))
    helper = Thread(target=lambda: (wait_for(lambda: len(times(store.root, "generating")) == 2), gate.touch()))
    helper.start()
    assert runner.run().made == 4
    helper.join()
    found = [a.log for j in store.config().jobs() if (a := store.artefact(j))]
    assert {a["gpu"] for a in found} == {"3", "GPU-7"} and len({a["pid"] for a in found}) == 2


def test_a_timing_claims_the_gpu_and_not_a_name_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two schedulers call one GPU 0 and GPU-7; a worker that times nothing need not load torch to be ready."""
    import torch

    config = Store.open(make_quick(tmp_path / "run", 1, device="cuda", repeats=3)).config()
    card = types.SimpleNamespace(uuid="0f-1e")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda n: card)
    found = set()
    for name in ("0", "GPU-7"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", name)
        found.add(place(config))
    assert found == {"gpu-0f-1e"}
    del card.uuid
    assert place(config).endswith("-GPU-7")
    assert place(config.model_copy(update={"repeats": 0})).endswith("-GPU-7")


class LateHand:
    """A worker that is at work until it is killed."""

    number = 1

    def __init__(self, at_death: Callable[[], None]) -> None:
        self.kill = at_death


def test_a_worker_is_dead_before_its_job_and_device_are_free(tmp_path: Path) -> None:
    store = Store.open(make_quick(tmp_path / "run", 1, repeats=2))
    runner, other = Runner(store, store.config(), Options(style="none")), Leases(store.root)
    runner.share.begin()
    runner.tasks = Tasks([], 0, ())
    held: list[bool] = []
    dying = _Worker(1)
    dying.task, dying.place = Task(store.config().jobs()[0], "generate"), "gpu-1"
    names = (dying.task.lease, _device(dying))
    dying.hand = LateHand(lambda: held.extend(not other.claim(n) for n in names))  # type: ignore[assignment]
    runner.workers[dying.hand] = dying
    assert all(runner.share.leases.claim(n) for n in names)
    runner._stop = True
    runner._on_gone(dying, {"how": "exit code 1", "log": ""})
    assert held == [True, True] and all(other.claim(n) for n in names) and len(runner.tasks) == 1
    runner.share.leases.close()


# --- order ---------------------------------------------------------------------------------------------------------------


def jobs(n: int) -> list[Job]:
    return [Job(key=f"k{i}", method=quick(), case_id="c", case_digest="d", seed=i) for i in range(n)]


def test_preparations_come_first_and_other_jobs_go_on_meanwhile() -> None:
    a, b, c, d = jobs(4)
    tasks = Tasks([(j, None) for j in (a, b, c, d)], 4, ("m",), needs=lambda j: "p" if j in (a, c) else None)
    first, second, third = tasks.take(), tasks.take(), tasks.take()
    assert first and second and third
    assert [(t.kind, t.job) for t in (first, second, third)] == [("prepare", a), ("generate", b), ("generate", d)]
    assert tasks.take() is None and len(tasks) == 2
    tasks.over(first)
    tasks.is_prepared("p")
    assert [t.job for t in (tasks.take(), tasks.take()) if t] == [a, c] and not len(tasks)


def test_nothing_is_scored_beside_a_timing() -> None:
    a, b, c = jobs(3)
    tasks = Tasks([(a, ("m",)), (b, None), (c, None)], 3, ("m",), timing=True)
    one, two = tasks.take(), tasks.take()
    assert one and two and (one.job, two.job) == (b, c)
    tasks.over(one)
    tasks.score_later(one)
    assert tasks.take() is None and len(tasks) == 2  # the other one is still in work
    tasks.over(two)
    tasks.score_later(two)
    assert [(t.kind, t.job) for t in (tasks.take(), tasks.take(), tasks.take()) if t] == [
        ("score", a),
        ("score", b),
        ("score", c),
    ]

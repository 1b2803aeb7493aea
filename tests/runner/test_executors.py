"""The same table wherever the work is done; what is said of executors, and in what order work is given out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path
from threading import Thread

import pytest
from support.cli import bench, spawn
from support.elsewhere import digest_of
from support.light_runs import make_quick, quick, times, wait_for

from fastvmt.errors import SpecError
from fastvmt.model import Job
from fastvmt.runner import executors
from fastvmt.runner.command import go_on, words
from fastvmt.runner.executors.local import LocalExecutor
from fastvmt.runner.queue import Tasks
from fastvmt.runner.runner import Runner
from fastvmt.runner.settings import Options
from fastvmt.runner.worker import place
from fastvmt.store.folder import Store


@pytest.mark.slow
def test_the_same_table_from_every_executor(xs: Path, tmp_path: Path) -> None:
    """Real videos of the random Wan: one worker here, two in a Ray cluster of our own as README starts it, one as a task."""
    uv = ["uv", "run", "--no-sync"] if shutil.which("uv") else []
    argv = ["run", "--backbone", str(xs), "--suite", "shapes", "--limit", "2", "--methods", "fastvmt", "--no-controls", "--threads", "1",
            "--metrics", "motion_fidelity", "--no-reuse", "--json"]  # fmt: skip
    here = spawn(*argv, "--out", tmp_path / "local")
    for out in (tmp_path / "ray", tmp_path / "again"):  # Ray gives a node 30 s to start, which a busy machine may not
        ray = spawn(*argv, "--out", out, "--executor", "ray", "--workers", "2", under=uv)
        if ray.code != 2 or "could not be started" not in ray.err:
            break
    slurm = spawn(*argv, "--out", tmp_path / "slurm", "--executor", "slurm", "--slurm", "cluster=debug")
    assert digest_of(ray) == digest_of(here) == digest_of(slurm)
    assert ray.data["outcome"] == here.data["outcome"] == slurm.data["outcome"]
    for made in (out, tmp_path / "slurm"):
        assert not list(made.rglob("*.pkl")) or made.name == "slurm"
        assert len(times(made, "made")) == 2


# --- words ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "library"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch, name: str, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SpecError, match=rf"needs {library}, .*pip install 'fastvmt-bench\[{name}\]'"):
        executors.check(Options(executor=name))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--executor", "dask"], "There are: local, ray, slurm"), (["--address", "auto"], "belongs to --executor ray"),
        (["--slurm", "partition=x"], "belong to --executor slurm"), (["--executor", "slurm", "--slurm", "gpu"], "KEY=VALUE"),
        (["--executor", "slurm", "--slurm", "time=soon"], "H:M:S"), (["--no-wait"], "belong to --executor slurm"),
        (["--executor", "slurm", "--slurm", "cluster=moon"], "There are: cluster=slurm, cluster=local, cluster=debug"),
        (["--executor", "slurm"], "cluster=local"), (["--workers", "-1"], "a whole number from 1 to 10,000"),
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
    store.event("started", jobs=1, how=words(given))
    store.event("made", key="k")
    store.event("started", jobs=1)  # of a scoring
    wanted = f"bench resume {run} --executor slurm --workers 4 --slurm partition=gpu"
    assert go_on(run, given) == f"{wanted} --slurm 'setup=module load cuda'"
    assert go_on(run) == wanted and wanted in bench("status", run).out, "what would run by itself is not taken from a log"
    assert words(Options(executor="ray", address="auto")) == ["--executor", "ray", "--address", "auto"]


def test_each_worker_sees_its_own_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastvmt.runner.executors.local.visible_gpus", lambda: ["3", "GPU-7"])
    monkeypatch.setattr("fastvmt.backbones.device.has_cuda", lambda: True)
    gate = tmp_path / "open"
    store = Store.open(make_quick(tmp_path / "run", 4, [quick(do="wait", mark=str(gate))], device="cuda"))
    runner = Runner(store, store.config(), Options(style="none"))
    helper = Thread(target=lambda: (wait_for(lambda: len(times(store.root, "generating")) == 2), gate.touch()))
    helper.start()
    assert runner.run().made == 4
    helper.join()
    found = [a.log for j in store.config().jobs() if (a := store.artefact(j))]
    assert {a["gpu"] for a in found} == {"3", "GPU-7"} and len({a["pid"] for a in found}) == 2


def test_timed_videos_of_one_runner_are_made_one_at_a_time_on_a_device(tmp_path: Path) -> None:
    """Two workers on one GPU, or two actors on one node, time one after the other."""
    store = Store.open(make_quick(tmp_path / "run", 6, [quick(work=0.05)], repeats=3))
    assert Runner(store, store.config(), Options(workers=2, style="none")).run().made == 6
    open_, most = 0, 0
    for event in map(json.loads, (store.root / "events.jsonl").read_text().splitlines()):
        open_ += {"generating": 1, "made": -1}.get(event["event"], 0)
        most = max(most, open_)
    assert most == 1 and len({a.log["pid"] for j in store.config().jobs() if (a := store.artefact(j))}) >= 1


def test_a_run_ends_when_all_is_done_though_a_worker_never_came(tmp_path: Path) -> None:
    """An actor that has no place in a full cluster, a worker whose start hangs."""
    store = Store.open(make_quick(tmp_path / "run", 3))

    class Never(executors.Hand):
        number, killed = 9, False

        def give(self, line: bytes) -> None:
            raise AssertionError("it was never ready")

        def let_go(self) -> None:
            raise AssertionError("it would never answer")

        def kill(self) -> None:
            self.killed = True

    never = Never()

    class Half(LocalExecutor):
        def start(self, number: int, inbox: executors.Inbox) -> executors.Hand:
            return never if number == 1 else super().start(number, inbox)

    outcome = Runner(store, store.config(), Options(style="none"), Half(store, store.config(), 2)).run()
    assert outcome.made == 3 and never.killed


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


# --- order ---------------------------------------------------------------------------------------------------------------


def jobs(n: int) -> list[Job]:
    return [Job(key=f"{i}", method=quick(), case_id="c", case_digest="d", seed=i) for i in range(n)]


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


# --- what a run folder holds is no code ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(("--executor", "local"), id="local"),
        pytest.param(("--executor", "slurm", "--slurm", "cluster=local"), id="slurm"),
        pytest.param(("--executor", "ray", "--workers", "1"), id="ray", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("beside", [False, True], ids=["elsewhere", "in-it"])
def test_nothing_is_imported_from_a_run_folder(how: tuple[str, ...], beside: bool, tmp_path: Path) -> None:
    """Whatever stands in PYTHONPATH, and also for one who has gone into the folder: workers and tasks take their modules elsewhere."""
    run, ran = make_quick(tmp_path / "run", 1), tmp_path / "ran"
    for name in ("sitecustomize", "json", "pydantic", "numpy", "usercustomize", "fastvmt", "submitit", "ray"):
        (run / f"{name}.py").write_text(f"open({str(ran)!r}, 'a').write({name!r})\n")
    path = (
        str(tmp_path / "x") if beside else f":{tmp_path / 'x'}:"
    )  # an empty entry is the current folder, for our own process too
    done = subprocess.run(
        [Path(sys.executable).with_name("bench"), "resume", run, *how, "--json"], capture_output=True, text=True, timeout=300,
        env=os.environ | {"PYTHONPATH": path}, cwd=run if beside else tmp_path,
    )  # fmt: skip
    assert done.returncode == 0 and json.loads(done.stdout)["outcome"]["made"] == 1, done.stderr
    assert not ran.exists()

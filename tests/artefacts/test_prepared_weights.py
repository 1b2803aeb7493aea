"""Prepared weights: what their key covers, trained once, killed and resumed to the same bytes, charged to all alike."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support import training

from fastvmt.artefacts import prepared_weights
from fastvmt.artefacts.prepared_weights import Shelf
from fastvmt.backbones import card
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.jobs.prepared_key import prepared_key
from fastvmt.model import Case, Job, Reference, Setting
from fastvmt.plugins import labels

TRAINING = [sys.executable, training.__file__]


@pytest.fixture(autouse=True)
def own_torch() -> Iterator[None]:
    """A generator sets torch for its process, which is a worker's everywhere else."""
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(before[0])
    torch.set_num_threads(before[1])


def nothing(*_: Any) -> None:
    """A listener that does not listen."""


# --- the key ----------------------------------------------------------------------------------------------------------


CASE: dict[str, Any] = {"id": "a", "prompt": "a red bus", "caption": "a blue car"}
REFERENCE = {"frames_digest": "f" * 64, "width": 64, "height": 64, "frames": 33, "source": "clip.mp4"}
SETTING: dict[str, Any] = {
    "backbone": "tiny", "weights_digest": "d", "width": 64, "height": 64, "frames": 33, "steps": 10, "guidance": 3.0,
    "sigmas": sigma_grid(10, 3.0), "dtype": "float32", "negative": "",
}  # fmt: skip


def key_of(label: str, case: dict[str, Any], reference: dict[str, Any], setting: dict[str, Any], seed: int = 0) -> str | None:
    made = Setting(**(SETTING | setting))
    shape = card.load("tiny").shape(made.width, made.height, made.frames, made.sigmas)
    one = Case(reference=Reference(**(REFERENCE | reference)), **(CASE | case))  # type: ignore[arg-type]
    return prepared_key(Job.make(labels.resolve(label, shape, {}), one, seed, made), one, made)


@pytest.mark.parametrize("label", ["motion_inversion", "motion_director", "det"])
def test_the_key_covers_what_training_sees_and_nothing_of_the_target(label: str) -> None:
    own = key_of(label, {}, {}, {})
    assert own is not None and len(own) == 32
    for case, setting, seed in (
        ({"prompt": "a green cow"}, {}, 0), ({"id": "b", "negative": "blurry", "category": "camera"}, {}, 0), ({}, {}, 7),
        ({}, {"guidance": 9.0, "negative": "blurry"}, 0), ({}, {"steps": 50, "sigmas": sigma_grid(50, 5.0)}, 0),
    ):  # fmt: skip
        assert key_of(label, case, {}, setting, seed) == own
    others = [
        key_of(label, {"caption": "a blue bus"}, {}, {}), key_of(label, {}, {"frames_digest": "e" * 64}, {}),
        *(key_of(label, {}, {}, {k: v}) for k, v in {"weights_digest": "e", "width": 32, "dtype": "bfloat16"}.items()),
        *(key_of(f"{label}:{change}", {}, {}, {}) for change in ("lr=0.1", "steps=7", "train_seed=1", "train_shift=5")),
    ]  # fmt: skip
    assert len({own, *others}) == 1 + len(others)


def test_the_key_leaves_out_what_only_sampling_uses() -> None:
    assert key_of("motion_inversion:camera:begin=noise", {}, {}, {}) == key_of("motion_inversion", {}, {}, {})
    assert key_of("motion_director:noise_prior=0.1", {}, {}, {}) == key_of("motion_director", {}, {}, {})
    assert key_of("det:all-blocks", {}, {}, {}) == key_of("det", {}, {}, {})
    assert all(key_of(label, {}, {}, {}) is None for label in ("none", "ditflow", "smm"))


def test_the_tracker_counts_only_where_the_suite_has_no_tracks() -> None:
    drawn = {"source": "drawn:shapes/camera-102"}
    other = "det:tracker=cotracker3"
    assert key_of(other, {}, drawn, {}) == key_of("det", {}, drawn, {}) != key_of("det", {}, {}, {})
    assert key_of(other, {}, {}, {}) != key_of("det", {}, {}, {})
    assert key_of(f"{other}:no-tracks", {}, {}, {}) == key_of("det:no-tracks", {}, {}, {})


# --- trained once, charged to all -------------------------------------------------------------------------------------


def ticks(into: list[int]) -> Any:
    return lambda step, steps: into.append(step)


@pytest.mark.parametrize("number", range(3))
def test_a_second_job_of_the_reference_trains_nothing_and_costs_the_same(xs: Path, tmp_path: Path, number: int) -> None:
    store = training.make_store(xs, tmp_path / "run", training.LABELS[number : number + 1], seeds=(0, 1))
    generator = training.open_generator(store.root)
    generator.config = store.config()
    stages: list[list[str]] = [[], []]
    made = [generator.make(job, nothing, s.append) for job, s in zip(generator.config.jobs(), stages, strict=True)]
    assert "train" in stages[0] and "train" not in stages[1]
    assert made[0].frames_digest != made[1].frames_digest
    assert made[0].stages["train"] == made[1].stages["train"] > 0
    job, setting = generator.config.jobs()[0], generator.config.setting
    shape = generator.card.shape(setting.width, setting.height, setting.frames, setting.sigmas)
    method = labels.build(job.method)
    assert [m.forward_equivalents for m in made] == pytest.approx([method.cost(method.params, shape)] * 2, abs=1e-3)
    assert made[0].log["prepared"] == made[1].log["prepared"]
    assert {len(v) for v in made[0].log["prepared"]["train_loss"].values()} <= {10, 12}
    assert generator.prepare(job, nothing, nothing) == made[0].stages["train"]


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_a_training_killed_twice_ends_with_the_same_bytes(xs: Path, tmp_path: Path, number: int) -> None:
    roots = [training.make_store(xs, tmp_path / name).root for name in ("whole", "torn")]
    for step in (5, 9):
        done = subprocess.run([*TRAINING, str(roots[1]), str(number), "kill", str(step)], timeout=300)
        assert done.returncode == -signal.SIGKILL
    weights, seen = [], []
    for root in roots:
        generator, steps = training.open_generator(root), list[int]()
        job = generator.config.jobs()[number]
        generator.prepare(job, ticks(steps), nothing)
        seen.append(steps)
        key = prepared_key(job, generator.cases[job.case_id], generator.config.setting)
        folder = root / "prepared" / str(key)
        weights.append((folder / "weights.safetensors").read_bytes())
        meta = json.loads((folder / "meta.json").read_text())
        assert meta["log"]["train_steps"] == 12 and meta["spent"]["seconds"] > 0
        assert not list((root / "prepared").glob("*checkpoint*"))
    assert seen == [list(range(12)), list(range(9, 12))]
    assert weights[0] == weights[1]


def test_two_processes_train_once(xs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is seen to reach the lock while the first holds it, and then finds everything done."""
    root = training.make_store(xs, tmp_path / "run").root
    waits, flock = threading.Event(), prepared_weights.fcntl.flock
    monkeypatch.setattr(prepared_weights.fcntl, "flock", lambda *a: (waits.set(), flock(*a)))
    first = subprocess.Popen([*TRAINING, str(root), "0", "hold"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert first.stdout is not None and first.stdout.readline() == b"training\n"
        generator, steps = training.open_generator(root), list[int]()
        second = threading.Thread(target=generator.prepare, args=(generator.config.jobs()[0], ticks(steps), nothing))
        second.start()
        assert waits.wait(60) and not list((root / "prepared").glob("[!.]*"))
        first.communicate(b"\n", timeout=300)
        second.join(300)
        assert first.returncode == 0 and not second.is_alive() and steps == []
        assert len(list((root / "prepared").glob("[!.]*"))) == 1
    finally:
        first.kill()


# --- damage -----------------------------------------------------------------------------------------------------------


def test_damaged_weights_are_put_aside_and_made_again(xs: Path, tmp_path: Path) -> None:
    generator = training.open_generator(training.make_store(xs, tmp_path / "run").root)
    job = generator.config.jobs()[0]
    generator.prepare(job, nothing, nothing)
    (folder,) = (tmp_path / "run" / "prepared").glob("[!.]*")
    before = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert Shelf(generator.store).load(folder.name) is None
    generator.prepare(job, nothing, nothing)
    assert (folder / "weights.safetensors").read_bytes() == before
    assert len(list((tmp_path / "run" / "quarantine").iterdir())) == 1
    assert "moved to quarantine" in generator.store.warnings[0]


@pytest.mark.parametrize("damage", [b"", b"no tensors", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_checkpoint_begins_anew(xs: Path, tmp_path: Path, damage: bytes) -> None:
    generator = training.open_generator(training.make_store(xs, tmp_path / "run").root)
    job, steps = generator.config.jobs()[0], list[int]()
    key = prepared_key(job, generator.cases[job.case_id], generator.config.setting)
    (tmp_path / "run" / "prepared").mkdir(exist_ok=True)
    (tmp_path / "run" / "prepared" / f".{key}.checkpoint").write_bytes(damage)
    generator.prepare(job, ticks(steps), nothing)
    assert steps == list(range(12))


# --- as a user and a scheduler meet it --------------------------------------------------------------------------------


def test_a_worker_prepares_and_then_finds_it_prepared(xs: Path, tmp_path: Path) -> None:
    store = training.make_store(xs, tmp_path / "run")
    worker = subprocess.Popen(
        [sys.executable, "-m", "fastvmt.runner.worker", str(store.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert worker.stdin is not None and worker.stdout is not None
    task = json.dumps({"task": "prepare", "job": store.config().jobs()[0].model_dump(mode="json")}) + "\n"
    try:
        said: list[list[dict[str, Any]]] = []
        for _ in range(2):
            worker.stdin.write(task)
            worker.stdin.flush()
            said.append([])
            while not said[-1] or said[-1][-1]["report"] not in ("prepared", "failed"):
                said[-1].append(json.loads(worker.stdout.readline()))
    finally:
        worker.stdin.close()
        worker.wait(60)
        worker.stdout.close()
    assert [r["step"] for r in said[0] if r["report"] == "step"] == list(range(12))
    (again,) = said[1]
    assert again["report"] == "prepared" and again["seconds"] == said[0][-1]["seconds"] > 0


def test_training_has_neither_the_target_nor_the_run_s_noise(xs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastvmt.methods.motion_inversion import MotionInversion

    seen: list[Any] = []

    def prepare(self: Any, ctx: Any, workspace: Any) -> dict[str, Any]:
        seen.append((set(ctx.texts), bool(ctx.noise.any()), workspace.frames().shape))
        return {}

    monkeypatch.setattr(MotionInversion, "prepare", prepare)
    generator = training.open_generator(training.make_store(xs, tmp_path / "run").root)
    generator.prepare(generator.config.jobs()[0], nothing, nothing)
    assert seen == [({"null", "caption"}, False, (17, 32, 32, 3))]

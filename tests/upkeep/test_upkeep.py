"""``bench status``, ``bench gc`` and ``bench doctor`` as a user types them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.cli import bench, command, spawn
from support.elsewhere import foreign
from support.light_runs import make_quick
from support.runs import make_run

from fastvmt.errors import StoreError
from fastvmt.upkeep import garbage

HOLD = (
    "import sys; from pathlib import Path; from fastvmt.store.folder import Store; from fastvmt.runner.crew.leases import Leases\n"
    "store = Store.open(Path(sys.argv[1])); lock = len(sys.argv) < 3; leases = Leases(store.root); leases.start()\n"
    "store.lock() if lock else None; leases.claim('b' * 64); print('held', flush=True); sys.stdin.read()"
)


def partly(folder: Path) -> Path:
    """A run of 8 videos: 5 there, one failed, two never made."""
    return make_run(
        folder, cases=2, methods=("none", "fastvmt"), seeds=(0, 1), videos=False,
        failed={("case-0000", "fastvmt", 0): "no memory"}, missing=[("case-0001", "fastvmt", 0), ("case-0001", "none", 1)],
    )  # fmt: skip


def test_status_counts_what_is_there(tmp_path: Path) -> None:
    root = partly(tmp_path / "r")
    found = bench("status", root, "--json").data
    assert [found[k] for k in ("jobs", "done", "failed", "missing", "seconds_left")] == [8, 5, 1, 2, None]
    assert found["methods"] == {
        "none": {"done": 3, "failed": 0, "missing": 1}, "fastvmt": {"done": 2, "failed": 1, "missing": 1},
    }  # fmt: skip
    assert found["holder"] == "" and found["running"] == [] and found["records"] == 20
    text = bench("status", root).out
    assert "5 of 8 videos, 1 failed, 2 missing" in text and f"bench resume {root}" in text
    assert bench("status", tmp_path).code == 2


def test_status_of_a_run_at_work(tmp_path: Path) -> None:
    root = partly(tmp_path / "r")
    (root / "plan.json").write_text(
        json.dumps({"time": 0, "device": "d", "seconds": {"none": 10.0, "fastvmt": 40.0}, "left": {}, "basis": ""})
    )
    events = [{"event": "started", "jobs": 8, "workers": 1}, {"event": "started", "jobs": 8, "workers": 2}]
    (root / "events.jsonl").write_text("\n".join(map(json.dumps, events)) + '\n{"event": "gen')
    with subprocess.Popen([sys.executable, "-c", HOLD, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"held\n"
        found = bench("status", root, "--json").data
        who = f"process {process.pid} on {socket.gethostname()}"
        assert found["holder"] == f"process {process.pid}" and found["runners"] == [who]
        assert found["running"] == [{"key": "b" * 64, "by": who}]
        assert found["seconds_left"] == (1 * 10 + 2 * 40) / 2
        refused = bench("gc", root, "--dry-run"), bench("gc", tmp_path)
        assert all(s.code == 2 and f"in use by process {process.pid}" in s.err for s in refused)
        assert f"in use by {who}" in bench("doctor", "--runs", tmp_path).out
        process.kill()
    found = bench("status", root, "--json").data
    assert found["running"] == [] == found["runners"] and found["holder"] == ""


def test_gc_waits_for_a_runner_that_joined_without_the_lock(tmp_path: Path) -> None:
    root = partly(tmp_path / "r")
    argv = [sys.executable, "-c", HOLD, str(root), "join"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"held\n"
        said = bench("gc", root)
        assert said.code == 2 and f"worked on by process {process.pid}" in said.err
        process.kill()
    assert bench("gc", root).code == 0


def test_gc_removes_nothing_where_a_helper_came_while_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_run(tmp_path / "r", cases=1, methods=("none",), videos=False)
    paths = litter(root)
    answers = iter([{}, {"t": "process 7 on nodeA"}])
    monkeypatch.setattr(garbage, "runners", lambda folder: next(answers))
    with pytest.raises(StoreError, match="worked on by process 7 on nodeA"):
        garbage.clean(root, dry_run=False)
    assert all(p.exists() for p in paths.values())


def test_gc_keeps_preparations_of_a_run_whose_methods_it_does_not_know(tmp_path: Path) -> None:
    run = make_quick(tmp_path / "r", 1)
    (run / "prepared" / ("a" * 64)).mkdir(parents=True)
    (run / "prepared" / ("a" * 64) / "weights").write_text("of a method in a plug-in")
    (run / "artefacts" / ".making-x-y").mkdir()
    said = spawn("gc", tmp_path, "--json")
    assert said.code == 0 and [Path(f["path"]).name for f in said.data["found"]] == [".making-x-y"]
    assert (run / "prepared" / ("a" * 64)).is_dir()


def test_a_runner_of_another_machine_that_was_killed_stops_nothing_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = partly(tmp_path / "r")
    foreign(root)
    (root / "artefacts" / f".making-{'f' * 16}-abc").mkdir()
    (root / "leases" / f"{'b' * 64}.0").write_text("f" * 16)
    said = bench("status", root)
    assert "worked on by" not in said.out and "gone without a word: process" in said.out and "on elsewhere" in said.out
    assert "gone without a word" in bench("doctor", "--runs", tmp_path).out
    monkeypatch.setenv("FASTVMT_LEASE_SILENCE", "1")
    before = sorted(root.rglob("*"))
    looked = bench("gc", root, "--dry-run")
    assert looked.code == 0 and "listening up to 1 s" in looked.err and sorted(root.rglob("*")) == before
    assert bench("gc", root).code == 0
    assert not list(root.glob("artefacts/.making-*")) and not [p for p in (root / "leases").rglob("*") if p.is_file()]
    assert "nobody works on it" in bench("status", root).out


def litter(root: Path) -> dict[str, Path]:
    """One of everything that can go."""
    for name in ("quarantine/x--1", "artefacts/.making-abc", "cache"):
        (root / name).mkdir(parents=True, exist_ok=True)
    paths = {
        "never finished": root / "artefacts/.making-abc", "quarantine": root / "quarantine/x--1",
        "cache of a finished run": root / "cache/k.safetensors", "no case has": root / "references/0123456789abcdef.mkv",
        "a file that was never": root / "references/.part-a.mkv",
    }  # fmt: skip
    for path in paths.values():
        (path / "frames.mkv" if path.is_dir() else path).write_bytes(b"12345")
    return paths


def test_gc_shows_then_removes_and_never_a_video_of_the_run(tmp_path: Path) -> None:
    root = make_run(tmp_path / "runs" / "r", cases=2, methods=("none",), videos=False)
    paths = litter(root)
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "file").write_text("mine")
    (root / "quarantine" / "link").symlink_to(outside)
    before = sorted(p.relative_to(root) for p in root.rglob("*"))
    shown = bench("gc", tmp_path / "runs", "--dry-run", "--json").data
    assert sorted(p.relative_to(root) for p in root.rglob("*")) == before
    assert {f["path"] for f in shown["found"]} == {str(p) for p in (*paths.values(), root / "quarantine" / "link")}
    assert shown["bytes"] == 25 and all(
        any(f["path"] == str(p) and why in f["why"] for f in shown["found"]) for why, p in paths.items()
    )
    said = bench("gc", root)
    assert said.code == 0 and "freed" in said.out and not any(p.exists() for p in paths.values())
    assert (outside / "file").read_text() == "mine" and not (root / "quarantine" / "link").is_symlink()
    assert bench("status", root, "--json").data["done"] == 2 and bench("gc", root, "--json").data["found"] == []


def test_gc_keeps_the_caches_of_a_run_that_is_not_finished(tmp_path: Path) -> None:
    root = partly(tmp_path / "r")
    (root / "cache").mkdir(exist_ok=True)
    (root / "cache" / "k.safetensors").write_bytes(b"1")
    assert bench("gc", root, "--json").data["found"] == [] and (root / "cache" / "k.safetensors").exists()
    assert bench("gc", tmp_path / "nowhere").code == 2


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights, environments or network."""
    for name in ("FASTVMT_ENVS", "VBENCH_CACHE_DIR", "TORCH_HOME", "HF_HOME", "FASTVMT_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("HF_ENDPOINT", "https://192.0.2.1")  # an address that is never given out
    return tmp_path


def test_doctor_says_what_is_there_and_what_to_do(bare: Path) -> None:
    partly(bare / "runs" / "half")
    said = spawn("doctor", "--json", cwd=bare)
    assert said.code == 0 and said.data["ok"] is True
    found = {f["what"]: f for f in said.data["findings"]}
    assert found["backbone tiny"]["state"] == "ok"
    assert (
        found["backbone wan2.1-14b"]["do"] == "hf download Wan-AI/Wan2.1-T2V-14B-Diffusers"
        and "80 GB" in found["backbone wan2.1-14b"]["words"]
    )
    assert found["environment vbench"]["do"] == "bench env create vbench" and found["hub"]["words"].startswith(
        "offline: 192.0.2.1"
    )
    assert (
        found["run half"]["do"] == f"bench resume {Path('runs') / 'half'}"
        and "5 of 8 videos, 1 failed" in found["run half"]["words"]
    )
    assert {f["state"] for f in said.data["findings"]} == {"ok", "warn"} and {
        "disk",
        "pyav",
        "versions",
        "metrics",
    } <= found.keys()
    assert all(f["do"] or f["state"] == "ok" or f["what"].split()[0] in ("metric", "tracker") for f in said.data["findings"])


def test_doctor_ends_with_2_where_the_default_run_cannot_start(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation whose own numbers do not fit, and a full disk; the other checks go on."""
    site = bare / "site"
    info = site / "fastvmt_bench-9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: fastvmt-bench\nVersion: 9\nRequires-Dist: numpy<1\nRequires-Dist: torch\n"
    )
    (info / "entry_points.txt").write_text("")
    (site / "sitecustomize.py").write_text(
        "import shutil\nreal = shutil.disk_usage\nshutil.disk_usage = lambda p: real(p)._replace(free=1000)\n"
    )
    env = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run(command("doctor"), capture_output=True, text=True, cwd=bare, env=env)
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert any(x.startswith("problem disk: 0.0 GiB free") and "bench gc" in x for x in lines)
    assert any(x.startswith("problem versions: numpy") and "<1 is needed" in x for x in lines)
    assert any("backbone tiny" in x for x in lines) and lines[-1].startswith("the default run cannot start (2 problems")


def test_doctor_still_probes_and_says_what_goes_together() -> None:
    said = bench("doctor", "--clips", "3")
    assert said.code == 2 and "--clips needs --backbone NAME or --tracker NAME" in said.err


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fastvmt.upkeep import doctor

    def broken() -> None:
        raise RuntimeError("a driver in pieces")

    monkeypatch.setattr(doctor, "_gpu", broken)
    monkeypatch.setattr(doctor, "_answers", lambda host: True)
    found = list(doctor.look(tmp_path / "runs"))
    assert any(f.state == "problem" and "a driver in pieces" in f.words for f in found) and len(found) > 5
    assert any(f.what == "hub" and f.state == "ok" for f in found)

"""``bench plan``: what it counts, what it refuses, and that what it offers instead fits."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from support.cli import Said, bench
from support.runs import make_run

from fastvmt.backbones import card as cards
from fastvmt.estimates import memory
from fastvmt.estimates.memory import GIB, need
from fastvmt.estimates.plan_estimate import _seconds_left
from fastvmt.estimates.seconds import Prediction
from fastvmt.model import MethodSpec
from fastvmt.store.folder import Store

GUIDED = MethodSpec(label="g", method="ditflow", version=1, params={"block": 14})
NONE = MethodSpec(label="n", method="none", version=1, params={})


def wan(method: MethodSpec = GUIDED, **changes: Any) -> memory.Need:
    facts: dict[str, Any] = {"width": 832, "height": 480, "frames": 33, "dtype": "bfloat16", "device": "cuda"} | changes
    return need(cards.load(facts.pop("backbone", "wan2.1-1.3b")), methods=(method,), **facts)


def test_the_parts_are_those_that_can_be_counted() -> None:
    """Against figures counted on the model's own shapes: weights 2.64 GiB, encoder 10.6, 0.6 GiB of checkpoints for 15 blocks."""
    found = wan()
    assert found.transformer / GIB == pytest.approx(2.64, abs=0.01) and found.text_encoder / GIB == pytest.approx(
        10.6, abs=0.05
    )
    inside = found.forward
    assert (found.guidance - inside - 4 * 4 * 14040 * 1536) / GIB == pytest.approx(0.60, abs=0.01)
    assert found.stored / GIB == pytest.approx(14, abs=1)
    assert wan(NONE).guidance == 0 < found.guidance and wan(NONE).expected(1 << 60) < found.expected(1 << 60)


def test_what_needs_less_is_said_to_need_less() -> None:
    base = wan()
    assert wan(frames=29).least < base.least < wan(frames=81).least < wan(frames=81, backbone="wan2.1-14b").least
    assert wan(offload=True).least < base.least and wan(offload=True, device="cpu").least == wan(device="cpu").least
    assert base.least <= base.expected(24 * GIB) <= base.expected(1 << 60)
    assert base.expected(1 << 60) - base.expected(24 * GIB) > 8 * GIB  # kept where there is room, recomputed where not


def test_parameters_are_counted_from_the_files(xs: Path) -> None:
    card = cards.load(str(xs))
    with safe_open(next((xs / "vae").glob("*.safetensors")), framework="pt") as file:
        counted = sum(file.get_tensor(k).numel() for k in file.keys())  # noqa: SIM118 - not a dictionary
    found = need(card, 32, 32, 17, "float32", (NONE,))
    assert found.vae == counted * 4 and found.transformer > 0 and found.text_encoder > 0


def offers(said: Said) -> dict[str, float]:
    assert said.code == 2, said.out
    assert said.err.startswith("bench: One job needs about ") and len(said.err.strip().splitlines()) == 1
    return {words: float(size) for words, size in re.findall(r"(--[a-z][^()]*?) \(([\d.]+) GiB\)", said.err.split("GiB:")[-1])}


@pytest.mark.parametrize(
    ("gib", "args", "wanted"),
    [
        (30, ["wan2.1-1.3b"], None),
        (14, ["wan2.1-1.3b"], ["--offload"]),
        (40, ["wan2.1-14b"], ["--offload --frames", "--backbone wan2.1-1.3b"]),
        (3, ["wan2.1-1.3b"], []),
    ],
)
def test_what_cannot_fit_is_refused_and_what_is_offered_fits(
    gib: int, args: list[str], wanted: list[str] | None, tmp_path: Path
) -> None:
    base = ["plan", "--backbone", *args, "--limit", "1", "--device-memory", str(gib)]
    said = bench(*base, cwd=tmp_path)
    if wanted is None:
        assert said.code == 0, said.err
        return
    found = offers(said)
    assert (
        len(found) >= len(wanted) and all(any(w in f for f in found) for w in wanted) and all(v <= gib for v in found.values())
    )
    assert found or "even one frame needs" in said.err
    assert "GPU-hours" in said.out and f"of {gib}.0 GiB" in said.out  # the plan itself is shown all the same
    assert bench(*base, "--force", cwd=tmp_path).code == 0
    if first := next(iter(found), ""):
        assert bench(*base, *first.removeprefix("or ").split(), cwd=tmp_path).code == 0


def test_hours_wall_time_and_workers(tmp_path: Path) -> None:
    args = ["plan", "--backbone", "wan2.1-1.3b", "--frames", "33", "--methods", "fastvmt:as-written", "--no-controls", "--json",
            "--device-memory", "80", "--workers"]  # fmt: skip
    one, eight = (bench(*args, n, cwd=tmp_path).data for n in ("1", "8"))
    assert one["jobs"] == 16 and one["seconds"] == pytest.approx(16 * 184.18, rel=0.001) and "A100-80GB" in one["seconds_basis"]
    assert one["wall_seconds"] == pytest.approx(one["seconds"])
    assert eight["seconds"] == one["seconds"] and eight["wall_seconds"] == pytest.approx(2 * 184.18, rel=0.001)
    assert one["methods"][0]["label"] == "fastvmt:as-written" and one["disk_free"] > 0 < one["disk_bytes"]


def test_timed_repeats_and_the_discarded_video_are_in_the_hours(tmp_path: Path) -> None:
    config = Store.open(make_run(tmp_path / "r", 4, ("none",), videos=False)).config()
    each = Prediction({"none": 10.0}, "", {"none": 0.2})
    once = _seconds_left(config, each, {"none": 6})["none"]
    timed = _seconds_left(config.model_copy(update={"repeats": 3}), each, {"none": 6})["none"]
    assert once == pytest.approx(6 * 8 + 4 * 2) and timed == pytest.approx((6 * 3 + 1) * 8 + 4 * 2)


def test_a_run_that_cannot_fit_does_not_begin(
    xs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Disk and memory of this machine, made small."""
    from fastvmt import api
    from fastvmt.errors import UserError
    from fastvmt.estimates import plan_estimate
    from fastvmt.runner.settings import Request

    request = Request(methods=("none",), backbone=str(xs), limit=1, controls=False, metrics=("time",), threads=1)
    for module in (plan_estimate, memory):
        monkeypatch.setattr(module, "device_bytes", lambda device: 100 << 20)
    with pytest.raises(
        UserError, match=r"this machine has 0\.1 GiB: even one frame needs .* a larger device is needed\. \(--force"
    ):
        api.run(request, tmp_path / "r")
    assert not (tmp_path / "r").exists()
    monkeypatch.undo()
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(plan_estimate.shutil, "disk_usage", lambda path: full)
    with pytest.raises(UserError, match="are free: give --out on another disk, or fewer clips with --limit"):
        api.run(request, tmp_path / "r")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("memory_gib", "each_gib", "threads", "workers"),
    [(64, 1, 1, 6), (64, 40, 6, 1), (64, 20, 3, 2), (64, 12, 2, 3), (1, 40, 6, 1)],
)
def test_nobody_says_how_many_workers(
    memory_gib: int, each_gib: int, threads: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All six cores have work, and what runs together fits."""
    monkeypatch.setattr(memory, "cores", lambda: 6)
    monkeypatch.setattr(memory, "device_bytes", lambda device: memory_gib * GIB)
    assert memory.threads_when_unsaid("cpu", each_gib * GIB) == threads
    assert memory.workers_when_unsaid("cpu", threads, each_gib * GIB) == workers
    assert memory.workers_when_unsaid("cpu", 4, each_gib * GIB) == 1


def test_workers_share_a_machines_memory(xs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastvmt import api
    from fastvmt.estimates import plan_estimate
    from fastvmt.estimates.plan_estimate import Conditions
    from fastvmt.runner.settings import Request

    request = Request(methods=("none",), backbone=str(xs), limit=1, controls=False, metrics=("time",))
    monkeypatch.setattr(plan_estimate, "device_bytes", lambda device: 3 * GIB)
    assert api.plan(request, tmp_path / "r", Conditions(2))[1].problem == ""
    found = api.plan(request, tmp_path / "r", Conditions(8))[1].problem
    assert "each of 8 workers has 0.4 GiB" in found and "--workers 1 (3.0 GiB for it alone) would fit" in found


def test_more_videos_than_one_run_can_have_are_refused(tmp_path: Path) -> None:
    seeds = ",".join(map(str, range(10_000)))
    said = bench("plan", "--methods", "all,copy,oracle,frozen", "--seeds", seeds, cwd=tmp_path)
    assert said.code == 2 and "are more than the 1,000,000 of one run" in said.err

"""Protocol timing: repeats, a discarded warm-up, amortised preparation, and a word about a busy machine."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.cli import bench

from fastvmt.backbones import device
from fastvmt.metrics.cost import Energy, PeakReserved, Time, TimeAmortised
from fastvmt.plugins.metric import Scored
from fastvmt.store.folder import Store


def scored(**facts: object) -> Scored:
    given = {"repeats": (), "forward_equivalents": 1.0, "warm_up_seconds": 0.0, "shared_by": 1} | facts
    return Scored(None, None, None, None, SimpleNamespace(**given))  # type: ignore[arg-type]


def test_preparation_is_shared_among_the_videos_of_a_reference() -> None:
    job = scored(stages={"load": 9.0, "encode": 4.0, "train": 8.0, "denoise": 2.0, "decode": 1.0}, shared_by=4)
    assert Time().score(job).value == 15.0
    assert TimeAmortised().score(job).value == 3.0 + 12.0 / 4


def test_no_counter_is_undefined_not_zero() -> None:
    job = scored(stages={}, energy_joules=None, peak_reserved_bytes=0)
    assert Energy().score(job).value is None and PeakReserved().score(job).value is None
    assert Energy().score(scored(stages={}, energy_joules=12.5)).value == 12.5
    assert device.energy_joules("cpu") is None


def test_a_busy_gpu_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = SimpleNamespace(nvmlDeviceGetComputeRunningProcesses=lambda handle: [SimpleNamespace(pid=p) for p in (1, 1 << 30)])
    nvml.nvmlDeviceGetTotalEnergyConsumption = lambda handle: 2500
    monkeypatch.setattr(device, "_nvml", lambda index: (nvml, None))
    assert device.others("cuda") == "1 other processes on the GPU"
    assert device.energy_joules("cuda") == 2.5
    nvml.nvmlDeviceGetComputeRunningProcesses = lambda handle: 1 // 0  # as a virtual GPU that cannot tell
    assert device.others("cuda") == ""


def test_repeats_are_timed_and_give_one_video(xs: Path, tmp_path: Path) -> None:
    said = bench(
        "run", "--backbone", xs, "--methods", "none", "--no-controls", "--limit", "1", "--seeds", "0,1", "--steps", "2",
        "--frames", "9", "--width", "32", "--height", "32",        "--protocol", "timing", "--repeats", "2", "--metrics", "time,time_amortised", "--out", tmp_path / "run",
    )  # fmt: skip
    assert said.code == 0, said.err
    store = Store.open(tmp_path / "run")
    first, second = (store.artefact(job) for job in store.config().jobs())
    assert first and second and len(first.repeats) == len(second.repeats) == 2 and first.shared_by == 2
    assert first.warm_up_seconds > 0 == second.warm_up_seconds
    records = {(r.job_key, r.metric): r for r in store.records().values()}
    details = records[first.key, "time"].details
    assert details["repeats"] == list(first.repeats)
    in_stages = sum(v for k, v in details["stages"].items() if k not in ("write",))
    assert min(first.repeats) * 0.5 < in_stages < max(first.repeats) * 1.5
    assert statistics.median(first.repeats) > 0


def test_timing_makes_one_video_at_a_time(tmp_path: Path) -> None:
    said = bench("run", "--protocol", "timing", "--workers", "2", "--limit", "1", cwd=tmp_path)
    assert said.code == 2 and "one video at a time" in said.err
    assert bench("run", "--protocol", "fast", cwd=tmp_path).code == 2


@pytest.mark.parametrize(("visible", "asked"), [("", 0), ("3", 3), ("5,6", 5), ("GPU-7", "GPU-7")])
def test_the_energy_is_that_of_the_gpu_which_torch_sees(monkeypatch: pytest.MonkeyPatch, visible: str, asked: object) -> None:
    nvml = SimpleNamespace(nvmlInit=lambda: None, nvmlDeviceGetHandleByIndex=lambda i: i, nvmlDeviceGetHandleByUUID=lambda u: u)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)  # type: ignore[arg-type]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device._nvml(0) == (nvml, asked)

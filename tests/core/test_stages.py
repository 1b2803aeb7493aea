"""The job's clock and its memory."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from fastvmt.core.stages import Stages, peak_process_bytes, reset_peak


def test_stages_are_exclusive_and_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 4.0, 10.0])
    used = iter([0.0, 1.0, 2.0, 5.0])
    monkeypatch.setattr("fastvmt.core.stages.time.perf_counter", lambda: next(now))
    monkeypatch.setattr("fastvmt.core.stages.time.process_time", lambda: next(used))
    entered: list[str] = []
    stages = Stages(listener=entered.append)
    with stages("guidance"):
        with stages("reference"):
            pass
    assert stages.seconds == {"guidance": 7.0, "reference": 3.0}
    assert stages.processor == {"guidance": 4.0, "reference": 1.0}, "waiting is no work"
    assert entered == ["guidance", "reference", "guidance"]


@pytest.mark.skipif(
    sys.platform != "linux", reason="needs Linux, which alone lets a process begin a new peak: run the tests there"
)
def test_one_jobs_peak_does_not_stand_in_the_next_ones() -> None:
    block = np.ones(300 << 20, np.uint8)
    high = peak_process_bytes()
    del block
    reset_peak()
    assert peak_process_bytes() < high - (200 << 20)

"""``bench drift``: what a profile changes against none, and that its rows never share a table with rows of none."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.cli import bench
from support.runs import make_run, make_setting, paint, values

from fastvmt.errors import NotComparable
from fastvmt.model import Case, Profile
from fastvmt.reports.drift.pixels import TRUNK
from fastvmt.reports.tidy import gather

FAST = Profile(cache="first_block:threshold=0.05")
METHODS = ("none", "fastvmt")
METRICS = ("motion_fidelity", "time")


def sped_up(folder: Path, profile: Profile = FAST, **more: Any) -> Path:
    """Its ``fastvmt`` is brighter by 16 and less faithful by 0.25; its ``none`` is the same; seconds are half."""

    def painted(case: Any, label: str, *size: int) -> Any:
        return paint(case, label, *size) // 2 + np.uint8(16 if label == "fastvmt" and profile.identity() else 0)

    def measured(metric: str, case: Case, label: str, seed: int) -> float | None:
        found = values(metric, case, label, seed)
        if found is None or not profile.identity():
            return found
        return found / 2 if metric == "time" else found - (0.25 if label == "fastvmt" else 0)

    setting = make_setting(profile=profile)
    given = {"cases": 6, "methods": METHODS, "metrics": METRICS, "setting": setting, "paint": painted, "values": measured}
    return make_run(folder, **given | more)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return sped_up(tmp_path / "plain", Profile())


def csv_of(run: Path) -> str:
    return bench("report", run, "--print", "csv").out


def cells(view: dict[str, Any], line: str) -> dict[str, Any]:
    return next(row["cells"] for row in view["lines"] if row["key"] == line)


def test_pixels_and_every_metric_are_held_against_the_same_videos_without(plain: Path, tmp_path: Path) -> None:
    fast = sped_up(tmp_path / "fast")
    said = bench("drift", plain, fast, "--json")
    assert said.code == 0, said.err
    assert (said.data["with"], said.data["without"]) == ("cache=first_block:threshold=0.05", "none")
    moved, same = (cells(said.data["drift"], label) for label in ("fastvmt", "none"))
    assert moved["psnr"]["value"] == pytest.approx(20 * np.log10(255 / 16)) and moved["psnr"]["n"] == 6
    assert same["psnr"]["value"] is None and same["psnr"]["why"] == "identical"
    assert (moved["same"]["value"], same["same"]["value"]) == (0, 6)
    assert moved["speed_up"]["value"] == pytest.approx(2) and moved["passes"]["value"] == pytest.approx(1)
    fidelity = cells(said.data["drift-metrics"], "motion_fidelity fastvmt")
    assert fidelity["difference"]["value"] == pytest.approx(-0.25)
    assert fidelity["difference"]["low"] < -0.2499 and fidelity["p"]["value"] < 0.05
    assert cells(said.data["drift-metrics"], "motion_fidelity none")["difference"]["value"] == 0
    assert bench("drift", fast, plain, "--json").data == said.data, "whichever is named first"
    assert "LPIPS is left out" in " ".join(said.data["drift"]["notes"])


def test_a_table_of_both_is_refused_and_the_profile_heads_its_own(plain: Path, tmp_path: Path) -> None:
    fast = sped_up(tmp_path / "fast")
    with pytest.raises(NotComparable, match="profile: none and cache=first_block"):
        gather([plain, fast])
    assert "profile cache=first_block:threshold=0.05" in gather([fast]).title and "profile" not in gather([plain]).title
    assert bench("compare", plain, fast).code == 4
    said = "matched-start, profile cache=first_block:threshold=0.05"
    assert set(gather([fast]).frame["protocol"]) == {said} and f",{said!r}".replace("'", '"') in csv_of(fast)


@pytest.mark.parametrize(("other", "words"), [
    ({"profile": Profile()}, "same profile"), ({"setting": make_setting(steps=5, profile=FAST)}, "steps: 4 and 5"),
    ({"seeds": (7,)}, "no video of the same method"),
])  # fmt: skip
def test_what_cannot_be_held_against_each_other_is_said(plain: Path, tmp_path: Path, other: dict[str, Any], words: str) -> None:
    said = bench("drift", plain, sped_up(tmp_path / "other", **other))
    assert said.code == 4 and words in said.err and len(said.err.strip().splitlines()) == 1, said.err


def test_seconds_of_another_device_are_no_speed_up(plain: Path, tmp_path: Path) -> None:
    said = bench("drift", plain, sped_up(tmp_path / "fast", device="another device"), "--json").data
    assert cells(said["drift"], "fastvmt")["speed_up"]["value"] is None
    assert any("no seconds" in note for note in said["drift"]["notes"])
    assert not [line for line in said["drift-metrics"]["lines"] if line["key"].startswith("time")]


def test_lpips_is_there_with_its_weights(plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stub(torch.nn.Module):
        """The mean difference of frames in [-1, 1], in the shape that the package has."""

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            assert a.shape[1] == 3 and a.min() >= -1 and a.max() <= 1
            return (a - b).abs().mean((1, 2, 3), keepdim=True)

    made = SimpleNamespace(LPIPS=lambda **how: Stub(), __spec__=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "lpips", made)  # type: ignore[arg-type]
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    trunk = tmp_path / "torch" / "hub" / "checkpoints" / TRUNK
    trunk.parent.mkdir(parents=True)
    trunk.touch()
    found = bench("drift", plain, sped_up(tmp_path / "fast"), "--json").data["drift"]
    assert cells(found, "fastvmt")["lpips"]["value"] == pytest.approx(16 / 127.5)
    assert cells(found, "none")["lpips"]["value"] == 0


def test_a_damaged_video_is_no_gap_in_silence(plain: Path, tmp_path: Path) -> None:
    fast = sped_up(tmp_path / "fast")
    video = next((fast / "artefacts").glob("*fastvmt*/frames.*"))
    video.write_bytes(b"\0" * video.stat().st_size)
    found = bench("drift", plain, fast, "--json").data["drift"]
    assert cells(found, "fastvmt")["psnr"]["n"] == 5 and cells(found, "fastvmt")["psnr"]["expected"] == 6
    assert any("1 videos could not be read" in note for note in found["notes"])


@pytest.mark.slow
def test_a_cache_that_skips_drifts_and_one_that_may_not_does_not(xs: Path, tmp_path: Path) -> None:
    size = ("--steps", "10", "--frames", "9", "--width", "32", "--height", "32", "--limit", "1", "--no-controls")
    what = ("run", "--backbone", xs, "--methods", "none", "--metrics", "forwards", *size)
    for name, more in (
        ("plain", ()),
        ("skips", ("--cache", "first_block:threshold=9")),
        ("not", ("--cache", "first_block:threshold=0")),
    ):
        said = bench(*what, *more, "--out", tmp_path / name)
        assert said.code == 0, said.err
    skips, idle = (bench("drift", tmp_path / "plain", tmp_path / name, "--json").data["drift"] for name in ("skips", "not"))
    assert cells(skips, "none")["same"]["value"] == 0 and cells(skips, "none")["passes"]["value"] < 0.9
    assert cells(idle, "none")["same"]["value"] == 1 and cells(idle, "none")["passes"]["value"] == 1

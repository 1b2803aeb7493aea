"""CoTracker from a checkout and a checkpoint: found or asked for, the code that ran is named, and no seed is touched.

A stub repository stands in for theirs; with ``FASTVMT_COTRACKER`` set, their real code runs once on random weights.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastvmt.errors import MissingWeights, UserError
from fastvmt.metrics.trackers import cotracker
from fastvmt.metrics.trackers.cotracker import CoTracker2, CoTracker3, grid_points

HUBCONF = """
import torch
def _make(**kwargs):
    assert kwargs == {"pretrained": False}
    from cotracker.predictor import Predictor
    return Predictor()
cotracker3_offline = cotracker2 = _make
"""
PREDICTOR = """
import random
import numpy, torch
torch.manual_seed(0)
numpy.random.seed(0)
random.seed(0)
class Predictor(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model, self.calls = torch.nn.Linear(2, 1), []
    def forward(self, video, queries=None, grid_size=0):
        assert video.dtype == torch.float32 and 1 < video.max() <= 255 and video.shape[2] == 3
        frames, height, width = video.shape[1], *video.shape[3:]
        if queries is None:
            x, y = torch.meshgrid(torch.linspace(0, width - 1, grid_size), torch.linspace(0, height - 1, grid_size), indexing="xy")
            start = torch.stack([x.ravel(), y.ravel()], -1)
        else:
            assert (queries[..., 0] == 0).all()
            start = queries[0, :, 1:]
        self.calls.append(len(start))
        time = torch.arange(frames)[:, None, None]
        torch.rand(3)
        return (start + time * torch.tensor([1.0, 0.5]))[None], (time[..., 0] < 3).expand(-1, len(start))[None]
"""
CLIP = np.random.default_rng(0).integers(0, 255, (5, 24, 32, 3), np.uint8)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty torch home; modules called ``cotracker`` are forgotten before and after."""

    def forget() -> None:
        for name in [m for m in sys.modules if m.partition(".")[0] == "cotracker"]:
            del sys.modules[name]

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("FASTVMT_COTRACKER", raising=False)
    forget()
    yield tmp_path
    forget()


def make_checkout(folder: Path) -> Path:
    (folder / "cotracker").mkdir(parents=True)
    (folder / "hubconf.py").write_text(HUBCONF)
    (folder / "cotracker" / "__init__.py").write_text("")
    (folder / "cotracker" / "predictor.py").write_text(PREDICTOR)
    return folder


def make_checkpoint(folder: Path, file: str = "scaled_offline.pth") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, folder / file)
    return folder / file


@pytest.fixture
def ready(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    checkout = make_checkout(home / "checkout")
    monkeypatch.setenv("FASTVMT_COTRACKER", str(checkout))
    make_checkpoint(home / "hub" / "checkpoints")
    return checkout


@pytest.mark.parametrize(("tracker", "size"), [(CoTracker3, "102 MB"), (CoTracker2, "204 MB")])
def test_what_is_missing_is_one_sentence(home: Path, tracker: type[CoTracker3], size: str) -> None:
    said = tracker().missing()
    for words in (
        size,
        "CC-BY-NC 4.0",
        "torch.hub.load",
        cotracker.COMMIT,
        tracker.file,
        "FASTVMT_COTRACKER",
        "trust_repo=True",
    ):
        assert words in said
    assert "\n" not in said and said.endswith(".")
    assert tracker().identity()["checkpoint_sha256"] == "unfetched"
    with pytest.raises(MissingWeights, match=size):
        tracker().track(CLIP)


def test_the_hubs_folder_is_run_only_when_it_is_the_pinned_commit(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_checkout(home / "hub" / f"facebookresearch_co-tracker_{cotracker.COMMIT}")
    assert "is not facebookresearch/co-tracker at 82e02e8" in CoTracker3().missing()
    monkeypatch.setattr(CoTracker3, "code", replace(CoTracker3.code, sha256=CoTracker3.code.digest(folder)))
    assert "lacks its checkpoint scaled_offline.pth" in CoTracker3().missing()
    make_checkpoint(folder / "checkpoints")
    assert CoTracker3().missing() == "" and CoTracker3().identity()["commit"] == cotracker.COMMIT
    assert len(CoTracker3(grid=3, device="cpu").track(CLIP).points) == 9


def test_a_relative_path_would_be_another_folder_in_a_worker(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTVMT_COTRACKER", "checkout")
    assert "not an absolute path" in CoTracker3().missing()


def test_tracks_are_points_by_frames_and_no_seed_is_touched(ready: Path) -> None:
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    wanted = (torch.rand(1).item(), np.random.rand(), random.random())
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    found = CoTracker3(device="cpu").track(CLIP)
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == wanted
    assert found.points.shape == (3025, 5, 2) and found.visible.shape == (3025, 5)
    np.testing.assert_allclose(np.diff(found.points, axis=1), np.broadcast_to([1.0, 0.5], (3025, 4, 2)), atol=1e-5)
    assert found.visible[:, :3].all() and not found.visible[:, 3:].any()


def test_given_points_and_groups(ready: Path) -> None:
    tracker = CoTracker3(device="cpu", points_at_once=3)
    points = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    found = tracker.track(CLIP, points)
    np.testing.assert_allclose(found.points[:, 0], points)
    assert tracker._predictor().calls == [3, 1]
    grid = CoTracker3(grid=4, points_at_once=5, device="cpu")
    assert len(grid.track(CLIP).points) == 16 and grid._predictor().calls == [5, 5, 5, 1]
    assert len(CoTracker3(device="cpu").track(CLIP, np.zeros((0, 2))).points) == 0


def test_the_grid_keeps_the_predictors_margin() -> None:
    found = grid_points(55, 384, 512)
    np.testing.assert_allclose([found.min(0), found.max(0)], [[8, 8], [504, 376]])
    assert grid_points(5, 100, 140).max(0) == pytest.approx([504 * 139 / 511, 376 * 99 / 383])


def test_identity_says_what_another_number_could_come_from(ready: Path) -> None:
    one, other = CoTracker3(device="cpu").identity(), CoTracker3(grid=50, points_at_once=500, device="cpu").identity()
    assert {k for k in one if one[k] != other[k]} == {"grid", "points_at_once"}
    assert len(one["checkpoint_sha256"]) == len(one["code_sha256"]) == 64 and one["commit"] == "not the pinned one"
    (ready / "cotracker" / "predictor.py").write_text(PREDICTOR + "\n")
    assert CoTracker3(device="cpu").identity()["code_sha256"] != one["code_sha256"]


def test_a_damaged_checkpoint_and_foreign_code_get_a_sentence(ready: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "hub" / "checkpoints" / "scaled_offline.pth").write_bytes(b"version https://git-lfs")
    with pytest.raises(UserError, match=r"scaled_offline\.pth cannot be loaded .* fetch both again"):
        CoTracker3(device="cpu").track(CLIP)
    make_checkpoint(home / "hub" / "checkpoints")
    assert len(CoTracker3(grid=2, device="cpu").track(CLIP).points) == 4
    monkeypatch.setenv("FASTVMT_COTRACKER", str(make_checkout(home / "another")))
    with pytest.raises(UserError, match="another package 'cotracker'"):
        CoTracker3(device="cpu").track(CLIP)


class Small(CoTracker3):
    """Their predictor at a small network input, with 1 iteration, so that a CPU needs seconds."""

    def _load(self, folder: Path, weights: Path) -> Any:
        predictor = super()._load(folder, weights)
        predictor.interp_shape = predictor.model.model_resolution = (64, 96)
        forward = predictor.model.forward
        predictor.model.forward = lambda **options: forward(**options | {"iters": 1})
        return predictor


@pytest.mark.skipif(
    not os.environ.get("FASTVMT_COTRACKER"), reason="needs a checkout of co-tracker: name its folder in FASTVMT_COTRACKER"
)
@pytest.mark.filterwarnings("ignore")
def test_their_code_runs_with_random_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    checkout = os.environ["FASTVMT_COTRACKER"]
    with torch.random.fork_rng():
        model = torch.hub.load(checkout, "cotracker3_offline", source="local", pretrained=False).model
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(model.state_dict(), tmp_path / "hub" / "checkpoints" / "scaled_offline.pth")
    if (tmp_path / "hub" / "checkpoints" / "scaled_offline.pth").stat().st_size / 1e6 != pytest.approx(102, abs=1):
        pytest.fail("the checkpoint's size is not the one told to users")
    torch.manual_seed(1)
    wanted = torch.rand(1)
    torch.manual_seed(1)
    tracker = Small(grid=4, device="cpu")
    found = tracker.track(CLIP)
    assert torch.equal(torch.rand(1), wanted)
    assert found.points.shape == (16, 5, 2) and found.visible.shape == (16, 5) and np.isfinite(found.points).all()
    given = np.array([[5.0, 6.0], [20.0, 10.0]])
    np.testing.assert_allclose(tracker.track(CLIP, given).points[:, 0], given, atol=1e-4)
    assert tracker.identity()["commit"] == cotracker.COMMIT

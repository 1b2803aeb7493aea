"""TAPNext++ and AllTracker from a checkout: their faces, their coordinates, and what is said where something is not here.

Stand-ins of their code move every point by a known step; with ``FASTVMT_TAPNEXT`` or ``FASTVMT_ALLTRACKER`` set, their real code
runs once on random weights.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fastvmt.errors import MissingWeights, UserError
from fastvmt.metrics.trackers import alltracker
from fastvmt.metrics.trackers.alltracker import AllTracker
from fastvmt.metrics.trackers.checkout import CheckoutTracker
from fastvmt.metrics.trackers.tapnext import TAPNext

TAPNEXT = """
import torch
class TAPNext(torch.nn.Module):
    def __init__(self, image_size):
        super().__init__()
        assert image_size == (256, 256)
        self.lin_proj = torch.nn.Linear(2, 1)
    def forward(self, video, query_points=None, state=None):
        assert video.shape == (1, 1, 256, 256, 3) and -1 <= video.min() < 0 < video.max() <= 1
        assert (query_points is None) == (state is not None)
        torch.rand(3)
        step, points = state or (0, query_points)
        assert (points[..., 0] == 0).all()
        moved = points[:, None, :, 1:] + step * torch.tensor([8.0, 4.0])  # y, x
        return moved, None, torch.where(moved[..., :1] < 200, 1.0, -1.0), (step + 1, points)
"""
ALLTRACKER = """
import torch
import utils.misc
class Net(torch.nn.Module):
    def __init__(self, seqlen, init_weights=True):
        super().__init__()
        assert seqlen == 16 and not init_weights
        self.dot_conv = torch.nn.Linear(2, 1)
    def forward_sliding(self, images, iters=4, sw=None, is_training=False):
        assert images.shape[2:] == (3, 384, 512) and images.max() > 1 and images.shape[1] > 2
        torch.rand(3)
        time = torch.arange(images.shape[1]).float()[None, :, None, None, None]
        flow = (time * torch.tensor([8.0, 12.0])[:, None, None]).expand(1, -1, 2, 384, 512).clone()
        sure = torch.where(torch.arange(384)[:, None] < 192, 0.9, 0.7).expand(1, images.shape[1], 2, 384, 512)
        return flow, sure, None, None
"""
CLIP = np.random.default_rng(0).integers(0, 255, (5, 24, 32, 3), np.uint8)
POINTS = np.array([[5.0, 6.0], [20.0, 17.5]])
MADE: dict[type[CheckoutTracker], dict[str, str]] = {
    TAPNext: {"tapnet/__init__.py": "", "tapnet/tapnext/__init__.py": "", "tapnet/tapnext/tapnext_torch.py": TAPNEXT},
    AllTracker: {"nets/alltracker.py": ALLTRACKER, "utils/misc.py": ""},
}
both = pytest.mark.parametrize("kind", MADE)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty torch home; their modules are forgotten before and after."""

    def forget() -> None:
        for name in [m for m in sys.modules if m.partition(".")[0] in ("tapnet", "nets", "utils")]:
            del sys.modules[name]

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for kind in MADE:
        monkeypatch.delenv(kind.code.variable, raising=False)
    forget()
    yield tmp_path
    forget()


def make(kind: type[CheckoutTracker], folder: Path, monkeypatch: pytest.MonkeyPatch) -> CheckoutTracker:
    """A tracker whose checkout is a stand-in, with a checkpoint beside it."""
    for name, text in MADE[kind].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "checkpoints").mkdir()
    name, key = ("tapnext.lin_proj", "state_dict") if kind is TAPNext else ("dot_conv", "model")
    torch.save({key: {f"{name}.weight": torch.ones(1, 2), f"{name}.bias": torch.zeros(1)}}, folder / "checkpoints" / kind.file)
    monkeypatch.setenv(kind.code.variable, str(folder))
    monkeypatch.setattr(kind, "code", replace(kind.code, needs=()))
    monkeypatch.setattr(AllTracker, "devices", ("cuda", "cpu"))
    return kind(device="cpu")


@both
def test_what_is_missing_is_one_sentence_with_a_command(home: Path, kind: type[CheckoutTracker]) -> None:
    said = kind().missing()
    for words in (
        kind.terms,
        kind.code.commit,
        kind.file,
        kind.code.variable,
        "git clone https://github.com/",
        "curl",
        str(home),
    ):
        assert words in said
    assert "\n" not in said and said.endswith(".")
    with pytest.raises(MissingWeights, match=kind.file):
        kind().track(CLIP)


@both
def test_a_package_or_a_gpu_that_their_code_needs_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: type[CheckoutTracker]
) -> None:
    tracker = make(kind, home / "checkout", monkeypatch)
    assert tracker.missing() == ""
    monkeypatch.setattr(AllTracker, "devices", ("cuda",))
    assert ("CUDA alone" in tracker.missing()) == (kind is AllTracker)
    monkeypatch.setattr(kind, "code", replace(kind.code, needs=("no_such_package",)))
    assert "uv pip install no_such_package" in tracker.missing()


@both
def test_a_folder_of_the_hub_is_run_only_when_it_is_the_pinned_commit(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: type[CheckoutTracker]
) -> None:
    tracker = make(kind, kind.code.hub_folder, monkeypatch)
    assert tracker.missing() == "" and tracker.identity()["commit"] == "not the pinned one"
    monkeypatch.delenv(kind.code.variable)
    assert f"is not {kind.code.repository} at {kind.code.commit[:7]}" in tracker.missing()
    monkeypatch.setattr(kind, "code", replace(kind.code, sha256=kind.code.digest(kind.code.hub_folder)))
    assert tracker.missing() == "" and tracker.identity()["commit"] == kind.code.commit


@both
def test_tracks_are_in_px_of_the_clip_and_no_seed_is_touched(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: type[CheckoutTracker]
) -> None:
    tracker = make(kind, home / "checkout", monkeypatch)
    torch.manual_seed(7)
    wanted = torch.rand(1)
    torch.manual_seed(7)
    found = tracker.track(CLIP, POINTS)
    assert torch.equal(torch.rand(1), wanted)
    step = [4 / 256 * 32, 8 / 256 * 24] if kind is TAPNext else [8 / 512 * 32, 12 / 384 * 24]
    np.testing.assert_allclose(found.points, POINTS[:, None] + np.arange(5)[:, None] * step, atol=1e-4)
    seen = [[True] * 5, [True] + [False] * 4] if kind is TAPNext else [[True] * 5, [False] * 5]
    assert found.visible.tolist() == seen
    assert len(tracker.track(CLIP).points) == 400 and tracker.track(CLIP[:2], POINTS).points.shape == (2, 2, 2)
    assert tracker.track(CLIP, np.zeros((0, 2))).points.shape == (0, 5, 2)


@both
def test_a_damaged_checkpoint_and_foreign_code_get_a_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch, kind: type[CheckoutTracker]
) -> None:
    tracker = make(kind, home / "checkout", monkeypatch)
    whole = tracker.weights.read_bytes()
    tracker.weights.write_bytes(b"version https://git-lfs")
    with pytest.raises(UserError, match=rf"{kind.file} cannot be loaded .* fetch both again"):
        tracker.track(CLIP, POINTS)
    tracker.weights.write_bytes(whole)
    (home / "other").mkdir()
    monkeypatch.setitem(sys.modules, kind.code.modules[-1], foreign := type(sys)(kind.code.modules[-1]))
    foreign.__file__ = str(home / "other" / "__init__.py")
    with pytest.raises(UserError, match=f"another package '{kind.code.modules[-1]}'"):
        tracker.track(CLIP, POINTS)


@both
@pytest.mark.filterwarnings("ignore")
def test_their_code_runs_with_random_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[CheckoutTracker]
) -> None:
    if not os.environ.get(kind.code.variable):
        pytest.skip(f"needs a checkout of {kind.code.repository}: name its folder in {kind.code.variable}")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(AllTracker, "devices", ("cuda", "cpu"))
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self, *_, **__: self)  # theirs asks for it, wherever it runs
    for name, value in {"ROWS": 128, "COLUMNS": 160, "ROUNDS": 1}.items():
        monkeypatch.setattr(alltracker, name, value)
    tracker = kind(device="cpu")
    assert tracker.code.digest(tracker.code.folder) == tracker.code.sha256
    tracker._loaded = tracker.build(tracker.code.folder).eval()
    for weights in tracker._loaded.parameters():
        torch.nn.init.normal_(weights, std=0.02)  # theirs leave some as they come from memory
    size = sum(t.numel() * t.element_size() for t in tracker._loaded.state_dict().values())
    assert size / 1e6 == pytest.approx(kind.megabytes, rel=0.05)
    found = tracker.track(CLIP, POINTS)
    assert found.points.shape == (2, 5, 2) and found.visible.shape == (2, 5) and np.isfinite(found.points).all()

"""Judging trackers: a perfect one is perfect, formulas are those of TAP-Vid, and a pickle cannot run anything."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cli import bench

from fastvmt.datasets.drawn.redraw import backwards, redraw
from fastvmt.datasets.drawn.scene import draw
from fastvmt.datasets.drawn.shapes import suite_pairs, truth
from fastvmt.errors import SpecError, UserError
from fastvmt.media.files import fit_frames
from fastvmt.metrics.trackers import check as tracker_check
from fastvmt.metrics.trackers import tapvid
from fastvmt.metrics.trackers.check import THRESHOLDS, accuracy, as_lines, check, true_tracks
from fastvmt.plugins.tracker import Tracker, Tracks


class Knows(Tracker):
    """Returns the true tracks of the clip that was drawn last, moved by some px (at 64) after the first frame."""

    id = "knows"
    off = 0.0
    last: Tracks

    def identity(self) -> dict[str, Any]:
        return {"tracker": self.id}

    def track(self, frames: Any, queries: Any = None) -> Tracks:
        points = self.last.points.copy()
        np.testing.assert_array_equal(points[:, 0], queries)
        points[:, 1:, 0] += self.off
        return Tracks(points, self.last.visible)


@pytest.fixture
def knows(monkeypatch: pytest.MonkeyPatch) -> Knows:
    tracker = Knows()

    def listened(*args: Any) -> Any:
        found = true_tracks(*args)
        tracker.last = found[0]
        return found

    monkeypatch.setattr(tracker_check, "true_tracks", listened)
    monkeypatch.setattr(tracker_check.trackers, "get", lambda name: tracker)
    return tracker


def test_a_perfect_tracker_is_perfect(knows: Knows) -> None:
    found = check("knows", frames=9, clips=1)
    for row in found.rows.values():
        assert row["judged"] and row["median_px"] == row["mean_px"] == 0
        assert row["delta"] == row["visibility"] == row["jaccard"] == 1
    for pair in found.pairs:
        assert all(v["tracker"] == v["truth"] for k, v in pair.items() if k != "pair")
    assert "| pan, same | 1.000 / 1.000 |" in as_lines(found)


def test_numbers_of_a_row_are_those_of_plain_loops() -> None:
    rng = np.random.default_rng(0)
    error, visible, told = rng.exponential(4, (20, 7)), rng.random((20, 7)) < 0.6, rng.random((20, 7)) < 0.7
    hit = missed = false = 0
    for d in THRESHOLDS:
        hit = sum(e < d and v and t for e, v, t in zip(error.flat, visible.flat, told.flat, strict=True))
        false = sum(t and not (v and e < d) for e, v, t in zip(error.flat, visible.flat, told.flat, strict=True))
        missed += hit / (visible.sum() + false) / len(THRESHOLDS)
    found = accuracy([(error[rows], visible[rows], told[rows]) for rows in (slice(9), slice(9, None))])
    assert found["jaccard"] == pytest.approx(missed) and found["judged"] == visible.sum()
    assert found["visibility"] == pytest.approx((visible == told).mean())
    assert accuracy([(error, np.zeros_like(visible), told)]) == {"judged": 0}


@pytest.mark.parametrize("number", [0, 3, 4])
def test_truth_lies_where_it_is_after_cropping_and_enlarging(number: int) -> None:
    """Points keep their colours when rows 10 to 52 of 64 x 64 px are enlarged to 192 x 128."""
    scene = suite_pairs("shapes-64", 9)[number].reference
    small, big = draw(scene), fit_frames(draw(scene), 192, 128)
    (known, owner), own = true_tracks(scene, 192, 128), truth(scene)
    compared = 0
    for points, visible in zip(known.points[owner >= 0], known.visible[owner >= 0], strict=True):
        source = own.tracks[(np.abs((own.tracks[:, 0] + 0.5 - [0, 10]) * [3, 128 / 43] - 0.5 - points[0]) < 1e-6).all(1)][0]
        for t in np.flatnonzero(visible):
            (x, y), (u, v) = np.rint(points[t]).astype(int), np.rint(source[t]).astype(int)
            around = small[t, v - 1 : v + 2, u - 1 : u + 2].reshape(-1, 3).astype(int)
            if np.ptp(around, axis=0).max() < 12:
                assert np.abs(big[t, y, x].astype(int) - small[t, v, u]).max() < 16
                compared += 1
    assert compared > 2


def test_other_looks_and_backwards() -> None:
    for pair in suite_pairs("shapes", 9):
        other = redraw(pair.reference, pair.target)
        assert other.caption() == pair.target
        np.testing.assert_array_equal(other.movers[0].x, pair.reference.movers[0].x)
        np.testing.assert_array_equal(draw(backwards(other)), draw(other)[::-1])
    for words in (
        "a red circle",
        "a red circle and a blue ring on a gray plain background",
        "a red dog on a gray plain background",
    ):
        with pytest.raises(ValueError, match="no caption of a drawn scene with 1 subjects"):
            redraw(suite_pairs("shapes", 2)[0].reference, words)


def tap(frames: int = 5, height: int = 40, width: int = 60) -> dict[str, Any]:
    """A square that moves right by 4 px a frame, and two points of it; the second is hidden at first."""
    video = np.zeros((frames, height, width, 3), np.uint8) + np.random.default_rng(0).integers(
        0, 99, (height, width, 1), np.uint8
    )
    x = 12 + 4 * np.arange(frames)
    for t in range(frames):
        video[t, 10:26, x[t] - 8 : x[t] + 8] = np.random.default_rng(1).integers(90, 255, (16, 16, 3), np.uint8)
    places = np.stack([(x + 0.5) / width, np.full(frames, 18.5 / height)], -1).astype(np.float32)
    return {
        "video": video,
        "points": np.stack([places, places]),
        "occluded": np.array([[False] * frames, [True] + [False] * (frames - 1)]),
    }


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_tapvid_file_is_read_whatever_its_protocol(tmp_path: Path, protocol: int) -> None:
    file = tmp_path / "set.pkl"
    file.write_bytes(pickle.dumps({"one": tap()}, protocol))
    clip = tapvid.read(file)["one"]
    assert clip.frames.shape == (5, 256, 256, 3) and clip.visible.tolist() == [[True] * 5, [False] + [True] * 4]
    np.testing.assert_allclose(clip.tracks[0, 0], [12.5 / 60 * 256 - 0.5, 18.5 / 40 * 256 - 0.5], rtol=1e-6)
    file.write_bytes(pickle.dumps([tap()], protocol))
    np.testing.assert_array_equal(tapvid.read(file)["0"].frames, clip.frames)


class Evil:
    def __init__(self, call: Any, *args: Any) -> None:
        self.made = (call, args)

    def __reduce__(self) -> Any:
        return self.made


def test_nothing_in_a_pickle_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    bad = {
        "posix.system": Evil(os.system, f"touch {mark}"),
        "builtins.eval": Evil(eval, f"open({str(mark)!r}, 'w')"),
        "type 'O8'": np.array([object], object),
        "codec 'zip'": Evil(__import__("_codecs").encode, "x", "zip"),
        "numpy.load": Evil(np.load, str(mark)),
    }
    for words, item in bad.items():
        file = tmp_path / "bad.pkl"
        file.write_bytes(pickle.dumps({"one": tap() | {"video": item}}, 4))
        with pytest.raises(UserError, match="is not read") as error:
            tapvid.read(file)
        assert words.replace("posix", os.name) in str(error.value)
    assert not mark.exists()


def test_files_of_another_form_get_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "set.pkl"
    for content, words in (
        (b"not a pickle", "is not a pickle of arrays"),
        (pickle.dumps({}), "holds no clips"),
        (pickle.dumps(7), "holds no clips"),
        (pickle.dumps({"a": tap() | {"video": [b"jpeg"]}}), "compressed frames have to be unpacked"),
        (pickle.dumps({"a": tap() | {"points": np.zeros((2, 4, 2))}}), "'a' is not of TAP-Vid's form"),
    ):
        file.write_bytes(content)
        with pytest.raises(UserError, match=words):
            tapvid.read(file)
    with pytest.raises(UserError, match="cannot be read"):
        tapvid.read(tmp_path / "nowhere.pkl")


def test_lk_on_drawn_clips_and_on_a_tapvid_file(tmp_path: Path) -> None:
    found = check("lk", frames=9, clips=1)
    pan, zoom = found.rows["pan"], found.rows["zoom in"]
    assert pan["median_px"] < 0.5 < 0.9 < pan["within_4"] and zoom["judged"] > 200  # type: ignore[operator]
    assert {p["pair"] for p in found.pairs} >= {"pan, same", "pan, reversed"}
    file = tmp_path / "set.pkl"
    file.write_bytes(pickle.dumps({"one": tap()}))
    rows = check("lk", tapvid_file=file).rows
    assert rows["one"]["judged"] == 4 and rows["one"]["within_4"] == 1.0 and rows["mean of clips"] == rows["one"]


def test_the_command(tmp_path: Path) -> None:
    said = bench("doctor", "--tracker", "lk", "--frames", "5", "--clips", "1", "--json")
    assert said.code == 0 and said.data["identity"]["tracker"] == "opencv-lk" and "pan" in said.data["rows"], said.err
    assert "--tapvid needs --tracker" in bench("doctor", "--tapvid", "x").err
    assert io.StringIO(bench("doctor", "--tracker", "cotracker9").err).readline().startswith("bench: No tracker is called")


@pytest.mark.parametrize("size", [(64, 64, 1), (-64, 64, 9), (64, 0, 9), (8, 64, 9)])
def test_clips_by_which_no_tracker_can_be_judged(size: tuple[int, int, int]) -> None:
    with pytest.raises(SpecError, match="--"):
        check("lk", *size)

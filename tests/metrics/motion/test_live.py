"""Motion fidelity over live tracks: what a tracker lost, or what left the frame, is in no number, and each record says how much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.clips import scored

from fastvmt.metrics.motion.fidelity import MotionFidelity
from fastvmt.metrics.motion.tracked import MotionFidelityTracked, MotionFidelityTrackedWrong, TrackedParams
from fastvmt.metrics.trackers import lk
from fastvmt.plugins import metric_labels, registry, tracker
from fastvmt.plugins.tracker import Tracks

FORMS = [
    name for name in registry.BUILTIN["metrics"] if name.startswith("motion_fidelity") and name != "motion_fidelity_frozen"
]


def right(seen: int = 9, wild: int = 0, tracks: int = 20, still: int = 0) -> Tracks:
    """Tracks of 8 steps, 1 px to the right but for the last ones, seen in so many frames; so many of them jump about where they
    are not seen.
    """
    points = np.zeros((tracks, 9, 2)) + np.minimum(np.arange(9), 8 - still)[:, None] * [1.0, 0.0]
    visible = np.ones((tracks, 9), bool)
    visible[:, seen:] = False
    visible[:wild, 5:] = False
    points[:wild, 6:] -= 1000 * np.arange(1, 4)[:, None]
    return Tracks(points, visible)


def test_lost_points_have_no_vote() -> None:
    generated, reference = right(wild=10), right()
    headline, live = (form().compare(generated, reference, 512).value for form in (MotionFidelity, MotionFidelityTracked))
    assert headline is not None and headline < 0.8 and live == pytest.approx(1.0)


@pytest.mark.parametrize(("still", "value"), [(0, 1.0), (2, 0.75), (4, 0.5)])
def test_a_clip_that_stops_on_the_way_scores_what_it_shows(still: int, value: float) -> None:
    assert MotionFidelityTracked().compare(right(still=still), right(), 512).value == pytest.approx(value)
    assert MotionFidelityTracked().compare(right(still=still), right(still=still), 512).value == pytest.approx(1.0)


def test_motion_is_asked_for_at_its_place() -> None:
    """A tenth of the width away the same motion counts, farther off only without ``near``."""
    forms = [MotionFidelityTracked(TrackedParams(near=near)) for near in (0.1, 0.0)]
    for away, values in ((51, [1.0, 1.0]), (52, [0.0, 1.0])):
        there = Tracks(right().points + np.array([away, 0]), right().visible)
        assert [f.compare(there, right(), 512).value for f in forms] == pytest.approx(values)


def test_the_way_back_is_the_way_back() -> None:
    backwards = Tracks(-right().points, right().visible)
    assert MotionFidelityTracked().compare(backwards, right(), 512).value == pytest.approx(-1.0)


@pytest.mark.parametrize("form", [MotionFidelityTracked, MotionFidelityTrackedWrong])
@pytest.mark.parametrize(
    ("generated", "reference", "value", "whose"),
    [(right(4), right(), 0.0, "of 20 tracks of the generated clip 0"), (right(), right(4), None, "of 20 tracks of the reference 0"),
     (right(4), right(4), None, "reference"), (right(tracks=7), right(), 0.0, "7"), (right(), right(tracks=7), None, "7"),
     (right(still=8), right(), 0.0, "20 are seen in half of the steps, 0 of them move"),
     (right(), right(still=8), None, "20 are seen in half of the steps, 0 of them move")],
)  # fmt: skip
def test_only_a_reference_without_live_tracks_leaves_the_number_undefined(
    form: type[MotionFidelityTracked], generated: Tracks, reference: Tracks, value: float | None, whose: str
) -> None:
    found = form().compare(generated, reference, 512)
    assert found.value == value and whose in found.details["why"] and len(found.details["lasting_tracks"]) == 2


def test_what_a_tracker_sees_outside_the_frame_has_no_vote() -> None:
    out = right()
    out.points[:10, 5:] += 1000.0
    found = MotionFidelityTracked().counted(out, 64, 64)
    assert found.visible[:10, :5].all() and not found.visible[:10, 5:].any() and found.visible[10:].all()


@pytest.mark.parametrize("label", FORMS)
def test_every_record_says_what_share_of_its_tracks_is_seen(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    metric, clip = metric_labels.build(label), np.zeros((9, 64, 64, 3), np.uint8)
    for side, tracks in (("generated", right(wild=10)), ("reference", right(5))):
        monkeypatch.setattr(type(metric), side, lambda self, scored, tracks=tracks: tracks)
    assert metric.score(scored(clip, clip)).details["live"] == pytest.approx((1 - 10 * 4 / 180 + 5 / 9) / 2, abs=1e-4)


def test_points_that_leave_the_frame_are_lost_and_stay_where_they_were_last_seen() -> None:
    wall = np.random.default_rng(0).integers(0, 256, (12, 24), np.uint8).repeat(8, 0).repeat(8, 1)
    shift = [*range(0, 40, 5), *range(40, -1, -5)]  # to the left and back: what is outside comes back
    clip = np.stack([wall[:, 64 - s : 128 - s] for s in shift])[..., None].repeat(3, -1)
    found, old = (tracker.get(name).track(clip) for name in ("lk-live", "lk"))
    inside = ((found.points > -0.5) & (found.points < [63.5, 95.5])).all(-1)
    assert inside.all() and (np.diff(found.visible.astype(int), axis=1) <= 0).all()
    assert (np.diff(found.points, axis=1)[~found.visible[:, 1:]] == 0).all()
    assert 0.1 < found.visible[:, -1].mean() < 0.5 < found.visible[:, 2].mean()
    assert not ((old.points > -0.5) & (old.points < [63.5, 95.5])).all()
    assert lk.LKLive().identity() != lk.LK().identity()


def test_what_a_plug_ins_tracker_does_not_see_may_be_no_number(tmp_path: Path) -> None:
    (tmp_path / "blind.py").write_text(
        "import numpy as np\nfrom fastvmt import Tracker, Tracks\nclass Blind(Tracker):\n    id = 'blind'\n"
        "    def identity(self): return {'tracker': 'blind'}\n    def track(self, frames, queries=None):\n"
        "        points, seen = np.ones((9, len(frames), 2)), np.ones((9, len(frames)), int)\n"
        "        points[:, 3:], seen[:, 3:] = np.nan, 0\n        points[0, 0], seen[0, 0] = -np.inf, 0\n"
        "        points[1], seen[1] = np.nan, 0\n        return Tracks(points, seen)\nTRACKERS = {'blind': Blind}\n"
    )
    registry.load_plugin(str(tmp_path / "blind.py"))
    found = tracker.get("blind").track(np.zeros((5, 16, 16, 3), np.uint8))
    assert (found.points[[0, *range(2, 9)]] == 1).all() and (found.points[1] == 0).all()
    assert found.visible.dtype == bool and found.visible.sum() == 8 * 3 - 1

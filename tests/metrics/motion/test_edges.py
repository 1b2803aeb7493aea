"""The formulas at their edges: one frame, other shapes, parameters without meaning. A sentence or a reason, never a number."""

from __future__ import annotations

import numpy as np
import pytest
from support.clips import scored

from fastvmt import score_clip
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.datasets.drawn.suites import clip
from fastvmt.errors import SpecError
from fastvmt.media.framing import fit_frames
from fastvmt.metrics.motion.fidelity import (
    MotionFidelityLocal,
    MotionFidelityMoving,
    MotionFidelityMovingWrong,
    MovingParams,
)
from fastvmt.metrics.motion.tracklets import correlation_rows, fidelity
from fastvmt.plugins import labels, metric_labels
from fastvmt.plugins.method import Shape
from fastvmt.plugins.tracker import Tracks
from fastvmt.runner.plan import resolve
from fastvmt.runner.settings import Request


@pytest.mark.parametrize("method", ["fastvmt", "fastvmt:released:tile=2x2", "ditflow", "motionclone"])
def test_one_latent_frame_has_no_motion_to_transfer(method: str) -> None:
    with pytest.raises(SpecError, match="latent frames"):
        resolve(Request(methods=(method,), frames=1, suite="shapes", limit=1, controls=False))


@pytest.mark.parametrize(
    "label", ["motion_fidelity", "motion_fidelity_moving", "motion_fidelity_local", "motion_fidelity@smm-script",
              "motion_fidelity@det-hybrid"],
)  # fmt: skip
def test_one_frame_has_no_motion_to_score(label: str) -> None:
    frames, _ = clip("single-object-100")
    for generated, reference in ((frames[:1], frames), (frames[:1], frames[:1])):
        found = score_clip(label, generated, reference)
        assert found.value is None and "one frame" in found.details["why"]


@pytest.mark.parametrize(
    "spec", ["fastvmt:tile=0x4", "fastvmt:tile=-1x2", "fastvmt:block=-1", "fastvmt:temperature=inf", "ditflow:temperature=nan",
             "ditflow:lr_first=inf"],
)  # fmt: skip
def test_parameters_without_meaning_are_refused(spec: str) -> None:
    with pytest.raises(SpecError):
        labels.resolve(spec, Shape(5, 3, (9, 8, 8), sigma_grid(10, 3.0)), {})


def test_later_offsets_weigh_the_same_in_a_short_clip() -> None:
    """Equation 6 counts in the span that was asked for, also where a clip has fewer frames."""
    assert labels.resolve("fastvmt:weights=eq6", Shape(5, 3, (4, 8, 8), sigma_grid(10, 3.0)), {}).params["span"] == 5


def test_nan_wins_within_the_radius_and_far_pairs_are_left_out() -> None:
    still, right = np.zeros((1, 5, 2)), np.cumsum(np.tile([1.0, 0.0], (1, 5, 1)), axis=1)
    far = right + 100.0
    both = np.concatenate([right, still])
    assert np.isnan(fidelity(right, both, "nan", radius=10.0).forward or 0)
    assert np.isnan(correlation_rows(right, both, "nan", radius=10.0)[0, 1])
    assert fidelity(right, np.concatenate([right, still + 100]), "nan", radius=10.0).forward == 1
    assert fidelity(far, right, "nan", radius=10.0).forward is None


@pytest.mark.parametrize("px", [0.15, 0.5, 3.0])
def test_slow_motion_above_the_threshold_counts_as_moving(px: float) -> None:
    start = np.random.default_rng(0).uniform(0, 512, (100, 1, 2))
    points = start + px * np.arange(9)[:, None] * [1.0, 0.0]
    tracks = Tracks(points, np.ones((100, 9), bool))
    metric = MotionFidelityMoving(MovingParams(moving_px=0.1))
    assert metric.compare(tracks, tracks, 512).value == pytest.approx(1.0)
    seen = np.ones((100, 9), bool)
    seen[:, 4:] = False
    jump = Tracks(np.where(np.arange(9)[:, None] < 5, start, start + 50), seen)  # moves once, while it is hidden
    assert metric.compare(jump, tracks, 512).value == 0.0 and metric.compare(tracks, jump, 512).value is None


def moving(number: int, steps: slice = slice(None)) -> Tracks:
    """Tracks of which so many move, 1 px a frame to the right, in these of 8 steps."""
    step = np.zeros((20, 8, 2))
    step[:number, steps, 0] = 1.0
    return Tracks(np.concatenate([np.zeros((20, 1, 2)), step.cumsum(1)], 1), np.ones((20, 9), bool))


SIDES = ("generated", "reference")
FIRST, LAST = slice(0, 4), slice(4, 8)


@pytest.mark.parametrize(
    ("generated", "reference", "value"),
    [(moving(20), moving(20), 1.0), (moving(0), moving(20), 0.0), (moving(7), moving(20), 0.0),
     (moving(20, FIRST), moving(20, LAST), 0.0),  # both move, and never at the same time
     (moving(20), moving(7), None), (moving(7), moving(7), None), (moving(20), moving(20, slice(0, 3)), None)],
)  # fmt: skip
def test_only_the_reference_makes_the_moving_forms_undefined(generated: Tracks, reference: Tracks, value: float | None) -> None:
    for metric in (MotionFidelityMoving(), MotionFidelityMovingWrong()):
        found = metric.compare(generated, reference, 512)
        assert found.value == value
        assert {0.0: "generated", None: "reference"}.get(value, "") in found.details.get("why", "")
        assert metric.identity()["version"] == 3  # numbers of before are not mixed with these


@pytest.mark.parametrize("label", ["motion_fidelity", "motion_fidelity_local", "motion_fidelity@det-hybrid"])
@pytest.mark.parametrize(("generated", "reference", "value"), [(0, 20, 0.0), (7, 20, 0.0), (20, 7, None), (0, 0, None)])
def test_a_clip_in_which_a_tracker_finds_nothing_scores_nothing(
    label: str, generated: int, reference: int, value: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric, job = metric_labels.build(label), scored(np.zeros((9, 8, 8, 3), np.uint8), np.zeros((9, 8, 8, 3), np.uint8))
    cut = {
        name: Tracks(moving(20).points[:n], moving(20).visible[:n])
        for name, n in zip(SIDES, (generated, reference), strict=True)
    }
    for name, tracks in cut.items():
        monkeypatch.setattr(type(metric), name, lambda self, scored, tracks=tracks: tracks)
    found = metric.score(job)
    assert found.value == value and ("generated" if value == 0 else "reference") in found.details["why"]


def test_motion_at_another_place_scores_nothing_where_the_place_counts() -> None:
    here, far = moving(20), moving(20)
    found = MotionFidelityLocal().compare(Tracks(far.points + 400, far.visible), here, 512)
    assert found.value == 0.0 and "generated" in found.details["why"]


@pytest.mark.parametrize(("width", "height"), [(64, 64), (64, 96), (48, 64)])
def test_the_path_error_knows_how_the_reference_was_cropped(width: int, height: int) -> None:
    frames, caption = clip("single-object-100")
    found = score_clip(
        "trajectory", fit_frames(frames, width, height), fit_frames(frames, width, height), prompt=caption,
        source="drawn:shapes/single-object-100",
    )  # fmt: skip
    assert found.value is not None and found.value > 0.95 and found.details["size"] > 0.98


@pytest.mark.parametrize("source", ["drawn:fake/case-0000", "drawn:", "drawn:shapes", "drawn:shapes/nobody", "else:shapes/x"])
def test_a_reference_that_only_calls_itself_drawn_has_no_known_path(source: str) -> None:
    from fastvmt.datasets.drawn.suites import find_pair

    assert find_pair(source, 5) is None

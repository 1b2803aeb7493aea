"""Formulas of the feature-based metrics against stored numbers and known answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastvmt.metrics import formulas


@pytest.fixture(scope="module")
def stored(golden: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((golden / "metric_formulas.json").read_text())
    return found


def test_clip_and_vbench_numbers_match(stored: dict[str, Any]) -> None:
    frames, clip = stored["frames"], np.array(stored["pixel_clip"], np.uint8)
    consistency = stored["vbench_consistency"]
    found = {
        "text_similarity": formulas.text_similarity(frames, stored["text"]),
        "temporal_consistency": formulas.temporal_consistency(frames),
        "temporal_flickering": formulas.temporal_flickering(clip),
        "motion_smoothness_with_midpoint_blend": formulas.motion_smoothness(clip),
    }
    for name, value in found.items():
        assert value == pytest.approx(stored[name], abs=1e-12), name
    videos = [frames, consistency["second_video"]]
    assert [formulas.vbench_consistency(v) for v in videos] == pytest.approx(consistency["per_video"], abs=1e-12)
    assert formulas.aesthetic_quality(stored["aesthetic"]["frame_scores_raw"]) == pytest.approx(stored["aesthetic"]["video"])
    assert formulas.imaging_quality(stored["imaging"]["frame_scores_raw"]) == pytest.approx(
        stored["imaging"]["aggregate_as_vbench_writes_it"]
    )


def test_dynamic_degree_matches(stored: dict[str, Any]) -> None:
    for case in stored["dynamic_degree"]:
        assert formulas.dynamic_degree(case["scores"], case["h"], case["w"], case["sampled_frames"]) is case["moves"], case


def test_a_frozen_clip_scores_one_and_does_not_move() -> None:
    """What these numbers cannot see: standing still is perfect for all but the dynamic degree."""
    clip = np.tile(np.random.default_rng(0).integers(0, 255, (1, 8, 8, 3), np.uint8), (7, 1, 1, 1))
    features = clip.reshape(7, -1).astype(float)
    assert formulas.temporal_flickering(clip) == formulas.motion_smoothness(clip) == 1.0
    assert formulas.temporal_consistency(features) == pytest.approx(1.0)
    assert formulas.vbench_consistency(features) == pytest.approx(1.0)
    assert not formulas.dynamic_degree([formulas.flow_score(np.zeros((2, 64, 64)))] * 6, 64, 64, 7)


def test_a_single_frame_is_undefined_and_useless_features_are_refused() -> None:
    one = np.zeros((1, 4, 4, 3), np.uint8)
    assert formulas.temporal_flickering(one) is formulas.motion_smoothness(one) is None
    assert formulas.temporal_consistency([[1.0, 2.0]]) is formulas.vbench_consistency([[1.0, 2.0]]) is None
    with pytest.raises(ValueError, match="no usable features"):
        formulas.text_similarity([[0.0, 0.0]], [1.0, 0.0])

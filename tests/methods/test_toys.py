"""The toy methods rank as they must, on the real backbone of the package: what the motion metrics are worth here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fastvmt.backbones import card
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.backbones.wan import Backbone
from fastvmt.core.stages import Stages
from fastvmt.datasets.drawn.suites import Shapes64
from fastvmt.denoise import denoise
from fastvmt.errors import JobError
from fastvmt.methods import toys
from fastvmt.metrics.looks import SubjectColour
from fastvmt.metrics.motion.fidelity import MotionFidelity, MotionFidelityMoving, MovingParams
from fastvmt.metrics.motion.trajectory import Trajectory
from fastvmt.plugins import labels, registry
from fastvmt.plugins.method import Context
from fastvmt.plugins.metric import Scored
from fastvmt.suites.opening import Wanted

TOYS = ("oracle", "copy", "shuffled", "frozen")
SIGMAS = sigma_grid(2, 3.0)


@pytest.fixture(scope="module")
def scores() -> dict[str, dict[str, list[float | None]]]:
    """Per toy and metric, the values of two single-object cases of 17 frames, made by the denoise loop in 2 steps.

    Two cases whose texture Lucas-Kanade can follow through the VAE; ``docs/results/metrics.md`` says how often it cannot.
    """
    backbone = Backbone(card.load("tiny"))
    text = backbone.encode_text("")
    shape = backbone.card.shape(64, 64, 17, SIGMAS)
    found: dict[str, dict[str, list[float | None]]] = {t: {} for t in TOYS}
    cases = [c for c in Shapes64().cases(Wanted(64, 64, 17, 1)) if c[0].id in ("single-object-07", "single-object-13")]
    for case, reference in cases:
        latent = backbone.encode_video(reference)
        noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(0))
        for toy in TOYS:
            backbone.forward_equivalents = 0.0
            texts = dict.fromkeys(("target", "negative", "null", "caption"), text)
            ctx = Context(backbone, SIGMAS, noise, lambda latent=latent: latent, texts, Stages())
            made = backbone.decode(denoise(labels.build(labels.resolve(toy, shape, {})), ctx, 3.0))
            assert backbone.forward_equivalents == registry.methods.get(toy).cost(None, shape) == 2.0
            scored = Scored(made, reference, case, SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
            for metric in (Trajectory(), MotionFidelityMoving(MovingParams(moving_px=1.5)), MotionFidelity(), SubjectColour()):
                found[toy].setdefault(metric.id, []).append(metric.score(scored).value)
    return found


def each(scores: dict[str, Any], toy: str, metric: str) -> np.ndarray:
    return np.array(scores[toy][metric], float)


def test_the_known_path_ranks_the_oracle_first_and_no_motion_last(scores: dict[str, Any]) -> None:
    """A copy has the right path, but its subject is found only where its colour is nearer to the target's than the ground."""
    oracle, shuffled, frozen = (each(scores, t, "trajectory") for t in ("oracle", "shuffled", "frozen"))
    assert (oracle > 0.95).all() and (shuffled < 0.5).all() and (np.abs(frozen) < 0.2).all()
    assert all(v == 0 or v > 0.9 for v in scores["copy"]["trajectory"])


def test_moving_points_rank_oracle_and_copy_over_shuffled_and_say_nothing_of_frozen(scores: dict[str, Any]) -> None:
    oracle, copy, shuffled = (each(scores, t, "motion_fidelity_moving") for t in ("oracle", "copy", "shuffled"))
    assert (oracle > 0.75).all() and (copy > 0.55).all()
    assert all(np.isnan(shuffled) | (shuffled < 0.3))  # undefined where too few of its steps are seen to move
    assert all(v is None or abs(v) < 0.4 for v in scores["frozen"]["motion_fidelity_moving"])  # jitter of a few points alone


def test_the_headline_hardly_tells_a_held_frame_from_the_motion_itself(scores: dict[str, Any]) -> None:
    """Still points jitter behind a VAE, and a step of any length is a full vote: why the headline never stands alone."""
    frozen, copy = each(scores, "frozen", "motion_fidelity"), each(scores, "copy", "motion_fidelity")
    assert (frozen > 0.3).all() and (copy - frozen < 0.3).all()


def test_only_the_oracle_has_the_prompts_colour(scores: dict[str, Any]) -> None:
    assert (each(scores, "oracle", "subject_colour") == 1).all() and (each(scores, "copy", "subject_colour") == 0).all()


def test_the_oracle_knows_drawn_clips_only() -> None:
    pair = toys.suite_pairs("shapes", 5)[3]
    rng = np.random.default_rng(0)
    blurred = np.clip(toys.draw(pair.reference) + rng.normal(0, 8, (5, 64, 64, 3)), 0, 255).astype(np.uint8)
    assert toys.drawn_as(blurred).name == pair.name
    with pytest.raises(JobError, match="not a clip of the drawn suites"):
        toys.drawn_as(rng.integers(0, 255, (5, 64, 64, 3), np.uint8))

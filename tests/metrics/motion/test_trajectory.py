"""The score against known motion: the drawings themselves, what could fool it, and its parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvmt import score_clip
from fastvmt.datasets.drawn.scene import GROUND_COLOURS, Mover, Scene, draw, read_caption
from fastvmt.datasets.drawn.shapes import CATEGORIES, Pair, suite_pairs
from fastvmt.media.framing import fit_frames
from fastvmt.metrics.motion.agreement import agreement
from fastvmt.metrics.motion.trajectory import parts

PAIRS = suite_pairs("shapes")
SINGLE = [p for p in suite_pairs("shapes-64") if p.category == "single_object"][:6]


def one_of(category: str) -> Pair:
    return next(p for p in PAIRS if p.category == category)


def as_asked(pair: Pair, **change: Any) -> Scene:
    """The reference's motion in the looks that the target asks for: what a perfect method makes."""
    named = read_caption(pair.target)
    assert named is not None
    movers = tuple(
        replace(m, shape=shape, colour=colour)
        for m, (colour, shape) in zip(pair.reference.movers, named.subjects, strict=True)
    )  # fmt: skip
    scene = replace(pair.reference, ground=named.ground, pattern=named.pattern, movers=movers)
    return replace(scene, **change)


def score(pair: Pair, frames: Any) -> dict[str, Any]:
    return parts(frames, pair.target, pair.reference)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda p: p.name)
def test_the_asked_clip_itself_has_nearly_the_whole_score_and_its_reverse_nothing(pair: Pair) -> None:
    frames = draw(as_asked(pair))
    assert score(pair, frames)["value"] > 0.75  # subjects that hide each other, or leave the frame, cost up to a quarter
    assert score(pair, frames[::-1])["value"] < 0.75
    assert score(pair, frames)["size"] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("category", CATEGORIES)
def test_what_has_no_motion_of_the_reference_scores_nothing(category: str) -> None:
    pair, rng = one_of(category), np.random.default_rng(0)
    frames = draw(as_asked(pair))
    frozen = frames[:1].repeat(len(frames), axis=0)
    blank = np.full_like(frames, GROUND_COLOURS["navy"])
    noise = rng.integers(0, 256, frames.shape).astype(np.uint8)
    drifting = frames[:1].repeat(len(frames), axis=0) + rng.integers(0, 3, frames.shape).astype(np.uint8)
    for fooling in (frozen, blank, noise, drifting):
        assert abs(score(pair, fooling)["value"]) < 0.13


def scaled(pair: Pair, share: float) -> Scene:
    m = as_asked(pair).movers[0]
    return as_asked(pair, movers=(replace(m, x=m.x[0] + share * (m.x - m.x[0]), y=m.y[0] + share * (m.y - m.y[0])),))


def test_size_counts_as_well_as_direction() -> None:
    pair = SINGLE[0]
    tenth, half, whole = (score(pair, draw(scaled(pair, share))) for share in (0.1, 0.5, 1.0))
    assert tenth["value"] == pytest.approx(2 * 0.1 / 1.01, abs=0.05) and tenth["path"] > 0.8
    assert half["value"] == pytest.approx(2 * 0.5 / 1.25, abs=0.05)
    assert whole["value"] == pytest.approx(whole["direction"] * whole["size"] * whole["seen"], abs=1e-5)
    assert score(pair, draw(scaled(pair, 0.003)))["value"] < 0.1  # a drift of hundredths of a pixel a frame


@pytest.mark.parametrize("lost", [1, 3])
def test_a_frame_without_the_subject_costs_its_share_and_no_more(lost: int) -> None:
    pair = SINGLE[1]
    frames = draw(as_asked(pair))
    whole = score(pair, frames)["value"]
    frames[10 : 10 + lost] = GROUND_COLOURS["gray"]
    assert score(pair, frames)["value"] == pytest.approx(whole * (33 - lost) / 33, abs=0.01)


def test_a_second_subject_of_the_same_looks_is_noticed() -> None:
    pair = next(p for p in SINGLE if np.ptp(p.reference.movers[0].x) < 30)
    scene = as_asked(pair)
    m = scene.movers[0]
    far = np.where(m.x.mean() < 32, 56.0, 8.0) * np.ones(33), np.where(m.y.mean() < 32, 57.0, 7.0) * np.ones(33)
    twin = Mover(m.shape, m.colour, *far, m.angle, np.full(33, m.radius.min() * 0.75))
    found = score(pair, draw(replace(scene, movers=(m, twin))))
    assert found["copies"] > 0.8 and found["value"] < 0.65


def test_subjects_that_took_each_others_paths_are_told_from_those_that_kept_theirs() -> None:
    pair = one_of("multiple_objects")
    scene = as_asked(pair)
    a, b = scene.movers
    swapped = replace(a, x=b.x, y=b.y, angle=b.angle, radius=b.radius), replace(b, x=a.x, y=a.y, angle=a.angle, radius=a.radius)
    kept, crossed = score(pair, draw(scene)), score(pair, draw(replace(scene, movers=swapped)))
    assert crossed["value"] > 0.8 and crossed["in_order"] < 0.6 and crossed["order"] == [1, 0]
    assert kept["in_order"] == kept["value"] and kept["order"] == [0, 1]


@pytest.mark.parametrize("number", [0, 2])
def test_the_ground_is_asked_to_follow_a_camera(number: int) -> None:
    """A subject alone can follow a pan; the ground says that the camera did. Pair 0 pans, pair 2 zooms."""
    pair = [p for p in suite_pairs("shapes-64") if p.category == "camera"][number]
    for pattern in ("checker", "dotted"):
        asked = replace(pair, target=f"a red square on a teal {pattern} background")
        scene = as_asked(asked)
        found = score(asked, draw(scene))
        assert found["ground"] > 0.97 and found["value"] > 0.85
        zero, one = np.zeros(33), np.ones(33)
        m = scene.movers[0]
        x, y = scene.to_screen(m.x, m.y)
        still = replace(scene, pan_x=zero, pan_y=zero, zoom=one, movers=(replace(m, x=x, y=y, radius=m.radius * scene.zoom),))
        held = score(asked, draw(still))
        assert abs(held["ground"]) < 0.05 and held["value"] == pytest.approx(found["value"], abs=0.02)
    assert "ground" not in score(replace(pair, target="a red square on a teal plain background"), draw(pair.reference))


def test_turning_and_growing_are_asked_of_clips_that_have_them() -> None:
    turning = [p for p in suite_pairs("shapes-64") if p.category == "complex" and np.ptp(p.reference.movers[0].angle) > 1]
    growing = [p for p in suite_pairs("shapes-64") if p.category == "complex" and np.ptp(p.reference.movers[0].radius) > 3]
    for pair, name in ((turning[0], "angle"), (growing[0], "radius")):
        scene = as_asked(pair)
        m = scene.movers[0]
        without = replace(scene, movers=(replace(m, **{name: np.full(33, getattr(m, name)[0])}),))
        assert score(pair, draw(scene))["turn_grow"] > 0.9
        assert abs(score(pair, draw(without))["turn_grow"]) < 0.2
    assert "turn_grow" not in score(SINGLE[0], draw(as_asked(SINGLE[0])))


@pytest.mark.parametrize(("width", "height"), [(128, 128), (96, 64)])
def test_the_score_does_not_depend_on_the_size_of_the_clip(width: int, height: int) -> None:
    pair = SINGLE[2]
    frames = draw(as_asked(pair))
    other = score(pair, fit_frames(frames, width, height))
    assert other["value"] == pytest.approx(score(pair, frames)["value"], abs=0.15 if width != height else 0.02)


def test_a_part_is_a_column_where_the_reference_has_it() -> None:
    camera, single = (f"drawn:shapes/{one_of(c).name}" for c in ("camera", "single_object"))
    pair = replace(one_of("camera"), target="a red square on a teal dotted background")
    frames = draw(as_asked(pair))
    whole = score_clip("trajectory", frames, source=camera, prompt=pair.target)
    assert score_clip("trajectory:part=ground", frames, source=camera, prompt=pair.target).value == whole.details["ground"]
    with pytest.raises(Exception, match="does not apply|has no meaning|no meaning"):
        score_clip(
            "trajectory:part=in_order", draw(PAIRS[0].reference), source=single, prompt="a red star on a gray plain background"
        )


def test_the_control_judges_against_another_clip_of_the_category() -> None:
    values = [
        score_clip("trajectory_wrong", draw(as_asked(p)), source=f"drawn:shapes-64/{p.name}", prompt=p.target).value or 0.0
        for p in suite_pairs("shapes-64")
    ]
    assert abs(float(np.mean(values))) < 0.1


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 3), st.floats(0.1, 10.0))
def test_agreement_is_direction_times_size_and_knows_no_order(seed: int, movers: int, times: float) -> None:
    rng = np.random.default_rng(seed)
    known = rng.normal(0, 3, (movers, 33, 4)).cumsum(1)
    found = known[rng.permutation(movers)] * times
    result = agreement(found, known, 64)
    assert result is not None
    assert result.value == pytest.approx(result.direction * result.size)
    assert result.value == pytest.approx(2 * times / (1 + times**2)) and result.direction == pytest.approx(1)
    assert result.in_order <= result.value + 1e-12
    assert agreement(known * 0, known, 64).value == 0  # type: ignore[union-attr]
    assert agreement(found, known * 0, 64) is None

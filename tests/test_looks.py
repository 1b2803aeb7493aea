"""The judge of colours, ground and shape, held against drawn clips whose looks are known."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastvmt.datasets.drawn.scene import SHAPES, draw
from fastvmt.datasets.drawn.shapes import make_scene, random_scene, stream, suite_pairs
from fastvmt.datasets.drawn.suites import Shapes64
from fastvmt.media.files import fit_frames
from fastvmt.metrics.looks import Outline, SubjectShape, judge, read_caption
from fastvmt.metrics.motion.trajectory import Trajectory, TrajectoryWrong, subject_mask
from fastvmt.plugins.metric import Scored
from fastvmt.suites.opening import Wanted


def single(count: int) -> list[Any]:
    scenes = (random_scene(stream("heldout", n), 9) for n in range(900, 900 + 4 * count))
    return [s for s in scenes if len(s.movers) == 1][:count]


def test_the_prompt_does_not_lead_the_verdict() -> None:
    """A circle under a prompt that asks for each shape is right once in six times."""
    case, frames = next(iter(Shapes64().cases(Wanted(width=64, height=64, frames=9))))
    shown = read_caption(case.caption)
    assert shown is not None
    verdicts = {}
    for shape in SHAPES:
        asked = case.model_copy(update={"prompt": f"a {shown.colour} {shape} on a {shown.ground} {shown.pattern} background"})
        scored = Scored(frames, frames, asked, SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
        verdicts[shape] = SubjectShape().score(scored).value
    assert verdicts == {s: float(s == shown.shape) for s in SHAPES}


def test_a_clip_without_its_subject_is_wrong_and_not_left_out() -> None:
    scene = make_scene(stream("heldout", 3), ("linear",), "still", 9)
    empty = draw(replace(scene, movers=()))
    seen = judge(empty)
    assert (seen.colour, seen.shape, seen.outline) == ("", "", 0.0)
    assert seen.ground == scene.ground


def test_a_wobbling_outline_scores_lower_than_a_still_one() -> None:
    scene = make_scene(stream("heldout", 5), ("linear",), "still", 9)
    mover = scene.movers[0]
    wobble = replace(scene, movers=(replace(mover, radius=mover.radius * (1 + 0.25 * (np.arange(9) % 2))),))
    assert judge(draw(scene)).outline > judge(draw(wobble)).outline + 0.15


@pytest.mark.parametrize(("width", "height", "count"), [(64, 64, 40), (128, 128, 8), (192, 192, 8), (416, 240, 8)])
def test_every_verdict_is_right_on_drawn_clips_of_any_size(width: int, height: int, count: int) -> None:
    for scene in single(count):
        named, seen = read_caption(scene.caption()), judge(fit_frames(draw(scene), width, height))
        assert named is not None
        assert (seen.colour, seen.shape, seen.ground, seen.pattern) == (named.colour, named.shape, named.ground, named.pattern)


def test_a_large_clip_is_searched_for_its_subject_frame_by_frame() -> None:
    scene = single(1)[0]
    frames = np.tile(draw(scene), (4, 4, 4, 1))
    tracemalloc.start()
    mask = subject_mask(frames, scene.caption())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10 * frames.nbytes and np.array_equal(mask, np.tile(subject_mask(draw(scene), scene.caption()), (4, 4, 4)))


@pytest.mark.parametrize("caption", ["a red circle and a blue star on a navy plain background", "a dog", ""])
def test_prompts_of_another_form_are_not_judged(caption: str) -> None:
    assert read_caption(caption) is None
    case = next(iter(Shapes64().cases(Wanted(width=64, height=64, frames=5))))[0]
    assert not Outline().applies(case.model_copy(update={"prompt": caption}))


@pytest.mark.slow
def test_wrong_reference_control_is_near_zero_where_the_right_one_is_near_one() -> None:
    """Over the forty single-object references themselves: the ceiling of the measure, and its floor."""
    right, wrong = [], []
    prompts = {p.name: p for p in suite_pairs("shapes-64") if p.category == "single_object"}
    for case, frames in Shapes64().cases(Wanted(width=64, height=64, frames=33)):
        if case.id not in prompts:
            continue
        shown = case.model_copy(update={"prompt": case.caption})  # the reference as its own perfect transfer
        scored = Scored(frames, frames, shown, SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
        right.append(Trajectory().score(scored).value)
        wrong.append(TrajectoryWrong().score(scored).value)
        assert judge(frames).outline > 0.85, case.id
    assert len(right) == 40 and min(v for v in right if v is not None) > 0.9
    assert abs(np.mean([v for v in wrong if v is not None])) < 0.15

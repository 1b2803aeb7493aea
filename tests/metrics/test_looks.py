"""The judge of colours, ground and shape, held against drawn clips whose looks are known."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastvmt.datasets.drawn.scene import SHAPES, draw
from fastvmt.datasets.drawn.shapes import make_scene, random_scene, stream
from fastvmt.datasets.drawn.suites import Shapes64
from fastvmt.media.files import fit_frames
from fastvmt.metrics.looks import Outline, SubjectShape, judge, named_in
from fastvmt.plugins.metric import Scored
from fastvmt.suites.opening import Wanted


def single(count: int) -> list[Any]:
    scenes = (random_scene(stream("heldout", n), 9) for n in range(900, 900 + 4 * count))
    return [s for s in scenes if len(s.movers) == 1][:count]


def test_the_prompt_does_not_lead_the_verdict() -> None:
    """A circle under a prompt that asks for each shape is right once in six times."""
    case, frames = next(iter(Shapes64().cases(Wanted(width=64, height=64, frames=9))))
    shown = named_in(case.caption)
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
        named, seen = named_in(scene.caption()), judge(fit_frames(draw(scene), width, height))
        assert named is not None
        assert (seen.colour, seen.shape, seen.ground, seen.pattern) == (named.colour, named.shape, named.ground, named.pattern)


@pytest.mark.parametrize("caption", ["a red circle and a blue star on a navy plain background", "a dog", ""])
def test_prompts_of_another_form_are_not_judged(caption: str) -> None:
    assert named_in(caption) is None
    case = next(iter(Shapes64().cases(Wanted(width=64, height=64, frames=5))))[0]
    assert not Outline().applies(case.model_copy(update={"prompt": caption}))

"""Controls of motion fidelity: the same clip against another case's reference, and the forms that tell motions apart."""

from __future__ import annotations

import numpy as np
from support.clips import scored

from fastvmt.datasets.drawn.motion import camera_path
from fastvmt.datasets.drawn.scene import Scene, draw
from fastvmt.datasets.drawn.shapes import make_scene, stream
from fastvmt.media.files import Frames
from fastvmt.metrics.motion.fidelity import (
    MotionFidelity,
    MotionFidelityBoth,
    MotionFidelityLocal,
    MotionFidelityMoving,
    MotionFidelityMovingWrong,
    MotionFidelityWrong,
)


def zoom(name: str) -> Frames:
    rng = stream("heldout", 70)
    still = make_scene(rng, (), "still", 17)
    pan_x, pan_y, factor = camera_path(rng, name, 17, 64)
    return draw(Scene(64, 64, "gray", "checker", still.phase, (), pan_x, pan_y, factor))


def test_the_wrong_reference_scores_lower_than_the_right_one() -> None:
    right, wrong = [], []
    clips = [draw(make_scene(stream("heldout", 40 + n), ("linear",), "still", 17)) for n in range(4)]
    for n, clip in enumerate(clips):
        job = scored(clip, clip, clips[(n + 1) % 4])
        right.append(MotionFidelityMoving().score(job).value)
        wrong.append(MotionFidelityMovingWrong().score(job).value)
        assert MotionFidelityWrong().score(job).value is not None
    assert None not in right + wrong
    assert np.mean(right) > 0.95 > 0.6 > np.mean(wrong)  # type: ignore[arg-type]


def test_without_another_reference_the_control_is_undefined_not_zero() -> None:
    clip = zoom("zoom_in")
    found = MotionFidelityWrong().score(scored(clip, clip))
    assert found.value is None and "same reference" in found.details["why"]


def test_only_the_local_form_tells_a_zoom_in_from_a_zoom_out() -> None:
    inward, outward = zoom("zoom_in"), zoom("zoom_out")
    job = scored(outward, inward)
    headline, local = MotionFidelity().score(job).value, MotionFidelityLocal().score(job).value
    same = MotionFidelityLocal().score(scored(inward, inward)).value
    assert headline is not None and local is not None and same is not None
    assert headline > 0.8 and local < 0 < 0.8 < same


def test_both_directions_see_what_forward_alone_does_not() -> None:
    """A uniform pan matches some part of a zoom; the zoom is not all in the pan."""
    rng = stream("heldout", 71)
    still = make_scene(rng, (), "still", 17)
    pan_x, pan_y, factor = camera_path(rng, "pan", 17, 64)
    pan = draw(Scene(64, 64, "gray", "checker", still.phase, (), pan_x, pan_y, factor))
    job = scored(pan, zoom("zoom_in"))
    forward, both = MotionFidelity().score(job).value, MotionFidelityBoth().score(job).value
    assert forward is not None and both is not None and forward > both + 0.15

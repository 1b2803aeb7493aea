"""Camera and object motion: each agreement sees its own part of a clip, and nothing of the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fastvmt import score_clip
from fastvmt.datasets.drawn.scene import draw
from fastvmt.datasets.drawn.shapes import make_scene, stream
from fastvmt.metrics.motion.camera import centred
from fastvmt.metrics.motion.camera_agreement import CameraAgreement, ObjectAgreement
from fastvmt.plugins.metric import Value
from fastvmt.plugins.tracker import F64, Tracks

FRAMES, WIDTH, HEIGHT = 17, 160, 96
TIME = np.arange(FRAMES)[:, None]
CAMERAS = ("pan", "zoom", "turn")


def tracks(camera: str = "", mover: float = 0.0, size: float = 1.0, ground: bool = True) -> Tracks:
    """A grid that the camera moves, and 60 points in one place that go ``mover`` px a frame down beside that; a plain ground
    (``ground=False``) loses its points at once."""
    x, y = np.meshgrid((np.arange(20) + 0.5) * WIDTH / 20, (np.arange(20) + 0.5) * HEIGHT / 20)
    grid = np.stack([x.ravel(), y.ravel()], -1)
    subject = np.random.default_rng(0).uniform([60, 20], [84, 44], (60, 2))
    points = np.concatenate([grid, subject])[:, None].repeat(FRAMES, 1)
    points[-60:] += mover * TIME * [0.0, 1.0]
    angle, zoom = size * 0.01 * TIME * (camera == "turn"), np.exp(size * 0.01 * TIME * (camera == "zoom"))
    x, y = np.moveaxis(points - [WIDTH / 2, HEIGHT / 2], -1, 0)[..., None]
    turned = zoom * np.concatenate([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y], -1)
    shift = size * TIME * ([0.8, 0.3] if camera == "pan" else [0.0, 0.0])
    visible = np.ones((len(points), FRAMES), bool)
    visible[:400, 1:] = ground
    return Tracks(turned + shift + [WIDTH / 2, HEIGHT / 2], visible)


def both(generated: Tracks, reference: Tracks) -> tuple[Value, Value]:
    g, r = (centred(t, WIDTH, HEIGHT) for t in (generated, reference))
    return CameraAgreement().compare(g, r, WIDTH), ObjectAgreement().compare(g, r, WIDTH)


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize(("of_camera", "of_object"), [(1, 1), (1, -1), (-1, 1), (0.5, 1), (1, 0.5), (0, 1), (1, 0)])
def test_what_the_camera_does_and_what_the_object_does_are_two_numbers(camera: str, of_camera: float, of_object: float) -> None:
    found = both(tracks(camera, 1.2 * of_object, of_camera), tracks(camera, 1.2))
    for value, share in zip(found, (of_camera, of_object), strict=True):
        assert value.value == pytest.approx(2 * share / (1 + share * share), abs=0.06)


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("other", CAMERAS)
def test_another_camera_is_no_agreement(camera: str, other: str) -> None:
    assert both(tracks(other), tracks(camera))[0].value == pytest.approx(float(camera == other), abs=0.03)


def test_what_the_reference_lacks_is_undefined_and_what_the_clip_lacks_is_nothing() -> None:
    still, moving = both(tracks("pan", 1.2), tracks()), both(tracks(), tracks("pan", 1.2))
    assert still[0].value is None and "stands still" in still[0].details["why"]
    assert still[1].value is None and "of the reference move by themselves" in still[1].details["why"]
    assert moving[0].value == pytest.approx(0.0, abs=1e-6)
    assert moving[1].value == 0.0 and "of the generated clip" in moving[1].details["why"]


def test_a_subject_alone_on_a_plain_ground_is_no_camera() -> None:
    camera, objects = both(*[tracks(mover=1.2, ground=False)] * 2)
    assert camera.value is None and "too few tracks over the frame" in camera.details["why"]
    assert objects.value == pytest.approx(1.0)


def test_lost_and_outside_points_have_no_say() -> None:
    clean, lost = tracks("pan", 1.2), tracks("pan", 1.2)
    rng = np.random.default_rng(1)
    gone = rng.random(lost.points.shape[:2]) < 0.3
    wild: F64 = np.where(gone[..., None], rng.choice([np.nan, np.inf, -1e5, 40.0], lost.points.shape), lost.points)
    outside = np.where(gone[..., None], lost.points + 1000, lost.points)
    for worse in (Tracks(wild, ~gone), Tracks(outside, lost.visible)):
        for value in both(worse, clean):
            assert value.value == pytest.approx(1.0, abs=0.02)


def test_on_drawn_clips_a_reversed_camera_and_a_reversed_object_are_told_apart() -> None:
    scene = replace(make_scene(stream("heldout", 72), ("linear",), "pan", 17), pattern="checker")
    mover = scene.movers[0]
    back_pan = replace(scene, pan_x=-scene.pan_x, pan_y=-scene.pan_y)
    back_mover = replace(scene, movers=(replace(mover, x=mover.x[::-1], y=mover.y[::-1]),))
    reference = draw(scene)
    values = {
        (name, part): score_clip(f"{part}_agreement", draw(clip), reference).value or 0.0
        for name, clip in (("same", scene), ("back pan", back_pan), ("back mover", back_mover))
        for part in ("camera", "object")
    }
    assert min(values["same", "camera"], values["same", "object"], values["back mover", "camera"]) > 0.9
    assert values["back pan", "camera"] < -0.9 and values["back pan", "object"] > 0.6 and values["back mover", "object"] < -0.4


@pytest.mark.parametrize("part", ["camera", "object"])
def test_the_control_is_the_same_formula_against_another_reference(part: str) -> None:
    clips = [draw(replace(make_scene(stream("heldout", 73 + n), ("arc",), "pan", 9), pattern="dotted")) for n in range(3)]
    wrong = score_clip(f"{part}_agreement_wrong", clips[0], clips[1], other=clips[2])
    assert wrong.value is not None and wrong.value == score_clip(f"{part}_agreement", clips[0], clips[2]).value

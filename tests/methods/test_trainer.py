"""The trainer, its objectives and adapters, and what each of the methods that train keeps of the reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from fastvmt.datasets.drawn.scene import draw
from fastvmt.datasets.drawn.shapes import truth
from fastvmt.datasets.drawn.suites import Shapes, find_pair
from fastvmt.errors import NonFinite
from fastvmt.methods._math import adapters
from fastvmt.methods._math.trainer import Draw, Trainer, debiased_loss, track_loss, velocity_loss
from fastvmt.methods.det import DeT, DeTParams, latent_places, subject_points
from fastvmt.methods.motion_director import MotionDirector, MotionDirectorParams, rests, sum_rests
from fastvmt.methods.motion_inversion import MotionInversion, MotionInversionParams, differenced
from fastvmt.model import Reference
from fastvmt.plugins.method import Context
from fastvmt.plugins.tracker import tracks_of
from fastvmt.plugins.workspace import Workspace

DRAWN = Reference(frames_digest="", width=32, height=32, frames=17, source="drawn:shapes/single-object-100")


def clip() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (17, 32, 32, 3), np.uint8)


def workspace(**facts: Any) -> Workspace:
    return Workspace(DRAWN.model_copy(update=facts), clip)


# --- the trainer ------------------------------------------------------------------------------------------------------


def draws_of(steps: int, shift: float, first: int = 0) -> list[Draw]:
    trainer = Trainer({}, steps, shift, seed=3)
    return [trainer._draw(step, torch.zeros(1, 2, 3, 2, 2)) for step in range(first, steps)]


def test_levels_are_shifted_uniform_ones() -> None:
    """P(s <= t) = t / (shift - (shift - 1) t), so at shift 3 a level is below 0.555 in 29 % of the steps."""
    levels = np.array([d.sigma for d in draws_of(2000, 3.0)])
    for t in (0.2, 0.555, 0.9):
        assert (levels <= t).mean() == pytest.approx(t / (3 - 2 * t), abs=0.03)
    assert levels.min() > 0 and levels.max() < 1


def test_a_loss_moves_its_own_group_alone() -> None:
    """Both groups have a part in the loss; AdamW's first step is its rate."""
    first, second = torch.ones(3), torch.ones(3)
    groups = {"first": {"w": first}, "second": {"w": second}}

    def objective(draw: Draw) -> Iterator[tuple[str, torch.Tensor]]:
        yield "second", (first * second).sum()

    space = workspace()
    Trainer(groups, 1, 3.0, 0, lr=0.1, weight_decay=0.0).run(torch.zeros(1), space, objective)
    assert torch.equal(first, torch.ones(3)) and torch.allclose(second, torch.full((3,), 0.9))
    assert space.log == {"train_steps": 1, "train_loss": {"second": [3.0]}}


def test_a_loss_that_is_not_finite_is_named() -> None:
    weights = {"w": torch.ones(1)}

    def objective(draw: Draw) -> Iterator[tuple[str, torch.Tensor]]:
        yield "kernels", weights["w"].sum() * (float("nan") if draw.step == 2 else 1.0)

    with pytest.raises(NonFinite, match="'kernels' is nan at step 2 of 5"):
        Trainer({"kernels": weights}, 5, 3.0, 0, lr=0.1).run(torch.zeros(1), workspace(), objective)


# --- objectives -------------------------------------------------------------------------------------------------------


def test_the_debiased_loss_forgives_what_all_frames_share() -> None:
    """An error alike in all frames counts (sqrt(2) - 1)^2, one that sums to nothing over frames more than in the plain loss."""
    clean, noise = torch.randn(2, 1, 3, 5, 4, 4)
    shared = torch.randn(1, 3, 1, 4, 4).expand(1, 3, 5, 4, 4)
    plain = float(velocity_loss(noise - clean + shared, clean, noise))
    assert float(debiased_loss(noise - clean + shared, clean, noise, 2)) == pytest.approx(plain * (2**0.5 - 1) ** 2, rel=1e-4)
    own = torch.zeros(1, 3, 5, 4, 4)
    own[:, :, 1], own[:, :, 3] = 1.0, -1.0
    found = noise - clean + own
    assert float(debiased_loss(found, clean, noise, 0)) == pytest.approx(
        2 * float(velocity_loss(found, clean, noise)), rel=1e-4
    )
    assert float(debiased_loss(found, clean, noise, 0, 0.0)) == pytest.approx(
        float(velocity_loss(found, clean, noise)), rel=1e-4
    )


def test_the_track_loss_is_nothing_for_what_moves_along() -> None:
    """A latent carried one column a frame, and tracks that go with it; against the motion, or seen later, it counts."""
    still = torch.randn(1, 4, 1, 6, 12)
    moving = torch.cat([still.roll(f, -1) for f in range(5)], 2)
    columns = torch.arange(5)[:, None] + torch.tensor([[0, 3, 5]])
    places = torch.stack([columns, torch.tensor([[1, 2, 4]]).expand(5, 3)], -1)
    seen = torch.ones(5, 3, dtype=torch.bool)
    assert float(track_loss(moving, places, seen)) == 0
    assert float(track_loss(moving, places.flip(0), seen)) > 0.1
    moving[0, :, 3, 1, 3] += 1  # the first point in frame 3: the ends of two pairs
    both = float(track_loss(moving, places, seen))
    seen[3, 0] = False
    assert float(track_loss(moving, places, seen)) == pytest.approx(both / 2)
    assert float(track_loss(moving[:, :, :1], places[:1], seen[:1])) == 0


# --- adapters ---------------------------------------------------------------------------------------------------------


def test_only_the_adapters_in_use_act(context: Context) -> None:
    x, text = context.noise, context.texts["target"]
    with torch.no_grad():
        plain = context.backbone.velocity(x, 0.5, text)
        lora = adapters.LoRA(context.backbone, ("spatial", "temporal"), 2)
        with lora.installed():
            for name, weight in lora.weights("spatial").items():
                weight.data.fill_(0.1 if "lora_B" in name else 0.2)
            lora.use("temporal")
            assert torch.equal(context.backbone.velocity(x, 0.5, text), plain)
            lora.use("spatial", "temporal")
            assert not torch.equal(context.backbone.velocity(x, 0.5, text), plain)


# --- the methods ------------------------------------------------------------------------------------------------------


def made(cls: Any, params: Any, ctx: Context) -> Any:
    return cls(cls.resolve(params, ctx.backbone.card.shape(32, 32, 17, ctx.sigmas)))


TRAINED = [
    (MotionInversion, MotionInversionParams(steps=40, lr=0.05)),
    (MotionDirector, MotionDirectorParams(steps=40, lr=0.02, rank=4)),
    (DeT, DeTParams(steps=40, lr=0.002, middle=8)),
]


@pytest.mark.parametrize(("cls", "params"), TRAINED)
def test_training_brings_the_velocity_nearer_to_the_clip(cls: Any, params: Any, context: Context) -> None:
    """On levels and noise that training did not draw; sampling's own form of the weights is not asked."""
    method, clean, text = made(cls, params, context), context.reference(), context.texts["caption"]
    other = Trainer({}, 8, 3.0, seed=99)
    fresh = [other._draw(i, clean) for i in range(8)]

    def loss() -> float:
        found = (context.backbone.velocity(d.noised(clean), d.sigma, text) for d in fresh)
        return float(np.mean([float(velocity_loss(v, clean, d.noise)) for v, d in zip(found, fresh, strict=True)]))

    with torch.no_grad():
        before = loss()
        context.prepared = method.prepare(context, workspace())
        if cls is MotionInversion:
            context.state = dict(context.prepared)
        if cls is DeT:
            method.params = method.params.model_copy(update={"acting": 1.0})
        with method.scope(context, 0):
            after = loss()
    assert after < before - 0.005


def test_values_are_differenced_and_left_out_for_cameras(context: Context) -> None:
    ramp = torch.arange(5.0)[:, None, None, None].expand(5, 2, 1, 1) + 7
    assert differenced(ramp)[:, 0, 0, 0].tolist() == [7, 1, 1, 1, 1]
    context.prepared = {"qk.1": torch.ones(5, 48), "v.1": torch.ones(5, 48, 2, 2)}
    state = made(MotionInversion, MotionInversionParams(), context).fit(context)
    assert torch.equal(state["qk.1"], torch.ones(5, 48)) and state["v.1"].sum() == 48 * 4  # the first frame's
    assert set(made(MotionInversion, MotionInversionParams(motion="camera"), context).fit(context)) == {"qk.1"}


def test_the_start_holds_equal_parts_of_inverted_and_fresh_noise(context: Context) -> None:
    method = made(MotionDirector, MotionDirectorParams(), context)
    with torch.no_grad():
        x, first = method.start(context)
        own, _ = made(MotionDirector, MotionDirectorParams(noise_prior=1.0), context).start(context)
    assert first == 0 and torch.allclose(x, 0.5**0.5 * (own + context.noise), atol=1e-6)
    assert made(MotionDirector, MotionDirectorParams(begin="noise"), context).start(context)[0] is context.noise


def test_the_spatial_set_rests_every_fifth_step_and_is_not_kept(context: Context) -> None:
    assert [s for s in range(11) if rests(s, 0.2)] == [4, 9] and sum_rests(11, 0.2) == 2
    space = workspace()
    kept = made(MotionDirector, MotionDirectorParams(steps=10, rank=2), context).prepare(context, space)
    assert {k: len(v) for k, v in space.log["train_loss"].items()} == {"spatial": 8, "temporal": 10}
    assert len(kept) == 36 and all(".temporal." in name for name in kept)


def test_a_track_is_read_at_the_middle_of_what_a_latent_frame_packs() -> None:
    points = np.stack([np.arange(17.0), np.full(17, 3.0)], -1)[None]
    visible = np.ones((1, 17), bool)
    visible[0, 7] = False
    places, seen = latent_places(points, visible, (5, 8, 16), 4, (16, 8))
    assert places[:, 0].tolist() == [[0, 3], [3, 3], [7, 3], [11, 3], [15, 3]]  # frames 0, 2.5, 6.5, 10.5, 14.5
    assert seen[:, 0].tolist() == [True, True, False, True, True]


def test_drawn_clips_give_exact_tracks_of_their_subjects(context: Context) -> None:
    pair = find_pair(DRAWN.source, 17)
    assert pair is not None
    known = Shapes().tracks(DRAWN, 20)
    exact = truth(pair.reference, points_per_mover=20).tracks
    assert known is not None and np.allclose(known.points + 0.5, (exact + 0.5) / 2)  # 64 px drawn, 32 px wanted
    chosen = subject_points(known, 8, 0)
    assert len(chosen) == 8 and known.subject is not None and known.subject[chosen].all() and known.visible[chosen, 0].all()
    assert Shapes().tracks(DRAWN.model_copy(update={"source": "drawn:shapes/no-such"}), 20) is None


def test_other_clips_are_tracked_and_the_log_says_so(context: Context) -> None:
    pair = find_pair(DRAWN.source, 17)
    assert pair is not None
    found = tracks_of(DRAWN.model_copy(update={"source": "clip.mp4"}), draw(pair.reference), "lk", 100)
    assert found.subject is None and found.points.shape == (400, 17, 2)
    for facts, words in (({}, "from suite, on its subjects"), ({"source": "clip.mp4"}, "from lk, over the whole frame")):
        space = workspace(**facts)
        made(DeT, DeTParams(steps=1, middle=4), context).prepare(context, space)
        assert words in space.log["tracks"]

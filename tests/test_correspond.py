"""What the training of the embedded backbone tells its queries and keys: true places, and a loss that wants them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanAttention, WanAttnProcessor, WanRotaryPosEmbed
from tiny.attention import TrainingSelfAttention
from tiny.correspond import GROUND_SHARE, PATCH, at_latent_times, correspondence_loss, links, targets

from fastvmt.datasets.drawn.shapes import make_scene, stream, truth


@pytest.mark.parametrize(
    "motions, camera", [(("linear",), "still"), (("rotate",), "still"), (("grow",), "pan"), (("arc",), "zoom_in")]
)
def test_links_agree_with_the_drawers_own_tracks(motions: tuple[str, ...], camera: str) -> None:
    """The drawn clips' truth is made by other code: points on the subject and the ground, followed through the clip."""
    checked = 0
    for number in range(4):
        scene = make_scene(stream("tune", 500 + number), motions, camera, 33)
        rows, ground = links(scene)
        known = truth(at_latent_times(scene), points_per_mover=400, ground_grid=64)
        for part, owner in ((~ground, 0), (ground, -1)):
            tracks = (known.tracks[known.owner == owner] + 0.5) / PATCH - 0.5
            for _, token, other, row, column in rows[part & (rows[:, 0] == 0)][::7]:
                gap = np.hypot(*(tracks[:, 0] - [token % 8, token // 8]).T)
                nearest = int(gap.argmin())  # a followed point, almost at the token's middle
                there = tracks[nearest, int(other)]
                assert np.hypot(*(there - [column, row])) < 2.1 * gap[nearest] + 1e-6, (owner, token, other)
                checked += gap[nearest] < 0.15
    assert checked > 20


def test_a_panned_ground_moves_by_the_pan_and_a_still_one_stays() -> None:
    still = make_scene(stream("tune", 1), ("static",), "still", 33)
    rows, ground = links(still)
    assert np.allclose(rows[ground][:, 3] * 8 + rows[ground][:, 4], rows[ground][:, 1])
    panned = make_scene(stream("tune", 1), ("static",), "pan", 33)
    small, (rows, ground) = at_latent_times(panned), links(panned)
    i, j = rows[:, 0].astype(int), rows[:, 2].astype(int)
    assert np.allclose(rows[:, 4] - rows[:, 1] % 8, (small.pan_x[j] - small.pan_x[i]) / PATCH)  # the static subject too
    assert np.allclose(rows[:, 3] - rows[:, 1] // 8, (small.pan_y[j] - small.pan_y[i]) / PATCH)


def test_what_is_hidden_in_the_other_frame_is_no_link() -> None:
    scene = make_scene(stream("tune", 3), ("linear",), "still", 33)
    small = at_latent_times(scene)
    rows, ground = links(scene)
    x, y = small.to_screen(small.movers[0].x, small.movers[0].y)
    far = small.movers[0].radius.max() * 2
    for row in rows[ground]:
        column, line = PATCH * (row[4] + 0.5) - 0.5, PATCH * (row[3] + 0.5) - 0.5
        j = int(row[2])
        assert math.hypot(column - x[j], line - y[j]) > 1  # never right under the subject's middle
    assert (rows[:, 0] != rows[:, 2]).all()
    lone = rows[~ground]
    assert len(lone) and all(
        math.hypot(PATCH * (r[4] + 0.5) - 0.5 - x[int(r[2])], PATCH * (r[3] + 0.5) - 0.5 - y[int(r[2])]) < far for r in lone
    )


def test_the_loss_is_the_entropy_of_a_right_guess_and_of_no_guess() -> None:
    scenes = [make_scene(stream("tune", n), ("linear",), "still", 33) for n in (5, 6)]
    wanted = targets(scenes)
    assert torch.allclose(wanted.parts.sum(1), torch.ones(len(wanted.parts))) and int(wanted.keys.max()) < 64
    nothing = torch.zeros(2, 9 * 64, 3, 4)
    uniform = float(correspondence_loss(nothing, nothing, wanted, 9))
    assert uniform == pytest.approx((1 + GROUND_SHARE) * math.log(64), rel=1e-4)
    # queries that name their own place in every frame: right for a still scene, wrong for a moving subject
    place = torch.eye(64).repeat(9, 1).reshape(1, 9 * 64, 1, 64) * 30
    still = targets([make_scene(stream("tune", 8), ("static",), "still", 33)])
    moving = targets([make_scene(stream("tune", 5), ("linear",), "still", 33)])
    assert float(correspondence_loss(place, place, still, 9)) < 1e-3
    assert float(correspondence_loss(place, place, moving, 9)) > 5


def test_training_attention_is_wans_own_with_its_gradients() -> None:
    torch.manual_seed(0)
    attention = WanAttention(dim=24, heads=2, dim_head=12, eps=1e-6)
    x = torch.randn(2, 2 * 3 * 4, 24)
    rotary = WanRotaryPosEmbed(12, (1, 1, 1), 16)(torch.zeros(1, 1, 2, 3, 4))
    ours = TrainingSelfAttention()
    found = []
    for processor in (WanAttnProcessor(), ours):
        attention.set_processor(processor)
        leaf = x.clone().requires_grad_(True)
        attention.zero_grad()
        out = attention(leaf, None, None, rotary)
        out.square().sum().backward()
        assert leaf.grad is not None
        found.append([out.detach(), leaf.grad, *(p.grad.clone() for p in attention.parameters() if p.grad is not None)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert ours.seen is not None and ours.seen[0].shape == (2, 24, 2, 12)

"""MotionClone: its surrogate and loss against loops, the size and direction of its update, and what it does when degenerate."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from fastvmt.backbones import card
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.errors import SpecError
from fastvmt.methods import motionclone
from fastvmt.methods.motionclone import Kept, MotionClone, MotionCloneParams
from fastvmt.plugins.method import Context, Shape


def made(ctx: Context, **changes: Any) -> MotionClone:
    params = MotionCloneParams(**({"block": 1, "guided": "steps:0-2"} | changes))
    return MotionClone(MotionClone.resolve(params, ctx.backbone.card.shape(32, 32, 17, ctx.sigmas)))


def looped(q: torch.Tensor, k: torch.Tensor, masked: bool) -> torch.Tensor:
    """A[p, n, f, g], one number at a time."""
    frames, places, heads, d = q.shape
    out = torch.zeros(places, heads, frames, frames)
    for p in range(places):
        for n in range(heads):
            for f in range(frames):
                others = [g for g in range(frames) if not (masked and g == f)]
                logit = {g: sum(q[f, p, n, c] * k[g, p, n, c] for c in range(d)) / math.sqrt(d) for g in others}
                total = sum(torch.exp(v) for v in logit.values())
                for g in others:
                    out[p, n, f, g] = torch.exp(logit[g]) / total
    return out


def looped_loss(seen: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """At the reference's strongest key frame of every location, head and query frame: mean squared difference."""
    places, heads, frames, _ = seen.shape
    errors = []
    for p in range(places):
        for n in range(heads):
            for f in range(frames):
                best = max(range(frames), key=lambda g: float(reference[p, n, f, g]))
                errors.append((seen[p, n, f, best] - reference[p, n, f, best]) ** 2)
    return torch.stack(errors).mean()


def features(ctx: Context, block: int, x: torch.Tensor, sigma: float, text: str) -> tuple[torch.Tensor, torch.Tensor]:
    taps = ctx.backbone.taps(x, sigma, ctx.texts[text], (f"q@{block}", f"k@{block}"))
    q, k = (taps[f"{name}@{block}"].reshape(5, 16, 4, 12) for name in "qk")
    return q, k


@pytest.mark.parametrize("diagonal", ["keep", "mask"])
def test_the_loss_is_the_one_in_loops(diagonal: str, context: Context) -> None:
    found, masked = made(context, diagonal=diagonal), diagonal == "mask"
    context.state = found.fit(context)
    noised = 0.39 * context.reference() + 0.61 * context.noise
    reference = looped(*features(context, 1, noised, 0.61, "null"), masked)
    x = torch.randn(context.noise.shape, generator=torch.Generator().manual_seed(5))
    seen = looped(*features(context, 1, x, 0.9, "target"), masked)
    wanted = float(looped_loss(seen, reference))
    assert wanted > 0 and float(found.loss(context, 0, x, 0.9)) == pytest.approx(wanted, rel=1e-3)
    torch.testing.assert_close(context.state.value, reference.amax(-1), atol=1e-6, rtol=0)
    assert context.log["diagonal_share"] == pytest.approx(_own_share(noised, context), abs=1e-4)
    assert sum(context.log["lag_shares"]) == pytest.approx(1, abs=1e-3) and context.log["diagonal"] == diagonal


def test_the_reference_can_have_noise_of_its_own_that_follows_the_run(context: Context) -> None:
    found = {kind: made(context, ref_noise=kind).mirror(context, 0)[0] for kind in ("run", "own")}
    torch.testing.assert_close(found["run"], 0.39 * context.reference() + 0.61 * context.noise)
    own = (found["own"] - 0.39 * context.reference()) / 0.61
    assert abs(float((own * context.noise).mean())) < 0.1 and float(own.std()) == pytest.approx(1, abs=0.1)
    context.noise = context.noise.flip(0, 1, 2)
    assert not torch.equal(made(context, ref_noise="own").mirror(context, 0)[0], found["own"])


def _own_share(noised: torch.Tensor, ctx: Context) -> float:
    best = looped(*features(ctx, 1, noised, 0.61, "null"), False).argmax(-1)
    return float((best == torch.arange(5)).float().mean())


@pytest.mark.parametrize("changes", [{}, {"weight": 3.5}, {"diagonal": "mask"}, {"block": 2, "rope": False}])
def test_an_euler_step_moves_the_latent_by_the_score_term(changes: dict[str, Any], context: Context) -> None:
    found = made(context, **changes)
    context.state = found.fit(context)
    for i in range(3):
        here, there = context.sigmas[i], context.sigmas[i + 1]
        x = torch.randn(context.noise.shape, generator=torch.Generator().manual_seed(i)) * (1 + i)
        with torch.no_grad():
            term = found.steer(context, i, x)
        leaf = x.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(found.loss(context, 0, leaf, here), leaf)
        assert bool(torch.isfinite(gradient).all()) and float(gradient.abs().max()) > 0
        kept: Kept = context.state
        assert kept.weight is not None
        if i == 0:
            first = kept.weight
            share = float(here * there * first * gradient.square().mean().sqrt() / x.square().mean().sqrt())
            assert first == 3.5 if "weight" in changes else share == pytest.approx(0.005, rel=1e-4)
        assert kept.weight == first  # frozen after the first guided step
        moved = (there - here) * term
        torch.testing.assert_close(moved, -kept.weight * here * there * gradient, rtol=1e-4, atol=1e-9)
        logged = context.log["score_term"][str(i)]["update share"]
        assert logged == pytest.approx(float(moved.square().mean().sqrt() / x.square().mean().sqrt()), rel=1e-3)
    assert context.log["weight"] == pytest.approx(first, rel=1e-4) and list(context.log["loss"]) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("steps", "share", "wanted"),
    [
        (5, 0.1, [1, 1, 1, 1, 1]), (20, 0.1, [0.5, *[1] * 18, 0.5]), (10, 0.3, [1 / 3, 2 / 3, *[1] * 6, 2 / 3, 1 / 3]),
        (4, 0.5, [0.5, 1, 1, 0.5]), (3, 0, [1, 1, 1]), (1, 0.5, [1]),
    ],
)  # fmt: skip
def test_weights_rise_over_the_first_steps_and_fall_over_the_last(steps: int, share: float, wanted: list[float]) -> None:
    assert [motionclone.ramp_weight(n, steps, share) for n in range(steps)] == pytest.approx(wanted)


def _features_of(share: float) -> Any:
    """Queries and keys whose strongest key frame is the query's own in ``share`` of the locations, else the next one."""

    def features(*_: Any) -> tuple[torch.Tensor, torch.Tensor]:
        own = torch.eye(5)
        other = own.roll(1, 0)
        k = torch.stack([own if n < share * 100 else other for n in range(100)], 1)[:, :, None]
        return 9 * own[:, None, None].expand(5, 100, 1, 5), k

    return features


@pytest.mark.parametrize(
    ("share", "asked", "used"), [(1.0, "auto", "mask"), (0.96, "auto", "mask"), (0.94, "auto", "keep"), (1.0, "keep", "keep")]
)
def test_a_degenerate_diagonal_is_masked(
    share: float, asked: str, used: str, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = made(context, diagonal=asked)
    monkeypatch.setattr(found, "_attended", _features_of(share))
    kept = found.fit(context)
    assert (context.log["diagonal"], kept.masked) == (used, used == "mask")
    assert context.log["diagonal_share"] == pytest.approx(share)
    own = (kept.index == torch.arange(5)).float().mean()
    assert float(own) == pytest.approx(0 if used == "mask" else share)


def test_the_last_step_is_never_guided(context: Context) -> None:
    """It ends at level 0, where the term is zero and no strength has a weight."""
    assert made(context, guided="share:1.0").params.guided == "steps:0-2" and len(context.sigmas) == 5


def test_values_on_wan_1b() -> None:
    shape = card.load("wan2.1-1.3b").shape(832, 480, 81, sigma_grid(50, 3.0))
    p = MotionClone.resolve(MotionCloneParams(), shape)
    assert (p.block, p.guided, p.ref_sigma, p.ramp, p.diagonal) == (14, "steps:0-23", 0.61, 0.1, "auto")
    camera = MotionClone.resolve(MotionCloneParams(**MotionClone.variants["camera"]), shape)
    assert camera.guided == "steps:0-18"
    assert MotionClone.cost(p, shape) == pytest.approx(100 + 14.2 / 30 * (1 + 3 * 24))


def test_two_latent_frames_are_refused() -> None:
    with pytest.raises(SpecError, match="at least 3"):
        MotionClone.resolve(MotionCloneParams(), Shape(30, 12, (2, 30, 52), sigma_grid(50, 3.0)))

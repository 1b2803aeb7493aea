"""RoPECraft: shifted rotary factors, phase loss and a fitted step against loops, and that the model is its own again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastvmt.backbones import card
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.datasets.drawn.suites import clip
from fastvmt.errors import MissingWeights
from fastvmt.estimates.memory import need
from fastvmt.media.flow import consecutive_flow
from fastvmt.methods.ropecraft import RoPECraft, RoPECraftParams, flow_of, phase_loss, shifts
from fastvmt.plugins import labels
from fastvmt.plugins.method import Context


def made(ctx: Context, **changes: Any) -> RoPECraft:
    params = RoPECraftParams(**({"guided": "steps:0-2", "inner": 2} | changes))
    return RoPECraft(RoPECraft.resolve(params, ctx.backbone.card.shape(32, 32, 17, ctx.sigmas)))


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_factors_are_the_models_own_at_shifted_places(context: Context) -> None:
    """Token by token: place in time as it is, row and column moved; width 12 has 4 channels for each."""
    rows, columns = drawn(5, 4, 4), drawn(5, 4, 4, seed=1)
    found = context.backbone.rotary(context.noise, rows, columns).unflatten(0, (5, 4, 4))
    for f, r, c in np.ndindex(5, 4, 4):
        angles = []
        for place in (f, r + float(rows[f, r, c]), c + float(columns[f, r, c])):
            angles += [place * 10000.0 ** (-2 * j / 4) for j in range(2)]
        wanted = torch.tensor([[math.cos(a), math.sin(a)] for a in angles])
        torch.testing.assert_close(found[f, r, c], wanted, atol=1e-5, rtol=0)


def test_the_models_own_factors_change_nothing_and_others_do(context: Context) -> None:
    model, still = context.backbone, torch.zeros(5, 4, 4)
    own, moved = (model.rotary(context.noise, still, columns) for columns in (still, drawn(5, 4, 4)))
    args = (context.noise, 0.9, context.texts["target"])
    with torch.no_grad():
        before = model.velocity(*args)
        with model.rotated(lambda: own):
            same = model.velocity(*args)
        with model.rotated(lambda: moved):
            other, tapped = model.velocity(*args), model.taps(*args, ("q@0",))["q@0"]
        plain = model.taps(*args, ("q@0",))["q@0"]
    torch.testing.assert_close(same, before, atol=1e-6, rtol=1e-5)
    assert not torch.allclose(other, before) and not torch.allclose(tapped, plain)


def looped_shifts(
    flow: np.ndarray, grid: tuple[int, int, int], divisor: float, blur: int, spread: float, calm: float
) -> np.ndarray:
    frames, height, width = grid
    chosen = [flow[int(f * (len(flow) - 1) / (frames - 1))] for f in range(frames)]
    block = (flow.shape[2] // height, flow.shape[3] // width)
    small = np.zeros((frames, 2, height, width))
    for f, axis, r, c in np.ndindex(*small.shape):  # bilinear at a place between the two middle rows and columns of a block
        top, left = r * block[0] + block[0] // 2 - 1, c * block[1] + block[1] // 2 - 1
        small[f, axis, r, c] = chosen[f][axis, top : top + 2, left : left + 2].mean()
    weight = [math.exp(-(k**2) / (2 * spread**2)) for k in range(-blur, blur + 1)]
    blurred = np.zeros_like(small)
    for r, c in np.ndindex(height, width):
        for a, b in np.ndindex(2 * blur + 1, 2 * blur + 1):
            row, column = r + a - blur, c + b - blur
            if 0 <= row < height and 0 <= column < width:  # beyond the frame nothing moves
                blurred[:, :, r, c] += weight[a] * weight[b] / sum(weight) ** 2 * small[:, :, row, column]
    steps, total, out = blurred / divisor, np.zeros((2, height, width)), []
    for f in range(frames):
        change = math.sqrt(((steps[f + 1] - steps[f]) ** 2).sum()) if f + 1 < frames else 0.0
        total = total + min(1.0, calm / (change + 1e-6)) * steps[f]
        out.append(total)
    return np.stack(out, 1)


@pytest.mark.parametrize(
    ("divisor", "blur", "spread", "calm"), [(8.0, 10, 11.0, 1.0), (2.0, 1, 0.7, 5.0), (8.0, 0, 11.0, 100.0)]
)
def test_shifts_are_the_ones_in_loops(divisor: float, blur: int, spread: float, calm: float) -> None:
    flow = 20 * drawn(16, 2, 32, 32)
    found = shifts(flow, (5, 4, 4), divisor, blur, spread, calm)
    np.testing.assert_allclose(found, looped_shifts(flow.double().numpy(), (5, 4, 4), divisor, blur, spread, calm), atol=1e-4)


def test_phases_are_compared_and_sizes_are_not() -> None:
    a, b = drawn(1, 2, 4, 3, 6), drawn(1, 2, 4, 3, 6, seed=1)
    one, other = (np.fft.rfftn(v.double().numpy(), axes=(2, 3, 4), norm="ortho") for v in (a, b))
    gap = one / np.abs(one) - other / np.abs(other)
    assert float(phase_loss(a, b)) == pytest.approx(np.abs(gap.real).mean() + np.abs(gap.imag).mean(), rel=1e-4)
    assert float(phase_loss(3 * a, a)) == pytest.approx(0, abs=1e-5)


def test_fitting_is_one_adamw_on_all_corrections_so_far(context: Context) -> None:
    """Two guided steps: the second sums and fits both corrections, each with moments of its own."""
    method = made(context, warp=False, lr=0.01)
    context.state = method.fit(context)
    base = context.state.base.clone()
    own = [torch.zeros_like(base), torch.zeros_like(base)]
    moments = [[torch.zeros_like(base), torch.zeros_like(base), 0] for _ in own]
    losses: dict[str, list[float]] = {}
    for i in (0, 1):
        x, level = drawn(*context.noise.shape, seed=i), context.sigmas[i]
        wanted = (x - context.reference()) / level
        for _ in range(2):
            total = (base + sum(own[: i + 1])).requires_grad_(True)
            with context.backbone.rotated(lambda total=total: total), torch.enable_grad():
                v = context.backbone.trained_velocity(x, level, context.texts["target"])
                loss = phase_loss(v, wanted) + 0.1 * (v - wanted).square().mean()
                (slope,) = torch.autograd.grad(loss, total)
            losses.setdefault(str(i), []).append(float(loss.detach()))
            for n in range(i + 1):
                first, second, count = moments[n]
                first, second, count = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2, count + 1
                moments[n] = [first, second, count]
                step = (first / (1 - 0.9**count)) / ((second / (1 - 0.999**count)).sqrt() + 1e-8)
                own[n] = own[n] - 0.01 * 0.01 * own[n] - 0.01 * step
        with method.scope(context, i):
            assert method.adjust(context, i, x) is x
    torch.testing.assert_close(context.state.now().detach(), base + own[0] + own[1], atol=1e-4, rtol=1e-3)
    for i, values in losses.items():
        assert context.log["loss"][i] == pytest.approx(values, rel=1e-4)


def test_flow_follows_a_drawn_subject_at_the_clips_own_size() -> None:
    frames, _ = clip("single-object-108")
    flow = consecutive_flow(frames[:9])
    assert flow.shape == (8, 2, 64, 64) and 0.2 < np.abs(flow).max() < 16
    rolled = np.stack([np.roll(frames[0], 3 * t, 1) for t in range(2)])
    moved = consecutive_flow(rolled)[0]
    busy = np.abs(np.diff(frames[0].astype(int), axis=1)).sum(-1) > 100
    assert np.median(moved[0][:, :-1][busy]) == pytest.approx(3, abs=0.7)


def test_raft_without_its_weights_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(MissingWeights, match=r"RAFT-small's weights .* `curl .*raft_small.*`, or leave flow=raft out"):
        flow_of(np.zeros((2, 32, 32, 3), np.uint8), "raft", torch.device("cpu"))


def test_work_and_memory_on_wan_1b() -> None:
    wan = card.load("wan2.1-1.3b")
    shape = wan.shape(832, 480, 81, sigma_grid(50, 3.0))
    spec, plain = (labels.resolve(label, shape, {}) for label in ("ropecraft", "none"))
    assert RoPECraft.cost(RoPECraftParams.model_validate(spec.params), shape) == 250
    sizes = [need(wan, 832, 480, 81, "bfloat16", (s,), device="cuda").stored for s in (spec, plain)]
    assert sizes[0] > 0 == sizes[1]

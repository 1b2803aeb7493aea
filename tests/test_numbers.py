"""Noise levels, the latent's optimiser, motion fidelity: against stored vectors and properties."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvmt.backbones.noise_levels import resolve_steps, sigma_grid
from fastvmt.errors import SpecError
from fastvmt.methods._math import released
from fastvmt.methods._math.updater import LatentUpdate
from fastvmt.metrics.motion.tracklets import correlation_rows, fidelity, script_form


def test_noise_levels_and_rounded_times_match_the_authors(golden: Path) -> None:
    z = np.load(golden / "scheduler.npz")
    for name, strength in (("0p75", 0.75), ("0p88", 0.88), ("0p92", 0.92), ("1p0", 1.0)):
        grid = sigma_grid(50, 7.0, strength)
        np.testing.assert_allclose(grid[:-1], z[f"sigmas_{name}"], atol=2e-7)
        np.testing.assert_array_equal([released.bf16_time(s) for s in grid[:-1]], z[f"timesteps_bf16_{name}"])
        found = [grid.index(released.reference_sigma(i, grid)) for i in range(50)]
        np.testing.assert_array_equal(found, z[f"ref_sigma_idx_{name}"])


def test_single_shift_grid_values() -> None:
    grid = sigma_grid(50, 3.0)
    assert grid[0] == 1.0 and grid[50] == 0.0
    assert grid[9] == pytest.approx(0.9318, abs=5e-5) and grid[49] == pytest.approx(0.0577, abs=5e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps:0-9", (0, 9)),
        ("share:0.2", (0, 9)),
        ("share:0", (0, -1)),
        ("steps:3-99", (3, 49)),
        ("sigma:1.0-0.9305", (0, 9)),
        ("sigma:0.9305-1.0", (0, 9)),
    ],
)
def test_parts_of_the_grid(text: str, expected: tuple[int, int]) -> None:
    assert resolve_steps(text, sigma_grid(50, 3.0)) == expected


@pytest.mark.parametrize("text", ["", "0-9", "steps:a-b", "share:", "sigma:0.9", "steps:1-2-3"])
def test_unreadable_parts_are_named(text: str) -> None:
    with pytest.raises(SpecError, match="steps:0-9, share:0.2 or sigma"):
        resolve_steps(text, sigma_grid(50, 3.0))


@pytest.mark.parametrize(("dtype", "name"), [(torch.float32, "fp32"), (torch.bfloat16, "bf16")])
@pytest.mark.parametrize("interval", [1, 3])
def test_latent_updates_match_the_authors_trace(golden: Path, dtype: torch.dtype, name: str, interval: int) -> None:
    z = np.load(golden / "optim_trace.npz")
    x0, target, c = (torch.from_numpy(z[k]) for k in ("x0", "target", "c"))
    update = LatentUpdate(10, interval, 0.003, 0.002, 10, dtype=dtype)
    loss = lambda x: (0.5 * c.to(x) * (x - target.to(x)) ** 2).sum()  # noqa: E731
    found = update(x0, loss)
    torch.testing.assert_close(found, torch.from_numpy(z[f"x_{name}_interval{interval}"][-1]).float(), atol=1e-6, rtol=0)


def test_reused_gradients_do_not_run_the_loss() -> None:
    calls = 0

    def loss(x: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return x.square().sum()

    LatentUpdate(10, 3, 0.01, 0.01, 10)(torch.ones(5), loss)
    assert calls == 4


# --- motion fidelity ------------------------------------------------------------------------------------------------


def same(found: float | None, wanted: Any) -> bool:
    if wanted == "nan":
        return found is not None and math.isnan(found)
    if found is None or wanted is None:
        return found is None and wanted is None
    return abs(found - wanted) < 1e-12


def test_every_stored_motion_fidelity_case(golden: Path) -> None:
    cases = json.loads((golden / "motion_fidelity.json").read_text())["cases"]
    for case in cases:
        gen, ref = (np.array(case[k], float) for k in ("gen", "ref"))
        visible = tuple(np.array(case[k], bool) if k in case else None for k in ("gen_vis", "ref_vis"))
        for policy, wanted in case["expected"].items():
            if policy == "local_zero":
                found = fidelity(gen, ref, "zero", radius=case["local_radius"])
                assert same(found.forward, wanted["forward"]) and same(found.backward, wanted["backward"]), case["name"]
                continue
            found = fidelity(gen, ref, policy, tau=case.get("tau", 0.0), visible=visible)
            script = script_form(gen, ref, policy, tau=case.get("tau", 0.0), visible=visible)
            for key, value in (
                ("forward", found.forward),
                ("backward", found.backward),
                ("chamfer_mean", found.both),
                ("repo_eye", script),
            ):
                assert same(value, wanted[key]), (case["name"], policy, key)


def literal(gen: np.ndarray, ref: np.ndarray) -> np.ndarray:
    out = np.zeros((len(gen), len(ref)))
    for i, a in enumerate(gen):
        for j, b in enumerate(ref):
            for k in range(gen.shape[1] - 1):
                u, v = a[k + 1] - a[k], b[k + 1] - b[k]
                lengths = np.linalg.norm(u) * np.linalg.norm(v)
                out[i, j] += u @ v / lengths if lengths else 0.0
    return out / (gen.shape[1] - 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(2, 9), st.integers(0, 10**6))
def test_motion_fidelity_properties(n: int, m: int, frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gen, ref = rng.normal(size=(n, frames, 2)).cumsum(1), rng.normal(size=(m, frames, 2)).cumsum(1)
    np.testing.assert_allclose(correlation_rows(gen, ref), literal(gen, ref), atol=1e-12)
    base = fidelity(gen, ref)
    assert base.forward is not None and base.backward is not None and -1 <= base.forward <= 1
    shifted = fidelity(gen * 3.7 + 11, ref[::-1] * 0.2 - 5)
    assert shifted.forward == pytest.approx(base.forward, abs=1e-9)  # speed, place, order of tracks do not matter
    mirror = np.array([-1.0, 1.0])
    assert fidelity(gen * mirror, ref * mirror).forward == pytest.approx(base.forward, abs=1e-9)
    assert fidelity(gen, gen).forward == pytest.approx(1.0)
    assert fidelity(-gen[:1], gen[:1]).forward == pytest.approx(-1.0)
    assert fidelity(ref, gen).forward == pytest.approx(base.backward)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    gen, ref = rng.normal(size=(50, 6, 2)), rng.normal(size=(40, 6, 2))
    whole = {p: correlation_rows(gen, ref, p) for p in ("zero", "nan", "mask", "mask50", "match")}
    monkeypatch.setattr("fastvmt.metrics.motion.tracklets.BLOCK", 7)
    for policy, matrix in whole.items():
        np.testing.assert_allclose(correlation_rows(gen, ref, policy), matrix, atol=1e-12)

"""Noise levels, the latent's optimiser, motion fidelity: against stored vectors and properties."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastvmt.backbones.noise_levels import resolve_steps, sigma_grid
from fastvmt.errors import SpecError
from fastvmt.methods._math import released
from fastvmt.metrics.motion.tracklets import fidelity, script_form


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

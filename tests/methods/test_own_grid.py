"""A method's own noise levels, and settings that leave a method without what it needs: refused or said at plan time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.cli import bench

from fastvmt.backbones import card as cards
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.denoise import denoise
from fastvmt.errors import SpecError
from fastvmt.jobs import protocol
from fastvmt.plugins import labels
from fastvmt.plugins.method import Context, Shape
from fastvmt.runner.plan.resolve import resolve
from fastvmt.runner.settings import Request

FIFTY = Shape(30, 12, (21, 30, 52), sigma_grid(50, 3.0))
AUTHORS = sigma_grid(50, 7.0, 0.75)


def levels_of(label: str, shape: Shape = FIFTY) -> tuple[float, ...]:
    spec = labels.resolve(label, shape, {})
    return labels.build(spec).levels(labels.build(spec).params, shape.sigmas)


@pytest.mark.parametrize("label", ["fastvmt:released", "sdedit:grid=7:0.75:sigma=1", "ditflow:begin=reference:grid=7:.750"])
def test_a_row_has_the_noise_levels_that_it_names(label: str) -> None:
    assert levels_of(label) == AUTHORS and AUTHORS[0] == pytest.approx(0.9545, abs=1e-4)
    assert levels_of("fastvmt") == levels_of("fastvmt:released:grid=run") == FIFTY.sigmas


def test_own_levels_are_part_of_the_key_and_the_runs_are_not() -> None:
    spec = {label: labels.resolve(label, FIFTY, {}).params for label in ("fastvmt", "fastvmt:grid=3", "fastvmt:released")}
    assert "grid" not in spec["fastvmt"] and spec["fastvmt"] == spec["fastvmt:grid=3"]  # the run's own levels by another name
    assert spec["fastvmt:released"]["grid"] == "7:0.75"


@pytest.mark.parametrize("grid", ["7:0", "7:2", "0", "seven", "7:0.5:1", "-1:0.5", "inf"])
def test_levels_that_cannot_be_are_refused(grid: str) -> None:
    with pytest.raises(SpecError, match=r"grid='.*' cannot be read: use SHIFT:STRENGTH"):
        labels.resolve(f"fastvmt:begin=reference:grid={grid}", FIFTY, {})


def test_the_loop_samples_on_them(context: Context) -> None:
    shape = context.backbone.card.shape(32, 32, 17, context.sigmas)
    spec = labels.resolve("fastvmt:released:tile=2x2:inner=1:guided=steps:0-1", shape, {})
    plain, own = (
        labels.build(labels.resolve("fastvmt:released:grid=run:tile=2x2:inner=1:guided=steps:0-1", shape, {})),
        labels.build(spec),
    )
    seen: list[float] = []
    velocity = context.backbone.velocity
    context.backbone.velocity = lambda x, sigma, text, *of: (seen.append(sigma), velocity(x, sigma, text, *of))[1]
    try:
        context.sigmas = own.levels(own.params, context.sigmas)
        one = denoise(own, context, 1.0)
    finally:
        del context.backbone.velocity
    assert seen[::2] == list(sigma_grid(4, 7.0, 0.75)[:-1])
    context.state, context.log, context.sigmas = None, {}, shape.sigmas
    assert not torch.equal(one, denoise(plain, context, 1.0))


@pytest.mark.parametrize(
    ("method", "strength"), [("none", 0.75), ("fastvmt", 0.75), ("smm", 0.9), ("motion_director", 0.5), ("moft", 0.99)]
)
def test_noise_alone_is_no_start_below_the_first_level(method: str, strength: float) -> None:
    words = f"'{method}' starts from noise alone, and its noise levels begin at 0\\.\\d+, .*--strength"
    with pytest.raises(SpecError, match=words):
        labels.resolve(method, Shape(30, 12, (21, 30, 52), sigma_grid(50, 3.0, strength)), {})


def test_strength_for_the_whole_run_is_refused_where_a_row_starts_from_noise() -> None:
    said = bench("plan", "--methods", "fastvmt", "--limit", "1", "--strength", "0.75")
    assert said.code == 2 and len(said.err.splitlines()) == 1 and "starts from noise alone" in said.err
    assert "--no-controls" in said.err and "grid=7:0.75" in said.err
    fine = Request(methods=("sdedit", "ditflow:fork:grid=run"), limit=1, strength=0.75, controls=False)
    assert resolve(fine).config.setting.sigmas[0] < 0.95


@pytest.mark.parametrize(
    ("label", "steps", "shift"),
    [
        ("fastvmt:released:grid=run:begin_sigma=0.9545", 10, 7.0), ("ditflow:fork:grid=run:begin_sigma=0.5", 10, 3.0),
        ("motionclone:guided=sigma:0.2-0.1", 10, 3.0), ("motionclone:guided=steps:9-9", 10, 3.0),
    ],
)  # fmt: skip
def test_a_setting_without_a_guided_step_is_refused(label: str, steps: int, shift: float) -> None:
    with pytest.raises(SpecError, match=r"no guided step|holds none"):
        labels.resolve(
            label + (":tile=2x2" if "released" in label else ""), Shape(5, 4, (9, 8, 8), sigma_grid(steps, shift)), {}
        )


def test_no_guidance_on_purpose_is_taken() -> None:
    for label in ("fastvmt:guided=share:0", "motionclone:guided=share:0", "ditflow:fork:guided=share:0"):
        assert labels.resolve(label, FIFTY, {}).params["guided"] == "steps:0--1"


def test_fewer_guided_steps_and_own_levels_are_said_under_the_table() -> None:
    def notes(label: str, **more: Any) -> str:
        return "\n".join(resolve(Request(methods=(label,), limit=1, controls=False, steps=50, **more)).config.notes)

    said = notes("fastvmt:released:tile=2x2:grid=run:begin_sigma=0.9545", shift=3.0)
    assert "is guided in 3 of the 10 steps" in said and "starts at step 7 (level 0.9485)" in said
    said = notes("fastvmt:released:tile=2x2")
    assert "noise levels of its own, 0.9545 to 0.09633 (grid=7:0.75); the run's are 1 to 0.05769" in said
    assert "noise levels" not in notes("fastvmt") and "is guided in" not in notes("fastvmt")


def test_costs_are_those_of_the_own_levels() -> None:
    wan = cards.load("wan2.1-1.3b")
    shape = wan.shape(832, 480, 81, sigma_grid(50, 3.0))
    cost = {g: protocol.cost_of(labels.resolve(f"sdedit:sigma=0.955:grid={g}", shape, {}), shape) for g in ("run", "7:0.75")}
    assert cost == {"run": 86.0, "7:0.75": 100.0}


def test_guided_steps_are_named_by_index_and_level(xs: Path, tmp_path: Path) -> None:
    words = "steps 0 to 9 of 50, levels 1 to 0.9318"
    assert f"  wan2.1-14b: {words}" in bench("describe", "ditflow").out
    assert "guided" not in json.loads(bench("describe", "none", "--json").out)
    asked = ("--methods", "ditflow:inner=1", "--backbone", xs, "--limit", "1", "--no-controls", "--metrics", "forwards")
    assert "guided: ditflow:inner=1 in steps 0 to 0 of 3, levels 1 to 1" in bench("plan", *asked, cwd=tmp_path).out
    said = bench("run", *asked, "--out", tmp_path / "r")
    assert said.code == 0, said.err
    made = next((tmp_path / "r" / "artefacts").glob("*/meta.json"))
    assert json.loads(made.read_text())["log"]["guided"] == {"steps": [0, 0], "of": 3, "levels": [1.0, 1.0]}

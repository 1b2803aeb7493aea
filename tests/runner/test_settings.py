"""An option is one field: everything that shows it is made from there."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, get_args

import pytest
import typer
from support.cli import bench

import fastvmt
from fastvmt.cli import app
from fastvmt.cli.options import HOW, RUN
from fastvmt.errors import SpecError
from fastvmt.media.framing import Fit
from fastvmt.model import Setting
from fastvmt.runner import settings
from fastvmt.runner.generate import DTYPES
from fastvmt.runner.settings import Options, Request, options_of
from fastvmt.suites.cases import Short

NOT_TYPED = {"command", "part", "optional", "ablates_presets", "style"}
"""Fields that a command sets by itself."""
CHOICES = [(model, option) for model in (Request, Options) for option in options_of(model) if option.known]


@pytest.mark.parametrize("model", [Request, Options])
def test_every_field_is_an_option_and_stands_in_the_schema(model: Any) -> None:
    commands: Any = typer.main.get_command(app)
    taken = {name: p for command in ("run", "resume") for p in commands.commands[command].params for name in p.opts}
    schema = settings.schema()["properties"]
    part = schema["request" if model is Request else "options"]["properties"]
    assert {option.name for option in options_of(model)} == {f.name for f in fields(model)} - NOT_TYPED
    for option in options_of(model):
        flag = option.flags[0].partition("/")[0]
        assert taken[flag].help == option.help == part[option.name]["description"]
        assert option.panel in settings.PANELS
        assert option.name in RUN or option.name in HOW


def test_what_is_typed_by_nobody_is_what_python_takes_by_default() -> None:
    for model in (Request, Options):
        words = {o.name: o.typed for o in options_of(model)} | {"repeats": None}  # typed, a number of a protocol; else none
        assert model(**settings.from_words(model, words)) == model()
    assert fastvmt.Request is Request and fastvmt.Options is Options


@pytest.mark.parametrize(("model", "option"), CHOICES, ids=[option.name for _, option in CHOICES])
def test_a_choice_that_there_is_not_is_said_with_the_nearest_before_anything_is_loaded(model: Any, option: Any) -> None:
    known = [name for name in option.known if len(name) > 2]
    said = bench("plan", option.flags[0], f"{known[-1]}x", "--suite", "/nowhere")
    assert said.code == 2 and f"Did you mean {known[-1]}" in said.err and len(said.err.strip().splitlines()) == 1, said.err
    with pytest.raises(SpecError, match=f"{option.flags[0]} .*Did you mean {known[-1]}"):
        replace(model(), **{option.name: f"{known[-1]}x"})


def test_choices_are_those_of_the_code_that_acts_on_them() -> None:
    known = {option.name: set(option.known) for _, option in CHOICES}
    assert known["dtype"] == {"auto", *DTYPES}
    assert known["solver"] == set(get_args(Setting.model_fields["solver"].annotation))
    assert known["fit"] == set(get_args(Fit)) and known["short_clips"] == set(get_args(Short))
    assert known["protocol"] == set(get_args(Setting.model_fields["protocol"].annotation))


@pytest.mark.parametrize(
    ("words", "model", "given"),
    [
        ("--limit -1: a whole number from 0 to 1,000,000,000 is needed.", Request, {"limit": -1}), ("every frame", Request, {"stride": 0}),
        ("--repeats -1: a whole number from 1 to 1,000 is needed", Request, {"repeats": -1}), ("--seeds : .*one or more", Request, {"seeds": ()}),
        ("--budget nan: a number from 0.1 to", Request, {"budget": float("nan"), "protocol": "matched-budget"}),
        ("belongs to --protocol matched-budget", Request, {"budget": 4.0}),
        ("--workers -1: a whole number from 1 to", Options, {"workers": -1}), ("belongs to --executor ray", Options, {"address": "auto"}),
        ("belong to --executor slurm", Options, {"wait": False}),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_refused_when_the_settings_are_made(words: str, model: Any, given: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=words):
        model(**given)

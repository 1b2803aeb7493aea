"""Any value of any option: ``plan`` ends with 0, or with 2 and one sentence that names the option and what it takes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.cli import bench

from fastvmt.backbones import card as cards
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.cli.options import RUN, SETTINGS
from fastvmt.errors import BenchError, SpecError
from fastvmt.jobs.protocol import cost_of
from fastvmt.plugins import labels, registry
from fastvmt.plugins.method import Params
from fastvmt.runner.settings import Options, Request, options_of

NEVER = ("", "9" * 23, "a\nb\x00", "x" * 20_000)
"""What no option takes."""
WORDS = (
    *NEVER,
    "-1",
    "nan",
    "inf",
    "1e99",
    "1e-320",
    "-" + "9" * 23,
    "9" * 5000,
    "\udcff",
    ",",
    "0",
    "1_000",
    "٣",
    " 1",
    "1.5",
    "true",
)
GUIDED = ("share:1e400", "share:nan", "steps:0-9e9", "sigma:inf-0", "steps:" + "9" * 5000 + "-3")
FLAGS = sorted(option.name for name, option in SETTINGS.items() if name in RUN and option.of is not bool and name != "as_json")
VALUES = st.one_of(
    st.integers(-(10**25), 10**25).map(str), st.floats().map(repr), st.text(max_size=30), st.sampled_from((*WORDS, *GUIDED))
)


def flag(name: str) -> str:
    return str(SETTINGS[name].flags[0].partition("/")[0])


@pytest.mark.parametrize("name", FLAGS)
def test_what_an_option_cannot_be_is_one_sentence(name: str, tmp_path: Path) -> None:
    """Nothing gets beyond the settings here: what is taken stops at a suite that is not there."""
    given = () if name == "suite" else ("--suite", "/nowhere")
    for word in NEVER:
        said = bench("plan", f"{flag(name)}={word}", *given, cwd=tmp_path)
        lines = said.err.strip().splitlines()
        assert said.code == 2 and len(lines) == 1 and len(lines[0]) < 400, (word[:30], said)
        if SETTINGS[name].of in (int, float) and not SETTINGS[name].many:
            assert lines[0].startswith(f"bench: {flag(name)} ") and " from " in lines[0] and " to " in lines[0], lines


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(FLAGS), word=VALUES)
def test_any_word_for_any_option(name: str, word: str, tmp_path: Path) -> None:
    given = () if name == "suite" else ("--suite", "/nowhere")
    said = bench("plan", "--methods", "none", f"{flag(name)}={word}", *given, cwd=tmp_path)
    assert said.code == 2 and len(said.err.strip().splitlines()) == 1, said


@pytest.mark.parametrize(
    "args", [("--limit", "1"), ("--shift", "100", "--steps", "60"), ("--strength", "0.01"), ("--guidance", "-1000")]
)
def test_values_at_their_ends_are_planned(args: tuple[str, ...], tmp_path: Path) -> None:
    assert bench("plan", "--methods", "sdedit", "--no-controls", "--limit", "1", *args, cwd=tmp_path).code == 0


@pytest.mark.parametrize("steps", [1, 10_000])
@pytest.mark.parametrize("shift", [0.01, 100.0])
@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_noise_levels_fall_at_the_ends_of_all_ranges(steps: int, shift: float, strength: float) -> None:
    found = sigma_grid(steps, shift, strength)
    assert all(a > b for a, b in itertools.pairwise(found)) and 0 < found[0] <= 1


def test_a_size_that_no_memory_holds_is_refused_before_a_clip_is_drawn(tmp_path: Path) -> None:
    said = bench("plan", "--width", "8192", "--height", "8192", "--frames", "8001", cwd=tmp_path)
    assert said.code == 2 and "more than the limit of 16.0 GiB" in said.err


def builtin() -> list[tuple[str, str]]:
    """Every parameter of every built-in method."""
    return [(name, field) for name in registry.BUILTIN["methods"] for field in registry.methods.get(name).Params.model_fields]


@pytest.mark.parametrize(("method", "name"), builtin())
def test_every_number_of_a_method_has_a_least_and_a_most(method: str, name: str) -> None:
    field = registry.methods.get(method).Params.model_fields[name]
    if field.annotation in (int, float, int | float, float | None):
        kinds = [type(rule) for rule in field.metadata]
        assert {Ge, Gt} & set(kinds) and {Le, Lt} & set(kinds), "give Field(ge=..., le=...)"


@settings(max_examples=300, deadline=None)
@given(parameter=st.sampled_from(builtin()), word=VALUES)
def test_any_word_for_any_parameter(parameter: tuple[str, str], word: str) -> None:
    card = cards.load("tiny")
    shape = card.shape(64, 64, 17, sigma_grid(10, 3.0))
    try:
        spec = labels.resolve(f"{parameter[0]}:{parameter[1]}={word}", shape, card.methods)
        assert 0 < cost_of(spec, shape) < 1e9
    except BenchError as error:
        assert len(str(error)) < 600 and "\n" not in str(error)


def test_a_number_beyond_its_range_is_told_with_both_ends() -> None:
    said = bench("plan", "--methods", f"ditflow:inner={'9' * 23}")
    assert said.code == 2 and "inner: " in said.err and "it is from 1 to 10,000 (found '99999999999999999999999')" in said.err


def test_a_plug_in_that_states_no_range_still_gets_no_number_that_no_machine_takes() -> None:
    class Own(Params):
        count: int = 1

    with pytest.raises(ValueError, match="whole number from"):
        Own(count=10**23)


def test_a_tracker_that_is_not_there_is_refused_before_a_job_is_made(tmp_path: Path) -> None:
    said = bench("plan", "--methods", "det:tracker=nobody", cwd=tmp_path)
    assert said.code == 2 and "No tracker is called 'nobody'" in said.err


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (Request, {"steps": "8"}), (Request, {"steps": True}), (Request, {"steps": 2.5}), (Request, {"limit": None}),
        (Request, {"seeds": (0, "1")}), (Request, {"seeds": (10**23,)}), (Request, {"limit": 10**5000}), (Request, {"seeds": range(20_000)}),
        (Request, {"methods": ("",)}), (Request, {"methods": ("a\nb",)}), (Request, {"controls": 2}), (Request, {"suite": 3}),
        (Options, {"timeout": "1"}), (Options, {"workers": 10**6}), (Options, {"executor": "slurm", "slurm": {"a": "b\0"}}),
    ],
)  # fmt: skip
def test_python_is_refused_as_the_command_line_is(model: Any, given: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"^--{next(iter(reversed(given)))} "):
        model(**given)


def test_python_may_word_a_request_as_it_likes(tmp_path: Path) -> None:
    import numpy as np

    wanted = Request(methods=("none", "copy"), seeds=(0, 1), suite=str(tmp_path), root=str(tmp_path), steps=3)
    assert wanted == Request(methods=["none", "copy"], seeds=range(2), suite=tmp_path, root=tmp_path, steps=np.int64(3))  # type: ignore[arg-type]
    assert wanted == Request(methods="none,copy", seeds=np.arange(2), suite=tmp_path, root=tmp_path, steps=3)  # type: ignore[arg-type]
    assert Options(executor="slurm", slurm={"partition": "gpu"}).slurm == (("partition", "gpu"),)  # type: ignore[arg-type]
    assert {option.name for option in options_of(Request) if option.many} >= {"methods", "seeds", "metrics", "plugins"}


@pytest.mark.parametrize("args", [("study", "make", "x", "--out="), ("merge", "x", "--out=a\nb"), ("export", "x", "--to", "parquet", "--out=")])  # fmt: skip
def test_a_place_to_write_to_has_a_name(args: tuple[str, ...], tmp_path: Path) -> None:
    said = bench(*args, cwd=tmp_path)
    assert said.code == 2 and said.err.startswith("bench: --out ") and len(said.err.strip().splitlines()) == 1, said


@pytest.mark.parametrize(
    "line", ['steps = "many"', "shift = nan", "width = 1e9", "frames = 99999999999999999999999", "guidance = true"]
)
def test_defaults_of_a_backbone_are_checked_as_if_they_were_typed(tmp_path: Path, line: str) -> None:
    for part in cards.TINY.iterdir():
        if part.name != "bench.toml":
            (tmp_path / part.name).symlink_to(part)
    (tmp_path / "bench.toml").write_text(f"[defaults]\n{line}\n")
    said = bench("plan", "--methods", "none", "--backbone", tmp_path)
    lines = said.err.strip().splitlines()
    assert said.code == 2 and len(lines) == 1 and str(tmp_path) in lines[0] and line.split()[0] in lines[0], said

"""A profile as it is typed: refused before anything is loaded, in every key, and typed again as it was."""

from __future__ import annotations

from typing import Any

import pytest
from support.cli import bench
from support.runs import make_cases, make_setting, make_spec

from fastvmt.jobs.prepared_key import prepared_key
from fastvmt.model import Job, MethodSpec, Profile, Setting
from fastvmt.runner.plan.command import typed
from fastvmt.runner.plan.resolve import resolve
from fastvmt.runner.settings import Request

PLAN = ("plan", "--limit", "1", "--steps", "4", "--frames", "9")
EACH = {"attention": "_native_math", "compile": "eager", "cache": "first_block:threshold=0.05", "cfg_interval": "0.3:0.95"}


@pytest.mark.parametrize(("words", "said"), [
    ("--attention sage --methods fastvmt,ditflow", "sage has no backward pass, and fastvmt, ditflow need gradients"),
    ("--attention sage --methods none --no-controls", "sage does not work here on cpu in float32"),
    ("--attention _native_cudnn", "does not work here on cpu in float32"),
    ("--attention flash_hub", "there is no such choice"), ("--attention nativ", "Did you mean native"),
    ("--cache magcache", "There are: first_block, taylorseer, sea"), ("--cache first_block:at=1", "first_block:threshold=N is needed"),
    ("--cache taylorseer:interval=1.5", "a whole number from 1 to 1000"), ("--cache sea:threshold=nan", "a number from 0 to 100"),
    ("--cfg-interval 0.9", "LOW:HIGH is needed"), ("--cfg-interval 0.9:0.3", "LOW:HIGH is needed"),
    ("--cfg-interval 0:0.01", "none of the run's noise levels lies in it"),
])  # fmt: skip
def test_what_cannot_be_is_one_sentence(words: str, said: str) -> None:
    found = bench(*PLAN, *words.split())
    assert found.code == 2 and said in found.err and len(found.err.strip().splitlines()) == 1, found.err


def test_a_backend_that_the_environment_names_is_not_taken_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFUSERS_ATTN_BACKEND", "_native_math")
    found = bench(*PLAN)
    assert found.code == 2 and "DIFFUSERS_ATTN_BACKEND=_native_math would change every video" in found.err
    assert "profile attention=_native_math" in bench(*PLAN, "--attention", "_native_math").out


def test_each_part_is_in_the_key_and_none_of_them_is_the_key_of_before() -> None:
    spec, case = MethodSpec(label="none", method="none", version=1, params={}), make_cases(1)[0]
    plain = make_setting()
    settings = [plain, *(make_setting(profile=Profile(**{name: value})) for name, value in EACH.items())]
    assert len({Job.make(spec, case, 0, setting).key for setting in settings}) == 5
    assert "profile" not in plain.identity() and "profile" not in plain.model_dump_json()
    assert all(Setting.model_validate_json(setting.model_dump_json()) == setting for setting in settings)
    nothing = Profile.of("native", "", "", "0:1")
    assert make_setting(profile=nothing) == plain
    assert Profile.of("", "", "first_block", "") == Profile.of("", "", "first_block:threshold=0.050", "")


def test_training_has_the_key_of_what_acts_on_it() -> None:
    spec, case, keys = make_spec("det", make_setting((5, 8, 8))), make_cases(1)[0], {}
    for name, value in {"": "", **EACH}.items():
        setting = make_setting(profile=Profile(**({name: value} if name else {})))
        keys[name] = prepared_key(Job.make(spec, case, 0, setting), case, setting)
    assert keys[""] == keys["cache"] == keys["cfg_interval"] and len(set(keys.values())) == 3


def test_a_run_types_its_profile_again() -> None:
    asked: dict[str, Any] = {"methods": ("none",), "limit": 1, "steps": 4, "frames": 9}
    config = resolve(Request(**asked, **EACH)).config
    assert config.setting.profile == Profile(**EACH)
    plain = config.model_copy(update={"setting": config.setting.model_copy(update={"profile": Profile()})})
    said, plainly = (" ".join(typed(run)) for run in (config, plain))
    for name, value in EACH.items():
        flag = f"--{name.replace('_', '-')}"
        assert f"{flag} {value}" in said and flag not in plainly

"""Environments of their own: whole or absent, and the same on the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.cli import bench
from typer.testing import CliRunner

from fastvmt.cli.program import app
from fastvmt.errors import MissingWeights, SpecError
from fastvmt.metrics.vbench import files
from fastvmt.plugins import environments, metric_labels


def fake_uv(folder: Path, install: str) -> None:
    """A uv that makes a folder with a Python, and whose installation is the given shell line."""
    folder.mkdir()
    (folder / "uv").write_text(
        "#!/bin/sh\nfor last; do :; done\n"
        f'case "$1 $2" in\nvenv*) mkdir -p "$last/bin" && printf "#!/bin/sh\\n" > "$last/bin/python"'
        f' && chmod +x "$last/bin/python" ;;\n"pip install") {install} ;;\n"pip freeze") echo vbench==0.1.5 ;;\nesac\n'
    )
    (folder / "uv").chmod(0o755)


def test_an_environment_is_whole_or_absent(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home / "empty"))
    monkeypatch.setattr(sys, "executable", str(home / "python"))
    recipe = environments.recipe("vbench")
    with pytest.raises(SpecError, match="uv is needed to make an environment"):
        environments.create(recipe)
    fake_uv(home / "bad", "echo 'error: no solution found' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{home / 'bad'}:/usr/bin:/bin")
    with pytest.raises(environments.UserError, match=r"could not be made \(step: fill\): error: no solution found\."):
        environments.create(recipe)
    assert list((home / "envs").iterdir()) == [] and environments.find("vbench") is None
    (home / "envs" / "vbench").mkdir()  # torn: no marker
    monkeypatch.setenv("UV_CONSTRAINT", "ours.txt")
    fake_uv(home / "good", 'test -z "$UV_CONSTRAINT"')
    monkeypatch.setenv("PATH", f"{home / 'good'}:/usr/bin:/bin")
    said: list[str] = []
    made = environments.create(recipe, said.append)
    assert made.packages == {"vbench": "0.1.5"} and len(said) == 3 and made.python.exists()
    assert [p.name for p in (home / "envs").iterdir()] == ["vbench"]
    assert environments.create(recipe) == made == environments.find("vbench")


def test_env_on_the_command_line(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def env(*args: str) -> Any:
        return CliRunner().invoke(app, ["env", *args])

    assert env("where", "vbench").stdout.strip() == str(fake / "envs" / "vbench" / "bin" / "python")
    assert json.loads(env("status", "--json").stdout)[0]["there"] is True
    assert json.loads(env("create", "vbench", "--json").stdout)["size_bytes"] == 7  # the one that is there
    assert "Did you mean vbench" in str(env("create", "vbensh").exception)
    with pytest.raises(MissingWeights, match="vbench:imaging_quality: the weight file"):
        metric_labels.choose(("vbench:imaging_quality",), ())
    monkeypatch.setenv("FASTVMT_ENVS", str(fake / "none"))
    said = bench("env", "where", "vbench")
    assert said.code == 2 and "make it once with `bench env create vbench`" in said.err


def test_constraints_hold_names_and_versions_only() -> None:
    lines = [x for x in files.RECIPE.constraints.read_text().splitlines() if not x.startswith("#")]
    assert "vbench==0.1.5" in lines and "setuptools==81.0.0" in lines
    assert all(len(x.split("==")) == 2 and "/" not in x and "@" not in x for x in lines)

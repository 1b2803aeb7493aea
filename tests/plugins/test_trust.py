"""The list of trusted plug-in files, and that what runs is what was compared with it."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest

from fastvmt.errors import SpecError
from fastvmt.plugins import registry, trust

FILE = """\
from fastvmt import Method
class Mine(Method):
    id, summary = "mine", "{}"
METHODS = {{"mine": Mine}}
"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return trust.listed()


def test_a_place_is_trusted_in_one_state(tmp_path: Path, config: Path) -> None:
    mine, copy = tmp_path / "mine.py", tmp_path / "copy.py"
    for digest in ("a" * 64, "b" * 64, "a" * 64):
        trust.remember(mine, digest)
    trust.remember(Path("/odd\nname \u00e9.py"), "c" * 64)
    assert len(config.read_text().splitlines()) == 3  # each once
    trust.remember(copy, "a" * 64)
    assert trust.places_of("a" * 64) == [mine, copy] and trust.places_of("b" * 64) == [mine]
    assert trust.places_of("c" * 64) == [Path("/odd\nname \u00e9.py")] and trust.places_of("d" * 64) == []


@pytest.mark.parametrize("torn", ['["aa", "/x', "3", "null", '{"a": 1}', "\udcff", "[[1], 2]", '["aa", 7]'])
def test_a_damaged_line_hides_no_other(torn: str, tmp_path: Path, config: Path) -> None:
    config.parent.mkdir(parents=True)
    config.write_bytes(f"{torn}\n".encode("utf-8", "surrogateescape") + json.dumps(["a" * 64, "/mine.py"]).encode())
    assert trust.places_of("a" * 64) == [Path("/mine.py")]


def test_a_relative_folder_of_configurations_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It would be another one in each folder, a stranger's among them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "config")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert trust.listed() == tmp_path / ".config" / "fastvmt" / "trusted-plugins"


def test_a_compiled_copy_beside_a_file_is_not_what_runs(tmp_path: Path) -> None:
    """Python would take one of the same time and size for the file."""
    mine, evil = tmp_path / "mine.py", tmp_path / "evil.py"
    mine.write_text(FILE.format("good"))
    evil.write_text(FILE.format("evil"))
    os.utime(evil, (mine.stat().st_mtime, mine.stat().st_mtime))
    spec = importlib.util.spec_from_file_location("evil", evil)
    assert spec and spec.loader
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    Path(importlib.util.cache_from_source(str(evil))).rename(importlib.util.cache_from_source(str(mine)))
    registry.load_plugin(str(mine))
    assert registry.methods.get("mine").summary == "good"


def test_a_file_that_is_edited_and_loaded_again_is_as_it_is_now(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(FILE.format("first"))
    registry.load_plugin(str(mine))
    before = registry.loaded(mine)
    mine.write_text(FILE.format("second").replace("mine", "renamed"))
    registry.load_plugin(str(mine))
    assert before and registry.loaded(mine) != before and "mine" not in registry.methods.names()
    with pytest.raises(SpecError, match="changed since"):
        registry.load_plugin(str(mine), before.sha256)

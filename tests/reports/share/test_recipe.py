"""A row as a recipe, and the row made from it again: what agrees, what does not and why, and that no code of it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.cli import bench
from support.light_runs import PLUGIN
from support.runs import make_run

from fastvmt.core.reading import parse_toml
from fastvmt.reports.share.recipe import of, read
from fastvmt.reports.share.toml import toml
from fastvmt.reports.tidy import gather

RUN = (
    "run", "--plugin", PLUGIN, "--methods", "light", "--limit", "3", "--metrics", "difference,forwards,time", "--no-controls",
    "--width", "32", "--height", "32", "--frames", "5", "--steps", "2",
)  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("recipe")
    assert bench(*RUN, "--out", place / "a").code == 0
    said = bench("recipe", place / "a", "--row", "light", "--out", place / "light.toml")
    assert said.code == 0, said.err
    return place / "light.toml"


def changed(written: Path, out: Path, *keys: str, to: Any) -> Path:
    """The recipe with another value at a place."""
    table = parse_toml(written.read_bytes())
    inner = table
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    out.write_text(toml(table))
    return out


def test_a_recipe_says_all_of_a_row_and_reads_back_as_it_was(tmp_path: Path) -> None:
    run = make_run(tmp_path / "r", 3, ("none", "ditflow:inner=3", "fastvmt"))
    found = of(gather([run]), "ditflow:inner=3")
    (tmp_path / "r.toml").write_text(found.text())
    assert read(tmp_path / "r.toml") == found
    assert found.method.params["inner"] == 3 and found.cells["motion_fidelity"].n == 3
    assert found.command.startswith("bench run --methods ditflow:inner=3 ") and "--no-controls" in found.command
    assert str(tmp_path) not in found.text()
    said = bench("recipe", run, "--row", "fastvm")
    assert said.code == 2 and "--row fastvm: there is no such choice. Did you mean fastvmt?" in said.err


def test_the_row_comes_out_again_and_no_video_is_taken_over(written: Path, tmp_path: Path) -> None:
    said = bench("reproduce", written, "--out", written.parent / "b", "--plugin", PLUGIN, "--json")
    assert said.code == 0, said.out + said.err
    states = {cell["metric"]: (cell["state"], cell["theirs"]["mean"] == cell["ours"]["mean"]) for cell in said.data["cells"]}
    assert states["difference"] == states["forwards"] == ("agrees", True) and states["time"] == ("cost", True)
    assert said.data["headline"] == "light: 2 of 2 numbers agree with the recipe; costs, not judged: 1"
    assert not said.data["differing"]


OTHERS: list[tuple[tuple[str, ...], Any, int, str]] = [
    (("cells", "difference"), {"mean": 1.0, "low": 0.5, "high": 1.5, "n": 3}, 1, "just another number, with the same versions"),
    (("metrics", "difference", "identity", "version"), 7, 4, "another version of the metric (version 7 in the recipe and 1 here)"),
    (("cells", "gone"), {"mean": 1.0, "low": 0.5, "high": 1.5, "n": 3}, 4, "gone: 1.000"),
    (("suite", "cases", "single-object-100"), "ab", 4, "1 cases have other frames or texts here than in the recipe (single-object-100)"),
    (("suite", "cases", "nowhere"), "ab", 4, "1 cases of the recipe are not in it here (nowhere)"),
    (("setting", "weights_digest"), "d" * 64, 4, "its weights have the digest dddddddddddd in the recipe"),
    (("setting", "guidance"), 7.5, 4, "guidance: 7.5 and 3.0 (the recipe's first)"),
    (("method", "version"), 9, 4, "version 9 and 1 (the recipe's first)"),
    (("method", "params", "at"), 3, 4, "at 3 and 1 (the recipe's first)"),
    (("request", "plugins"), ["evil.py"], 2, "there is no such choice"),
    (("request", "suite"), "/etc", 2, "add --suite with your copy of it"),
    (("request", "backbone"), "../weights", 2, "add --backbone with your copy of it"),
    (("format",), 2, 2, "a recipe of format 2; this version reads 1"),
    (("surprise",), 2, 2, "surprise: Extra inputs are not permitted"),
    (("command",), "", 4, "made elsewhere"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "to", "code", "words"), OTHERS, ids=[".".join(o[0]) for o in OTHERS])
def test_what_does_not_agree_is_said_with_its_reason(
    written: Path, tmp_path: Path, keys: tuple[str, ...], to: Any, code: int, words: str
) -> None:
    recipe = changed(written, tmp_path / "r.toml", *keys, to=to)
    said = bench("reproduce", recipe, "--out", written.parent / "b", "--plugin", PLUGIN)
    assert said.code == code and words in said.out + said.err, said.out + said.err


def test_other_versions_are_named_where_a_number_differs(written: Path, tmp_path: Path) -> None:
    recipe = changed(written, tmp_path / "r.toml", "cells", "difference", to={"mean": 1.0, "low": 0.5, "high": 1.5, "n": 3})
    recipe = changed(recipe, tmp_path / "r.toml", "versions", "light", to="0")
    said = bench("reproduce", recipe, "--out", written.parent / "b", "--plugin", PLUGIN)
    assert (
        said.code == 1 and "DISAGREES: versions or machine differ" in said.out and "light: 0 in the recipe, 1 here" in said.out
    )


def test_code_that_a_recipe_names_is_never_run(written: Path, tmp_path: Path) -> None:
    recipe = changed(written, tmp_path / "r.toml", "plugins", to={str(PLUGIN): "a" * 64})
    said = bench("reproduce", recipe, "--out", tmp_path / "b")
    assert said.code == 2 and "A recipe's code is never fetched or run" in said.err and not (tmp_path / "b").exists()


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"a = [", b"format = 1", b"[format]\n" + b"[[[[" * 99])
def test_a_bad_file_is_one_sentence(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "r.toml").write_bytes(raw)
    said = bench("reproduce", tmp_path / "r.toml", "--out", tmp_path / "b")
    assert said.code == 2 and said.err.count("\n") == 1 and "r.toml" in said.err
    assert bench("reproduce", tmp_path / "none.toml", "--out", tmp_path / "b").code == 2

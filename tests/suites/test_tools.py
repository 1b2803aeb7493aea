"""``bench suite``: what a check warns of and refuses, and headers that survive freezing and making anew."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cli import bench
from support.clips import clip

from fastvmt.core.content_address import noise_seed
from fastvmt.errors import SuiteError
from fastvmt.suites.cases import Wanted
from fastvmt.suites.opening import habits, open_suite
from fastvmt.suites.tools import check, freeze, make, show

HEADER = """# ours
schema = "vmt-suite/1"
id = "my-own"
title = "two\\u0007 clips"  # kept
licence = "CC0-1.0"
frames = 17

[mood]
frozen = "not this one"
list = [1, 2]
"""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return clip(tmp_path_factory.mktemp("video") / "x.mp4", frames=20).read_bytes()


@pytest.fixture
def folder(tmp_path: Path, video: bytes) -> Path:
    made = tmp_path / "clips"
    made.mkdir()
    (made / "bus.mp4").write_bytes(video)
    (made / "prompts.txt").write_text("a tram\n")
    return made


@pytest.fixture
def suite(folder: Path) -> Path:
    make(folder)
    (folder / "suite.toml").write_text(HEADER)
    return folder


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("fast", [True, False])
def test_a_short_clip_is_a_warning(folder: Path, recorded: bool, fast: bool) -> None:
    if recorded:
        make(folder)
    found = check(str(folder), Wanted(1, 1, 33), fast)
    said = "bus: 20 frames, 33 needed. Use --short-clips skip|trim (trim would use 17), or --frames for fewer."
    said = said if recorded else said.replace("bus", "bus.mp4")
    assert found.warnings == ([] if fast and not recorded else [said]) and found.clips == 1
    told = check(str(folder), Wanted(1, 1, 33, short="skip"), fast).warnings
    assert not told or told[0].endswith("20 frames, 33 needed; a run leaves it out unless told otherwise with --short-clips.")


def test_a_clip_that_begins_after_its_end_is_refused(suite: Path) -> None:
    row = json.loads((suite / "clips.jsonl").read_text())
    (suite / "clips.jsonl").write_text(json.dumps(row | {"start": 20}))
    for fast in (True, False):
        with pytest.raises(SuiteError, match="^bus: it begins at frame 20, and the clip has 20. Correct start.$"):
            check(str(suite), fast=fast)


def test_a_changed_clip_is_said_alike_by_check_and_by_a_run(suite: Path) -> None:
    clip(suite / "bus.mp4", frames=21, seed=5)
    said = set()
    for act in (lambda: check(str(suite)), lambda: list(open_suite(str(suite), Wanted(32, 32, 17)))):
        with pytest.raises(SuiteError, match="changed since it was recorded") as caught:
            act()
        said.add(str(caught.value))
    assert len(said) == 1


def test_freezing_changes_one_line_of_the_header(suite: Path) -> None:
    digest = freeze(suite)
    assert (suite / "suite.toml").read_text() == f'frozen = "{digest}"\n{HEADER}'
    assert freeze(suite) == digest and (suite / "suite.toml").read_text() == f'frozen = "{digest}"\n{HEADER}'
    assert check(str(suite)).clips == 1


def test_a_header_that_cannot_be_changed_by_line_is_left_alone(suite: Path) -> None:
    text = HEADER.replace("# ours\n", 'frozen = """\n0"""\n')
    (suite / "suite.toml").write_text(text)
    (suite / "prompts.txt").unlink()
    with pytest.raises(SuiteError, match="^suite.toml: it cannot be changed by line. Write frozen = '[0-9a-f]{64}' into it"):
        freeze(suite)
    assert (suite / "suite.toml").read_text() == text


def test_a_json_header_is_frozen_with_what_else_it_says(suite: Path) -> None:
    (suite / "suite.toml").unlink()
    (suite / "suite.json").write_text('{"schema": "vmt-suite/1", "id": "x", "mood": {"a": [1]}}')
    digest = freeze(suite)
    assert json.loads((suite / "suite.json").read_text()) == {
        "schema": "vmt-suite/1", "id": "x", "mood": {"a": [1]}, "frozen": digest,
    }  # fmt: skip
    with pytest.raises(SuiteError, match="suite.json is there already"):
        make(suite)
    assert make(suite, source="here", force=True).name == "suite.json"
    assert json.loads((suite / "suite.json").read_text())["source"] == "here" and not (suite / "suite.toml").exists()


def test_making_anew_keeps_the_header_but_for_what_is_given(suite: Path) -> None:
    freeze(suite)
    (suite / "prompts.txt").write_text("a tram\na boat\n")
    make(suite, force=True)
    assert (suite / "suite.toml").read_text() == HEADER
    rows = [json.loads(line) for line in (suite / "clips.jsonl").read_text().splitlines()]
    assert rows[0]["licence"] == "CC0-1.0" and check(str(suite)).prompts == 2
    (suite / "prompts.txt").unlink()  # from its own lists
    make(suite, title='a "new"\x7f \U0001f68c', licence="CC-BY-4.0", force=True)
    found = tomllib.loads((suite / "suite.toml").read_text())
    assert found == tomllib.loads(HEADER) | {"title": 'a "new"\x7f \U0001f68c', "licence": "CC-BY-4.0"}
    assert json.loads((suite / "clips.jsonl").read_text())["licence"] == "CC-BY-4.0"


@pytest.mark.parametrize("called", ["folder", "shapes", "generated"])
def test_a_folder_may_be_called_as_a_registered_suite_is(folder: Path, called: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    folder.rename(called)
    make(Path(called))
    assert check(f"./{called}").clips == 1


def test_the_suite_folder_gives_the_cases_of_the_folder(folder: Path, tmp_path: Path) -> None:
    size = Wanted(32, 32, 17)
    by_name = list(open_suite("folder", Wanted(32, 32, 17, root=folder)))
    by_path = list(open_suite(str(folder), size))
    assert [c for c, _ in by_name] == [c for c, _ in by_path] and len(by_name) == 1
    assert np.array_equal(by_name[0][1], by_path[0][1])
    (folder / "prompts.txt").unlink()
    assert [c.prompt for c, _ in open_suite("folder", Wanted(32, 32, 17, root=folder), "a boat")] == ["a boat"]
    make_header(folder)
    assert habits("folder", folder).frames == habits(str(folder)).frames == 17 and habits("folder").frames is None
    for root, words in ((None, "Pass --root FOLDER"), (tmp_path / "gone", "gone' is no folder")):
        with pytest.raises(SuiteError, match=words):
            open_suite("folder", Wanted(32, 32, 17, root=root))


def make_header(folder: Path) -> None:
    (folder / "suite.toml").write_text(HEADER)


def test_the_suite_folder_is_listed_described_checked_and_planned(folder: Path) -> None:
    about = bench("describe", "folder", "--json").data
    assert {"size", "licence", "how"} <= set(about) and "prompts.txt" in about["about"]
    said = bench("suite", "check", "folder", "--root", folder)
    assert said.code == 0 and "1 clips, 1 prompts" in said.out
    plan = bench("plan", "--suite", "folder", "--root", folder, "--methods", "none", "--no-controls",
                 "--frames", "17", "--allow-upscale", "--json")  # fmt: skip
    assert plan.code == 0 and plan.data["jobs"] == 1, plan.err


@pytest.mark.parametrize("name", ["shapes", "davis2016-50", "ditflow-50", "mtbench", "generated", "folder", "tapvid-davis"])
def test_every_suite_says_its_size_and_licence(name: str) -> None:
    from fastvmt.plugins.listing import describe

    about = describe(name)
    assert about["size"] and about["licence"] and about["summary"]
    assert name == "shapes" or about["how"]


def test_show_prints_what_is_listed(suite: Path) -> None:
    assert show(str(suite))["clips"][0]["tags"] == []
    said = bench("suite", "show", suite)
    assert said.out == "bus (uncategorised, 20 frames): \n  - bus--1: a tram\n"
    assert bench("suite", "show", "shapes", "--json").data["clips"][0]["cases"] == ["single-object-100"]


def test_the_seed_of_noise_never_changes() -> None:
    """Videos of one seed are compared across runs and versions: another formula would be other noise."""
    assert noise_seed(0, "a red bus") == 3126268619049184935


def test_the_digest_of_a_plain_folder_follows_its_clips(folder: Path) -> None:
    before = check(str(folder)).digest
    assert check(str(folder)).digest == before
    clip(folder / "bus.mp4", frames=20, seed=7)
    assert check(str(folder)).digest != before


def test_a_suites_name_does_not_depend_on_how_it_is_given(suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastvmt.runner.plan import resolve
    from fastvmt.runner.settings import Request

    def found(path: Path | str) -> tuple[str, str]:
        size: dict[str, Any] = {"width": 32, "height": 32, "frames": 17, "steps": 2}
        suite = resolve(Request(suite=str(path), methods=("none",), controls=False, metrics=("time",), **size)).config.suite
        return suite.name, suite.digest()

    moved = tmp_path / "elsewhere"
    shutil.copytree(suite, moved)
    assert found(suite) == found(suite / "suite.toml") == found(moved)
    assert found(suite)[0] == tomllib.loads(HEADER)["id"]
    plain, cases = tmp_path / "日本", '[[case]]\nclip = "bus.mp4"\nprompt = "x"\n'
    plain.mkdir()
    (plain / "bus.mp4").write_bytes((suite / "bus.mp4").read_bytes())
    (plain / "suite.toml").write_text(cases)
    monkeypatch.chdir(plain)
    assert found(plain) == found(plain / "suite.toml") == found(".") and found(plain)[0] == "suite"


LISTS = {
    "prompts.txt": "bus: a tram\nbus: a boat\ncar: a sledge\n",
    "prompts.csv": "clip,prompt,caption\nbus.mp4,a tram,a bus\nbus.mp4,a boat,a red bus\ncar.mp4,a sledge,\n",
    "prompts.jsonl": '{"clip": "bus.mp4", "prompt": "a tram"}\n{"clip": "bus.mp4", "prompt": "a boat", "start": 1}\n'
    '{"clip": "car.mp4", "prompt": "a sledge", "negative": "n"}\n',
    "manifest.json": '{"clips": [{"file": "bus.mp4", "prompts": ["a tram", "a boat"]}, {"file": "car.mp4", "prompts": ["c"]}]}',
    "suite.toml": '[[case]]\nclip = "bus.mp4"\nprompt = "a tram"\n[[case]]\nclip = "car.mp4"\nprompt = "a sledge"\n',
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_a_run_of_a_folder_goes_on_when_the_folder_is_made_a_suite(
    folder: Path, tmp_path: Path, video: bytes, name: str
) -> None:
    """Under whatever ids the suite has its cases: they are the same by their content, and so are the videos."""
    shutil.copytree(folder, place := tmp_path / "My.Clips")
    (place / "prompts.txt").unlink()
    (place / "car.mp4").write_bytes(video)
    (place / "bus.mkv").write_bytes(clip(tmp_path / "y.mp4", frames=20, seed=9).read_bytes()) if name == "prompts.txt" else None
    (place / name).write_text(LISTS[name].replace("bus: a t", "bus.mkv: a t").replace("bus: a b", "bus.mp4: a b"))
    before = keys_in(tmp_path / "run", place)
    make(place, force=name == "suite.toml")
    assert keys_in(tmp_path / "run", place) == before
    make(place, force=True)
    assert keys_in(tmp_path / "run", place) == before


def keys_in(run: Path, suite: Path) -> list[str]:
    """Keys of the jobs in a run folder, which the suite is added to."""
    from fastvmt.jobs.growth import part_of
    from fastvmt.runner.plan import resolve
    from fastvmt.runner.settings import Request

    size: dict[str, Any] = {"width": 32, "height": 32, "frames": 17, "steps": 2}
    plan = resolve(Request(suite=str(suite), methods=("none",), controls=False, metrics=("time",), **size))
    config = plan.open_store(run).config()
    assert part_of(config, plan.config).cases == {c.id for c in config.suite.cases}
    return [job.key for job in config.jobs()]


def test_a_prompt_that_comes_between_leaves_the_others_their_ids(folder: Path, tmp_path: Path) -> None:
    (folder / "prompts.txt").write_text("a tram\na boat\n")
    make(folder)
    before = keys_in(tmp_path / "run", folder)
    (folder / "prompts.txt").write_text("a tram\na sledge\na boat\n")
    make(folder, force=True)
    ids = {text: case for c in show(str(folder))["clips"] for case, text in zip(c["cases"], c["prompts"], strict=True)}
    assert ids == {"a tram": "bus--1", "a boat": "bus--2", "a sledge": "bus--3"}
    assert keys_in(tmp_path / "run", folder)[:2] == before

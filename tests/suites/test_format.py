"""``vmt-suite/1``: made, checked, frozen and planned; every fault has its sentence, and no path leaves the folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cli import bench, refusal
from support.clips import clip

import fastvmt
from fastvmt.errors import SuiteError
from fastvmt.runner.generate_suite import read_prompts
from fastvmt.suites.cases import Problems, Wanted, content_sha256, inside
from fastvmt.suites.format import json_schema, read_suite
from fastvmt.suites.opening import entries_of, open_suite
from fastvmt.suites.tools import check, freeze, make, remarks


@pytest.fixture
def suite(made: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "suite"
    shutil.copytree(made, folder)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    clip(folder / "bus ü.mp4", frames=20, seed=1), clip(folder / "Car.mp4", frames=24, seed=2)
    (folder / "prompts.txt").write_text("bus ü: a tram\nbus ü: a boat\nCar: a cart\n")
    make(folder, title="two clips", licence="CC0-1.0")
    return folder


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def rewrite(folder: Path, name: str, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    found = rows(folder, name)
    change(found)
    (folder / name).write_text("".join(json.dumps(r) + "\n" for r in found))


def complaint(folder: Path) -> str:
    return refusal(lambda: list(open_suite(str(folder), Wanted(32, 32, 17))))


def test_made_from_a_folder_and_run_as_it_was(suite: Path) -> None:
    clips = rows(suite, "clips.jsonl")
    assert sorted((c["id"], c["frames"], c["width"], c["height"]) for c in clips) == [
        ("bus", 20, 288, 240),
        ("car", 24, 288, 240),
    ]
    assert all(c["sha256"] == content_sha256(suite / c["path"]) for c in clips)
    cases = {c.id: c for c, _ in open_suite(str(suite), Wanted(32, 32, 17))}
    assert {c.prompt for c in cases.values()} == {"a tram", "a boat", "a cart"} and len(cases) == 3
    found = check(str(suite))
    assert (found.clips, found.prompts) == (2, 3) and len(found.digest) == 64
    assert {e.licence for e in entries_of(str(suite), Wanted(1, 1, 1))[0]} == {"CC0-1.0"}  # type: ignore[index]


def test_make_does_not_overwrite(suite: Path) -> None:
    said = bench("suite", "make", suite)
    assert said.code == 2 and "--force" in said.err
    assert bench("suite", "make", suite, "--force").code == 0


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("clips.jsonl", lambda r: r[0].update(path="../out.mp4"), "leaves the suite folder"),
        ("clips.jsonl", lambda r: r[0].update(path="/etc/passwd"), "not relative"),
        ("clips.jsonl", lambda r: r[0].update(path="C:\\x.mp4"), "not relative"),
        ("clips.jsonl", lambda r: r[0].update(path="x\x00.mp4"), "not relative"),
        ("clips.jsonl", lambda r: r.append(dict(r[0])), "on line 3 repeats"),
        ("clips.jsonl", lambda r: r[0].update(id="Bus"), "is no id"),
        ("clips.jsonl", lambda r: r[0].update(category="cam"), "category 'cam' unknown: camera, single_object"),
        ("clips.jsonl", lambda r: r[0].update(fps={"num": 0, "den": 1}), "clips.jsonl line 1: fps.num"),
        ("clips.jsonl", lambda r: r[0].update(fps={"num": 10**6, "den": 1}), "fps must be in (0, 1000]"),
        ("clips.jsonl", lambda r: r[0].update(sha256="0" * 64), "changed since it was recorded"),
        ("clips.jsonl", lambda r: r[0].update(stride=3), "needs frame 48 but the clip has"),
        ("clips.jsonl", lambda r: r.clear(), "prompts for"),
        ("prompts.jsonl", lambda r: r[0].update(text=float("nan")), "prompts.jsonl line 1: text"),
        ("prompts.jsonl", lambda r: r[0].update(text=" "), "text must be a non-empty string"),
        ("prompts.jsonl", lambda r: r[0].update(text="x" * 20_000), "more than 10000 bytes"),
        ("prompts.jsonl", lambda r: r[0].update(clip="bus2"), "which is not in clips.jsonl"),
        ("prompts.jsonl", lambda r: r[0].update(kind="mood"), "prompts.jsonl line 1: kind"),
        ("prompts.jsonl", lambda r: r.append(dict(r[0])), "on line 4 repeats"),
        ("prompts.jsonl", lambda r: r.clear(), "has no prompt in prompts.jsonl"),
    ],
)  # fmt: skip
def test_one_fault_one_sentence(suite: Path, name: str, change: Callable[[list[dict[str, Any]]], Any], words: str) -> None:
    rewrite(suite, name, change)
    assert words in complaint(suite)


def test_all_faults_at_once_and_exit_code_2(suite: Path) -> None:
    rewrite(suite, "clips.jsonl", lambda r: r[0].update(category="cam"))
    with open(suite / "prompts.jsonl", "a") as file:
        file.write('{"clip": "nobody", "id": "p", "text": "x"}\n{"clip" "x"}\n')
    said = bench("suite", "check", suite)
    assert said.code == 2
    for words in ("category 'cam' unknown", "1 prompts for 'nobody'", "prompts.jsonl line 5, column 9"):
        assert words in said.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('schema = "vmt-suite/2"\nid = "x"\n', "vmt-suite/2 needs a newer version"),
        ('schema = "vmt-suite/1"\n', "suite.toml: id"),
        ('schema = "vmt-suite/1"\nid = "A b"\n', "is no id"),
        ('schema = "vmt-suite/1"\nid = \n', "suite.toml:"),
    ],
)
def test_headers(suite: Path, text: str, words: str) -> None:
    (suite / "suite.toml").write_text(text)
    assert words in complaint(suite)


def test_json_header_byte_order_mark_and_crlf(suite: Path) -> None:
    (suite / "suite.toml").unlink()
    (suite / "suite.json").write_bytes(b'\xef\xbb\xbf{"schema": "vmt-suite/1",\r\n "id": "x", "mood": "kept"}')
    (suite / "clips.jsonl").write_bytes(b"\xef\xbb\xbf" + (suite / "clips.jsonl").read_bytes().replace(b"\n", b"\r\n"))
    assert check(str(suite)).clips == 2
    (suite / "clips.jsonl").write_text("{}", encoding="utf-16")
    assert "not UTF-8" in complaint(suite)


def test_frozen_suites_do_not_change_unseen(suite: Path) -> None:
    before = freeze(suite)
    assert check(str(suite)).clips == 2 and freeze(suite) == before
    rewrite(suite, "prompts.jsonl", lambda r: r[0].update(text="a truck"))
    assert "changed since it was frozen" in complaint(suite)


def test_same_digest_for_the_same_content_only(suite: Path, tmp_path: Path) -> None:
    first = check(str(suite)).digest
    rewrite(suite, "clips.jsonl", lambda r: r.__setitem__(0, dict(reversed(r[0].items()))))
    assert check(str(suite)).digest == first
    rewrite(suite, "prompts.jsonl", lambda r: r[0].update(negative="rain"))
    assert check(str(suite)).digest != first


def test_the_shipped_json_schema_is_the_models(suite: Path) -> None:
    shipped = Path(fastvmt.__file__).parent / "vmt-suite-1.schema.json"
    assert json.loads(shipped.read_text()) == json_schema() == bench("suite", "schema").data


def test_links_out_and_in_circles(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = clip(tmp_path_factory.mktemp("other") / "x.mp4")
    (suite / "out.mp4").symlink_to(outside)
    (suite / "loop").symlink_to(suite / "loop")
    for name, words in (("out.mp4", "links outside"), ("loop/x.mp4", "cannot be followed")):
        with pytest.raises(SuiteError, match=words):
            inside(suite, name)


def test_remarks_name_what_makes_a_bad_reference() -> None:
    noise = np.random.default_rng(0).integers(0, 60, (20, 32, 32, 3)).astype(np.uint8)
    smooth = np.stack([np.full((32, 32, 3), 10 + n, np.uint8) for n in range(20)])
    cut = smooth.copy()
    cut[12:] += 150
    assert remarks(smooth) == [] and remarks(noise) == []
    assert remarks(cut) == ["cut at frame 12: tracks do not survive it"]
    assert "no change between frames" in remarks(smooth[:1].repeat(9, 0))[0]


def test_real_clips_pass(clips: Path) -> None:
    said = bench("suite", "check", clips)
    assert said.code == 0 and "6 clips, 12 prompts" in said.out, said.err


def test_generated_suites_need_usable_prompts(tmp_path: Path) -> None:
    file = tmp_path / "p.txt"
    for text, words in (("", "0 prompts"), ("a\na\n", "the same prompt as line 1"), ("a\n" + "b" * 20_000, "10000 bytes")):
        file.write_text(text)
        with pytest.raises(SuiteError, match=words):
            read_prompts(file)


def test_generate_makes_a_suite_that_runs_and_goes_on(xs: Path, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("# two\na red circle on a navy plain background\na white star on a teal plain background\n")
    command = ("suite", "generate", tmp_path / "p.txt", "--out", tmp_path / "g", "--backbone", xs, "--frames", "5",
               "--width", "16", "--height", "16", "--steps", "2")  # fmt: skip
    first = bench(*command)
    assert first.code == 0, first.err
    videos = sorted((tmp_path / "g").glob("*.mkv"))
    stamps = [v.stat().st_mtime_ns for v in videos]
    assert len(videos) == 2
    videos[0].unlink()
    assert bench(*command).code == 0 and videos[1].stat().st_mtime_ns == stamps[1]
    problems = Problems()
    entries = read_suite(tmp_path / "g", problems)
    assert not problems.found
    assert [(e.caption[2:5], e.targets[0].text[2:5]) for e in entries] == [("red", "whi"), ("whi", "red")]
    other = bench(*command, "--seed", "1")
    assert other.code == 2 and "made otherwise (different: seed)" in other.err

"""A folder of generated videos: captions from VBench's names or a prompt file, targets from another, ids of our own."""

from __future__ import annotations

import json
import re
import unicodedata
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support.cli import refusal

from fastvmt.datasets.generated import Generated
from fastvmt.media.files import write_exact_mp4
from fastvmt.suites.cases import Wanted, load, undecoded

ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
NAMES = ("A cat runs, fast-0.mp4", "A cat runs, fast-1.mp4", "a dog-like toy-10.mp4")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "videos"
    made.mkdir()
    for name in (*NAMES, ".hidden.mp4"):
        (made / name).write_bytes(b"never opened here")
    (made / "readme.md").write_text("x")
    return made


@pytest.fixture
def targets(tmp_path: Path) -> Path:
    file = tmp_path / "targets.txt"
    file.write_text("A fox runs.\n\n  A wolf runs.  \n")
    return file


def wanted(root: Path | None, prompts: Path | None) -> Wanted:
    return Wanted(16, 16, 5, root=root, prompts=prompts)


def problems(root: Path | None, prompts: Path | None) -> list[str]:
    return refusal(lambda: Generated().entries(wanted(root, prompts))).splitlines()


def test_names_give_captions_and_samples_stay_two_clips(folder: Path, targets: Path) -> None:
    found = Generated().entries(wanted(folder, targets))
    assert [(e.name, e.id, e.caption) for e in found] == [
        (NAMES[0], "a-cat-runs-fast-0", "A cat runs, fast"),
        (NAMES[1], "a-cat-runs-fast-1", "A cat runs, fast"),
        (NAMES[2], "a-dog-like-toy-10", "a dog-like toy"),
    ]
    assert all([t.text for t in e.targets] == ["A fox runs.", "A wolf runs."] for e in found)
    assert len({c.id for c in undecoded(found, wanted(folder, targets))}) == 6


def test_names_of_any_kind_become_ids(folder: Path, targets: Path) -> None:
    long = "A very long prompt about a cat that runs and runs over the hills and far away"
    odd = [f"{long}-0.mp4", f"{long}-1.mp4", "café ☕ #1-0.mp4", "-leading-3.mp4", "猫が走る-0.mp4", "A CAT runs fast-0.mp4"]
    for name in odd:
        (folder / name).write_bytes(b"x")
    found = {e.name: e.id for e in Generated().entries(wanted(folder, targets))}
    assert len(found) == len(set(found.values())) == 9 and set(odd) <= set(found)
    assert all(ID.fullmatch(i) for i in found.values())
    assert all(len(i) <= 57 for i in found.values())
    assert found["-leading-3.mp4"] == "leading-3"
    assert found["猫が走る-0.mp4"].startswith("0-") and found["café ☕ #1-0.mp4"].startswith("cafe-1-0-")


def write_captions(folder: Path, suffix: str, pairs: list[tuple[str, str]]) -> Path:
    file = folder / f"prompts{suffix}"
    if suffix == ".json":
        file.write_text(json.dumps(dict(pairs)))
    elif suffix == ".jsonl":
        file.write_text("\n".join(json.dumps({"file": f, "prompt": p}) for f, p in pairs))
    else:
        file.write_text("\n".join(["prompt,file", *(f'"{p}","{f}"' for f, p in pairs)]))
    return file


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_a_prompt_file_gives_the_captions_of_any_names(folder: Path, targets: Path, suffix: str) -> None:
    (folder / "clip_é.mp4").write_bytes(b"x")
    pairs = [(f"some/where/{n}", f" Caption, {i} ") for i, n in enumerate((*NAMES, unicodedata.normalize("NFD", "clip_é.mp4")))]
    write_captions(folder, suffix, pairs)
    found = Generated().entries(wanted(folder, targets))
    assert {e.name: e.caption for e in found} == {n: f"Caption, {i}" for i, n in enumerate((*NAMES, "clip_é.mp4"))}


def test_targets_for_single_clips_by_file_stem_or_id(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "targets.jsonl"
    rows = [
        {"clip": NAMES[0], "id": "fox", "text": "A fox", "kind": "subject"},
        {"clip": Path(NAMES[1]).stem, "text": "A wolf"},
        {"clip": "a-dog-like-toy-10", "text": "A doll", "negative": "blur"},
    ]
    file.write_text("\n".join(json.dumps(r) for r in rows))
    found = Generated().entries(wanted(folder, file))
    assert [(t.id, t.text, t.kind, t.negative) for e in found for t in e.targets] == [
        ("fox", "A fox", "subject", None), ("p1", "A wolf", "free", None), ("p1", "A doll", "free", "blur"),
    ]  # fmt: skip
    file.write_text("\n".join(json.dumps(r) for r in rows[:2]))
    assert problems(folder, file) == [f"{NAMES[2]}: targets.jsonl has no target prompt for it. Add one, or take the clip out."]


def test_targets_may_lie_beside_the_videos(folder: Path) -> None:
    file = folder / "prompts.jsonl"
    file.write_text("\n".join(json.dumps({"clip": n, "text": "A fox"}) for n in NAMES))
    assert Generated().entries(wanted(folder, file))[0].caption == "A cat runs, fast"


def test_names_that_hold_no_prompt_are_all_named(folder: Path, targets: Path) -> None:
    for name in ("clip_0001.mp4", "-3.mp4", "fox-.mp4"):
        (folder / name).write_bytes(b"x")
    said = problems(folder, targets)
    assert [line.partition(":")[0] for line in said] == ["-3.mp4", "clip_0001.mp4", "fox-.mp4"]
    assert all("prompts.json" in line for line in said)


def test_root_and_prompts_are_asked_for_together(folder: Path, targets: Path, tmp_path: Path) -> None:
    said = problems(None, None)
    assert "--prompts" in said[0] and "--root" in said[1]
    (folder / "clip.mp4").write_bytes(b"x")
    said = problems(folder, None)
    assert len(said) == 2 and "--prompts" in said[0] and said[1].startswith("clip.mp4")
    assert "does not exist" in problems(tmp_path / "gone", targets)[0]
    said = problems(folder, tmp_path / "gone.txt")
    assert "gone.txt' is not there" in said[0] and said[-1].startswith("clip.mp4: its prompt")


def test_a_folder_without_videos(folder: Path, targets: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "has no clips (looked for *.mp4" in problems(tmp_path / "empty", targets)[0]
    assert f"'{folder}' has some: pass it." in problems(tmp_path, targets)[0]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("prompts.json", '{"a.mp4": "x"}', "prompts.json 'a.mp4': 'a.mp4' is not in the folder"),
        ("prompts.json", '{"a dog-like toy-10.mp4": NaN}', "prompt must be a non-empty string (found nan)"),
        ("prompts.json", '{"a dog-like toy-10.mp4": "x", "a dog-like toy-10.mp4": "y"}', "is there twice"),
        ("prompts.json", '{"a dog-like toy-10.mp4": "x"}', "A cat runs, fast-0.mp4: prompts.json has no prompt for it"),
        ("prompts.json", '["x"]', "it is not one object"),
        ("prompts.json", '{"a": "x",}', "prompts.json line 1, column"),
        ("prompts.json", "[" * 100_000, "prompts.json"),
        ("prompts.jsonl", '{"prompt": "x"}', "prompts.jsonl line 1: file is missing"),
        ("prompts.csv", "name,prompt\na,b", "no column 'file' (found: name, prompt)"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_caption_file(folder: Path, targets: Path, name: str, text: str, said: str) -> None:
    (folder / name).write_text(text)
    found = problems(folder, targets)
    assert any(said in line for line in found), found


def test_two_caption_files_are_one_too_many(folder: Path, targets: Path) -> None:
    for suffix in (".json", ".csv"):
        write_captions(folder, suffix, [(n, "x") for n in NAMES])
    assert "has prompts.json and prompts.csv" in problems(folder, targets)[0]


def test_generated_videos_load_as_cases(folder: Path, targets: Path) -> None:
    for k, name in enumerate(NAMES):
        write_exact_mp4(folder / name, np.full((6, 16, 16, 3), 40 * k, np.uint8), Fraction(8))
    want = wanted(folder, targets)
    cases = list(load(Generated().entries(want), want))
    assert len(cases) == 6 and len({case.reference.frames_digest for case, _ in cases}) == 3
    assert cases[0][1].shape == (5, 16, 16, 3) and cases[0][0].caption == "A cat runs, fast"

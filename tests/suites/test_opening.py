"""What users bring: good folders work, bad ones get one sentence each, all in one pass."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support.cli import refusal
from support.clips import clip

from fastvmt.media.files import read_lossless, write_lossless
from fastvmt.suites.opening import Wanted, open_suite

WANTED = Wanted(32, 32, 17)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    clip(tmp_path / "a b.mp4", seed=1), clip(tmp_path / "café.mp4", seed=2)
    return tmp_path


def complaint(path: Path | str, prompt: str | None = None) -> str:
    return refusal(lambda: list(open_suite(str(path), WANTED, prompt)))


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("prompts.txt", "a b: a red bus\ncafé: a blue car\n", 2),
        ("prompts.txt", "# shared\na red bus\na blue car\n", 4),
        ("prompts.csv", "clip,prompt,caption\na b.mp4,a red bus,a dog\ncafé.mp4,NA,\n", 2),
        (
            "prompts.jsonl",
            '\ufeff{"clip": "a b.mp4", "prompt": "x"}\r\n\r\n{"clip": "café.mp4", "prompt": "y", "start": 2}\r\n',
            2,
        ),
        ("suite.toml", '[[case]]\nclip = "a b.mp4"\nprompt = "x"\ncategory = "camera"\n', 1),
        ("manifest.json", '{"clips": [{"file": "a b.mp4", "name": "ab", "caption": "c", "prompts": ["x", "y"]}]}', 2),
    ],
)
def test_prompt_files(folder: Path, name: str, text: str, count: int) -> None:
    (folder / name).write_bytes(text.encode())
    cases = list(open_suite(str(folder), WANTED))
    assert len(cases) == count and len({c.id for c, _ in cases}) == count
    for case, frames in cases:
        assert frames.shape == (17, 32, 32, 3) and case.prompt


def test_one_clip_and_a_folder_of_images(tmp_path: Path) -> None:
    from PIL import Image

    one = clip(tmp_path / "one.mp4")
    assert len(list(open_suite(str(one), WANTED, "a bus"))) == 1
    images = tmp_path / "set" / "walk"
    images.mkdir(parents=True)
    for n in range(18):
        Image.fromarray(np.full((40, 48, 3), n, np.uint8)).save(images / f"{n:05d}.png")
    ((case, frames),) = open_suite(str(tmp_path / "set"), WANTED, "a bus")
    assert case.reference.source == "walk" and [int(f[0, 0, 0]) for f in frames] == list(range(17))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("prompts.jsonl", '{"clip": "a b.mp4", "prompt": "x"}\n{"clip": "a b.mp4" "prompt"}\n', "prompts.jsonl line 2, column 20"),
        ("prompts.jsonl", '{"clip": "a b.mp4", "prompt": NaN}\n', "prompts.jsonl line 1: prompt"),
        ("prompts.jsonl", '{"clip": "a b.mp4", "prompt": "  "}\n', "prompt must be a non-empty string"),
        ("prompts.jsonl", '{"clip": "a b.mp4", "prompt": "x", "promt": 1}\n', "promt: unknown key"),
        ("prompts.jsonl", '{"clip": "bus.mp4", "prompt": "x"}\n', "bus.mp4: there is no such clip"),
        ("prompts.jsonl", '{"clip": "../a.mp4", "prompt": "x"}\n', "leaves the suite folder"),
        ("prompts.jsonl", '{"clip": "/etc/passwd", "prompt": "x"}\n', "not relative"),
        ("prompts.jsonl", '{"clip": "C:\\\\x.mp4", "prompt": "x"}\n', "not relative"),
        ("prompts.jsonl", '{"clip": "a b.mp4", "prompt": "x\\u0000"}\n', "U+0000"),
        ("prompts.jsonl", b'\xff\xfe{\x00', "not UTF-8"),
        ("suite.toml", "[[case]]\nclip = 3\nprompt = 'x'\n", "suite.toml case 1: clip"),
        ("suite.toml", "[[case\n", "suite.toml:"),
        ("suite.toml", "schema = 2\n[[case]]\nclip='a b.mp4'\nprompt='x'\n", "newer version"),
        ("suite.toml", "cases = []\n", "unknown key 'cases'"),
        ("suite.toml", '[[case]]\nclip = "a b.mp4"\nprompt = "x"\ncategory = "cam"\n', "category 'cam' unknown: camera"),
        ("manifest.json", "[]", "not a clip manifest"),
        ("prompts.csv", "clip,prompt\na b.mp4,\n", "prompt"),
    ],
)  # fmt: skip
def test_bad_prompt_files(folder: Path, name: str, text: str | bytes, words: str) -> None:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert words in complaint(folder)


def test_all_problems_in_one_pass(folder: Path) -> None:
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is not a video")
    clip(folder / "short.mp4", frames=5)
    whole = clip(folder / "cut.mp4", frames=40, width=320, height=240).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    said = complaint(folder)
    for words in (
        "empty.mp4: not a readable video (0 bytes)",
        "text.mp4: not a readable",
        "short.mp4: 5 frames, 17 needed",
        "cut.mp4:",
        "no prompts",
    ):
        assert words in said


def test_empty_folder(tmp_path: Path) -> None:
    assert "has no clips" in complaint(tmp_path)


def test_lossless_really_is(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (9, 33, 47, 3), dtype=np.uint8)
    write_lossless(tmp_path / "x.mkv", frames, Fraction(30000, 1001))
    assert np.array_equal(read_lossless(tmp_path / "x.mkv"), frames)

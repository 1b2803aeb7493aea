"""Bad inputs of whole suites: each ends in one clear sentence, a warning, or is passed over as it should be."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from support.cli import refusal
from support.clips import make as encode
from support.clips import noise

from fastvmt.errors import SuiteError, UserError
from fastvmt.suites.cases import Wanted
from fastvmt.suites.opening import open_suite
from fastvmt.suites.prompts import list_clips
from fastvmt.suites.rows import MOST_ROWS
from fastvmt.suites.tools import check

WANTED = Wanted(32, 32, 17)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """20 frames of width 64, height 48."""
    return encode(tmp_path_factory.mktemp("video") / "x.mp4", noise(20)).read_bytes()


@pytest.fixture
def folder(tmp_path: Path, video: bytes) -> Path:
    (tmp_path / "bus.mp4").write_bytes(video)
    return tmp_path


def complaint(folder: Path, wanted: Wanted = WANTED, prompt: str | None = "a tram") -> str:
    """What a run says; always one line."""
    said = refusal(lambda: list(open_suite(str(folder), wanted, prompt)))
    assert "\n" not in said
    return said


# Sizes and lengths ---------------------------------------------------------------------------------------------------


def test_a_clip_is_not_enlarged_unless_asked(folder: Path) -> None:
    said = "bus.mp4: width 64, height 48 px, wanted width 96, height 64: would upscale 1.5x. Pass --allow-upscale, or a smaller --width and --height."
    assert complaint(folder, Wanted(96, 64, 17)) == said
    ((case, frames),) = open_suite(str(folder), Wanted(96, 64, 17, upscale=True), "a tram")
    assert frames.shape == (17, 64, 96, 3) and case.reference.width == 96


def test_a_crop_to_less_than_half_is_refused(folder: Path) -> None:
    """Width 64, height 48 cropped to a column of width 16, height 48 keeps a quarter."""
    assert (
        complaint(folder, Wanted(16, 48, 17)) == "bus.mp4: a crop would keep 25% of the frame. Pass --fit pad or --fit stretch."
    )
    for fit in ("pad", "stretch"):
        assert len(list(open_suite(str(folder), Wanted(16, 48, 17, fit=fit), "a tram"))) == 1
    assert len(list(open_suite(str(folder), Wanted(32, 48, 17), "a tram"))) == 1  # a half is enough


def test_short_clips_stop_are_left_out_or_trimmed(folder: Path) -> None:
    assert complaint(folder, Wanted(32, 32, 33)) == (
        "bus.mp4: 20 frames, 33 needed. Use --short-clips skip|trim (trim would use 17), or --frames for fewer."
    )
    left_out: list[str] = []
    assert list(open_suite(str(folder), Wanted(32, 32, 33, short="skip"), "a tram", left_out)) == []
    assert left_out and left_out[0].startswith("bus.mp4: 20 frames, 33 needed.")
    ((case, frames),) = open_suite(str(folder), Wanted(32, 32, 33, short="trim"), "a tram")
    whole = next(iter(open_suite(str(folder), WANTED, "a tram")))[1]
    assert np.array_equal(frames, whole) and case.reference.notes == ("20 frames: trimmed to 17",)


# What lies in the folder ---------------------------------------------------------------------------------------------


def test_files_of_operating_systems_pipes_and_other_kinds_are_passed_over(folder: Path, video: bytes) -> None:
    for name in ("._bus.mp4", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.pdf", ".hidden.mp4"):
        (folder / name).write_bytes(video)
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "00000.png").write_bytes(b"x")
    (folder / "empty folder").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    assert list_clips(folder) == ["bus.mp4"]
    assert len(list(open_suite(str(folder), WANTED, "a tram"))) == 1


def test_a_pipe_that_is_named_as_a_clip_is_refused_and_not_waited_for(folder: Path) -> None:
    (folder / "bus.mp4").unlink()
    os.mkfifo(folder / "pipe.mp4")
    said = "pipe.mp4: neither a regular file nor a folder. Take it out of the suite."
    for extra in ({}, {"sha256": "0" * 64}):
        (folder / "prompts.jsonl").write_text(json.dumps({"clip": "pipe.mp4", "prompt": "x", **extra}))
        assert complaint(folder, prompt=None) == said
        for fast in (True, False):
            with pytest.raises(SuiteError) as caught:
                check(str(folder), fast=fast)
            assert str(caught.value) == said


def test_a_folder_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert complaint(folder) == f"Suite '{folder}': '{folder}' cannot be read (permission denied)."


def test_the_same_clip_twice_is_a_warning(folder: Path, video: bytes) -> None:
    (folder / "bus2.mp4").write_bytes(video)
    (folder / "prompts.txt").write_text("a tram\n")
    found = check(str(folder))
    assert next(w for w in found.warnings if "same clip" in w).startswith("bus.mp4 and bus2.mp4 are the same clip (sha256 ")
    assert found.clips == 2


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["café ☕.mp4", "−x.mp4", "-x #1.mp4", "10:30.mp4", "%2e.mp4", "שלום.mp4"])
def test_file_names_of_any_kind(tmp_path: Path, video: bytes, name: str, form: Literal["NFC", "NFD"]) -> None:
    name = unicodedata.normalize(form, name)
    (tmp_path / name).write_bytes(video)
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"clip": name, "prompt": "a tram"}))
    ((case, _),) = open_suite(str(tmp_path), WANTED)
    assert case.id.isascii() and "/" not in case.id and case.reference.source == name


# Prompts -------------------------------------------------------------------------------------------------------------


def prompted(folder: Path, prompt: str) -> Path:
    (folder / "prompts.jsonl").write_text(json.dumps({"clip": "bus.mp4", "prompt": prompt}))
    return folder


def test_a_prompt_beyond_what_a_text_encoder_reads_is_a_warning(folder: Path) -> None:
    assert not any("tokens" in w for w in check(str(prompted(folder, "a tram " * 200))).warnings)
    found = check(str(prompted(folder, "a tram " * 300)))
    assert "bus.mp4: prompt '1' is about 700 tokens; Wan reads 512 and CLIP 77 of them." in found.warnings


@pytest.mark.parametrize(
    "prompt", ["‮a tram‬", "a\u200btram", "a 🚋", "a\ttram\x1b[31m", "../../etc/passwd", "a tram\nat night", "nan"]
)
def test_any_text_is_a_prompt_and_no_file_name(folder: Path, prompt: str) -> None:
    ((case, _),) = open_suite(str(prompted(folder, prompt)), WANTED)
    assert case.prompt == prompt and case.id == "bus--1"


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("x" * 10_001, "prompts.jsonl line 1: prompt holds more than 10000 bytes."),
        ("é" * 5_001, "prompts.jsonl line 1: prompt holds more than 10000 bytes."),
        ("a\x00b", "prompts.jsonl line 1: prompt holds U+0000."),
        ("\t \n", "prompts.jsonl line 1: prompt must be a non-empty string."),
        ("\ud83d tram", "prompts.jsonl line 1: prompt holds half of a surrogate pair, which is no character."),
    ],
)
def test_texts_that_are_no_prompts(folder: Path, prompt: str, words: str) -> None:
    assert complaint(prompted(folder, prompt), prompt=None) == words


# Names of clips ------------------------------------------------------------------------------------------------------


def named(folder: Path, *clips: str, text: str = "") -> Path:
    """A folder of copies of one clip under these names, with a prompts.txt."""
    for name in clips:
        (folder / name).write_bytes((folder / "bus.mp4").read_bytes())
    (folder / "prompts.txt").write_text(text)
    return folder


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_found_however_its_accents_are_spelt(folder: Path, form: Literal["NFC", "NFD"]) -> None:
    other = unicodedata.normalize({"NFC": "NFD", "NFD": "NFC"}[form], "café")
    named(folder, unicodedata.normalize(form, "café.mp4"), text=f"bus: a tram\n{other}: a boat\n")
    assert [c.prompt for c, _ in open_suite(str(folder), WANTED)] == ["a tram", "a boat"]
    (folder / "prompts.csv").write_text(f"clip,prompt\nbus.mp4,a tram\n{other}.mp4,a boat\n")
    assert [c.prompt for c, _ in open_suite(str(folder), WANTED)] == ["a tram", "a boat"]


def test_a_misspelt_name_is_no_prompt_for_all_clips(folder: Path) -> None:
    named(folder, "car.mp4", text="bus: a tram\ncat: a cart\n")
    said = complaint(folder, prompt=None)
    assert said.startswith("prompts.txt line 2: no clip is called 'cat'. Did you mean car?")
    (folder / "prompts.txt").write_text("cab.mp4: a cart\n")  # where no other line names a clip, its ending tells
    assert "no clip is called 'cab.mp4'" in complaint(folder, prompt=None)


@pytest.mark.parametrize("text", ["a tram at night: grainy film", "cinematic: a tram"])
def test_a_prompt_for_all_clips_may_hold_a_colon(folder: Path, text: str) -> None:
    assert [c.prompt for c, _ in open_suite(str(named(folder, "car.mp4", text=text)), WANTED)] == [text] * 2


def test_a_clip_that_no_prompt_names_does_not_vanish(folder: Path) -> None:
    named(folder, "car.mp4", text="bus: a tram\n")
    for name, text in (
        ("prompts.txt", None), ("prompts.csv", "clip,prompt\nbus.mp4,a tram\n"), ("prompts.jsonl", '{"clip": "bus.mp4", "prompt": "x"}'),
    ):  # fmt: skip
        if text:
            (folder / name).write_text(text)
        assert (
            complaint(folder, prompt=None)
            == f"car.mp4: no prompt names it in {name}. Give it one, or take it out of the folder."
        )


def test_a_stem_of_two_clips_names_neither(folder: Path) -> None:
    named(folder, "bus.mov", text="bus: a tram\n")
    assert complaint(folder, prompt=None) == "prompts.txt line 1: 'bus' is bus.mov and bus.mp4. Write the whole name."
    (folder / "prompts.txt").write_text("bus.mov: a tram\nbus.mp4: a boat\n")
    assert len(list(open_suite(str(folder), WANTED))) == 2


def test_a_manifest_is_read_where_it_is_named_itself(folder: Path) -> None:
    manifest = folder / "manifest.json"
    manifest.write_text('{"clips": [{"file": "bus.mp4", "prompts": ["a tram"]}]}')
    assert check(str(manifest)).clips == 1
    manifest.write_text('{"clips": [{"file": "bus.mp4", "prompts": 5}]}')
    assert "manifest.json clip 'bus.mp4': 'prompts' must be a list of texts, found int." in complaint(manifest, prompt=None)


# CSV -----------------------------------------------------------------------------------------------------------------


def test_a_quoted_cell_of_a_csv_file_may_hold_lines_commas_and_quotes(folder: Path) -> None:
    (folder / "prompts.csv").write_bytes(
        b'clip, prompt,caption\r\nbus.mp4,"a tram,\r\n""at night""",\r\n\r\nbus.mp4, a boat,\r\n'
    )
    assert [c.prompt for c, _ in open_suite(str(folder), WANTED)] == ['a tram,\r\n"at night"', "a boat"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('clip,prompt\nbus.mp4,"a tram\nbus.mp4,a boat\n', "prompts.csv line 2: unexpected end of data. Check its quotes."),
        ('clip,prompt\nbus.mp4,"a tram" x\n', "prompts.csv line 2: ',' expected after '\"'. Check its quotes."),
        ("clip;prompt\nbus.mp4;a tram\n", "prompts.csv line 1: no column 'clip' (found: clip;prompt). "),
        ("", "prompts.csv line 1: no column 'clip' (found: nothing). "),
        ("clip,prompt,prompt\nbus.mp4,a,b\n", "prompts.csv line 1: the column 'prompt' is there twice. "),
        ("clip,prompt\n\nbus.mp4,a\n\nbus.mp4,a tram, red\n", "prompts.csv line 5: more cells than"),
        ("clip,text\nbus.mp4,a tram\n", "prompts.csv line 1: no column 'prompt' (found: clip, text). "),
        ("clip,prompt\nbus.mp4,a tram, red\n", "prompts.csv line 2: more cells than the header names; put prompts with "),
    ],
)
def test_csv_files_that_would_be_misread(folder: Path, text: str, words: str) -> None:
    (folder / "prompts.csv").write_text(text)
    assert complaint(folder, prompt=None).startswith(words)


def test_a_suite_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError) as caught:
        open_suite(str(tmp_path / "pipe"), WANTED, "a tram")
    assert "cannot be read" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "line"),
    [("prompts.csv", "bus.mp4,a bus {}"), ("prompts.jsonl", '{{"clip": "bus.mp4", "prompt": "a bus {}"}}'), ("prompts.txt", "bus: a bus {}")],
)  # fmt: skip
def test_a_list_of_more_rows_than_a_suite_can_have_is_refused_while_it_is_read(folder: Path, name: str, line: str) -> None:
    (folder / "prompts.txt").unlink(missing_ok=True)
    rows = (line.format(n) for n in range(MOST_ROWS + 1))
    (folder / name).write_text("\n".join([*(["clip,prompt"] if name.endswith("csv") else []), *rows]))
    said = refusal(lambda: open_suite(str(folder), Wanted(64, 64, 5)))
    assert said == f"{name}: more than 100,000 rows, the most that a suite can have. Split it into several."

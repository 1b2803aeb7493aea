"""Clips that are folders of images: their order, their gaps, and every kind of pixel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.clips import corner, noise, refused

from fastvmt.media import image_folders
from fastvmt.media.files import read_clip


def sequence(folder: Path, numbers: Any, pattern: str = "{:05d}.png") -> Path:
    folder.mkdir()
    for number in numbers:
        Image.new("RGB", (32, 24), (number, 0, 0)).save(folder / pattern.format(number))
    return folder


def reds(folder: Path) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in read_clip(folder, "x").frames]


@pytest.mark.parametrize("pattern", ["{}.png", "frame_{:02d}.PNG", "f{}.bmp", "shot2_{}.png", "{}_a.png"])
def test_images_are_in_the_order_of_their_numbers(tmp_path: Path, pattern: str) -> None:
    assert reds(sequence(tmp_path / "f", range(8, 13), pattern)) == [8, 9, 10, 11, 12]


def test_hidden_files_and_other_kinds_are_ignored(tmp_path: Path) -> None:
    folder = sequence(tmp_path / "f", range(3))
    for name in ("._00000.png", ".DS_Store", "Thumbs.db", "notes.txt"):
        (folder / name).write_bytes(b"x")
    clip = read_clip(folder, "x")
    assert len(clip.frames) == 3 and clip.notes == [] and clip.fps == 24


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([n for n in range(82) if n != 17], "x: frame 00017.png is missing between 00016 and 00018 (81 of 82 present)."),
        ([0, 1, 2, 6, 7], "x: frames 00003.png to 00005.png are missing between 00002 and 00006 (5 of 8 present)."),
    ],
)
def test_a_gap_in_the_numbers(tmp_path: Path, numbers: list[int], words: str) -> None:
    assert refused(sequence(tmp_path / "f", numbers)).startswith(words)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("00001.jpg", "'00001.jpg' and '00001.png' are the same frame twice"),
        ("1.png", "have the same number"),
        ("cover.png", "'cover.png' does not end in a number, 3 other images do"),
    ],
)
def test_names_that_do_not_make_a_sequence(tmp_path: Path, extra: str, words: str) -> None:
    folder = sequence(tmp_path / "f", range(3))
    Image.new("RGB", (32, 24)).save(folder / extra)
    assert words in refused(folder)


def test_mixed_sizes_name_the_odd_one_out(tmp_path: Path) -> None:
    folder = sequence(tmp_path / "f", range(5))
    Image.new("RGB", (16, 24)).save(folder / "00000.png")
    assert refused(folder).startswith("x: frame 00000 is width 16, height 24 px, the others are width 32, height 24.")


@pytest.mark.parametrize(
    ("suffix", "part", "words"), [("jpg", 0.5, "image is cut short"), *(("png", part, "") for part in (0.0, 0.02, 0.3, 0.7))]
)
def test_damaged_images_are_refused_without_a_traceback(tmp_path: Path, suffix: str, part: float, words: str) -> None:
    folder = sequence(tmp_path / "f", range(2), "{:05d}." + suffix)
    Image.fromarray(noise(1, 32, 24)[0]).save(folder / f"00001.{suffix}")
    whole = (folder / f"00001.{suffix}").read_bytes()
    (folder / f"00001.{suffix}").write_bytes(whole[: int(len(whole) * part)])
    assert refused(folder).startswith(f"x/00001.{suffix}: {words}")


def test_something_else_named_as_an_image(tmp_path: Path) -> None:
    folder = sequence(tmp_path / "f", range(2))
    (folder / "00001.png").write_text("<html>moved</html>")
    assert refused(folder) == "x/00001.png: not a readable image (starts with '<html>moved<...'). Copy it again."
    (folder / "00001.png").unlink()
    os.mkfifo(folder / "00001.png")
    assert refused(folder) == "x/00001.png: not a regular file. Take it out of the folder."


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    picture = Image.fromarray(corner(noise(1))[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    (tmp_path / "f").mkdir()
    picture.save(tmp_path / "f" / "0.png", exif=exif)
    clip = read_clip(tmp_path / "f", "x")
    assert np.array_equal(clip.frames[0], np.rot90(np.asarray(picture), -1))
    assert clip.notes == ["1 of 1 images: turned upright by the EXIF tag"]


def palette() -> Image.Image:
    picture = Image.new("P", (8, 8), 3)
    picture.putpalette([9] * 9 + [10, 20, 30])
    return picture


@pytest.mark.parametrize(
    ("picture", "suffix", "colour", "note"),
    [
        (Image.new("L", (8, 8), 77), ".png", (77, 77, 77), "grey, read as RGB"),
        (palette(), ".png", (10, 20, 30), "with a palette, read as RGB"),
        (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), ".jpg", (255, 0, 0), "CMYK, read as RGB"),
        (Image.new("RGBA", (8, 8), (200, 100, 0, 51)), ".png", (40, 20, 0), "alpha composited on black"),
        (Image.fromarray(np.full((8, 8), 77 * 257, np.uint16)), ".png", (77, 77, 77), "16-bit; scaled by 1/257"),
    ],
)
def test_other_kinds_of_pixels_are_converted_and_said(
    tmp_path: Path, picture: Image.Image, suffix: str, colour: tuple[int, int, int], note: str
) -> None:
    (tmp_path / "f").mkdir()
    picture.save(tmp_path / "f" / f"0{suffix}")
    Image.new("RGB", (8, 8)).save(tmp_path / "f" / "1.png")
    clip = read_clip(tmp_path / "f", "x")
    assert np.abs(clip.frames[0].astype(int) - colour).max() <= 2 and not clip.frames[1].any()
    assert f"1 of 2 images: {note}" in clip.notes


def test_limits_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sequence(tmp_path / "f", range(5))
    with monkeypatch.context() as patch:
        patch.setattr(image_folders, "MAX_FRAMES", 4)
        assert refused(folder) == "x: more than 4 images. Cut the clip first."
    monkeypatch.setattr(image_folders, "MAX_SIDE", 30)
    assert refused(folder).startswith("x/00000.png: width 32, height 24 px; a side may have at most 30.")

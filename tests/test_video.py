"""Reading clips: what is kept, what is said about it, and what is refused; and one geometry for frames, masks and tracks."""

from __future__ import annotations

import os
import socket
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fastvmt import decode, images
from fastvmt.errors import SpecError, SuiteError
from fastvmt.video import crop_box, fit_frames, fit_masks, fit_points, probe, read_clip, write_lossless

RATE = Fraction(1, 30)
Stamp = Callable[[int], int]


def noise(count: int, width: int = 64, height: int = 48) -> Any:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def make(
    path: Path, frames: Any, codec: str = "libx264", pixels: str = "yuv444p", tick: Fraction = RATE,
    stamp: Stamp = lambda n: n, given: str = "rgb24", container: dict[str, str] | None = None, **settings: Any,
) -> Path:  # fmt: skip
    options = {"preset": "ultrafast", "qp": "0"} if codec.startswith("libx264") else {}
    rotation = settings.pop("rotation", None)
    with av.open(str(path), "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=30, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.codec_context.time_base = pixels, tick
        for key, value in settings.items():
            setattr(stream.codec_context, key, value)
        if rotation is not None:
            if not hasattr(stream, "set_display_rotation"):
                pytest.skip("this PyAV cannot write a rotation tag")
            stream.set_display_rotation(*rotation)
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format=given).reformat(format=pixels)
            frame.pts, frame.time_base = stamp(number), tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def refused(path: Path, **how: Any) -> str:
    with pytest.raises(SuiteError) as caught:
        read_clip(path, "x", **how)
    said = str(caught.value)
    assert "\n" not in said and said.startswith("x") and str(path.parent) not in said
    return said


# --- video files -------------------------------------------------------------------------------------------------------


def test_an_ordinary_clip_comes_back_as_it_was_with_nothing_to_remark(tmp_path: Path) -> None:
    frames = noise(9)
    clip = read_clip(make(tmp_path / "10:30 #1 −é.mp4", frames, "libx264rgb", "rgb24"), "x")
    assert np.array_equal(clip.frames, frames) and clip.fps == 30 and clip.notes == []


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "size", "notes"),
    [
        ("deep.mp4", "libx264", "yuv420p10le", (64, 48), ["10 bits a channel; reduced to 8"]),
        ("grey.mkv", "ffv1", "gray", (64, 48), ["grey, read as RGB"]),
        ("odd.mp4", "libx264", "yuv444p", (97, 65), []),
    ],
)
def test_pixel_formats(tmp_path: Path, name: str, codec: str, pixels: str, size: tuple[int, int], notes: list[str]) -> None:
    ramp = np.broadcast_to(np.linspace(16, 235, size[0]).astype(np.uint8)[:, None], (5, size[1], size[0], 3)).copy()
    clip = read_clip(make(tmp_path / name, ramp, codec, pixels), "x")
    assert clip.notes == notes and clip.frames.shape == ramp.shape
    assert np.abs(clip.frames.astype(int) - ramp).max() <= 3


def test_alpha_is_laid_on_black_and_said(tmp_path: Path) -> None:
    frames = np.full((3, 48, 64, 4), 200, np.uint8)
    frames[:, :, 32:, 3] = 0
    clip = read_clip(make(tmp_path / "a.mov", frames, "png", "rgba", given="rgba"), "x")
    assert clip.notes == ["alpha composited on black"]
    assert (clip.frames[:, :, 32:] == 0).all() and (clip.frames[:, :, :32] == 157).all()  # 200 * 200 / 255


def test_an_alpha_channel_that_hides_nothing_is_no_news(tmp_path: Path) -> None:
    frames = np.concatenate([noise(3), np.full((3, 48, 64, 1), 255, np.uint8)], -1)
    clip = read_clip(make(tmp_path / "a.mov", frames, "png", "rgba", given="rgba"), "x")
    assert clip.notes == [] and np.array_equal(clip.frames, frames[..., :3])


def test_alpha_that_cannot_be_decoded_is_said(tmp_path: Path) -> None:
    frames = np.full((2, 48, 64, 4), 200, np.uint8)
    clip = read_clip(make(tmp_path / "a.webm", frames, "libvpx-vp9", "yuva420p", given="rgba"), "x")
    assert len(clip.frames) == 2 and clip.notes in (
        ["its alpha channel cannot be decoded; colours used as stored"],
        ["alpha composited on black"],  # where FFmpeg has a decoder for it
    )


def test_a_file_that_loses_its_last_frames_is_read_with_a_note(tmp_path: Path) -> None:
    """Matroska again: less than a tenth is missing, so it may be the header that is wrong."""
    path = make(tmp_path / "x.mkv", noise(60))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 95 // 100])
    clip = read_clip(path, "x")
    missing = 60 - len(clip.frames)
    assert 2 < missing < 6
    assert clip.notes == [f"ends {missing / 30:.2f} s before its stated duration; using {60 - missing} frames"]


def test_a_change_of_size_within_a_file_is_refused() -> None:
    found = decode.Decoded(2, 0.0, Fraction(15), RATE)
    decode._take(found, av.VideoFrame.from_ndarray(noise(1)[0], format="rgb24"), "x")
    with pytest.raises(SuiteError, match="x: frame 1 is width 32, height 16 px, those before are width 64, height 48"):
        decode._take(found, av.VideoFrame.from_ndarray(noise(1, 32, 16)[0], format="rgb24"), "x")


def test_gif(tmp_path: Path) -> None:
    pictures = [Image.new("P", (32, 24), n) for n in range(4)]
    for picture in pictures:
        picture.putpalette([value for n in range(256) for value in (n * 40 % 256, 10, 250)])
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=80)
    clip = read_clip(tmp_path / "a.gif", "x")
    assert [tuple(f[0, 0]) for f in clip.frames] == [(n * 40, 10, 250) for n in range(4)]
    assert clip.fps == Fraction(25, 2) and clip.notes == []


def corner(frames: Any) -> Any:
    """A picture whose four quarters differ, so that every turn and mirror image is seen."""
    frames[:, :24, :32], frames[:, :24, 32:], frames[:, 24:, :32], frames[:, 24:, 32:] = 0, 80, 160, 240
    return frames


@pytest.mark.parametrize(("turn", "clockwise"), [(-90, 90), (180, 180), (90, 270)])
def test_rotation_tag_is_applied_and_said(tmp_path: Path, turn: int, clockwise: int) -> None:
    frames = corner(noise(3))
    path = make(tmp_path / "r.mp4", frames, "libx264rgb", "rgb24", rotation=(turn,))
    clip = read_clip(path, "x")
    upright = np.rot90(frames, -clockwise // 90, (1, 2))
    assert np.array_equal(clip.frames, upright)
    height, width = upright.shape[1:3]
    assert clip.notes == [f"rotated {clockwise} degrees by metadata; reading as width {width}, height {height}"]
    found = probe(path, "x")
    assert (found.width, found.height, found.rotation, found.frames_in_header) == (width, height, clockwise, 3)


def test_a_mirrored_clip_is_mirrored_back(tmp_path: Path) -> None:
    frames = corner(noise(3))
    clip = read_clip(make(tmp_path / "m.mp4", frames, "libx264rgb", "rgb24", rotation=(0, True)), "x")
    assert np.array_equal(clip.frames, frames[:, :, ::-1])
    assert clip.notes == ["mirrored and rotated 0 degrees by metadata; reading as width 64, height 48"]


def test_a_slanted_rotation_tag_is_refused(tmp_path: Path) -> None:
    assert "not a multiple of 90 degrees" in refused(make(tmp_path / "r.mp4", noise(3), rotation=(30,)))


def test_real_rotated_clip(clips: Path) -> None:
    clip = read_clip(clips / "odd" / "decord_rotate90.mov", "x")
    assert clip.frames.shape == (3, 568, 320, 3)
    assert clip.notes == ["rotated 90 degrees by metadata; reading as width 320, height 568"]
    with av.open(str(clips / "odd" / "decord_rotate90.mov")) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.array_equal(clip.frames[0], np.rot90(stored, -1))


def test_frames_before_the_edit_list_are_dropped(tmp_path: Path) -> None:
    frames = noise(20)
    clip = read_clip(make(tmp_path / "e.mp4", frames, "libx264rgb", "rgb24", stamp=lambda n: n - 5), "x")
    assert np.array_equal(clip.frames, frames[5:])
    assert clip.notes == ["5 frames before the start of the edit list dropped"]


def test_varying_durations_are_flagged_and_every_frame_is_kept(tmp_path: Path) -> None:
    frames = noise(12)
    path = make(
        tmp_path / "v.mp4", frames, "libx264rgb", "rgb24", Fraction(1, 600), lambda n: n * 20 + (n > 4) * 40 + (n > 8) * 20
    )
    clip = read_clip(path, "x")
    assert np.array_equal(clip.frames, frames) and clip.notes == ["frame durations vary; frames used as stored"]


@pytest.mark.parametrize("name", ["r.mkv", "r.mp4"])
def test_rounding_of_time_stamps_is_not_a_varying_rate(tmp_path: Path, name: str) -> None:
    assert read_clip(make(tmp_path / name, noise(12)), "x").notes == []  # in Matroska steps of 33 and 34 ms


def test_a_dropped_frame_is_a_varying_rate_even_in_coarse_ticks(tmp_path: Path) -> None:
    clip = read_clip(make(tmp_path / "d.avi", noise(12), "ffv1", "bgr0", stamp=lambda n: n + (n > 6)), "x")
    assert "frame durations vary; frames used as stored" in clip.notes


def test_frames_are_put_in_the_order_of_their_stamps() -> None:
    shuffled = np.random.default_rng(3).permutation(17)
    found = decode.Decoded(17, 0.0, Fraction(15), RATE, frames=shuffled.astype(np.uint8).reshape(17, 1, 1, 1).copy(), count=17)
    found.stamps = shuffled.tolist()
    decode._order(found)
    assert found.frames.ravel().tolist() == list(range(17)) and found.notes == []


def test_header_count_differs(tmp_path: Path) -> None:
    path = make(tmp_path / "h.avi", noise(141, 16, 16))
    data = bytearray(path.read_bytes())
    length = data.index(b"strh") + 8 + 32  # of the stream, in its header
    assert data[length : length + 4] == (141).to_bytes(4, "little")
    data[length : length + 4] = (142).to_bytes(4, "little")
    path.write_bytes(data)
    clip = read_clip(path, "x")
    assert len(clip.frames) == 141 and clip.notes == ["header says 142 frames, 141 decode; using 141"]


def test_pixel_aspect_is_said(tmp_path: Path) -> None:
    clip = read_clip(make(tmp_path / "s.mp4", noise(3), sample_aspect_ratio=Fraction(64, 51)), "x")
    assert clip.notes == ["pixel aspect 64:51; pixels used as stored"] and clip.frames.shape == (3, 48, 64, 3)


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.avi"])
def test_a_truncated_file_is_refused_or_kept_up_to_the_damage(tmp_path: Path, name: str) -> None:
    """Matroska and AVI end without any error where they were cut."""
    path = tmp_path / name
    container = {"movflags": "faststart"} if name.endswith("mp4") else {}
    frames = noise(60)
    make(path, frames, "libx264rgb", "rgb24", container=container)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    kept = read_clip(path, "x", truncated=True)
    count = len(kept.frames)
    assert 25 < count < 40 and np.array_equal(kept.frames, frames[:count])
    stops = f"stops at frame {count} of about 60 (truncated or corrupt)"
    assert kept.notes == [f"{stops}; using the first {count}"]
    assert refused(path) == f"x: {stops}. Copy it again, or pass --allow-truncated to use what is there."


def test_an_mp4_cut_before_its_index_cannot_be_read_at_all(tmp_path: Path) -> None:
    path = make(tmp_path / "cut.mp4", noise(30))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert refused(path, truncated=True) == "x: not a readable video (truncated or corrupt). Copy it again or take it out."


def test_real_corrupted_clip(clips: Path) -> None:
    path = clips / "odd" / "decord_corrupted.mp4"
    assert "stops at frame 28 of about 50 (truncated or corrupt)" in refused(path)
    assert len(read_clip(path, "x", truncated=True).frames) == 28


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "0 bytes"),
        (b"this is not a video", "starts with 'this is not...'"),
        (b"\x01\x02\x03\x04", "starts with bytes 01 02 03 04"),
        (b"ffconcat version 1.0\nfile other.mp4\n", "starts with 'ffconcat ver...'"),
    ],
)
def test_not_a_video(tmp_path: Path, content: bytes, why: str) -> None:
    make(tmp_path / "other.mp4", noise(3))  # which a list of files must not reach
    (tmp_path / "x.mp4").write_bytes(content)
    assert refused(tmp_path / "x.mp4") == f"x: not a readable video ({why}). Copy it again or take it out."


def test_audio_only(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert refused(tmp_path / "a.mp4") == "x: has no video stream. Take it out of the suite."


def test_no_frames(tmp_path: Path) -> None:
    path = make(tmp_path / "e.mp4", noise(3), stamp=lambda n: n - 30)  # the edit list begins after the last frame
    assert "decodes to 0 frames" in refused(path)


@pytest.mark.parametrize("rate", [None, Fraction(0), Fraction(12800), Fraction(-3)])
def test_an_impossible_rate_becomes_15(rate: Fraction | None) -> None:
    class Stream:
        average_rate = guessed_rate = rate

    fps, note = decode.stated_fps(Stream())
    assert fps == 15 and note.endswith("using 15")


def test_limits_are_checked_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "x.mp4", noise(9))
    monkeypatch.setattr(decode, "_pictures", lambda *_: pytest.fail("decoded"))
    with monkeypatch.context() as patch:
        patch.setattr(images, "MAX_SIDE", 50)
        assert refused(path).startswith("x: width 64, height 48 px; a side may have at most 50.")
    with monkeypatch.context() as patch:
        patch.setattr(images, "MAX_FRAMES", 8)
        assert refused(path).startswith("x: 9 frames, more than the limit of 8.")
    with monkeypatch.context() as patch:
        patch.setattr(images, "MAX_MEMORY", 9 * 64 * 48 * 3 - 1)
        assert "x: 9 frames of width 64, height 48 px take" in refused(path)
    with monkeypatch.context() as patch:
        patch.setattr(decode, "MAX_BYTES", 100)
        assert "more than the limit" in refused(path)
    with monkeypatch.context() as patch:  # Matroska has no count, only a duration
        patch.setattr(images, "MAX_FRAMES", 8)
        assert refused(make(tmp_path / "x.mkv", noise(9))).startswith("x: 9 frames, more than the limit of 8.")


def test_limits_hold_while_decoding_when_the_header_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "x.mkv", noise(9), container={"live": "1"})
    assert len(read_clip(path, "x").frames) == 9
    monkeypatch.setattr(images, "MAX_FRAMES", 8)
    assert refused(path).startswith("x: 9 frames, more than the limit of 8.")


def test_only_regular_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.mp4")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "s.mp4"))
    listener.close()
    for path in (tmp_path / "fifo.mp4", tmp_path / "s.mp4", Path("/dev/null")):
        with pytest.raises(SuiteError, match=r"^x: neither a regular file nor a folder\."):
            read_clip(path, "x")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    assert refused(tmp_path / "loop.mp4").startswith("x: cannot be read (")
    assert refused(tmp_path / "absent.mp4") == "x: cannot be read (no such file or directory)."


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_no_permission(tmp_path: Path) -> None:
    make(tmp_path / "x.mp4", noise(3)).chmod(0)
    assert refused(tmp_path / "x.mp4") == "x: cannot be read (permission denied)."


@pytest.mark.parametrize("name", ["x.mp4", "x.mkv"])
def test_a_clip_is_held_in_memory_once(tmp_path: Path, name: str) -> None:
    """With and without a count in the header."""
    path = make(tmp_path / name, np.zeros((200, 96, 128, 3), np.uint8))
    tracemalloc.start()
    try:
        clip = read_clip(path, "x")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.3 * clip.frames.nbytes


def test_probe_of_a_file_and_of_a_folder(tmp_path: Path) -> None:
    found = probe(make(tmp_path / "x.mp4", noise(7)), "x")
    assert (found.width, found.height, found.fps, found.frames_in_header, found.rotation) == (64, 48, 30, 7, 0)
    folder = sequence(tmp_path / "f", range(5))
    found = probe(folder, "x")
    assert (found.width, found.height, found.fps, found.frames_in_header) == (32, 24, 24, 5)
    with pytest.raises(SuiteError, match="x: cannot be read"):
        probe(tmp_path / "absent.mp4", "x")


# --- folders of images -------------------------------------------------------------------------------------------------


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


def test_gaps_in_names_without_padding(tmp_path: Path) -> None:
    said = refused(sequence(tmp_path / "f", [8, 9, 11], "img{}.png"))
    assert said.startswith("x: frame img10.png is missing between img9 and img11 (3 of 4 present).")


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


def test_half_a_jpeg_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(noise(1)[0]).save(folder / f"{number:05d}.jpg")
    whole = (folder / "00001.jpg").read_bytes()
    (folder / "00001.jpg").write_bytes(whole[: len(whole) // 2])
    said = refused(folder)
    assert said.startswith("x/00001.jpg: image is cut short (") and "bytes not processed)" in said


@pytest.mark.parametrize("part", [0.0, 0.02, 0.3, 0.7])
def test_damaged_pngs_are_refused_without_a_traceback(tmp_path: Path, part: float) -> None:
    folder = sequence(tmp_path / "f", range(2))
    Image.fromarray(noise(1, 32, 24)[0]).save(folder / "00001.png")
    whole = (folder / "00001.png").read_bytes()
    (folder / "00001.png").write_bytes(whole[: int(len(whole) * part)])
    assert refused(folder).startswith("x/00001.png: ")


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
    assert (probe(tmp_path / "f", "x").width, probe(tmp_path / "f", "x").height) == (48, 64)


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


def test_a_palette_with_a_transparent_colour_is_laid_on_black(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    palette().save(tmp_path / "f" / "0.png", transparency=3)
    clip = read_clip(tmp_path / "f", "x")
    assert not clip.frames.any() and "1 of 1 images: alpha composited on black" in clip.notes


def test_sixteen_bit_colour_is_said(tmp_path: Path) -> None:
    deep = np.broadcast_to(np.uint16([257 * 9, 257 * 200, 257 * 31]), (1, 8, 8, 3)).copy()
    (tmp_path / "f").mkdir()
    with av.open(str(tmp_path / "f" / "0.png"), "w", format="image2", options={"update": "1"}) as out:
        stream = out.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "rgb48be"
        frame = av.VideoFrame.from_ndarray(deep[0], format="rgb48le").reformat(format="rgb48be")
        out.mux([*stream.encode(frame), *stream.encode(None)])
    clip = read_clip(tmp_path / "f", "x")
    assert (clip.frames == [9, 200, 31]).all() and "16-bit" in clip.notes[0]


def test_limits_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sequence(tmp_path / "f", range(5))
    with monkeypatch.context() as patch:
        patch.setattr(images, "MAX_FRAMES", 4)
        assert refused(folder) == "x: more than 4 images. Cut the clip first."
    monkeypatch.setattr(images, "MAX_SIDE", 30)
    assert refused(folder).startswith("x/00000.png: width 32, height 24 px; a side may have at most 30.")


def test_an_empty_folder(tmp_path: Path) -> None:
    assert refused(tmp_path).startswith("x: the folder holds no images (.png,")


# --- size policies -----------------------------------------------------------------------------------------------------

POLICIES = ("crop", "stretch", "pad")
sides = st.integers(24, 72)
SIZES = st.tuples(sides, sides, sides, sides)


def inside(point: Any, width: int, height: int, margin: float = 3.0) -> bool:
    return margin <= point[0] <= width - margin and margin <= point[1] <= height - margin


@settings(max_examples=60, deadline=None)
@given(SIZES, st.sampled_from(POLICIES), st.floats(0, 1), st.floats(0, 1))
def test_a_dot_lands_where_fit_points_says(sizes: tuple[int, int, int, int], fit: Any, across: float, down: float) -> None:
    width, height, to_width, to_height = sizes
    left, top = round(across * (width - 6)), round(down * (height - 6))
    frames, masks = np.zeros((1, height, width, 3), np.uint8), np.zeros((1, height, width), np.int32)
    frames[:, top : top + 6, left : left + 6] = 255
    masks[:, top : top + 6, left : left + 6] = 70_001
    corners = np.array([[left, top], [left + 6, top + 6]], float)
    said = fit_points(corners, (width, height), (to_width, to_height), fit)
    if not (inside(said[0], to_width, to_height, 1) and inside(said[1], to_width, to_height, 1)):
        return  # cut by the crop or at the rim, where the filter sees only one side
    centre = said.mean(0)
    light = fit_frames(frames, to_width, to_height, fit)[0, ..., 0].astype(float)
    mask = fit_masks(masks, to_width, to_height, fit)[0]
    assert set(np.unique(mask)) == {0, 70_001}
    rows, columns = np.indices(light.shape) + 0.5
    for weight, tolerance in ((light, 0.5), ((mask > 0).astype(float), 0.51)):
        found = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
        assert np.abs(found - centre).max() < tolerance, (found, centre)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.sampled_from(POLICIES))
def test_masks_cover_what_frames_show(sizes: tuple[int, int, int, int], fit: Any) -> None:
    """All of a white frame is shown where a mask of ones is 1, and bars are black where it is 0."""
    width, height, to_width, to_height = sizes
    light = fit_frames(np.full((1, height, width, 3), 255, np.uint8), to_width, to_height, fit)[0, ..., 0]
    mask = fit_masks(np.ones((1, height, width), bool), to_width, to_height, fit)[0]
    assert mask.dtype == bool and np.array_equal(light == 255, mask) and np.array_equal(light == 0, ~mask)
    assert mask.all() or fit == "pad"


def test_crop_of_davis_takes_11_px_from_each_side() -> None:
    assert crop_box(854, 480, 832, 480) == (11, 0, 843, 480)
    frames = noise(1, 854, 480)
    assert np.array_equal(fit_frames(frames, 832, 480), frames[:, :, 11:843])


def test_pad_adds_equal_black_bars() -> None:
    out = fit_frames(np.full((1, 32, 64, 3), 9, np.uint8), 64, 64, "pad")
    assert not out[:, :16].any() and not out[:, 48:].any() and (out[:, 16:48] == 9).all()


def test_points_in_pixels_by_hand() -> None:
    middle_of_first_pixel = np.array([[0.5, 0.5]], np.float32)
    assert fit_points(middle_of_first_pixel, (64, 32), (128, 64), "crop").tolist() == [[1.0, 1.0]]
    assert fit_points(middle_of_first_pixel, (64, 32), (64, 64), "pad").tolist() == [[0.5, 16.5]]
    assert fit_points(middle_of_first_pixel, (64, 32), (32, 32), "crop").tolist() == [[-15.5, 0.5]]
    assert fit_points(np.zeros((2, 5, 2), np.int64), (64, 32), (32, 32), "stretch").shape == (2, 5, 2)


def test_an_unknown_policy() -> None:
    with pytest.raises(SpecError, match="fit 'zoom' unknown: crop, stretch, pad"):
        fit_frames(noise(1), 8, 8, "zoom")  # type: ignore[arg-type]


def test_what_was_written_without_loss_is_read_without_loss(tmp_path: Path) -> None:
    frames = noise(5, 47, 33)
    write_lossless(tmp_path / "x.mkv", frames, Fraction(30000, 1001))
    clip = read_clip(tmp_path / "x.mkv", "x")
    assert np.array_equal(clip.frames, frames) and clip.notes == []

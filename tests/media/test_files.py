"""Reading video files: what is kept, what is said about it, and what is refused."""

from __future__ import annotations

import os
import socket
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from support.clips import corner, make, noise, refused

from fastvmt.errors import DamagedFile, SuiteError
from fastvmt.media import decode, image_folders
from fastvmt.media.files import read_clip, read_lossless, write_lossless

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


def test_a_file_that_loses_its_last_frames_is_read_with_a_note(tmp_path: Path) -> None:
    """Matroska again: less than a tenth is missing, so it may be the header that is wrong."""
    path = make(tmp_path / "x.mkv", noise(60))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 95 // 100])
    clip = read_clip(path, "x")
    missing = 60 - len(clip.frames)
    assert 2 < missing < 6
    assert clip.notes == [f"ends {missing / 30:.2f} s before its stated duration; using {60 - missing} frames"]


def test_gif(tmp_path: Path) -> None:
    pictures = [Image.new("P", (32, 24), n) for n in range(4)]
    for picture in pictures:
        picture.putpalette([value for n in range(256) for value in (n * 40 % 256, 10, 250)])
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=80)
    clip = read_clip(tmp_path / "a.gif", "x")
    assert [tuple(f[0, 0]) for f in clip.frames] == [(n * 40, 10, 250) for n in range(4)]
    assert clip.fps == Fraction(25, 2) and clip.notes == []


@pytest.mark.parametrize(("turn", "clockwise"), [(-90, 90), (180, 180), (90, 270)])
def test_rotation_tag_is_applied_and_said(tmp_path: Path, turn: int, clockwise: int) -> None:
    frames = corner(noise(3))
    path = make(tmp_path / "r.mp4", frames, "libx264rgb", "rgb24", rotation=(turn,))
    clip = read_clip(path, "x")
    upright = np.rot90(frames, -clockwise // 90, (1, 2))
    assert np.array_equal(clip.frames, upright)
    height, width = upright.shape[1:3]
    assert clip.notes == [f"rotated {clockwise} degrees by metadata; reading as width {width}, height {height}"]


def test_a_mirrored_clip_is_mirrored_back(tmp_path: Path) -> None:
    frames = corner(noise(3))
    clip = read_clip(make(tmp_path / "m.mp4", frames, "libx264rgb", "rgb24", rotation=(0, True)), "x")
    assert np.array_equal(clip.frames, frames[:, :, ::-1])
    assert clip.notes == ["mirrored and rotated 0 degrees by metadata; reading as width 64, height 48"]


def test_a_slanted_rotation_tag_is_refused(tmp_path: Path) -> None:
    assert "not a multiple of 90 degrees" in refused(make(tmp_path / "r.mp4", noise(3), rotation=(30,)))


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


def test_a_dropped_frame_is_a_varying_rate_even_in_coarse_ticks(tmp_path: Path) -> None:
    clip = read_clip(make(tmp_path / "d.avi", noise(12), "ffv1", "bgr0", stamp=lambda n: n + (n > 6)), "x")
    assert "frame durations vary; frames used as stored" in clip.notes


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


def test_limits_are_checked_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "x.mp4", noise(9))
    monkeypatch.setattr(decode, "_pictures", lambda *_: pytest.fail("decoded"))
    with monkeypatch.context() as patch:
        patch.setattr(image_folders, "MAX_SIDE", 50)
        assert refused(path).startswith("x: width 64, height 48 px; a side may have at most 50.")
    with monkeypatch.context() as patch:
        patch.setattr(image_folders, "MAX_FRAMES", 8)
        assert refused(path).startswith("x: 9 frames, more than the limit of 8.")
    with monkeypatch.context() as patch:
        patch.setattr(image_folders, "MAX_MEMORY", 9 * 64 * 48 * 3 - 1)
        assert "x: 9 frames of width 64, height 48 px take" in refused(path)
    with monkeypatch.context() as patch:
        patch.setattr(decode, "MAX_BYTES", 100)
        assert "more than the limit" in refused(path)
    with monkeypatch.context() as patch:  # Matroska has no count, only a duration
        patch.setattr(image_folders, "MAX_FRAMES", 8)
        assert refused(make(tmp_path / "x.mkv", noise(9))).startswith("x: 9 frames, more than the limit of 8.")


def test_limits_hold_while_decoding_when_the_header_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "x.mkv", noise(9), container={"live": "1"})
    assert len(read_clip(path, "x").frames) == 9
    monkeypatch.setattr(image_folders, "MAX_FRAMES", 8)
    assert refused(path).startswith("x: 9 frames, more than the limit of 8.")


def test_a_clip_that_no_memory_holds_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise MemoryError

    path = make(tmp_path / "x.mp4", noise(3))
    monkeypatch.setattr(np, "empty", full)
    assert refused(path) == "x: its frames need more memory than there is here. Cut it, or make it smaller."


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


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user who may not read everything: run the tests without root")
def test_no_permission(tmp_path: Path) -> None:
    make(tmp_path / "x.mp4", noise(3)).chmod(0)
    assert refused(tmp_path / "x.mp4") == "x: cannot be read (permission denied)."


def test_what_a_run_holds_as_frames_names_no_other_file(tmp_path: Path) -> None:
    """FFmpeg would read a list of files for the video that they make."""
    write_lossless(tmp_path / "secret.mkv", noise(3), Fraction(15))
    (tmp_path / "frames.mkv").write_text("ffconcat version 1.0\nfile secret.mkv\n")
    with pytest.raises(DamagedFile):
        read_lossless(tmp_path / "frames.mkv")
    assert np.array_equal(read_lossless(tmp_path / "secret.mkv"), noise(3))


# --- frames that we stored -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(5, 32, 40), (9, 32, 40), (7, 40, 32), (7, 32, 2**30), (20_001, 32, 40), (16_000, 8192, 8192)]
)
def test_stored_frames_of_another_shape_than_recorded_are_not_decoded_on(
    tmp_path: Path, shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (7, 32, 40, 3), dtype=np.uint8)
    write_lossless(tmp_path / "frames.mkv", frames, Fraction(15))
    assert np.array_equal(read_lossless(tmp_path / "frames.mkv", (7, 32, 40)), frames)
    made: list[int] = []
    real = np.empty
    monkeypatch.setattr("fastvmt.media.files.np.empty", lambda size, kind: made.append(int(np.prod(size))) or real(size, kind))
    with pytest.raises(DamagedFile, match="frames.mkv: cannot be decoded"):
        read_lossless(tmp_path / "frames.mkv", shape)
    assert all(size <= 9 * 32 * 40 * 3 for size in made)


def test_limits_hold_for_stored_frames_without_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lossless(tmp_path / "x.mkv", np.zeros((64, 256, 256, 3), np.uint8), Fraction(15))
    monkeypatch.setattr(image_folders, "MAX_MEMORY", 1 << 20)
    with pytest.raises(DamagedFile, match="more than the limit"):
        read_lossless(tmp_path / "x.mkv")
    (tmp_path / "list.mkv").write_text("#EXTM3U\nx.mkv\n")
    for name in ("list.mkv", "none.mkv", "."):
        with pytest.raises(DamagedFile):
            read_lossless(tmp_path / name)


def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frames = noise(3)
    for name in ("a:b.mkv", "http:c.mkv", "concat:d.mkv"):
        write_lossless(Path(name), frames, Fraction(15))
        assert Path(name).is_file() and (read_lossless(Path(name)) == frames).all()

"""Decoding video files through PyAV: frames in the order of their time stamps, upright, RGB, each held in memory once."""

from __future__ import annotations

import itertools
import math
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from fastvmt.core.spelling import gib
from fastvmt.errors import SuiteError
from fastvmt.media.framing import Frames
from fastvmt.media.image_folders import check_memory, check_side, how_it_starts, on_black

MAX_BYTES = 4 << 30
MAX_FPS, USUAL_FPS = 1000, Fraction(15)
# A playlist or a list of files would make FFmpeg open other files than the one that was named.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,gif,avi,mpegts,mpeg,flv,asf,ogg,ivf,mp3,wav,aac,flac"
ATTACHED_PICTURE = 1024
"""FFmpeg's flag for the cover picture of an audio file, which is no video."""
MISSING = 0.1
"""A file whose frames end this part of its stated duration early is truncated; headers that are a frame off are common."""


@dataclass
class Decoded:
    """What came out of a file.

    Attributes:
        frames: filled up to ``count``; expected: frames by the header, 0 when it does not say; seconds: duration by the
            header, 0 when it does not say.
        stamps: time stamps in ticks of the stream, None where a frame has none; ends: of the frame that ends last.
        outside: frames before the start of the edit list; stopped: decoding met damage.
    """

    expected: int
    seconds: float
    fps: Fraction
    tick: Fraction
    frames: Frames = field(default_factory=lambda: np.empty((0, 0, 0, 3), np.uint8))
    count: int = 0
    stamps: list[int | None] = field(default_factory=list)
    ends: int = 0
    outside: int = 0
    stopped: bool = False
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def decode(path: Path, name: str, truncated: bool) -> tuple[Frames, Fraction, list[str]]:
    """All frames of a video file, its frames per second, and what was remarkable.

    Raises:
        SuiteError: one sentence beginning with ``name``; damage is refused unless ``truncated``, which keeps what is
            before it.
    """
    with opened(path, name) as (container, stream):
        found = _header(container, stream, name)
        try:
            for frame in _pictures(container, stream, found):
                if frame.is_corrupt:
                    found.stopped = True
                    break
                _take(found, frame, name)
        except av.error.FFmpegError:
            found.stopped = True
    _judge_end(found, name, truncated)
    _order(found)
    return found.frames, found.fps, found.notes


def _pictures(container: Any, stream: Any, found: Decoded) -> Iterator[Any]:
    """Decoded frames; those that the edit list leaves out never arrive, so they are counted where they are read."""
    for packet in container.demux(stream):
        found.outside += bool(packet.is_discard)
        yield from packet.decode()


@contextmanager
def opened(path: Path, name: str) -> Iterator[tuple[Any, Any]]:
    """PyAV's container and video stream of a file that is small enough to read."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise SuiteError(f"{name}: neither a regular file nor a folder. Take it out of the suite.")
        start = how_it_starts(path)
    except OSError as error:
        raise SuiteError(f"{name}: cannot be read ({(error.strerror or 'unknown reason').lower()}).") from None
    if about.st_size > MAX_BYTES:
        raise SuiteError(f"{name}: {gib(about.st_size)}, more than the limit of {gib(MAX_BYTES)}. Cut it first.")
    try:
        # 'file:' keeps FFmpeg from taking the part of a name before a colon for a protocol.
        with av.open(f"file:{path}", options={"format_whitelist": FORMATS}, metadata_errors="replace") as container:
            streams = [s for s in container.streams.video if not int(getattr(s, "disposition", 0)) & ATTACHED_PICTURE]
            if not streams:
                raise SuiteError(f"{name}: has no video stream. Take it out of the suite.")
            if streams[0].codec_context is None:
                raise SuiteError(f"{name}: its video codec is not supported. Convert it to H.264 first.")
            yield container, streams[0]
    except av.error.FFmpegError:
        what = start if start == "0 bytes" or not _looks_like_video(path) else "truncated or corrupt"
        raise SuiteError(f"{name}: not a readable video ({what}). Copy it again or take it out.") from None


def _looks_like_video(path: Path) -> bool:
    with open(path, "rb") as file:
        head = file.read(12)
    return head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide") or head[:4] in (b"\x1aE\xdf\xa3", b"RIFF", b"GIF8")


def stated_fps(stream: Any) -> tuple[Fraction, str]:
    """Frames per second by the header, and a note when that is no usable number."""
    rate = stream.average_rate or stream.guessed_rate
    if rate and 0 < rate <= MAX_FPS:
        return Fraction(rate), ""
    said = f"{float(rate):g} frames a second" if rate else "no frame rate"
    return USUAL_FPS, f"header says {said}; using {USUAL_FPS}"


def _header(container: Any, stream: Any, name: str) -> Decoded:
    """What the header says, checked against the limits before anything is decoded."""
    fps, note = stated_fps(stream)
    found = Decoded(stream.frames, _stated_seconds(container, stream, fps), fps, stream.time_base or Fraction(1))
    if note:
        found.note(note)
    if len(container.streams.video) > 1:
        found.note(f"{len(container.streams.video)} video streams; the first is used")
    check_side(stream.width, stream.height, name)
    check_memory(found.expected or int(found.seconds * fps), stream.width, stream.height, name)
    has_alpha = any(part.is_alpha for part in stream.format.components) if stream.format else False
    if stream.metadata.get("alpha_mode") == "1" and not has_alpha:
        found.note("its alpha channel cannot be decoded; colours used as stored")
    aspect = stream.sample_aspect_ratio
    if aspect and aspect != 1:
        found.note(f"pixel aspect {aspect.numerator}:{aspect.denominator}; pixels used as stored")
    return found


def _stated_seconds(container: Any, stream: Any, fps: Fraction) -> float:
    """The video's duration by the header, 0 when only other streams or a guess give one."""
    kind = container.format.name
    if "matroska" in kind:
        tag = next((str(v) for k, v in stream.metadata.items() if k.upper().startswith("DURATION")), "")
        hours, minutes, seconds = ([*tag.split(":"), "", ""])[:3]
        try:
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        except ValueError:
            return container.duration / av.time_base if container.duration and len(container.streams) == 1 else 0.0
    if kind == "avi":  # its duration is that of the bytes at hand, its count that of the header
        return float(stream.frames / fps)
    return float(stream.duration * stream.time_base) if "mp4" in kind and stream.duration else 0.0


def _take(found: Decoded, frame: Any, name: str) -> None:
    picture = _upright(found, frame, _rgb(found, frame), name)
    height, width = picture.shape[:2]
    if found.count == 0:
        check_side(width, height, name)
        # The header may be wrong in either direction, so memory is asked for as frames come.
        found.frames = np.empty((min(found.expected or 64, 1024), height, width, 3), np.uint8)
    elif picture.shape != found.frames.shape[1:]:
        before_height, before_width = found.frames.shape[1:3]
        raise SuiteError(
            f"{name}: frame {found.count} is width {width}, height {height} px, those before are width {before_width}, "
            f"height {before_height}. Split the file there."
        )
    check_memory(found.count + 1, width, height, name)
    if found.count == len(found.frames):
        # In place: the operating system extends the block, where a new array would hold the clip twice.
        found.frames.resize((found.count + found.count // 8 + 16, height, width, 3), refcheck=False)
    found.frames[found.count] = picture
    found.count += 1
    found.stamps.append(frame.pts)
    found.ends = max(found.ends, (frame.pts or 0) + (getattr(frame, "duration", 0) or 0))


def _rgb(found: Decoded, frame: Any) -> Frames:
    parts = frame.format.components
    if max((part.bits for part in parts), default=8) > 8:
        found.note(f"{max(part.bits for part in parts)} bits a channel; reduced to 8")
    if frame.format.name.startswith(("gray", "ya", "mono")):
        found.note("grey, read as RGB")
    if not any(part.is_alpha for part in parts):
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    rgba = np.asarray(frame.to_ndarray(format="rgba"), np.uint8)
    if rgba[..., 3].min() == 255:  # a GIF has an alpha channel even when it hides nothing
        return rgba[..., :3]
    found.note("alpha composited on black")
    return on_black(rgba)


def _upright(found: Decoded, frame: Any, picture: Frames, name: str) -> Frames:
    """The picture turned and mirrored as the display matrix says: position (x, y) is shown at (a x + c y, b x + d y)."""
    tag = frame.side_data.get("DISPLAYMATRIX")
    if tag is None:
        return picture
    exact = np.frombuffer(bytes(tag), np.int32)[[0, 1, 3, 4]] / 65536
    a, b, c, d = (int(value) for value in np.rint(exact))
    if abs(a * d - b * c) != 1 or abs(a) + abs(b) != 1 or np.abs(exact - (a, b, c, d)).max() >= 0.01:
        raise SuiteError(f"{name}: its rotation tag is not a multiple of 90 degrees. Encode it again without the tag.")
    if (a, b, c, d) == (1, 0, 0, 1):
        return picture
    if a == 0:
        picture = picture.swapaxes(0, 1)
    picture = picture[:: -1 if b + d < 0 else 1, :: -1 if a + c < 0 else 1]
    height, width = picture.shape[:2]
    sign, mirrored = (-1, "mirrored and ") if a * d - b * c < 0 else (1, "")
    turn = round(math.degrees(math.atan2(sign * b, sign * a))) % 360
    found.note(f"{mirrored}rotated {turn} degrees by metadata; reading as width {width}, height {height}")
    return picture


def _judge_end(found: Decoded, name: str, truncated: bool) -> None:
    """Refuse, or note, a file that ends before its header says it does."""
    expected = max(0, found.expected - found.outside) or round(found.seconds * found.fps)
    if not found.stopped and not found.count:
        raise SuiteError(f"{name}: decodes to 0 frames. Take it out of the suite.")
    early = _seconds_missing(found)
    if found.stopped or early > MISSING * found.seconds:
        about = f" of about {expected}" if expected else ""
        stops = f"stops at frame {found.count}{about} (truncated or corrupt)"
        if not found.count:
            raise SuiteError(f"{name}: {stops}. Copy it again or take it out.")
        if not truncated:
            raise SuiteError(f"{name}: {stops}. Copy it again, or pass --allow-truncated to use what is there.")
        found.note(f"{stops}; using the first {found.count}")
    elif found.expected and expected != found.count:
        found.note(f"header says {found.expected} frames, {found.count} decode; using {found.count}")
    elif early:
        found.note(f"ends {early:.2f} s before its stated duration; using {found.count} frames")


def _seconds_missing(found: Decoded) -> float:
    """Stated time without frames, 0 for little: Matroska and AVI end without an error where they were cut."""
    stamps = [stamp for stamp in found.stamps if stamp is not None]
    if not found.seconds or not stamps:
        return 0.0
    longest = max((b - a for a, b in itertools.pairwise(stamps)), default=0)
    missing = found.seconds - float((found.ends - min(0, *stamps)) * found.tick)
    # The last frame may be held as long as any other without the file saying so.
    hold = max(1 / float(found.fps), float(longest * found.tick))
    return missing if missing > 2 * hold else 0.0


def _order(found: Decoded) -> None:
    """Order by time stamp, leave out what is before 0, flag steps that vary, and give unused memory back."""
    shape = found.frames.shape[1:]
    found.frames.resize((found.count, *shape), refcheck=False)
    if None not in found.stamps:
        stamps = np.array(found.stamps, np.int64)
        order = np.argsort(stamps, kind="stable")
        if (order != np.arange(found.count)).any():
            _permute(found.frames, order.tolist())
        stamps = stamps[order]
        early = int((stamps < 0).sum())
        if 0 < early < found.count:
            found.frames, stamps, found.outside = found.frames[early:], stamps[early:], found.outside + early
        if _varies(np.diff(stamps), found.tick):
            found.note("frame durations vary; frames used as stored")
    if found.outside:
        found.note(f"{found.outside} frames before the start of the edit list dropped")


def _permute(frames: Frames, order: list[int]) -> None:
    """``frames[:] = frames[order]`` with one frame of extra memory."""
    for start in range(len(order)):
        if order[start] == start:
            continue
        kept, here = frames[start].copy(), start
        while order[here] != start:
            source = order[here]
            frames[here], order[here] = frames[source], here
            here = source
        frames[here], order[here] = kept, here


def _varies(steps: Any, tick: Fraction) -> bool:
    """Whether steps between frames differ by more than 1 %, beyond what rounding to fine ticks explains."""
    if len(steps) < 2:
        return False
    spread, usual = int(steps.max() - steps.min()), float(np.median(steps))
    # Matroska counts milliseconds: 30 frames a second are steps of 33 and 34 there.
    rounding = 1 if usual >= 7 else 0
    return spread > max(rounding, 0.01 * usual)

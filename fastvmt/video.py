"""Reading, writing and probing video through PyAV. Frames are uint8 RGB arrays of shape (T, H, W, 3)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastvmt.errors import SuiteError

Frames = NDArray[np.uint8]
MAX_BYTES, MAX_FRAMES, MAX_PIXELS = 4 << 30, 20_000, 8192 * 8192
VIDEO_SUFFIXES = (".mp4", ".mov", ".webm", ".gif", ".mkv", ".avi")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


@dataclass
class Clip:
    """Decoded frames and what was remarkable about the file."""

    frames: Frames
    fps: Fraction
    notes: list[str] = field(default_factory=list)


def read_clip(path: Path, name: str) -> Clip:
    """Decode a whole file or a folder of images.

    Frames are counted by decoding, ordered by time stamp, and turned upright by the file's rotation tag.

    Raises:
        SuiteError: one sentence beginning with ``name``: unreadable, truncated, without video, too large.
    """
    return _read_images(path, name) if path.is_dir() else _read_video(path, name)


def _read_video(path: Path, name: str) -> Clip:
    size = path.stat().st_size
    if size == 0:
        raise SuiteError(f"{name}: not a readable video (0 bytes). Copy it again or take it out.")
    if size > MAX_BYTES:
        raise SuiteError(f"{name}: {size / 2**30:.1f} GB, more than the limit of {MAX_BYTES >> 30} GB. Cut it first.")
    stamped: list[tuple[int, Frames]] = []
    notes: list[str] = []
    expected, fps, stopped = 0, Fraction(15), ""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise SuiteError(f"{name}: has no video stream. Take it out of the suite.")
            stream = container.streams.video[0]
            expected = stream.frames
            fps = Fraction(stream.average_rate or stream.guessed_rate or 15)
            if stream.width * stream.height > MAX_PIXELS:
                raise SuiteError(f"{name}: {stream.width}x{stream.height} px (width x height) is beyond the limit.")
            try:
                for frame in container.decode(stream):
                    if frame.is_corrupt:
                        stopped = "a damaged frame"
                        break
                    stamp = frame.pts if frame.pts is not None else len(stamped)
                    stamped.append((stamp, _upright(frame)))
                    if len(stamped) > MAX_FRAMES:
                        raise SuiteError(f"{name}: more than {MAX_FRAMES} frames. Cut it first.")
            except av.error.FFmpegError as error:
                stopped = str(error.strerror)
    except av.error.FFmpegError as error:
        raise SuiteError(f"{name}: not a readable video ({error.strerror}). Copy it again or take it out.") from None
    if stopped:
        about = f" of about {expected}" if expected else ""
        raise SuiteError(f"{name}: stops at frame {len(stamped)}{about} (truncated or corrupt). Copy it again or take it out.")
    if not stamped:
        raise SuiteError(f"{name}: decodes to 0 frames. Take it out of the suite.")
    stamped.sort(key=lambda pair: pair[0])
    if expected and expected != len(stamped):
        notes.append(f"header says {expected} frames, {len(stamped)} decode; using {len(stamped)}")
    gaps = {b[0] - a[0] for a, b in itertools.pairwise(stamped)}
    if len(gaps) > 1 and max(gaps) > 1.5 * min(gaps):
        notes.append("frame durations vary; frames used as stored")
    return Clip(np.stack([f for _, f in stamped]), fps, notes)


def _upright(frame: av.VideoFrame) -> Frames:
    picture = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture


def _read_images(path: Path, name: str) -> Clip:
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    if not files:
        raise SuiteError(f"{name}: the folder holds no images ({', '.join(IMAGE_SUFFIXES)}).")
    pictures = []
    for file in files:
        try:
            with Image.open(file) as image:
                pictures.append(np.asarray(image.convert("RGB")))
        except (OSError, ValueError) as error:
            raise SuiteError(f"{name}/{file.name}: not a readable image ({error}).") from None
        if pictures[-1].shape != pictures[0].shape:
            (h, w, _), (h0, w0, _) = pictures[-1].shape, pictures[0].shape
            raise SuiteError(f"{name}: frame {file.stem} is {w}x{h} px, the others are {w0}x{h0} (width x height).")
    return Clip(np.stack(pictures), Fraction(24))


def fit_frames(frames: Frames, width: int, height: int) -> Frames:
    """Centre-crop to the aspect ratio, then resize (area when shrinking, Lanczos when growing)."""
    _, h, w, _ = frames.shape
    if (w, h) == (width, height):
        return frames
    scale = max(width / w, height / h)
    cut_w, cut_h = min(w, round(width / scale)), min(h, round(height / scale))
    left, top = (w - cut_w) // 2, (h - cut_h) // 2
    box = (left, top, left + cut_w, top + cut_h)
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.LANCZOS
    return np.stack([np.asarray(Image.fromarray(f).resize((width, height), how, box=box)) for f in frames])


def write_lossless(path: Path, frames: Frames, fps: Fraction) -> None:
    """FFV1 in Matroska, RGB: the frames that are scored."""
    _encode(path, frames, fps, "ffv1", "bgr0", {})


def write_exact_mp4(path: Path, frames: Frames, fps: Fraction) -> None:
    """H.264 in RGB without loss (libx264rgb, qp 0): an mp4 for readers that take nothing else; decodes to the same frames."""
    _encode(path, frames, fps, "libx264rgb", "rgb24", {"qp": "0", "preset": "ultrafast", "threads": "1"})


def write_viewable(path: Path, frames: Frames, fps: Fraction) -> None:
    """A small H.264 mp4 for the eye; never scored. Sides below 128 px are enlarged without smoothing."""
    times = max(1, round(256 / min(frames.shape[1:3]))) if min(frames.shape[1:3]) < 128 else 1
    big = frames.repeat(times, 1).repeat(times, 2)
    big = big[:, : big.shape[1] // 2 * 2, : big.shape[2] // 2 * 2]
    _encode(path, big, fps, "libx264", "yuv420p", {"crf": "18", "preset": "veryfast", "threads": "1"})


def _encode(path: Path, frames: Frames, fps: Fraction, codec: str, pixels: str, options: dict[str, str]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps.limit_denominator(60000), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        for picture in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


def read_lossless(path: Path) -> Frames:
    """Frames as ``write_lossless`` stored them.

    Raises:
        OSError: when the file is damaged.
    """
    try:
        with av.open(str(path)) as container:
            return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    except (av.error.FFmpegError, ValueError) as error:
        raise OSError(f"{path}: cannot be decoded ({error})") from error

"""Clips in and out: video files and folders of images to frames, and frames to video files.

Frames are uint8 RGB arrays of shape (T, H, W, 3). Files are decoded in ``decode``, folders of images are read in ``images``,
and sizes are changed in ``fit``; all of it is reached from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from fastvmt.errors import DamagedFile, SuiteError
from fastvmt.media.decode import decode, opened
from fastvmt.media.framing import Fit, Frames, crop_box, fit_frames, fit_masks, fit_points
from fastvmt.media.image_folders import IMAGE_SUFFIXES, check_memory, check_side, read_images

__all__ = [
    "IMAGE_SUFFIXES", "VIDEO_SUFFIXES", "Clip", "Fit", "Frames", "crop_box", "fit_frames", "fit_masks", "fit_points",
    "list_videos", "read_clip", "read_lossless", "write_exact_mp4", "write_lossless", "write_viewable",
]  # fmt: skip

VIDEO_SUFFIXES = (".mp4", ".mov", ".webm", ".gif", ".mkv", ".avi")
IMAGES_FPS = Fraction(24)
"""For folders of images, which store no frames per second."""


def list_videos(folder: Path) -> list[Path]:
    """Video files that lie directly in a folder, sorted; hidden ones are passed over.

    Raises:
        OSError: when the folder cannot be read.
    """
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and p.name[0] != "." and p.is_file())


@dataclass
class Clip:
    """Decoded frames and what was remarkable about the file."""

    frames: Frames
    fps: Fraction
    notes: list[str] = field(default_factory=list)


def read_clip(path: Path, name: str, *, truncated: bool = False) -> Clip:
    """Decode a whole video file or a folder of images.

    Frames are counted by decoding, ordered by time stamp, left as they are where their durations vary, and turned upright
    by the file's rotation tag; alpha is laid on black. Whatever was done to them is in the notes.

    Args:
        name: what messages call the clip.
        truncated: keep the frames before the damage of a truncated file instead of refusing it.

    Raises:
        SuiteError: one sentence beginning with ``name``: unreadable, truncated, without video, too large.
    """
    try:
        if path.is_dir():
            frames, notes = read_images(path, name)
            return Clip(frames, IMAGES_FPS, notes)
        return Clip(*decode(path, name, truncated))
    except MemoryError:
        raise SuiteError(f"{name}: its frames need more memory than there is here. Cut it, or make it smaller.") from None


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
    with av.open(f"file:{path}", "w") as container:  # see decode.opened: a colon in a name is no protocol
        stream = container.add_stream(codec, rate=fps.limit_denominator(60000), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        for picture in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


def read_lossless(path: Path, shape: tuple[int, int, int] | None = None) -> Frames:
    """Frames as ``write_lossless`` stored them.

    Args:
        shape: frames, height and width, as its record says. A small file can decode to more than any memory holds: nothing is
            decoded of another size, nor beyond so many frames.

    Raises:
        DamagedFile: an OSError too; when it is not there, damaged, of another shape, or beyond the limits of clips.
    """
    try:
        with opened(path, path.name) as (container, stream):
            frames, height, width = shape or (None, stream.height, stream.width)
            if (stream.height, stream.width) != (height, width):
                raise ValueError(f"height {stream.height}, width {stream.width} px, not {height} and {width}")
            check_side(width, height, path.name)
            check_memory(frames or 1, width, height, path.name)
            pictures = _counted(container.decode(stream), frames, height, width, path.name)
            if frames is None:
                return np.stack(list(pictures))
            found = np.empty((frames, height, width, 3), np.uint8)
            for number, picture in enumerate(pictures):
                found[number] = picture
            return found
    except (av.error.FFmpegError, ValueError, SuiteError) as error:
        raise DamagedFile(f"{path}: cannot be decoded ({error})") from error
    except MemoryError:
        raise DamagedFile(f"{path}: it decodes to more than there is memory for") from None


def _counted(decoded: Iterable[Any], frames: int | None, height: int, width: int, name: str) -> Iterator[Frames]:
    """Pictures of one size, as many as there should be."""
    count = 0
    for count, frame in enumerate(decoded, start=1):
        if (frame.height, frame.width) != (height, width):
            raise ValueError(f"frame {count} is height {frame.height}, width {frame.width} px")
        if frames is not None and count > frames:
            raise ValueError(f"more than {frames} frames")
        check_memory(count, width, height, name)
        yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    if count != (frames or count or -1):
        raise ValueError(f"{count} frames" + (f", not {frames}" if frames else ""))

"""From somebody's file to frames of the run's size and length, refused or fitted as the user said, and what it lost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastvmt.core.choices import one_of
from fastvmt.errors import SuiteError
from fastvmt.media.decode import opened
from fastvmt.media.files import Frames, read_clip
from fastvmt.media.framing import Fit, fit_frames
from fastvmt.media.image_folders import list_images

FITS = ("refuse", "crop", "stretch", "pad")
LENGTHS = ("refuse", "first", "even")
EXACT_CODECS = ("ffv1", "png", "apng", "rawvideo", "huffyuv", "ffvhuff", "utvideo", "qtrle", "bmp")
EXACT_PIXELS = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "gray")
EXACT_IMAGES = (".png", ".bmp")


@dataclass(frozen=True)
class Policy:
    """What is done to a video of another size or length.

    Attributes:
        fit: ``refuse``, or how it is brought to size: ``crop`` (middle), ``stretch`` or ``pad``.
        frames: ``refuse``, ``first`` (so many from the start) or ``even`` (so many, evenly spread); too few are always refused.
    """

    fit: str = "refuse"
    frames: str = "refuse"

    def check(self) -> None:
        """Raises:
        SpecError: for an unknown word.
        """
        for option, word, known in (("--video-fit", self.fit, FITS), ("--video-frames", self.frames, LENGTHS)):
            one_of(option, word, known)


@dataclass(frozen=True)
class Read:
    """A video as it will be scored; ``fitted`` and ``lossy`` are words, or "" where nothing was done or lost."""

    frames: Frames
    notes: tuple[str, ...]
    fitted: str
    lossy: str


def read(path: Path, name: str, width: int, height: int, frames: int, policy: Policy) -> Read:
    """Decode and, where the policy says so, fit.

    Raises:
        SuiteError: one sentence beginning with ``name``: unreadable, or of another size or length and not to be fitted.
    """
    lossy = what_was_lost(path, name)
    clip = read_clip(path, name)
    found, done = clip.frames, []
    there, high, wide = found.shape[:3]
    if there < frames or (there != frames and policy.frames == "refuse"):
        hint = "It cannot be stretched in time" if there < frames else "Give --video-frames first or even"
        raise SuiteError(f"{name}: {there} frames, the case has {frames}. {hint}.")
    if there != frames:
        chosen = np.arange(frames) if policy.frames == "first" else np.linspace(0, there - 1, frames).round().astype(int)
        found = found[chosen]
        done.append(f"{policy.frames} {frames} of {there} frames")
    if (wide, high) != (width, height):
        if policy.fit == "refuse":
            raise SuiteError(
                f"{name}: width {wide}, height {high} px, the run has width {width}, height {height}. "
                "Give --video-fit crop, stretch or pad."
            )
        fit: Fit = policy.fit  # type: ignore[assignment]
        found = fit_frames(found, width, height, fit)
        done.append(f"{fit} from width {wide}, height {high}")
    return Read(found, tuple(clip.notes), ", ".join(done), lossy)


def what_was_lost(path: Path, name: str) -> str:
    """``h264, yuv420p`` for a file that may not hold every pixel as it was made; "" for one that does.

    Raises:
        SuiteError: when it cannot be opened.
    """
    if path.is_dir():
        kinds = {p.suffix.lower() for p in list_images(path, name)} - set(EXACT_IMAGES)
        return f"{', '.join(sorted(k.lstrip('.') for k in kinds))} images" if kinds else ""
    with opened(path, name) as (_, stream):
        codec, pixels = str(stream.codec_context.name), str(stream.codec_context.pix_fmt or "unknown")
    exact = codec in EXACT_CODECS and pixels.startswith(EXACT_PIXELS)
    return "" if exact else f"{codec}, {pixels}"

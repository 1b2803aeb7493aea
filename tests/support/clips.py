"""Clips that tests write, and what a metric is given of two clips."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np

from fastvmt.media.files import Frames, read_clip, write_viewable
from fastvmt.plugins.metric import Scored
from support.cli import refusal
from support.places import lacking

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
                lacking("a PyAV that writes rotation tags", "uv pip install -U av")
            stream.set_display_rotation(*rotation)
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format=given).reformat(format=pixels)
            frame.pts, frame.time_base = stamp(number), tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def refused(path: Path, **how: Any) -> str:
    said = refusal(lambda: read_clip(path, "x", **how))
    assert "\n" not in said and said.startswith("x") and str(path.parent) not in said
    return said


def corner(frames: Any) -> Any:
    """A picture whose four quarters differ, so that every turn and mirror image is seen."""
    frames[:, :24, :32], frames[:, :24, 32:], frames[:, 24:, :32], frames[:, 24:, 32:] = 0, 80, 160, 240
    return frames


def clip(path: Path, frames: int = 20, width: int = 48, height: int = 40, seed: int = 0) -> Path:
    write_viewable(path, np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8), Fraction(15))
    return path


def scored(generated: Frames, reference: Frames, wrong: Frames | None = None) -> Scored:
    case = SimpleNamespace(reference=SimpleNamespace(frames_digest=str(hash(reference.tobytes()))))
    found = Scored(generated, reference, case, SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
    if wrong is not None:
        found.wrong_reference = lambda: (str(hash(wrong.tobytes())), wrong)
    return found

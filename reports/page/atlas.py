"""Clips as pictures: every frame of a clip in one WebP atlas, a still strip, and the tracks of a grid of points.

A page draws frames out of atlases by one clock, so that all clips show the same frame by construction and no browser needs
a codec. Files are named by the digest of the frames they show, written whole or not at all, and kept when they are there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastvmt.core.disk.atomic import write_atomic
from fastvmt.media.files import Frames
from fastvmt.plugins import registry

SHOWN_WIDTH, SHOWN_HEIGHT = 320, 320
"""Frames are reduced to these sides, px."""
LARGEST_SIDE = 16_000
"""WebP ends at 16,383."""
LARGEST_AREA = 16_000_000
"""Pixels of one atlas: 64 MB when a browser has decoded it."""
LOSSLESS_WIDTH = 128
"""Frames up to this width, px, are stored without loss: they are drawn enlarged, where every loss shows."""
QUALITY = 86
STILLS = 3
POINTS = 8
"""Points along each side of the grid that is tracked."""


class Unreadable(Exception):
    """A clip that cannot be shown; the rest of the report can."""


@dataclass(frozen=True)
class Layout:
    """Where each frame stands: ``columns`` x ``rows`` frames of ``width`` x ``height`` px in each of ``files`` pictures."""

    frames: int
    width: int
    height: int
    columns: int
    rows: int
    files: int

    @classmethod
    def of(cls, frames: int, height: int, width: int) -> Layout:
        """For a clip of this size; follows from the size alone, so that an atlas need not be opened to be used."""
        factor = min(1.0, SHOWN_WIDTH / width, SHOWN_HEIGHT / height)
        if factor < 1:  # even sides: the chroma of a frame does not reach into the next one
            width, height = (max(2, round(side * factor / 2) * 2) for side in (width, height))
        most = max(1, LARGEST_AREA // (width * height))
        each = min(frames, most)
        columns = max(1, min(each, LARGEST_SIDE // width, round((each * height / width) ** 0.5) or 1))
        rows = min(-(-each // columns), max(1, LARGEST_SIDE // height))
        return cls(frames, width, height, columns, rows, -(-frames // (columns * rows)))

    def names(self, digest: str) -> list[str]:
        """File names of the atlases of a clip."""
        return [f"{digest[:16]}{f'-{n}' if n else ''}.webp" for n in range(self.files)]

    def still(self) -> tuple[int, int, int, int, int]:
        """The frame in the middle: number of its file, left and top of the frame in it, width and height of that picture."""
        each = self.columns * self.rows
        file, inside = divmod(self.frames // 2, each)
        top, left = divmod(inside, self.columns)
        rows = -(-min(each, self.frames - file * each) // self.columns)
        return file, left * self.width, top * self.height, self.columns * self.width, rows * self.height


def write_clip(folder: Path, digest: str, layout: Layout, read: Callable[[], Frames], tracks: bool, still: bool) -> bool:
    """Write what is missing of a clip's files; nothing is read when nothing is missing.

    Args:
        folder: where they go.
        digest: of the clip's frames.
        read: gives the frames.
        tracks: also ``<digest>.tracks.js``; still: also ``<digest>.still.webp``.

    Returns:
        Whether anything was written.

    Raises:
        Unreadable: when the clip is damaged or is not what its record says.
    """
    names = layout.names(digest)
    missing = {
        "atlas": not all((folder / n).exists() for n in names),
        "still": still and not (folder / still_name(digest)).exists(),
        "tracks": tracks and not (folder / tracks_name(digest)).exists(),
    }
    if not any(missing.values()):
        return False
    try:
        frames = read()
    except OSError as error:
        raise Unreadable(str(error)) from error
    if len(frames) != layout.frames:
        raise Unreadable(f"the clip has {len(frames)} frames, not {layout.frames} as its record says")
    small = reduced(frames, layout)
    if missing["atlas"]:
        for name, picture in zip(names, pictures(small, layout), strict=True):
            write_atomic(folder / name, webp(picture, layout.width))
    if missing["still"]:
        picks = np.linspace(0, len(small) - 1, STILLS).round().astype(int)
        write_atomic(folder / still_name(digest), webp(np.concatenate(list(small[picks]), 1), layout.width))
    if missing["tracks"]:
        text = json_text({"width": frames.shape[2], "height": frames.shape[1], "points": paths(frames)})
        write_atomic(folder / tracks_name(digest), as_script(f"tracks:{digest[:16]}", text))
    return True


def still_name(digest: str) -> str:
    return f"{digest[:16]}.still.webp"


def tracks_name(digest: str) -> str:
    return f"{digest[:16]}.tracks.js"


def json_text(value: Any) -> str:
    """JSON that may stand in a page's data block and in a script: ASCII alone, no <, > or &.

    Raises:
        ValueError: for a number that is not finite.
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def as_script(name: str, text: str) -> str:
    """JSON as a script that hands it over: a page opened from disk may load scripts, but no data."""
    return f"window.benchData = window.benchData || {{}};\nwindow.benchData[{json.dumps(name)}] = {text};\n"


def reduced(frames: Frames, layout: Layout) -> Frames:
    """Frames at the size of the layout."""
    if frames.shape[1:3] == (layout.height, layout.width):
        return frames
    size = (layout.width, layout.height)
    return np.stack([np.asarray(Image.fromarray(f).resize(size, Image.Resampling.LANCZOS, reducing_gap=2)) for f in frames])


def pictures(frames: Frames, layout: Layout) -> list[NDArray[np.uint8]]:
    """The atlases: frames in reading order, the last one as low as its frames need."""
    each, found = layout.columns * layout.rows, []
    for start in range(0, len(frames), each):
        part = frames[start : start + each]
        rows = -(-len(part) // layout.columns)
        grid = np.zeros((rows * layout.columns, layout.height, layout.width, 3), np.uint8)
        grid[: len(part)] = part
        grid = grid.reshape(rows, layout.columns, layout.height, layout.width, 3).swapaxes(1, 2)
        found.append(grid.reshape(rows * layout.height, layout.columns * layout.width, 3))
    return found


def webp(picture: NDArray[np.uint8], width: int) -> bytes:
    """The picture as WebP, without loss where its frames are at most ``LOSSLESS_WIDTH`` px wide."""
    made = BytesIO()
    options: dict[str, Any] = {"lossless": True, "quality": 50} if width <= LOSSLESS_WIDTH else {"quality": QUALITY}
    Image.fromarray(picture).save(made, format="WEBP", method=3, exact=True, **options)
    return made.getvalue()


@cache
def _tracker() -> Any:
    return registry.trackers.get("lk")()


def paths(frames: Frames) -> list[list[int]]:
    """Where a grid of points of the first frame goes: x0, y0, x1, y1 ... in tenths of a px, until the point is lost."""
    height, width = frames.shape[1:3]
    x, y = np.meshgrid((np.arange(POINTS) + 0.5) * width / POINTS, (np.arange(POINTS) + 0.5) * height / POINTS)
    found = _tracker().track(frames, np.stack([x.ravel(), y.ravel()], -1))
    tenths = np.rint(np.nan_to_num(found.points) * 10).astype(int)
    seen = [int(np.argmin(v)) if not v.all() else len(v) for v in found.visible]
    return [[int(n) for n in p[:length].ravel()] for p, length in zip(tenths, seen, strict=True)]

"""Reading a TAP-Vid data set (Doersch et al., 2022), which is a pickle, without running anything that is in it.

A pickle is a program. Here it may build dictionaries, lists, strings, bytes and numbers, and three names besides, none of
which is numpy's: stand-ins take the description of an array apart and make it anew from its bytes. Object arrays, whose
bytes would be addresses, cannot be made at all; any other name ends the reading with a sentence.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastvmt.errors import UserError
from fastvmt.media.files import Frames
from fastvmt.plugins.tracker import F64

SIDE = 256
"""TAP-Vid compares positions at 256 x 256 px."""


@dataclass(frozen=True)
class TapClip:
    """frames (T, 256, 256, 3) uint8; tracks (N, T, 2) px with the first pixel's centre at (0, 0); visible (N, T)."""

    frames: Frames
    tracks: F64
    visible: NDArray[np.bool_]


class _Kind:
    """Stands in for ``numpy.dtype``: numbers and booleans of a plain size only."""

    def __init__(self, name: str, align: bool = False, copy: bool = False) -> None:
        self.kind = np.dtype(name if name[0] in "biuf" and name[1:].isdigit() else "V0")
        if self.kind.kind not in "biuf":
            raise UserError(f"it holds an array of type {name!r}; numbers and booleans only can be read safely")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.kind = self.kind.newbyteorder(state[1])


class _Array:
    """Stands in for ``numpy.ndarray``; the real one is in ``value``."""

    value: NDArray[Any]

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, data = state
        self.value = _array(data, kind, shape, "F" if fortran else "C")


def _array(data: bytes, kind: _Kind, shape: tuple[int, ...], order: Any) -> NDArray[Any]:
    if not isinstance(data, (bytes, bytearray)) or not isinstance(kind, _Kind):
        raise UserError("it holds an array that is not plain bytes")
    return np.frombuffer(data, kind.kind).reshape(shape, order=order)


def _from_buffer(data: bytes, kind: _Kind, shape: tuple[int, ...], order: str) -> _Array:
    found = _Array()
    found.value = _array(data, kind, shape, order)
    return found


def _latin1(text: str, codec: str) -> bytes:
    """How pickles of old protocols spell bytes."""
    if codec not in ("latin1", "latin-1"):
        raise UserError(f"it asks for the codec {codec!r}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "dtype"): _Kind,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _latin1,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): lambda *_: _Array() for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise UserError(f"it asks for {module}.{name}, which arrays do not need")
        return _ALLOWED[module, name]


def _real(value: Any) -> Any:
    return value.value if isinstance(value, _Array) else value


def read(path: Path) -> dict[str, TapClip]:
    """The clips of a TAP-Vid pickle with uncompressed frames (DAVIS, RGB-stacking), fitted to 256 x 256 px.

    Raises:
        UserError: when the file is missing, holds more than arrays, or is not of TAP-Vid's form.
    """
    try:
        with open(path, "rb") as file:
            found = _Plain(file).load()
    except UserError as error:
        raise UserError(f"{path} is not read: {error}.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except Exception as error:  # noqa: BLE001 - a damaged pickle may raise anything
        raise UserError(f"{path} is not a pickle of arrays ({type(error).__name__}: {error}).") from None
    items = found.items() if isinstance(found, dict) else enumerate(found if isinstance(found, list) else [])
    clips = {str(name): _clip(path, str(name), item) for name, item in items}
    if not clips:
        raise UserError(f"{path} holds no clips: a dictionary or list with video, points and occluded is needed.")
    return clips


def _clip(path: Path, name: str, item: Any) -> TapClip:
    video, points, occluded = (_real(item.get(k)) if isinstance(item, dict) else None for k in ("video", "points", "occluded"))
    if (
        not (isinstance(video, np.ndarray) and isinstance(points, np.ndarray) and isinstance(occluded, np.ndarray))
        or video.dtype != np.uint8 or video.ndim != 4 or video.shape[3] != 3
        or points.shape != (len(occluded), len(video), 2) or occluded.shape != points.shape[:2]
    ):  # fmt: skip
        raise UserError(
            f"{path}: clip '{name}' is not of TAP-Vid's form (video uint8 (T, H, W, 3), points (N, T, 2) in 0..1, "
            "occluded (N, T)); sets with compressed frames have to be unpacked first."
        )
    square = _squeeze(np.ascontiguousarray(video))
    return TapClip(square, points.astype(float) * SIDE - 0.5, ~occluded.astype(bool))


def _squeeze(frames: Frames) -> Frames:
    """To 256 x 256 px whatever the shape was, as the benchmark does it: nothing is cropped."""
    return np.stack([np.asarray(Image.fromarray(f).resize((SIDE, SIDE), Image.Resampling.LANCZOS)) for f in frames])

"""Clips stored as folders of images: order, gaps, sizes, and pictures that are not 8-bit RGB."""

from __future__ import annotations

import re
import struct
import warnings
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fastvmt.core.limits import MAX_FRAMES, MAX_MEMORY, MAX_SIDE
from fastvmt.core.spelling import gib
from fastvmt.errors import SuiteError
from fastvmt.media.framing import Frames

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
BROKEN = (OSError, ValueError, SyntaxError, EOFError, struct.error)
"""What Pillow raises on damaged files; a broken PNG is a SyntaxError to it."""
ORIENTATION = 0x0112


def read_images(path: Path, name: str) -> tuple[Frames, list[str]]:
    """All images of a folder in natural order, upright, as RGB; and what was converted.

    Raises:
        SuiteError: one sentence beginning with ``name``: a gap in the numbers, mixed sizes, an unreadable image, too many.
    """
    files = list_images(path, name)
    frames: Frames | None = None
    kinds: Counter[str] = Counter()
    for number, file in enumerate(files):
        picture, found = _read_image(file, name)
        kinds.update(found)
        if frames is None:
            height, width = picture.shape[:2]
            check_memory(len(files), width, height, name)
            frames = np.empty((len(files), height, width, 3), np.uint8)
        if picture.shape != frames.shape[1:]:
            raise SuiteError(_mixed_sizes(files, name))
        frames[number] = picture
    assert frames is not None  # list_images returns at least one
    return frames, [f"{count} of {len(files)} images: {kind}" for kind, count in kinds.items()]


def check_side(width: int, height: int, name: str) -> None:
    """Raises:
    SuiteError: when a side is longer than any clip this benchmark is for.
    """
    if max(width, height) > MAX_SIDE:
        raise SuiteError(f"{name}: width {width}, height {height} px; a side may have at most {MAX_SIDE}. Scale it down first.")


def check_memory(frames: int, width: int, height: int, name: str) -> None:
    """Raises:
    SuiteError: when the decoded frames are too many or take too much memory.
    """
    if frames > MAX_FRAMES:
        raise SuiteError(f"{name}: {frames} frames, more than the limit of {MAX_FRAMES}. Cut it first.")
    if frames * width * height * 3 > MAX_MEMORY:
        raise SuiteError(
            f"{name}: {frames} frames of width {width}, height {height} px take {gib(frames * width * height * 3)} "
            f"decoded, more than the limit of {gib(MAX_MEMORY)}. Cut it or scale it down first."
        )


def how_it_starts(path: Path) -> str:
    """The first bytes of a file, for a reader who wonders what it is.

    The text is quoted, ``starts with 'this is not...'``; anything else is told in hexadecimal digits.
    """
    with open(path, "rb") as file:
        head = file.read(13)
    if not head:
        return "0 bytes"
    text = re.match(rb"[ -~]*", head[:12])
    if text and len(text[0]) >= 4:
        more = "..." if len(head) > len(text[0]) else ""
        return f"starts with '{text[0].decode('ascii').rstrip()}{more}'"
    return f"starts with bytes {head[:8].hex(' ')}"


def list_images(path: Path, name: str) -> list[Path]:
    """Images of a folder in natural order (2 before 10); hidden files and other kinds are passed over.

    Raises:
        SuiteError: when there are none or too many, or their names do not make one gap-free sequence.
    """
    files: list[Path] = []
    try:
        for entry in path.iterdir():
            if entry.name.startswith(".") or entry.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            if not entry.is_file():
                raise SuiteError(f"{name}/{entry.name}: not a regular file. Take it out of the folder.")
            files.append(entry)
            if len(files) > MAX_FRAMES:
                raise SuiteError(f"{name}: more than {MAX_FRAMES} images. Cut the clip first.")
    except OSError as error:
        raise SuiteError(f"{name}: the folder cannot be read ({error.strerror}).") from None
    if not files:
        raise SuiteError(f"{name}: the folder holds no images ({', '.join(IMAGE_SUFFIXES)}).")
    files.sort(key=lambda file: _natural(file.name))
    _check_names(files, name)
    return files


def _natural(text: str) -> tuple[list[tuple[int, int, str]], str]:
    """Sort key: runs of digits by their value, everything else as text; the text itself settles ties such as 1 and 01."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(0, int(p), "") if p[0] in "0123456789" else (1, 0, p) for p in parts], text


def _check_names(files: list[Path], name: str) -> None:
    for one, other in pairwise(sorted(files, key=lambda file: (file.stem, file.name))):
        if one.stem == other.stem:
            raise SuiteError(f"{name}: '{one.name}' and '{other.name}' are the same frame twice. Keep one kind of image.")
    numbered: dict[str, list[tuple[int, str, Path]]] = {}
    plain = []
    for file in files:
        digits = re.search(r"[0-9]+$", file.stem)
        if digits is None:
            plain.append(file)
        else:
            numbered.setdefault(file.stem[: digits.start()], []).append((int(digits[0]), digits[0], file))
    if numbered and plain:
        raise SuiteError(
            f"{name}: '{plain[0].name}' does not end in a number, {len(files) - len(plain)} other images do. "
            "Take it out or number it."
        )
    for prefix, group in numbered.items():
        _check_gaps(prefix, sorted(group), name)


def _check_gaps(prefix: str, group: list[tuple[int, str, Path]], name: str) -> None:
    present, needed = len(group), group[-1][0] - group[0][0] + 1
    for (low, digits, before), (high, _, after) in pairwise(group):
        if low == high:
            raise SuiteError(f"{name}: '{before.name}' and '{after.name}' have the same number. Keep one of them.")
        if high == low + 1:
            continue
        first, last = (f"{prefix}{number:0{len(digits)}d}{before.suffix}" for number in (low + 1, high - 1))
        missing = f"frame {first} is" if first == last else f"frames {first} to {last} are"
        raise SuiteError(
            f"{name}: {missing} missing between {before.stem} and {after.stem} ({present} of {needed} present). "
            "Copy the folder again, or number the images without gaps."
        )


def _read_image(file: Path, name: str) -> tuple[Frames, list[str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as image:
                check_side(*image.size, f"{name}/{file.name}")
                deep = _sixteen_bit_png(file)
                image.load()  # a half JPEG opens without complaint and fails only here
                turned = ImageOps.exif_transpose(image)
                assert turned is not None
                kinds = ["turned upright by the EXIF tag"] if image.getexif().get(ORIENTATION, 1) in range(2, 9) else []
                picture, found = _to_rgb(turned, deep)
        except (*BROKEN, Image.DecompressionBombError) as error:
            raise SuiteError(f"{name}/{file.name}: {_why(error, file)}") from None
    return picture, kinds + found


def _why(error: BaseException, file: Path) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"a side may have at most {MAX_SIDE} px. Scale it down first."
    if isinstance(error, PermissionError):
        return "cannot be read (permission denied)."
    if isinstance(error, UnidentifiedImageError):
        return f"not a readable image ({how_it_starts(file)}). Copy it again."
    left = re.search(r"\(([0-9]+) bytes not processed\)", str(error))
    if left or "truncated" in str(error).lower():
        return f"image is cut short{' ' + left[0] if left else ''}. Copy it again."
    return f"not a readable image ({error}). Copy it again."


def _mixed_sizes(files: list[Path], name: str) -> str:
    """The sentence about the first image that is not of the most common size."""
    sizes = [_read_image(file, name)[0].shape[1::-1] for file in files]
    (usual, _), *_ = Counter(sizes).most_common(1)
    odd = next(number for number, size in enumerate(sizes) if size != usual)
    (width, height), count = sizes[odd], sum(size != usual for size in sizes)
    others = "the others are" if count == 1 else f"one of {count} that differ; the others are"
    return (
        f"{name}: frame {files[odd].stem} is width {width}, height {height} px, {others} width {usual[0]}, "
        f"height {usual[1]}. Bring all to one size."
    )


def _sixteen_bit_png(file: Path) -> bool:
    """Pillow does not tell that it halved the depth of a 16-bit colour PNG; the file's header does."""
    with open(file, "rb") as opened:
        head = opened.read(25)
    return head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) == 25 and head[24] == 16


def _to_rgb(image: Image.Image, deep: bool) -> tuple[Frames, list[str]]:
    kinds = []
    if image.mode.startswith("I"):
        # convert() would cut everything above 255 to white.
        values = np.asarray(image).astype(np.float64)
        image = Image.fromarray(np.rint(np.clip(values, 0, 65535) / 257).astype(np.uint8))
        kinds.append("16-bit; scaled by 1/257")
    elif deep:
        kinds.append("16-bit; scaled by 1/257, rounded down to the high byte")
    if image.mode in ("1", "L", "LA", "La"):
        kinds.append("grey, read as RGB")
    elif image.mode in ("P", "PA"):
        kinds.append("with a palette, read as RGB")
    elif image.mode not in ("RGB", "RGBA", "RGBa"):
        kinds.append(f"{image.mode}, read as RGB")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        straight = image.convert("RGBA") if image.mode != "La" else image.convert("LA").convert("RGBA")
        rgba = np.asarray(straight)
        if rgba[..., 3].min(initial=255) < 255:
            kinds.append("alpha composited on black")
        return on_black(rgba), kinds
    return np.asarray(image.convert("RGB")), kinds


def on_black(rgba: Frames) -> Frames:
    """RGB of straight alpha (H, W, 4) over black, rounded to the nearest level."""
    weighed = rgba[..., :3].astype(np.uint16) * rgba[..., 3:] + 127
    return (weighed // 255).astype(np.uint8)

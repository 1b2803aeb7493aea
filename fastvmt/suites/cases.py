"""From what a suite names to decoded cases: one place for ranges, short clips, fitting, and telling all problems at once.

A suite's source lists ``ClipEntry`` objects without opening a video; ``load`` decodes them one after another, so that a
suite of any size needs the memory of one clip.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

from fastvmt.core.content_address import digest, frames_digest
from fastvmt.core.disk.file_digests import sha256_of
from fastvmt.core.places import path_or_none
from fastvmt.errors import SuiteError
from fastvmt.media.files import Fit, Frames, fit_frames, read_clip
from fastvmt.model import Case, Reference

Short = Literal["error", "skip", "trim"]
Looked = TypeVar("Looked", Frames, None)
MIN_KEPT = 0.5
"""A crop that keeps less of the frame than this is refused: it is no longer the same clip."""


@dataclass(frozen=True)
class Wanted:
    """What every reference is brought to.

    Attributes:
        width, height: px; frames: 4k+1; stride: every n-th frame, on top of a clip's own.
        root: where the user's copy of a dataset lies; prompts: the user's own prompt file for it.
        short: what happens to a clip that is too short: an error, left out by name, or its largest 4k+1.
        fit: ``crop`` (middle, keeps the aspect), ``stretch`` or ``pad`` (black bars).
        truncated: keep what a damaged file still gives; upscale: allow enlarging.
        cases: only cases with these ids, or ids of these patterns; () for all.
    """

    width: int
    height: int
    frames: int
    stride: int = 1
    root: Path | None = None
    prompts: Path | None = None
    short: Short = "error"
    fit: Fit = "crop"
    truncated: bool = False
    upscale: bool = False
    cases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("root", "prompts"):
            object.__setattr__(self, name, path_or_none(getattr(self, name)))


@dataclass(frozen=True)
class Target:
    """One prompt for a clip. ``kind``: caption, subject, scene, style, background or free."""

    id: str
    text: str
    kind: str = "free"
    negative: str | None = None


@dataclass(frozen=True)
class ClipEntry:
    """A clip as a suite names it, before anything is decoded.

    Attributes:
        id: of the clip, ``^[a-z0-9][a-z0-9._-]{0,63}$``; name: how messages call it.
        path: video file or folder of images.
        targets: prompts; every one makes a case ``<id>--<target id>``.
        caption: what the clip shows.
        start, stride: first frame taken and step; stop: first frame no longer taken, or None.
        fps: for folders of images, which have none; None otherwise.
        frames, sha256: as a manifest recorded them; None when nobody did.
    """

    id: str
    name: str
    path: Path
    targets: tuple[Target, ...]
    caption: str = ""
    category: str = "uncategorised"
    licence: str = ""
    start: int = 0
    stride: int = 1
    stop: int | None = None
    fps: Fraction | None = None
    frames: int | None = None
    sha256: str | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))


def case_id(entry: ClipEntry, target: Target) -> str:
    """Of the case of a clip and one of its prompts."""
    return f"{entry.id}--{target.id}"


@dataclass
class Problems:
    """Everything that is wrong, collected so that the user reads it in one pass."""

    found: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        self.found.append(sentence)

    @contextmanager
    def caught(self, before: str = "") -> Iterator[None]:
        """A SuiteError or OSError raised within is a problem, whose sentence begins with ``before``."""
        try:
            yield
        except SuiteError as error:
            self.add(f"{before}{error}")
        except OSError as error:
            self.add(f"{before}'{error.filename}' cannot be read ({error.strerror}). Change its permissions.")

    def raise_if_any(self) -> None:
        if self.found:
            raise SuiteError("\n".join(dict.fromkeys(self.found)))


def load(
    entries: Iterable[ClipEntry], wanted: Wanted, problems: Problems | None = None, skipped: list[str] | None = None
) -> Iterator[tuple[Case, Frames]]:
    """Cases with their reference frames, clip after clip.

    Args:
        problems: what is wrong already; skipped: takes a sentence for every clip left out as too short.

    Raises:
        SuiteError: after the last clip, all problems in one message, a line each; nothing is yielded after a problem.
    """
    return _cases(entries, wanted, problems, skipped, _reference)


def _cases(
    entries: Iterable[ClipEntry], wanted: Wanted, problems: Problems | None, skipped: list[str] | None,
    look: Callable[[ClipEntry, Wanted], tuple[Looked, Reference]],
) -> Iterator[tuple[Case, Looked]]:  # fmt: skip
    problems, skipped = problems or Problems(), [] if skipped is None else skipped
    for entry in entries:
        try:
            frames, reference = look(entry, wanted)
        except _TooShort as error:
            (skipped if wanted.short == "skip" else problems.found).append(str(error))
            continue
        except SuiteError as error:
            problems.add(str(error))
            continue
        for target in entry.targets if not problems.found else ():
            case = Case(
                id=case_id(entry, target), category=entry.category, prompt=target.text, caption=entry.caption,
                negative=target.negative, reference=reference,
            )  # fmt: skip
            yield case, frames
    problems.raise_if_any()


def case_of_frames(
    id: str, frames: Frames, wanted: Wanted, prompt: str, *, caption: str = "", category: str = "uncategorised",
    fps: int = 15, source: str = "",
) -> tuple[Case, Frames]:  # fmt: skip
    """A case of a clip that a suite makes itself, for its ``cases``: the frames brought to the wanted size, and described.

    Args:
        id: of the case, ``^[a-z0-9][a-z0-9._-]{0,127}$``.
        frames: uint8 RGB (T, H, W, 3), of any size; T as wanted.
        prompt: what the generated video shows; caption: what the clip shows.
        source: where the clip comes from, for people; the id when left out.
    """
    fitted, reference = _fitted(frames, wanted, Fraction(fps), source or id)
    return Case(id=id, category=category, prompt=prompt, caption=caption, reference=reference), fitted


def _fitted(frames: Frames, wanted: Wanted, fps: Fraction, source: str, notes: Iterable[str] = ()) -> tuple[Frames, Reference]:
    fitted = fit_frames(frames, wanted.width, wanted.height, wanted.fit)
    if fitted.base is not None:  # a view would keep the whole clip in memory
        fitted = fitted.copy()
    return fitted, Reference(
        frames_digest=frames_digest(fitted), width=wanted.width, height=wanted.height, frames=len(fitted),
        fps_num=fps.numerator, fps_den=fps.denominator, source=source, fit=wanted.fit, notes=tuple(notes),
    )  # fmt: skip


def undecoded(
    entries: Iterable[ClipEntry], wanted: Wanted, problems: Problems | None = None, skipped: list[str] | None = None
) -> Iterator[Case]:
    """Cases for counting and estimating: the reference's digest is that of its recipe, not of its frames.

    Raises:
        SuiteError: after the last clip, for clips that are not there or known to be too short.
    """
    return (case for case, _ in _cases(entries, wanted, problems, skipped, _listed))


def _listed(entry: ClipEntry, wanted: Wanted) -> tuple[None, Reference]:
    if not entry.path.exists():
        raise SuiteError(_absent(entry))
    count = wanted.frames if entry.frames is None else length(entry, wanted, entry.frames)
    if count is None:
        raise _TooShort(too_short(entry, wanted, entry.frames or 0))
    recipe = [entry.sha256 or str(entry.path), entry.start, entry.stride, wanted.stride, wanted.fit]
    return None, Reference(
        frames_digest=digest([recipe, wanted.width, wanted.height, count]), width=wanted.width, height=wanted.height,
        frames=count, source=entry.name, fit=wanted.fit,
    )  # fmt: skip


class _TooShort(SuiteError):
    pass


def length(entry: ClipEntry, wanted: Wanted, there: int) -> int | None:
    """Frames that can be taken when the clip has ``there``: those wanted, fewer under ``trim``, or None.

    >>> entry = ClipEntry("dog", "dog", Path("dog"), ())
    >>> length(entry, Wanted(64, 64, 33), 40), length(entry, Wanted(64, 64, 33), 25)
    (33, None)
    >>> length(entry, Wanted(64, 64, 33, short="trim"), 27)
    25
    """
    stop = there if entry.stop is None else min(entry.stop, there)
    usable = math.ceil(max(0, stop - entry.start) / (entry.stride * wanted.stride))
    if usable >= wanted.frames:
        return wanted.frames
    return (usable - 1) // 4 * 4 + 1 if wanted.short == "trim" and usable >= 1 else None


def _absent(entry: ClipEntry) -> str:
    return f"{entry.name}: there is no such clip in '{entry.path.parent}'."


def check_recorded(entry: ClipEntry) -> None:
    """Whether a clip is there and, where the suite recorded a digest, has that content.

    Raises:
        SuiteError: when not.
    """
    if not entry.path.exists():
        raise SuiteError(_absent(entry))
    if not (entry.path.is_file() or entry.path.is_dir()):  # a pipe would be waited for
        raise SuiteError(f"{entry.name}: neither a regular file nor a folder. Take it out of the suite.")
    if entry.sha256 and (found := content_of(entry)) != entry.sha256:
        raise SuiteError(
            f"{entry.name}: sha256 is {found[:8]}..., the suite says {entry.sha256[:8]}...: the clip changed since it was "
            "recorded. Bring the old one back, or record it anew with `bench suite make --force`."
        )


def _reference(entry: ClipEntry, wanted: Wanted) -> tuple[Frames, Reference]:
    check_recorded(entry)
    clip = read_clip(entry.path, entry.name, truncated=wanted.truncated)
    step, there = entry.stride * wanted.stride, len(clip.frames)
    count = length(entry, wanted, there)
    if count is None:
        raise _TooShort(too_short(entry, wanted, there))
    notes = list(clip.notes)
    if count < wanted.frames:
        notes.append(f"{there} frames: trimmed to {count}")
    frames = clip.frames[entry.start : entry.start + (count - 1) * step + 1 : step]
    _check_fit(entry, wanted, frames)
    return _fitted(frames, wanted, (entry.fps or clip.fps) / step, entry.name, notes)


def too_short(entry: ClipEntry, wanted: Wanted, there: int) -> str:
    """The sentence for a clip of which ``length`` gives None."""
    step = entry.stride * wanted.stride
    last = entry.start + (wanted.frames - 1) * step
    if entry.start or step > 1 or (entry.stop is not None and entry.stop < there):
        what = f"range [{entry.start}, {entry.stop or last + 1}, {step}] needs frame {last} but the clip has {there}"
        what += f" (0-{there - 1})" if there else ""
    else:
        what = f"{there} frames, {wanted.frames} needed"
    trimmed = length(entry, Wanted(1, 1, wanted.frames, wanted.stride, short="trim"), there)
    trim = f" (trim would use {trimmed})" if trimmed else ""
    return f"{entry.name}: {what}. Use --short-clips skip|trim{trim}, or --frames for fewer."


def _check_fit(entry: ClipEntry, wanted: Wanted, frames: Any) -> None:
    height, width = frames.shape[1:3]
    scales = wanted.width / width, wanted.height / height
    scale = min(scales) if wanted.fit == "pad" else max(scales)
    if scale > 1 and not wanted.upscale:
        raise SuiteError(
            f"{entry.name}: width {width}, height {height} px, wanted width {wanted.width}, height {wanted.height}: would "
            f"upscale {scale:.1f}x. Pass --allow-upscale, or a smaller --width and --height."
        )
    kept = wanted.width * wanted.height / (width * height * scale * scale)
    if wanted.fit == "crop" and kept < MIN_KEPT:
        raise SuiteError(f"{entry.name}: a crop would keep {kept:.0%} of the frame. Pass --fit pad or --fit stretch.")


def content_of(entry: ClipEntry) -> str:
    """A clip's ``content_sha256``; one that cannot be read is told by its name, as a SuiteError."""
    try:
        return content_sha256(entry.path)
    except OSError as error:
        raise SuiteError(f"{entry.name}: cannot be read ({(error.strerror or 'unknown reason').lower()}).") from None


def content_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file; of a folder, over the lines ``name NUL sha256(file) newline`` of its visible files, sorted."""
    if path.is_file():
        return sha256_of([path])[0]
    files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    lines = [f"{p.name}\0{found}\n" for p, found in zip(files, sha256_of(files), strict=True)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@lru_cache(maxsize=8)
def _real(root: str) -> Path:
    return Path(root).resolve()


def inside(root: Path, relative: str) -> Path:
    """A clip's path, refused when it leaves the suite's folder, through a link too.

    Raises:
        SuiteError: also for absolute paths, drive letters, NUL and loops of links.
    """
    if relative.startswith(("/", "\\")) or "\x00" in relative or re.match(r"^[A-Za-z]:", relative):
        raise SuiteError(f"clip path {relative!r} is not relative to the suite folder.")
    try:
        path = (root / relative).resolve(strict=False)
        leaves = not path.is_relative_to(_real(str(root.absolute())))
    except (OSError, RuntimeError, ValueError) as error:
        raise SuiteError(f"clip path {relative!r} cannot be followed ({type(error).__name__}).") from None
    if leaves or ".." in re.split(r"[/\\]", relative):
        linked = ".." not in re.split(r"[/\\]", relative)
        raise SuiteError(f"clip path {relative!r} {'links outside' if linked else 'leaves'} the suite folder.")
    return path

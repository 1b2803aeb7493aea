"""From what the user names to cases with decoded references: registered suites, folders, suite files, single clips."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic import TypeAdapter

from fastvmt.core.choices import hint
from fastvmt.core.content_address import frames_digest
from fastvmt.errors import SpecError, SuiteError
from fastvmt.media.files import Frames
from fastvmt.model import Case
from fastvmt.plugins import registry
from fastvmt.plugins.blame import blamed, guard, is_ours, need
from fastvmt.plugins.labels import in_words
from fastvmt.suites.cases import ClipEntry, Problems, Short, Target, Wanted, case_id, inside, load, undecoded
from fastvmt.suites.format import is_suite, read_header, read_suite
from fastvmt.suites.prompts import PromptedClip, read_prompted

__all__ = ["SuiteSource", "Wanted", "entries_from_rows", "entries_of", "habits", "list_suite", "open_suite"]


_ENTRY = TypeAdapter(ClipEntry)


class SuiteSource(Protocol):
    """A registered suite: ``fastvmt.suites`` entry points name a class without arguments that has one of these methods."""

    def cases(self, wanted: Wanted) -> Iterator[tuple[Case, Frames]]:
        """It makes its clips itself: cases with their reference frames, uint8 (T, H, W, 3), in a fixed order."""

    def entries(self, wanted: Wanted) -> list[ClipEntry]:
        """It lists clips, in a fixed order, and opens none; SuiteError with all problems, a line each."""

    def path(self, root: Path | None) -> Path:
        """It stands for a folder of the user's; SuiteError when none was named or it is not there."""


def entries_of(name: str, wanted: Wanted, prompt: str | None = None) -> tuple[list[ClipEntry], Problems] | None:
    """What a suite names, without opening a clip, and what is wrong so far; None for one that makes its clips itself.

    Raises:
        SpecError: when the name is neither registered nor a path.
        SuiteError: when nothing can be listed at all.
    """
    problems = Problems()
    source = _registered(name)
    if source and not hasattr(source, "path"):
        return (_only(_entries(name, source, wanted), wanted, problems), problems) if hasattr(source, "entries") else None
    path = _path(name, source, wanted.root) if source else Path(name)
    if not path.exists():
        try:
            registry.suites.get(name)
        except SpecError as error:
            raise SpecError(f"{error} And there is no folder or file of that name.") from None
    if is_suite(path):
        return _only(read_suite(path, problems), wanted, problems), problems
    return _only(_path_entries(path, prompt, problems), wanted, problems), problems


def _only(entries: list[ClipEntry], wanted: Wanted, problems: Problems) -> list[ClipEntry]:
    """The entries with those cases that are wanted; the clips of others are not opened."""
    if not wanted.cases or problems.found:  # a case may be lacking for what is wrong, which is told first
        return entries
    chosen = _chosen([case_id(e, t) for e in entries for t in e.targets], wanted.cases)
    found = [replace(e, targets=tuple(t for t in e.targets if case_id(e, t) in chosen)) for e in entries]
    return [e for e in found if e.targets]


def _chosen(ids: list[str], patterns: Sequence[str]) -> set[str]:
    """The ids that patterns name.

    Raises:
        SpecError: for one that names none, with the nearest ids.
    """
    found = {p: {i for i in ids if fnmatchcase(i, p)} for p in patterns}
    if lost := next((p for p, named in found.items() if not named), None):
        raise SpecError(f"--cases {lost}: the suite has no such case. {hint(lost, ids)} `bench suite show` lists them.")
    return set().union(*found.values())


def _registered(name: str) -> Any:
    """The class of a registered suite."""
    return registry.suites.get(name) if name in registry.suites.names() else None


def _made(name: str, source: Any) -> Any:
    """A suite's source, whose ways to give clips are blamed on it."""
    with blamed(source, f"Suite '{name}', when it is made"):
        return guard(source(), f"Suite '{name}'", *(way for way in ("entries", "path") if hasattr(source, way)))


def _entries(name: str, source: Any, wanted: Wanted) -> list[ClipEntry]:
    found = _made(name, source).entries(wanted)
    listed = isinstance(found, list | tuple) and all(isinstance(entry, ClipEntry) for entry in found)
    need(source, f"Suite '{name}': entries", found, listed, "a list of ClipEntry")
    if is_ours(source):
        return list(found)
    with blamed(source, f"Suite '{name}': entries"), in_words(f"Suite '{name}': entries"):
        return [_ENTRY.validate_python(asdict(entry)) for entry in found]


def _path(name: str, source: Any, root: Path | None) -> Path:
    found = _made(name, source).path(root)
    need(source, f"Suite '{name}': path", found, isinstance(found, str | Path), "a folder")
    return Path(found)


def _cases(name: str, source: Any, wanted: Wanted) -> Iterator[tuple[Case, Frames]]:
    """The clips that a suite makes itself; each array is ours from here on, whatever the suite does with its own."""
    if is_ours(source):
        yield from source().cases(wanted)
        return
    made, doing = _made(name, source), f"Suite '{name}': cases"
    with blamed(source, f"Suite '{name}', in cases"):
        given = iter(made.cases(wanted))
    while True:
        with blamed(source, f"Suite '{name}', in cases"):
            found = next(given, None)
        if found is None:
            return
        pair = isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], Case)
        need(source, doing, found, pair, "(Case, frames)")
        case, frames = found
        size = (case.reference.frames, case.reference.height, case.reference.width, 3)
        video = isinstance(frames, np.ndarray) and frames.dtype == np.uint8 and frames.shape == size
        need(source, f"{doing}: '{case.id}'", frames, video, f"uint8 of shape {size}, as its reference says")
        frames = frames.copy()
        same = frames_digest(frames) == case.reference.frames_digest
        need(source, f"{doing}: '{case.id}'", case.reference.frames_digest, same, "the digest of its frames (case_of_frames)")
        yield case, frames


def open_suite(
    name: str, wanted: Wanted, prompt: str | None = None, skipped: list[str] | None = None
) -> Iterator[tuple[Case, Frames]]:
    """Cases of a registered suite, a folder of clips with prompts, a suite folder, or one clip with ``prompt``.

    Args:
        skipped: takes a sentence for every clip that is left out (``wanted.short`` is ``skip``).

    Raises:
        SuiteError: all problems of the suite in one message, a line each.
        SpecError: when the name is neither registered nor a path.
    """
    found = entries_of(name, wanted, prompt)
    if found is None:
        made = _cases(name, _registered(name), wanted)
        if not wanted.cases:
            return made
        drawn = list(made)  # its ids are known when it is at its end
        chosen = _chosen([case.id for case, _ in drawn], wanted.cases)
        return iter([(case, frames) for case, frames in drawn if case.id in chosen])
    return load(found[0], wanted, found[1], skipped)


@dataclass(frozen=True)
class Habits:
    """What a suite asks for unless the user says otherwise; None leaves it to the backbone, or to ``error``."""

    frames: int | None = None
    short: Short | None = None


def habits(name: str, root: Path | None = None) -> Habits:
    """Of a registered suite (class attributes ``frames`` and ``short``) or of a suite folder (``frames`` in its header).

    Args:
        root: as in ``Wanted``; where the suite stands for a folder, that one.
    """
    source = _registered(name)
    if source and not hasattr(source, "path"):
        return Habits(getattr(source, "frames", None), getattr(source, "short", None))
    path = root if source else Path(name)
    return Habits(read_header(path)[0].frames) if path and path.exists() and is_suite(path) else Habits()


def list_suite(
    name: str, wanted: Wanted, prompt: str | None, skipped: list[str], most: int
) -> tuple[Iterator[tuple[Case, Frames | None]], bool]:
    """The same cases for counting: with up to ``most`` clips as ``open_suite``, else without frames and with nothing opened.

    Returns:
        Cases, and whether their clips are opened. Where they are not, a clip's own faults stay unseen.

    Raises:
        SuiteError, SpecError: as ``open_suite``, for what can be seen.
    """
    found = entries_of(name, wanted, prompt)
    if found is None:
        return iter(open_suite(name, wanted)), True
    if len(found[0]) <= most:
        return load(found[0], wanted, found[1], skipped), True
    return ((case, None) for case in undecoded(found[0], wanted, found[1], skipped)), False


def _path_entries(path: Path, prompt: str | None, problems: Problems) -> list[ClipEntry]:
    if path.is_file() and path.suffix not in (".toml", ".json"):
        rows, root = [PromptedClip(clip=path.name, prompt=prompt or "-")], path.parent
        if not prompt:
            problems.add(f"{path.name}: a single clip needs --prompt TEXT.")
    else:
        root = path if path.is_dir() else path.parent
        try:
            rows = read_prompted(path, prompt, problems)
        except OSError as error:
            why = (error.strerror or "unknown reason").lower()
            raise SuiteError(f"Suite '{path}': '{error.filename}' cannot be read ({why}).") from None
    return entries_from_rows(root, rows, problems)


def entries_from_rows(root: Path, rows: list[PromptedClip], problems: Problems) -> list[ClipEntry]:
    """Rows of a prompt file as clips with their targets; what leaves the folder becomes a problem."""
    numbers: dict[str, int] = {}
    entries = []
    by_clip: dict[tuple[Any, ...], list[PromptedClip]] = {}
    for row in rows:
        by_clip.setdefault((row.clip, row.start, row.caption, row.category), []).append(row)
    for first, *others in by_clip.values():
        stem = re.sub(r"[^a-z0-9._-]+", "-", Path(first.clip).stem.lower()).strip("-._")[:64].strip("-._") or "clip"
        targets = []
        for row in (first, *others):
            numbers[stem] = numbers.get(stem, 0) + 1
            targets.append(Target(str(numbers[stem]), row.prompt, negative=row.negative))
        said = first.model_dump(include={"caption", "category", "start", "sha256", "frames"})
        with problems.caught():
            entries.append(ClipEntry(stem, first.clip, inside(root, first.clip), tuple(targets), **said))
    return entries

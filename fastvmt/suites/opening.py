"""From what the user names to cases with decoded references: registered suites, folders, suite files, single clips."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fastvmt.errors import SpecError, SuiteError
from fastvmt.media.files import Frames
from fastvmt.model import Case
from fastvmt.plugins import registry
from fastvmt.suites.cases import ClipEntry, Problems, Short, Target, Wanted, inside, load, undecoded
from fastvmt.suites.format import is_suite, read_header, read_suite
from fastvmt.suites.prompts import Row, read_rows

__all__ = [
    "Drawing",
    "Listing",
    "Pointing",
    "Wanted",
    "entries_from_rows",
    "entries_of",
    "habits",
    "list_suite",
    "open_suite",
]


class Drawing(Protocol):
    """A registered suite that makes its clips itself (``fastvmt.suites`` entry points name a class without arguments)."""

    def cases(self, wanted: Wanted) -> Iterator[tuple[Case, Frames]]:
        """Cases with their reference frames, uint8 (T, H, W, 3), in a fixed order."""


class Listing(Protocol):
    """A registered suite of files: it names clips and prompts, and opens none."""

    def entries(self, wanted: Wanted) -> list[ClipEntry]:
        """Clips in a fixed order.

        Raises:
            SuiteError: all problems in one message, a line each.
        """


class Pointing(Protocol):
    """A registered suite that stands for a folder of the user's."""

    def path(self, root: Path | None) -> Path:
        """The folder.

        Raises:
            SuiteError: when none was named or it is not there.
        """


def entries_of(name: str, wanted: Wanted, prompt: str | None = None) -> tuple[list[ClipEntry], Problems] | None:
    """What a suite names, without opening a clip, and what is wrong so far; None for one that makes its clips itself.

    Raises:
        SpecError: when the name is neither registered nor a path.
        SuiteError: when nothing can be listed at all.
    """
    problems = Problems()
    if name in registry.suites.names():
        source = registry.suites.get(name)()
        if not hasattr(source, "path"):
            return (source.entries(wanted), problems) if hasattr(source, "entries") else None
        path = source.path(wanted.root)
    else:
        path = Path(name)
    if not path.exists():
        try:
            registry.suites.get(name)
        except SpecError as error:
            raise SpecError(f"{error} And there is no folder or file of that name.") from None
    if is_suite(path):
        return read_suite(path, problems), problems
    return _path_entries(path, prompt, problems), problems


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
        source: Drawing = registry.suites.get(name)()
        return source.cases(wanted)
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
    path = Path(name)
    if name in registry.suites.names():
        source = registry.suites.get(name)
        if not hasattr(source, "path"):
            return Habits(getattr(source, "frames", None), getattr(source, "short", None))
        if root is None:
            return Habits()
        path = root
    return Habits(read_header(path)[0].frames) if path.exists() and is_suite(path) else Habits()


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
    if found is None or len(found[0]) <= most:
        return iter(open_suite(name, wanted, prompt, skipped)), True
    return ((case, None) for case in undecoded(found[0], wanted, found[1], skipped)), False


def _path_entries(path: Path, prompt: str | None, problems: Problems) -> list[ClipEntry]:
    if path.is_file() and path.suffix not in (".toml", ".json"):
        rows, root = [Row(clip=path.name, prompt=prompt or "-")], path.parent
        if not prompt:
            problems.found.append(f"{path.name}: a single clip needs --prompt TEXT.")
    else:
        root = path if path.is_dir() else path.parent
        try:
            rows = read_rows(path, prompt, problems)
        except OSError as error:
            why = (error.strerror or "unknown reason").lower()
            raise SuiteError(f"Suite '{path}': '{error.filename}' cannot be read ({why}).") from None
    return entries_from_rows(root, rows, problems)


def entries_from_rows(root: Path, rows: list[Row], problems: Problems) -> list[ClipEntry]:
    """Rows of a prompt file as clips with their targets; what leaves the folder becomes a problem."""
    numbers: dict[str, int] = {}
    entries = []
    for _, group in itertools.groupby(_together(rows), key=_clip_of):
        same = list(group)
        first = same[0]
        stem = re.sub(r"[^a-z0-9._-]+", "-", Path(first.clip).stem.lower()).strip("-._")[:64].strip("-._") or "clip"
        targets = []
        for row in same:
            numbers[stem] = numbers.get(stem, 0) + 1
            targets.append(Target(str(numbers[stem]), row.prompt, negative=row.negative))
        try:
            entries.append(
                ClipEntry(
                    id=stem,
                    name=first.clip,
                    path=inside(root, first.clip),
                    targets=tuple(targets),
                    caption=first.caption,
                    category=first.category,
                    start=first.start,
                    sha256=first.sha256,
                    frames=first.frames,
                )
            )
        except SuiteError as error:
            problems.found.append(str(error))
    return entries


def _clip_of(row: Row) -> tuple[str, int, str, str]:
    return (row.clip, row.start, row.caption, row.category)


def _together(rows: list[Row]) -> list[Row]:
    """Rows of one clip side by side, clips in the order in which they first come."""
    order = {key: n for n, key in enumerate(dict.fromkeys(_clip_of(r) for r in rows))}
    return sorted(rows, key=lambda r: order[_clip_of(r)])

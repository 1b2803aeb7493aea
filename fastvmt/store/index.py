"""What a look at a run folder remembers for the next one: ``cache/artefacts.tsv``, a row for each video.

    =  STAMP                                                   under which rows are marked as complete
    N  key  frames digest  timing key  reused  complete  signature    by a look, in the order of jobs
    -  key  frames digest  timing key  reused  -         signature    when a video was made

A row counts while the files of its video have the sizes and times of its signature, and as complete (nothing to score) only
under the stamp that the reader computes itself. Deleting the file costs time, nothing else.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from fastvmt.core.disk.atomic import append_line
from fastvmt.model import Artefact
from fastvmt.store.layout import CACHE, META, VIDEO

INDEX = f"{CACHE}/artefacts.tsv"
COLUMNS = 7
STAMP, APPENDED, COMPLETE, OPEN = "=", "-", "1", "-"


class Row(NamedTuple):
    """What the index knows of one video. ``signature``: name, bytes and mtime (ns) of each file that is looked at."""

    key: str
    frames_digest: str
    timing_key: str
    reused: str
    complete: str
    signature: str


class Index:
    """The old index read beside the jobs, and the new one written as they go; it replaces the old one at the end.

    Attributes:
        same: the old one was written under this stamp.
        complete: the row that was read last has nothing to score.
    """

    def __init__(self, path: Path, stamp: str) -> None:
        self.path = path
        self.same = bool(stamp) and _stamp(path) == stamp
        self.complete = False
        self._appended = _appended(path)
        self._numbered = _numbered(path)
        self._next = next(self._numbered, None)
        self._out: IO[str] | None = None

    def __enter__(self) -> Index:
        self.partial = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.part")
        with suppress(OSError):  # a folder that cannot be written can still be read
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._out = open(self.partial, "x")
        return self

    def begin(self, stamp: str) -> None:
        """Write the stamp of the new index; "" for one that no later look may trust."""
        if self._out is not None:
            self._out.write(f"{STAMP}\t{stamp}\n")

    def row(self, n: int, key: str) -> Row | None:
        """What the index says of a job; what was added last counts."""
        while self._next is not None and self._next[0] < n:
            self._next = next(self._numbered, None)
        row = self._appended.get(key)
        if row is None and self._next is not None and self._next[0] == n:
            row = self._next[1]
            if row.key != key:  # the run has grown since, and its jobs have other numbers
                self._appended = {r.key: r for _, r in _numbered(self.path)} | self._appended
                self._numbered, self._next = iter(()), None
                row = self._appended.get(key)
        if row is None or row.key != key:
            return None
        self.complete = self.same and row.complete == COMPLETE
        return row

    def write(self, n: int, row: Row, complete: bool) -> None:
        if self._out is not None:
            self._out.write("\t".join((str(n), *row[:4], COMPLETE if complete else OPEN, row.signature)) + "\n")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._out is None:
            return
        try:
            self._out.close()
            if kind is None:
                self.partial.replace(self.path)
        except OSError:
            pass  # a full disk: the next look is slow, nothing else
        finally:
            self.partial.unlink(missing_ok=True)


def _stamp(path: Path) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            mark, _, stamp = file.readline().rstrip("\n").partition("\t")
            return stamp if mark == STAMP else ""
    except OSError:
        return ""


def _appended(path: Path) -> dict[str, Row]:
    """Rows that were added when a video was made, by key."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            split = (line.rstrip("\n").split("\t") for line in file if line.startswith(APPENDED))
            return {parts[1]: Row(*parts[1:]) for parts in split if len(parts) == COLUMNS}
    except OSError:
        return {}


def _numbered(path: Path) -> Iterator[tuple[int, Row]]:
    """Rows that a look has written, in the order of jobs."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            for line in file:
                parts = line.rstrip("\n").split("\t")
                if len(parts) == COLUMNS and parts[0].isdecimal():
                    yield int(parts[0]), Row._make(parts[1:])
    except OSError:
        return


def note(root: Path, folder: Path, artefact: Artefact) -> None:
    """Add a video that was just made to the index. A failure is passed over: the next look reads its ``meta.json`` instead."""
    with suppress(OSError):
        append_line(root / INDEX, "\t".join((APPENDED, *row_of(str(folder), artefact))))


def row_of(folder: str, artefact: Artefact) -> Row:
    """What the index keeps of a video.

    Raises:
        OSError: when a file is not there.
        ValueError: when one is a link or a device.
    """
    parts = []
    for name in (META, *(n for n in artefact.files if n != VIDEO)):
        found = os.lstat(f"{folder}/{name}")  # 100,000 times: a Path costs more than the call
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{name} is no file of its own")
        parts.append(f"{name}:{found.st_size}:{found.st_mtime_ns}")
    reused = "1" if artefact.reused_from else ""
    return Row(artefact.key, artefact.frames_digest, artefact.timing_key, reused, OPEN, " ".join(parts))


def unchanged(folder: str, signature: str) -> bool:
    """Whether the files have the sizes and times they had.

    Raises:
        OSError, ValueError: when one is not there, or the signature is none.
    """
    for part in signature.split(" "):
        name, size, time = part.rsplit(":", 2)
        found = os.lstat(f"{folder}/{name}")
        if found.st_size != int(size) or found.st_mtime_ns != int(time):
            return False
    return True

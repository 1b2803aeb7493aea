"""What a run folder lacks of its run: the first thing every run does, fast enough for 100,000 jobs.

A folder's name says whose video it holds. Of each video two files are looked at by ``stat``, ``meta.json`` and what is scored;
``cache/artefacts.tsv`` remembers, under their sizes and times, what of ``meta.json`` decides which records are current. A row
that does not fit the files is not believed: ``meta.json`` is then read and checked in full, and what is damaged goes to
quarantine and counts as missing. The index may be deleted at any time. What is not scored (``video.mp4``) is compared when a
table is built, SHA-256 with ``verify``.

Jobs are numbers here (``jobs.JobGrid``) until somebody works on them.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from fastvmt.atomic import append_line
from fastvmt.jobs import JobGrid
from fastvmt.keys import canonical_json
from fastvmt.metric_specs import build
from fastvmt.model import Artefact, Case, Job

if TYPE_CHECKING:
    from fastvmt.store import RunConfig, Store

ToDo = tuple[int, tuple[str, ...] | None]
INDEX = "cache/artefacts.tsv"
UNSCORED = "video.mp4"
"""For the eye; not looked at here."""
COLUMNS = 6
APPENDED = "-"
"""Instead of a number, in rows that were added when a video was made."""


_HEX = re.compile("(?:[0-9a-f]{2})+")


class Row(NamedTuple):
    """What the index knows of one video. ``signature``: name, bytes and mtime (ns) of each file that is looked at."""

    key: str
    frames_digest: str
    timing_key: str
    reused: str
    signature: str

    def files(self) -> list[str]:
        """Names in the signature."""
        return [part.partition(":")[0] for part in self.signature.split(" ")]


@dataclass
class Scan:
    """What is there and what is to do.

    Attributes:
        grid: all jobs.
        to_do: job numbers in order with the metrics to score; None: the video itself is missing, and may be made here.
    """

    grid: JobGrid
    to_do: list[ToDo] = field(default_factory=list)

    @property
    def found(self) -> int:
        """Videos that need not be made."""
        return len(self.grid) - sum(metrics is None for _, metrics in self.to_do)

    def only(self, generate: bool) -> list[ToDo]:
        """What is to do; without ``generate`` only what can be scored."""
        return self.to_do if generate else [t for t in self.to_do if t[1] is not None]

    def jobs(self, to_do: Sequence[ToDo]) -> Iterator[tuple[Job, tuple[str, ...] | None]]:
        """The same, a job at a time."""
        return ((self.grid[n], metrics) for n, metrics in to_do)


def scan(
    store: Store, config: RunConfig, wanted: Sequence[str] = (), *, again: bool = False, verify: bool = False,
    adopt: bool = False,
) -> Scan:  # fmt: skip
    """Compare a run folder with its run.

    Args:
        wanted: metric labels; those without a current record are to do.
        again: count every record as missing.
        verify: compare SHA-256 of every file.
        adopt: take missing videos over from run folders beside this one.
    """
    found = Scan(config.grid())
    look = _Look(store, found.grid, verify)
    records = _Records(store, wanted, again)
    per_case, disputed = len(config.seeds) * len(config.methods), store.disputed()
    ours = [not m.imported for m in config.methods]
    with _Index(store.root / INDEX) as index:
        for n, (key, name) in enumerate(found.grid.names()):
            row = look.row(n, name, index.row(n, key))
            may = ours[n % len(ours)] and key not in disputed  # what nothing here may make has its failure recorded
            if row is None and may and adopt:
                row = look.adopted(n, key)
            if row is None:
                if may:
                    found.to_do.append((n, None))
                continue
            index.write(n, row)
            missing = records.missing(config.suite.cases[n // per_case], row)
            if missing:
                found.to_do.append((n, missing))
    return found


def made_by_label(store: Store, config: RunConfig) -> dict[str, int]:
    """Videos that are there by method label, by the names of their folders alone."""
    place = store.root / "artefacts"
    names = {entry.name for entry in os.scandir(place)} if place.is_dir() else set()
    labels = [m.label for m in config.methods]
    found = dict.fromkeys(labels, 0)
    for n, (_, name) in enumerate(config.grid().names() if names else ()):
        if name in names:
            found[labels[n % len(labels)]] += 1
    return found


class _Look:
    """One pass over the artefacts of a store, and candidates beside it."""

    def __init__(self, store: Store, grid: JobGrid, verify: bool) -> None:
        self.store, self.grid, self.verify = store, grid, verify
        self.place = str(store.root / "artefacts")
        self.names = {entry.name for entry in os.scandir(self.place)}
        self._beside: dict[str, list[str]] | None = None

    def row(self, n: int, name: str, known: Row | None) -> Row | None:
        """The video of a job, or None; what is damaged is moved away by the store."""
        if name not in self.names:
            return None
        folder = f"{self.place}/{name}"
        if not self.verify:
            with suppress(OSError, ValueError):  # whatever is wrong is found again, and named, by the store
                if known is not None and _signature(folder, known.files()) == known.signature:
                    return known
                return _whole(folder, self.grid[n].key)
        artefact = self.store.artefact(self.grid[n], self.verify)
        return row_of(folder, artefact) if artefact else None

    def adopted(self, n: int, key: str) -> Row | None:
        """The same video from a run folder beside this one."""
        if self._beside is None:
            self._beside = _names_beside(self.store.root, self.grid)
        folders = self._beside.get(key[:12])
        artefact = self.store.adopt(self.grid[n], map(Path, folders)) if folders else None
        return row_of(str(self.store.folder(self.grid[n])), artefact) if artefact else None


def _whole(folder: str, key: str) -> Row:
    """The row of a video whose ``meta.json`` and sizes are right.

    Raises:
        OSError, ValueError: when they are not.
    """
    with open(f"{folder}/meta.json", "rb", buffering=0) as file:
        artefact = Artefact.model_validate_json(file.read())
    row = row_of(folder, artefact)
    sizes = {part.rsplit(":", 2)[0]: part.rsplit(":", 2)[1] for part in row.signature.split(" ")}
    if artefact.key != key or any(sizes.get(n, str(i.bytes)) != str(i.bytes) for n, i in artefact.files.items()):
        raise ValueError("another key or size")
    return row


class _Records:
    """Which numbers there are: keys of records as ``scoring.record_key`` makes them, a metric's part made once."""

    def __init__(self, store: Store, wanted: Sequence[str], again: bool) -> None:
        self.again = again
        self.metrics = [build(label) for label in wanted]
        self.begins = [f"[{canonical_json(m.identity())}," for m in self.metrics]
        self.current = _current(store) if wanted and not again else set()
        self._case: Case | None = None
        self._applying: list[tuple[str, str, bool]] = []
        self._same: dict[tuple[str, ...], tuple[str, ...]] = {}

    def missing(self, case: Case, row: Row) -> tuple[str, ...]:
        """Labels without a current record, as ``scoring.wanted_metrics`` wants them; equal answers are one tuple."""
        if case is not self._case:
            pairs = zip(self.metrics, self.begins, strict=True)
            self._case, self._applying = case, [(m.label, b, m.timing) for m, b in pairs if m.applies(case)]
        timing = f'"{row.timing_key}"'
        frames = f'["{row.frames_digest}","{case.reference.frames_digest}"]'
        lacks = tuple(
            label for label, begin, timed in self._applying
            if not (timed and row.reused) and not self._has(f'{begin}{timing if timed else frames},"{row.key}"]')
        )  # fmt: skip
        return self._same.setdefault(lacks, lacks)

    def _has(self, text: str) -> bool:
        return not self.again and sha256(text.encode()).digest() in self.current


def _current(store: Store) -> set[bytes]:
    """Keys of records that hold a number or say why there is none, as ``Store.records`` would have them: the last line of a
    key decides, a failed one of another writer nothing."""
    good: set[bytes] = set()
    for path in store.logs("records"):
        mine: set[bytes] = set()
        for record in store.each_record(path):
            key = bytes.fromhex(record.key) if _HEX.fullmatch(record.key) else record.key.encode()
            (mine.discard if record.status == "failed" else mine.add)(key)
        good |= mine
    return good


def _names_beside(root: Path, grid: JobGrid) -> dict[str, list[str]]:
    """Artefacts of the same jobs in the run folders beside this one, by the beginning of their key."""
    found: dict[str, list[str]] = {}
    wanted: set[str] = set()
    own = root.resolve()
    for run in sorted(own.parent.iterdir()):
        place = run / "artefacts"
        if run == own or not place.is_dir():
            continue
        wanted = wanted or {key[:12] for key, _ in grid.names()}
        for name in sorted(entry.name for entry in os.scandir(place)):
            if not name.startswith(".") and name[-12:] in wanted:
                found.setdefault(name[-12:], []).append(f"{place}/{name}")
    return found


# --- the index -----------------------------------------------------------------------------------------------------------


class _Index:
    """The old index read beside the jobs, and the new one written as they go; it replaces the old one at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._appended = _appended(path)
        self._numbered = _numbered(path)
        self._next = next(self._numbered, None)
        self._out: IO[str] | None = None

    def __enter__(self) -> _Index:
        self.partial = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.part")
        with suppress(OSError):  # a folder that cannot be written can still be read
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._out = open(self.partial, "x")
        return self

    def row(self, n: int, key: str) -> Row | None:
        """What the index says of a job; what was added last counts."""
        while self._next is not None and self._next[0] < n:
            self._next = next(self._numbered, None)
        row = self._appended.get(key)
        if row is None and self._next is not None and self._next[0] == n:
            row = self._next[1]
        return row if row is not None and row.key == key else None

    def write(self, n: int, row: Row) -> None:
        if self._out is not None:
            self._out.write("\t".join((str(n), *row)) + "\n")

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


def note(store: Store, job: Job, artefact: Artefact) -> None:
    """Add a video that was just made to the index. Whatever goes wrong costs a later look its speed, nothing else."""
    with suppress(OSError):
        append_line(store.root / INDEX, "\t".join((APPENDED, *row_of(str(store.folder(job)), artefact))))


def row_of(folder: str, artefact: Artefact) -> Row:
    """What the index keeps of a video.

    Raises:
        OSError: when a file is not there.
    """
    signature = _signature(folder, ["meta.json", *(n for n in artefact.files if n != UNSCORED)])
    reused = "1" if artefact.reused_from else ""
    return Row(artefact.key, artefact.frames_digest, artefact.timing_key, reused, signature)


def _signature(folder: str, names: list[str]) -> str:
    parts = []
    for name in names:
        found = os.stat(f"{folder}/{name}")  # noqa: PTH116 - 100,000 times: a Path costs more than the call
        parts.append(f"{name}:{found.st_size}:{found.st_mtime_ns}")
    return " ".join(parts)

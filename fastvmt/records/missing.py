"""What a run folder lacks of its run: the first thing every run does, fast enough for 100,000 jobs.

A folder's name says whose video it holds. Of each video two files are looked at by ``stat``, ``meta.json`` and what is scored;
the index (``scan_index``) remembers, under their sizes and times, what of ``meta.json`` decides which records are current. A
row that does not fit the files is not believed: ``meta.json`` is then read and checked in full, and what is damaged goes to
quarantine and counts as missing. The index also says which videos have all their records, and is believed while the record logs
have the same SHA-256 and the same metrics are wanted. What is not scored (``video.mp4``) is compared when a table is built,
SHA-256 with ``verify``.

Jobs are numbers here (``jobs.JobGrid``) until somebody works on them.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING

from fastvmt.artefacts.code_state import edited_method, edited_metric, other_code
from fastvmt.core.content_address import canonical_json
from fastvmt.core.version import __version__
from fastvmt.jobs.numbering import JobGrid, beginning, key_in
from fastvmt.jobs.part import Part
from fastvmt.model import Case, Job
from fastvmt.plugins.metric_labels import applies, build
from fastvmt.records.identity import identity_of, record_key
from fastvmt.records.verified import Verified
from fastvmt.store.artefact_files import read_meta
from fastvmt.store.folder import TO_MAKE, TO_SCORE
from fastvmt.store.index import INDEX, Index, Row, row_of, unchanged
from fastvmt.store.layout import ARTEFACTS, RECORDS

if TYPE_CHECKING:
    from fastvmt.jobs.run_config import RunConfig
    from fastvmt.store.folder import Store

ToDo = tuple[int, tuple[str, ...] | None]
_HEX = re.compile("(?:[0-9a-f]{2})+")


@dataclass
class Scan:
    """What is there and what is to do.

    Attributes:
        grid: all jobs.
        to_do: job numbers in order with the metrics to score; None: the video itself is to be made here.
        found: videos that are there and stay as they are.
        stale: how many videos of each method, and numbers of each metric, were made by another state of their code.
    """

    grid: JobGrid
    to_do: list[ToDo] = field(default_factory=list)
    found: int = 0
    stale: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Videos that there are when what is to do is done."""
        return self.found + sum(metrics is None for _, metrics in self.to_do)

    def meant(self, n: int, part: Part) -> bool:
        """Whether a job is of this part of the run."""
        case, seed, method = self.grid.parts(n)
        return part.holds(method.label, case.id, seed)

    def only(self, generate: bool) -> list[ToDo]:
        """What is to do; without ``generate`` only what can be scored."""
        return self.to_do if generate else [t for t in self.to_do if t[1] is not None]

    def jobs(self, to_do: Sequence[ToDo]) -> Iterator[tuple[Job, tuple[str, ...] | None]]:
        """The same, a job at a time."""
        return ((self.grid[n], metrics) for n, metrics in to_do)


def scan(
    store: Store, config: RunConfig, wanted: Sequence[str] = (), *, again: bool = False, verify: bool = False,
    adopt: bool = False, part: Part | None = None, remake: bool = True, codes: Sequence[str] = (), keep_old: bool = False,
) -> Scan:  # fmt: skip
    """Compare a run folder with its run.

    Args:
        wanted: metric labels; those without a current record are to do.
        again: count every record as missing.
        verify: compare SHA-256 of every file.
        adopt: take missing videos over from run folders beside this one.
        part: the videos that are made where they are missing; None for all.
        remake: videos that are marked (``Store.mark``) are to be made or scored again; else they are as good as others.
        codes: for each method the state of its code, "" where that is no matter. Videos of another state are set aside, and
            missing.
        keep_old: count them, and numbers of another state of a metric's code, but let them be.
    """
    found = Scan(config.grid())
    codes = codes or [""] * len(config.methods)
    look = _Look(store, found.grid, verify)
    records = _Records(store, wanted, again, codes, keep_old)
    stamp = records.stamp()
    per_case, disputed = len(config.seeds) * len(config.methods), store.disputed()
    looked = damaged = 0
    ours, marked = [not m.imported for m in config.methods], store.marked() if remake else {}
    with Index(store.root / INDEX, stamp) as index:
        if not index.same:
            records.read()  # now, so that damage in a log is known before the new index vouches for anything
        index.begin(stamp if not store.warnings else "")
        for n, (key, name) in enumerate(found.grid.names()):
            known = index.row(n, key)
            row, code = look.row(n, name, known), codes[n % len(codes)]
            looked += name in look.names
            damaged += row is None and name in look.names
            sure = row is None or (row is known and index.complete)  # under these states of the code, the stamp says
            if code and not sure and _made_by_other(f"{look.place}/{name}", code):
                found.stale[config.methods[n % len(codes)].label] += 1
                if not keep_old:
                    store.set_aside(store.root / ARTEFACTS / name)
                    row = None
            may = ours[n % len(ours)] and key not in disputed  # what nothing here may make has its failure recorded
            may = may and (part is None or found.meant(n, part))
            left = marked.get(key)
            if row is None and may and adopt and not left:
                row = look.adopted(n, key, code)
            if may and (row is None or left == TO_MAKE):
                found.to_do.append((n, None))
                continue
            if row is None:
                continue
            found.found += 1
            case = config.suite.cases[n // per_case]
            if left == TO_SCORE:
                missing = records.applying(case, row)
            else:
                missing = () if row is known and index.complete else records.missing(case, row)
            index.write(n, row, not missing)
            if missing:
                found.to_do.append((n, missing))
    if verify:
        store.news.append(f"{Verified(looked, looked - damaged).words()}.")
    found.stale.update(records.stale)
    return found


def made_by_label(store: Store, config: RunConfig) -> dict[str, int]:
    """Videos that are there by method label, by the names of their folders; without those of code that was edited since."""
    place = store.root / ARTEFACTS
    names = {entry.name for entry in os.scandir(place)} if place.is_dir() else set()
    labels, codes = [m.label for m in config.methods], [edited_method(m.method, m.params) for m in config.methods]
    found = dict.fromkeys(labels, 0)
    for n, (_, name) in enumerate(config.grid().names() if names else ()):
        code = codes[n % len(labels)]
        if name in names and not (code and _made_by_other(f"{place}/{name}", code)):
            found[labels[n % len(labels)]] += 1
    return found


def _made_by_other(folder: str, code: str) -> bool:
    """Whether a video was made by another state of its method's code."""
    with suppress(OSError, ValueError):  # what is damaged is named by those who use it
        return other_code(read_meta(folder).log.get("code"), code)
    return False


class _Look:
    """One pass over the artefacts of a store, and candidates beside it."""

    def __init__(self, store: Store, grid: JobGrid, verify: bool) -> None:
        self.store, self.grid, self.verify = store, grid, verify
        self.place = str(store.root / ARTEFACTS)
        self.names = {entry.name for entry in os.scandir(self.place)}
        self._beside: dict[str, list[str]] | None = None

    def row(self, n: int, name: str, known: Row | None) -> Row | None:
        """The video of a job, or None; what is damaged is moved away by the store."""
        if name not in self.names:
            return None
        folder = f"{self.place}/{name}"
        if not self.verify:
            with suppress(OSError, ValueError):  # whatever is wrong is found again, and named, by the store
                if known is not None and unchanged(folder, known.signature):
                    return known
                return _whole(folder, self.grid[n].key)
        artefact = self.store.artefact(self.grid[n], self.verify)
        return row_of(folder, artefact) if artefact else None

    def adopted(self, n: int, key: str, code: str) -> Row | None:
        """The same video from a run folder beside this one."""
        if self._beside is None:
            self._beside = _names_beside(self.store.root, self.grid)
        folders = self._beside.get(beginning(key))
        fits = lambda found: not other_code(found.log.get("code"), code)  # noqa: E731
        artefact = self.store.adopt(self.grid[n], map(Path, folders), fits) if folders else None
        return row_of(str(self.store.folder(self.grid[n])), artefact) if artefact else None


def _whole(folder: str, key: str) -> Row:
    """The row of a video whose ``meta.json`` and sizes are right.

    Raises:
        OSError, ValueError: when they are not.
    """
    artefact = read_meta(folder)
    row = row_of(folder, artefact)
    sizes = {part.rsplit(":", 2)[0]: part.rsplit(":", 2)[1] for part in row.signature.split(" ")}
    if artefact.key != key or any(sizes.get(n, str(i.bytes)) != str(i.bytes) for n, i in artefact.files.items()):
        raise ValueError("another key or size")
    return row


class _Records:
    """Which numbers there are, by their keys; a metric's identity is written out once."""

    def __init__(self, store: Store, wanted: Sequence[str], again: bool, codes: Sequence[str], keep_old: bool) -> None:
        self.store, self.again, self.codes, self.keep_old = store, again, codes, keep_old
        self.stale: Counter[str] = Counter()
        self.metrics = [build(label) for label in wanted]
        self.identities = [identity_of(m) for m in self.metrics]
        self.edited = {m.label: code for m in self.metrics if (code := edited_metric(m))}
        self.current: set[bytes] | None = None
        self.sizes: dict[Path, int] = {}
        self._case: Case | None = None
        self._applying: list[tuple[str, str, bool]] = []
        self._same: dict[tuple[str, ...], tuple[str, ...]] = {}

    def stamp(self) -> str:
        """What besides the videos decides which records are missing: the logs' bytes, what is wanted. "" fits nothing."""
        if self.again:
            return ""
        facts: list[object] = [__version__, self.identities]
        facts += [[self.codes, self.edited]] if any(self.codes) or self.edited else []
        for path in self.store.logs(RECORDS):
            with suppress(FileNotFoundError), open(path, "rb") as file:
                facts.append([path.name, file_digest(file, "sha256").hexdigest()])
                self.sizes[path] = file.tell()
        return "" if self.keep_old else sha256(canonical_json(facts).encode()).hexdigest()  # what is kept is said each time

    def read(self) -> set[bytes]:
        """Keys of what is there, read once, and no further than the stamp did: others may be writing."""
        if self.current is None:
            others: dict[bytes, str] = {}
            self.current = _current(self.store, self.sizes, self.edited, others) if self.metrics and not self.again else set()
            self.stale.update(others.values())
            self.current |= others.keys() if self.keep_old else set()
        return self.current

    def applying(self, case: Case, row: Row) -> tuple[str, ...]:
        """Labels of all that is wanted of a video, recorded or not."""
        return tuple(m.label for m in self.metrics if applies(m, case) and not (m.timing and row.reused))

    def missing(self, case: Case, row: Row) -> tuple[str, ...]:
        """Labels without a current record, as ``scoring.wanted_metrics`` wants them; equal answers are one tuple."""
        if case is not self._case:
            pairs = zip(self.metrics, self.identities, strict=True)
            self._case, self._applying = case, [(m.label, i, m.timing) for m, i in pairs if applies(m, case)]
        reference, there = case.reference.frames_digest, self.read()
        lacks = tuple(
            label for label, identity, timed in self._applying
            if not (timed and row.reused)
            and record_key(identity, timed, row, reference) not in there
        )  # fmt: skip
        return self._same.setdefault(lacks, lacks)


def _current(store: Store, sizes: Mapping[Path, int], edited: Mapping[str, str], others: dict[bytes, str]) -> set[bytes]:
    """Keys of records that hold a number or say why there is none, as ``Store.records`` would have them: the last line of a
    key decides, a failed one of another writer nothing.

    Args:
        edited: the state of the code of metrics where that matters; a number of another one goes into ``others``.
    """
    good: set[bytes] = set()
    for path, size in sizes.items():
        mine: set[bytes] = set()
        for record in store.each_record(path, size):
            key = bytes.fromhex(record.key) if _HEX.fullmatch(record.key) else record.key.encode()
            others.pop(key, None)
            if record.status != "failed" and other_code(record.code, edited.get(record.metric, "")):
                others[key] = record.metric
            (mine.discard if record.status == "failed" or key in others else mine.add)(key)
        good |= mine
    return good


def _names_beside(root: Path, grid: JobGrid) -> dict[str, list[str]]:
    """Artefacts of the same jobs in the run folders beside this one, by the beginning of their key."""
    found: dict[str, list[str]] = {}
    wanted: set[str] = set()
    own = root.resolve()
    for run in sorted(own.parent.iterdir()):
        place = run / ARTEFACTS
        if run == own:
            continue
        try:
            names = sorted(os.listdir(place))  # noqa: PTH208 - names are wanted, not paths
        except OSError:  # not a run, or not for us to read
            continue
        wanted = wanted or {beginning(key) for key, _ in grid.names()}
        for name in names:
            if not name.startswith(".") and (key := key_in(name)) in wanted:
                found.setdefault(key, []).append(f"{place}/{name}")
    return found

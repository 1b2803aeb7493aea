"""A run folder read as a stranger's: no link is followed, no plug-in loaded, no file of it moved or changed."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fastvmt.core.content_address import digest
from fastvmt.core.spelling import mib, shown
from fastvmt.errors import StoreError
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import Artefact, Failure, Job, MetricRecord
from fastvmt.store import layout
from fastvmt.store.artefact_files import LARGEST_META, artefact_of
from fastvmt.store.folder import Store
from fastvmt.store.plain import refuse_strange

UNREAD = (
    layout.CACHE, layout.PREPARED, layout.WORKERS, layout.LEASES, layout.REPORT, layout.QUARANTINE, "probes", layout.LOCK,
    layout.REMAKE,
)  # fmt: skip
"""What a merge leaves alone: it can be made again, or belongs to one machine."""
LARGEST = {".jsonl": 4 << 30, ".json": 256 << 20}
OWN_NOTE = "merged: "
"""How notes of a merge begin; those of an earlier one are not carried on, they may no longer be true."""
MOST_JOBS = 2_000_000


@dataclass
class Source:
    """One run to be merged.

    Attributes:
        name: how messages and ``conflicts.json`` call it.
        artefacts: finished videos by job key, sizes checked; folders: where they lie.
        records: the last one of each (job key, metric); failures: by job key.
        disputes: of a merged run, job key to run and frames digest where its own sources disagreed and nobody has chosen.
        notes: what was passed over; digest: over all of the above, so that a run that went on is another source.
    """

    name: str
    root: Path
    config: RunConfig
    artefacts: dict[str, Artefact] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    records: dict[tuple[str, str], MetricRecord] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    disputes: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    digest: str = ""

    @cached_property
    def metrics(self) -> frozenset[str]:
        """Labels of what was scored."""
        return frozenset(metric for _, metric in self.records)


def read_source(name: str, root: Path) -> Source:
    """A run folder with everything that a merge takes from it.

    Raises:
        StoreError: no run folder, one with links or devices in it, files beyond any sensible size, or unreadable JSON.
    """
    store = Store.open(root)
    check_source(root)
    try:
        config = store.config()
        found = Source(name, root, config)
        found.disputes = store.disputes()
        jobs = _jobs(config, root)
        _read(store, jobs, found)
    except RecursionError:
        raise StoreError(f"{root}: its JSON is nested deeper than any run's. It was not made by `bench run`.") from None
    except OSError as error:
        raise StoreError(f"{root}: cannot be read ({error.strerror or type(error).__name__}).") from None
    found.notes += [f"{name}: {w}" for w in store.warnings]
    found.digest = digest(
        [
            config.model_dump(mode="json"),
            sorted([k, a.frames_digest, a.timing_key, [[n, i.sha256] for n, i in sorted(a.files.items())]]
                   for k, a in found.artefacts.items()),
            sorted([r.key, r.status, r.value] for r in found.records.values()),
            sorted([f.job_key, f.kind, f.attempt] for f in found.failures.values()),
            found.disputes,
        ]
    )  # fmt: skip
    return found


def check_source(root: Path) -> None:
    """Raises:
    StoreError: for a symbolic link, a device or pipe, or a file too large for what it is, anywhere a merge reads.
    """
    for path, about in _walk(root):
        refuse_strange(root, path, about)
        where = shown(path.relative_to(root), 120)
        limit = LARGEST_META if path.name == layout.META else LARGEST.get(path.suffix, 1 << 62)
        if about.st_size > limit and stat.S_ISREG(about.st_mode):
            raise StoreError(f"{root}: '{where}' has {mib(about.st_size)}, more than the limit of {mib(limit)} for it.")


def _walk(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for folder, names, files in os.walk(root, followlinks=False):
        here = Path(folder)
        if here == root:
            names[:] = [n for n in names if n not in UNREAD]
        for name in (*names, *(f for f in files if here != root or f not in UNREAD)):
            path = here / name
            yield path, path.lstat()


def _jobs(config: RunConfig, root: Path) -> list[Job]:
    planned = len(config.suite.cases) * len(config.methods) * len(config.seeds)
    if planned > MOST_JOBS:
        raise StoreError(f"{root}: its configuration plans {planned:,} jobs; {MOST_JOBS:,} is the limit.")
    return config.jobs()


def _read(store: Store, jobs: list[Job], found: Source) -> None:
    for job in jobs:
        folder = store.folder(job)
        try:
            artefact = artefact_of(folder, job)
        except (OSError, ValueError) as error:
            why = shown(str(error).splitlines()[0], 160)
            found.notes.append(f"{found.name}: {shown(folder.name, 120)} was passed over ({why}).")
            continue
        if artefact is not None:
            found.artefacts[job.key], found.folders[job.key] = artefact, folder
    planned = {job.key for job in jobs}
    for record in store.records().values():
        if record.job_key not in found.artefacts:
            continue
        if (record.value is not None and not math.isfinite(record.value)) or (record.status == "ok") != (
            record.value is not None
        ):
            found.notes.append(f"{found.name}: a record of {shown(record.metric)} is no number; passed over.")
            continue
        found.records[record.job_key, record.metric] = record
    failed = store.failures().items()
    found.failures = {key: f for key, f in failed if key in planned and key not in found.artefacts}

"""Where a run stands, read from names, claims, the end of the event logs and the failures: one second for 100,000 jobs."""

from __future__ import annotations

import fcntl
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastvmt.core.spelling import duration, shown
from fastvmt.estimates import seconds
from fastvmt.jobs.numbering import beginning, key_in, label_in
from fastvmt.jobs.run_config import RunConfig
from fastvmt.records.failures import failures_of
from fastvmt.runner.command import go_on
from fastvmt.runner.crew.leases import Leases
from fastvmt.store import layout
from fastvmt.store.events import Event, events_in
from fastvmt.store.folder import Store

STATES = ("done", "failed", "missing")
SHOWN = 5
"""Failures that are listed; `bench why` lists all."""
TAIL = 1 << 18
"""Bytes of the event log that are read from its end, for the seconds of the last videos."""


@dataclass
class Status:
    """Where a run stands.

    Attributes:
        done, failed, missing: videos; a failed one is tried again by the next ``bench resume``.
        running: what is worked on now, by the claims of runners that are not known to be dead: ``key`` of a job, or
            ``prepare-KEY`` for a preparation, and ``by`` whom.
        holder: who holds the folder, "" for nobody; ``runners``: who works on it, the holder among them.
        elsewhere: those of ``runners`` that are on other machines: one look from here cannot tell whether they still live.
        again: videos that are there and still to be made or scored again (--remake).
        records: lines in the record log.
        unscored: numbers that could not be computed; failures: the first of them and of the failed videos, with the reason.
        seconds_left: estimated on the workers of the last start; None where nothing is known.
    """

    folder: str
    jobs: int
    done: int = 0
    failed: int = 0
    missing: int = 0
    running: list[dict[str, str]] = field(default_factory=list)
    holder: str = ""
    runners: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    again: int = 0
    records: int = 0
    unscored: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)
    seconds_left: float | None = None
    methods: dict[str, dict[str, int]] = field(default_factory=dict)
    """``done``, ``failed`` and ``missing`` videos of each."""
    warnings: list[str] = field(default_factory=list)


def status(folder: Path) -> Status:
    """Read a run folder without changing it.

    Raises:
        StoreError: when it is none.
    """
    store = Store.open(folder)
    config = store.config()
    planned, labels = len(config.suite.cases) * len(config.seeds), [m.label for m in config.methods]
    found = Status(str(folder), planned * len(labels), methods={k: dict.fromkeys(STATES, 0) for k in labels})
    made = _count_made(store, config, found)
    _count(config, found, "failed", {beginning(key) for key in store.failures()} - made)
    for method in found.methods.values():
        method["missing"] = planned - method["done"] - method["failed"]
    found.done, found.failed, found.missing = (sum(m[state] for m in found.methods.values()) for state in STATES)
    failures = failures_of(store, config)
    found.unscored = sum(bool(f.metric) for f in failures)
    found.failures = [
        {"number": f.number, "job": f.job, "name": f.name, "why": f.message, "line": f.line} for f in failures[:SHOWN]
    ]
    found.holder = holder(folder)
    alive = runners(folder)
    found.runners, found.running = list(alive.values()), _running(folder, alive)
    leases = Leases(folder)
    found.elsewhere = [who for token, who in alive.items() if not leases.is_here(token)]
    found.again = len(store.marked())
    found.records = sum(_lines(path) for path in store.logs(layout.RECORDS))
    events = [e for path in store.logs(layout.EVENTS) for e in _tail(path)]
    found.seconds_left = _left(folder, events, found)
    found.warnings = store.warnings
    return found


def _count_made(store: Store, config: RunConfig, found: Status) -> set[str]:
    """Count videos by the keys in their folders' names, which those of another version lack; returns the keys' beginnings."""
    place = store.root / layout.ARTEFACTS
    listed = os.listdir(place) if place.is_dir() else []  # noqa: PTH208 - 100,000: a Path costs more than all the rest
    keys = {key_in(name) for name in listed if not name.startswith(".") and label_in(name) is not None}
    _count(config, found, "done", keys)
    return keys


def _count(config: RunConfig, found: Status, state: str, keys: set[str]) -> None:
    """Count the jobs whose keys begin so."""
    labels = list(found.methods)
    for n, key in enumerate(config.grid().keys()) if keys else ():
        found.methods[labels[n % len(labels)]][state] += beginning(key) in keys


def holder(folder: Path) -> str:
    """Who holds a run folder: what stands in its lock while somebody does, else ""."""
    path = folder / layout.LOCK
    try:
        with open(path) as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return shown(handle.read(200).strip() or "another process", 80)
    except OSError:
        pass
    return ""


def _tail(path: Path) -> Iterator[Event]:
    """The last events; lines that are cut or damaged are passed over."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return
    yield from events_in(lines[1 if size > TAIL else 0 :])


def runners(folder: Path) -> dict[str, str]:
    """Runners of a folder that are not known to be dead: token to ``process 12 on host``."""
    leases = Leases(folder)
    place = leases.folder / layout.HOLDERS
    there = sorted(path.name for path in place.iterdir()) if place.is_dir() else ()
    return {token: leases.name(token) for token in there if leases.lives(token)}


def unheard(found: Status) -> str:
    """Who may be at work on another machine, or was killed there without a word."""
    return f"at work, or gone without a word: {', '.join(found.elsewhere)} (on other machines, not heard from here)"


def _running(folder: Path, alive: dict[str, str]) -> list[dict[str, str]]:
    """Claims of these runners."""
    found = []
    for path in sorted((folder / layout.LEASES).glob("*.[0-9]*")) if alive else ():
        try:
            token = path.read_text(errors="replace")[:64]
        except OSError:
            continue  # given back this moment
        key = path.name.rpartition(".")[0]
        if token in alive and not key.startswith("device-"):
            found.append({"key": key, "by": alive[token]})
    return found


def _lines(path: Path) -> int:
    try:
        with open(path, "rb") as file:
            return sum(part.count(b"\n") for part in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0


def _left(folder: Path, events: list[Event], found: Status) -> float | None:
    """Seconds of what is missing: as predicted at the start, else by the mean of the last videos."""
    if not found.missing + found.failed:
        return 0.0
    took = [e.seconds for e in events if e.event == "made"]
    workers = next((e.workers for e in reversed(events) if e.event == "started" and e.workers), 1)
    note = seconds.read_note(folder)
    each = note.seconds if note else {}
    if all(label in each for label in found.methods):
        left = sum(each[label] * (m["missing"] + m["failed"]) for label, m in found.methods.items())
    elif took:
        left = sum(took) / len(took) * (found.missing + found.failed)
    else:
        return None
    return round(left / workers, 1)


def as_lines(found: Status) -> str:
    """The status as text."""
    left = "unknown" if found.seconds_left is None else f"about {duration(found.seconds_left)}"
    lines = [f"{found.folder}: {found.done} of {found.jobs} videos, {found.failed} failed, {found.missing} missing, "
             f"{found.records} record lines" + (f", {found.unscored} numbers failed" if found.unscored else "")]  # fmt: skip
    width = max(len(label) for label in found.methods)
    lines += [f"  {'method':<{width}}  {'done':>7}  {'failed':>7}  {'missing':>7}"]
    lines += [f"  {k:<{width}}  " + "  ".join(f"{m[state]:>7}" for state in STATES) for k, m in found.methods.items()]
    lines += [f["line"] for f in found.failures]
    if more := found.failed + found.unscored - len(found.failures):
        lines.append(f"     and {more} more")
    if found.failures:
        lines.append(f"what is behind it: {shlex.join(['bench', 'why', found.folder])} [NUMBER]")
    here = [who for who in found.runners if who not in found.elsewhere]
    jobs = f"{len(found.running)} jobs in work"
    if here or found.holder:
        lines.append(f"worked on by {', '.join(here) or found.holder}; {jobs}")
    if found.elsewhere:
        lines.append(f"{unheard(found)}; {jobs}; `bench gc {found.folder} --dry-run` listens for them")
    if found.again:
        lines.append(f"{found.again} videos are still to be made or scored again")
    if not found.runners and not found.holder and found.missing + found.failed + found.again:
        lines.append(f"nobody works on it; go on with: {go_on(Path(found.folder))}")
    lines.append(f"time left: {left}")
    return "\n".join([*lines, *(f"note: {w}" for w in found.warnings)])

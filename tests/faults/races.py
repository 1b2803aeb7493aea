"""Several at once, and clocks that lie: each job once, nothing overwritten, the same table."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path

from fastvmt.store import Store
from faults.fault import Figure, fault, in_pairs
from faults.kills import same_as, wait_for
from faults.runs import (
    ENV,
    PATIENCE,
    Undisturbed,
    alive,
    argv,
    children,
    events,
    finished,
    go_on,
    made_twice,
    make_light,
    start,
    table_of,
    undisturbed,
)


@fault("the same run started twice at once", promise=1, sample=1, whole=30)
def started_twice(n: int, place: Path) -> Figure:
    base = undisturbed(2)
    return in_pairs(partial(_started_twice, place / f"{i}", base) for i in range(n))


def _started_twice(place: Path, base: Undisturbed) -> str:
    place.mkdir()
    folder = make_light(place / "run", cases=2)
    both = [start(folder, "--workers", "2") for _ in range(2)]
    codes = sorted(process.wait(timeout=PATIENCE) for process in both)
    said = (place / "said").read_text()
    if codes not in ([0, 0], [0, 2]) or "Traceback" in said:
        return f"ended with {codes}: {said[-200:]}"
    if 2 in codes and "in use by" not in said:
        return f"refused without a reason: {said[-200:]}"
    return same_as(base, folder)


@fault("1, 2, 4 and 8 workers: the same table, each job once", promise=3, sample=1, whole=8)
def many_workers(n: int, place: Path) -> Figure:
    """Runs of 200 jobs by the whole list; of 8 by the sample."""
    cases = CASES if n <= 2 else 100
    base, figure = undisturbed(cases), Figure(note=f"{2 * cases} jobs")
    for i in range(n):
        workers = (8, 1, 4, 2)[i % 4]
        folder = make_light(place / f"{i}" / "run", cases=cases)
        said = go_on(folder, "--workers", f"{workers}")
        same = said.code == 0 and table_of(said) == base.table and finished(folder) == finished(base.folder)
        figure.count(same and not made_twice(folder), f"{workers} workers: ended with {said.code}, or another table")
    return figure


@fault("a clock that steps back between and during runs", promise=1, sample=1, whole=8)
def clocks(n: int, place: Path) -> Figure:
    """``time.time`` runs backwards, by hours at every call, in every process."""
    base = undisturbed(2)
    plugin = place / "clock.py"
    plugin.write_text(_CLOCK)
    return in_pairs(partial(_one_clock, place / f"{i}", plugin, base) for i in range(n))


_CLOCK = """
import itertools, time
from fastvmt.metric import Metric

steps = itertools.count()
time.time = lambda: 1.7e9 - 3600.0 * next(steps)

class Unused(Metric):
    id = "unused-clock"

METRICS = {"unused-clock": Unused}
"""


def _one_clock(place: Path, plugin: Path, base: Undisturbed) -> str:
    folder = make_light(place / "run", cases=2, plugins=[plugin])
    process = start(folder)
    wait_for(lambda: len(events(folder)) >= 4 or process.poll() is not None)
    process.kill()
    process.wait()
    before = {p: p.read_bytes() for p in (folder / "artefacts").glob("[!.]*/*")}
    wrong = same_as(base, folder)
    return wrong or next((f"{p.name} was written again" for p, raw in before.items() if p.read_bytes() != raw), "")


@fault("Ctrl-C once: what was finished is kept, exit code 130, no process left", promise=1, sample=1, whole=12)
def ctrl_c(n: int, place: Path) -> Figure:
    return _interrupts(n, place, 1)


@fault("Ctrl-C twice: it ends at once, and can be resumed", promise=1, sample=1, whole=12)
def ctrl_c_twice(n: int, place: Path) -> Figure:
    return _interrupts(n, place, 2)


CASES = 4


def _interrupts(n: int, place: Path, times: int) -> Figure:
    base = undisturbed(CASES)
    return in_pairs(partial(_one_interrupt, place / f"{i}", 1 + i % (4 * CASES), times, base) for i in range(n))


def _one_interrupt(place: Path, moment: int, times: int, base: Undisturbed) -> str:
    import signal

    place.mkdir()
    folder = make_light(place / "run", cases=CASES)
    process = subprocess.Popen(
        argv(folder, "--workers", "2"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ENV
    )
    wait_for(lambda: process.poll() is not None or (len(events(folder)) >= moment and bool(children(process.pid))))
    workers = children(process.pid)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    if process.returncode not in (130, 0) or "Traceback" in said:
        return f"ended with {process.returncode}: {said[-300:]}"
    if process.returncode == 130 and times == 1 and "bench resume" not in said:
        return f"does not say how to go on: {said[-200:]}"
    if not wait_for(lambda: not any(map(alive, workers)), 10):
        return "a worker was left"
    return same_as(base, folder)


@fault("a lock left by a killed process, and a forged one", promise=1, sample=1, whole=7)
def stale_lock(n: int, place: Path) -> Figure:
    """The lock is the kernel's, so what is written in its file cannot keep anybody out, and death frees it."""
    base, figure = undisturbed(1), Figure()
    texts = ("", "process 1", "process 999999999", "process -1\n", "\x00" * 100, "machine elsewhere, process 7", "x" * 10_000)
    for i, text in enumerate(texts[-n:]):
        folder = make_light(place / f"{i}" / "run", cases=1)
        (folder / "lock").write_text(text)
        wrong = same_as(base, folder)
        figure.count(not wrong, f"lock {text[:20]!r}: {wrong}")
    folder = make_light(place / "held" / "run", cases=1)
    store = Store.open(folder)
    store.lock()
    said = go_on(folder)
    store.unlock()
    figure.count(said.code == 2 and "in use by process" in said.err, f"a live lock was passed: {said.code}")
    return figure

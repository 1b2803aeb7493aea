"""Several at once, and clocks that lie: each job once, nothing overwritten, the same table."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

from support.cli import Said, command
from support.light_runs import PLUGIN, alive, children, comes, events, finished, make_light

from fastvmt.store.folder import Store
from faults.fault import Figure, Times, fault, in_pairs
from faults.kills import DRAWS, same_as, until
from faults.runs import PATIENCE, Undisturbed, go_on, made_twice, reached, start, table_of, undisturbed


@fault("the same `bench run` started twice at once in a new folder", promise=1, sample=1, whole=50)
def started_twice(n: int, place: Path) -> Figure:
    base, refused = _whole_run(place / "alone"), []
    figure = in_pairs(partial(_started_twice, place / f"{i}", base, refused) for i in range(n))
    figure.note = f"in {len(refused)} the other one was refused in one sentence, in {n - len(refused)} it came after the end"
    return figure


def _from_nothing(folder: Path) -> list[str]:
    """The command that plans and makes a light run in this folder."""
    return command(
        "run", "--plugin", PLUGIN, "--methods", "light,light:at=2", "--metrics", "difference", "--no-controls", "--limit", "2",
        "--no-reuse", "--json", "--out", folder,
    )  # fmt: skip


def _whole_run(place: Path) -> Undisturbed:
    """What ``_from_nothing`` ends in when nobody else is there."""
    place.mkdir()
    done = subprocess.run(_from_nothing(place / "run"), capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return Undisturbed(place / "run", table_of(Said(0, done.stdout, done.stderr)), reached(events(place / "run")), 0.0, 0.0)


def _started_twice(place: Path, base: Undisturbed, refused: list[str]) -> str:
    place.mkdir()
    folder, both = place / "run", []
    for name in ("one", "two"):
        with open(place / name, "w") as said:
            both.append(subprocess.Popen(_from_nothing(folder), stdout=subprocess.DEVNULL, stderr=said, text=True))
    codes = {name: process.wait(timeout=PATIENCE) for name, process in zip(("one", "two"), both, strict=True)}
    texts = {name: (place / name).read_text() for name in codes}
    if sorted(codes.values()) not in ([0, 0], [0, 2]) or any("Traceback" in text for text in texts.values()):
        return f"ended with {codes}: {' '.join(texts.values())[-300:]}"
    for lines in (texts[name].strip().splitlines() for name, code in codes.items() if code == 2):
        if len(lines) != 1 or "in use by" not in lines[0]:
            return f"refused without a reason, or with more: {lines[-3:]}"
        refused.append(lines[0])
    order = [e["event"] for e in events(folder) if e["event"] in ("started", "ended")]
    if order not in (["started", "ended"], ["started", "ended"] * 2):
        return f"both ran at once: {order}"
    store = Store.open(folder)
    for case in store.config().suite.cases:
        store.reference(case.reference)  # raises where it is not whole
    return same_as(base, folder)


@fault("1, 2, 4 and 8 workers: the same table, each job once", promise=3, sample=1, whole=4)
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
from fastvmt.plugins.metric import Metric

steps = itertools.count()
time.time = lambda: 1.7e9 - 3600.0 * next(steps)

class Unused(Metric):
    id = "unused-clock"

METRICS = {"unused-clock": Unused}
"""


def _one_clock(place: Path, plugin: Path, base: Undisturbed) -> str:
    folder = make_light(place / "run", cases=2, plugins=[plugin])
    process = start(folder)
    comes(lambda: len(events(folder)) >= 4 or process.poll() is not None)
    process.kill()
    process.wait()
    before = {p: p.read_bytes() for p in (folder / "artefacts").glob("[!.]*/*")}
    wrong = same_as(base, folder)
    return wrong or next((f"{p.name} was written again" for p, raw in before.items() if p.read_bytes() != raw), "")


@fault(
    "Ctrl-C once: ended in 3 s, exit code 130, jobs in flight recorded as cancelled, no process left",
    promise=1,
    sample=1,
    whole=12,
)
def ctrl_c(n: int, place: Path) -> Figure:
    return _interrupts(n, place, 1)


@fault("Ctrl-C twice: ended in 3 s, exit code 130, no process left, can be resumed", promise=1, sample=1, whole=12)
def ctrl_c_twice(n: int, place: Path) -> Figure:
    return _interrupts(n, place, 2)


CASES = 4
INTERRUPT_SECONDS, INTERRUPT_CROWDED = 3.0, 20.0


def _interrupts(n: int, place: Path, times: int) -> Figure:
    """One after the other, as seconds are asked; each in its own part of the run, drawn again when it came after the end."""
    base, clock, figure, late = undisturbed(CASES), Times(INTERRUPT_SECONDS, INTERRUPT_CROWDED), Figure(), 0
    cancelled: list[str] = []
    for i in range(n):
        rng, wrong = random.Random(i), None
        for draw in range(DRAWS):
            moment = int(base.steps * (i + rng.random()) / n)
            wrong = _one_interrupt(place / f"{i}-{draw}", moment, times, base, clock, cancelled)
            if wrong is not None:
                break
            late += 1
        figure.count(wrong == "", wrong or "Ctrl-C always came too late")
    figure.note = f"{clock.note()}; {len(cancelled)} jobs cancelled in flight; {late} came after the end, drawn again"
    return figure


def _one_interrupt(place: Path, moment: int, times: int, base: Undisturbed, clock: Times, cancelled: list[str]) -> str | None:
    """None when the run was over before the signal."""
    place.mkdir()
    folder = make_light(place / "run", cases=CASES)
    process = start(folder, "--workers", "2")
    until([process], folder, moment, lambda: bool(children(process.pid)))
    workers, began = children(process.pid), time.monotonic()
    for _ in range(times):
        process.send_signal(signal.SIGINT)
    code = process.wait(timeout=PATIENCE)
    took, said, log = time.monotonic() - began, (place / "said").read_text(), events(folder)
    if any(e["event"] == "ended" and not e["interrupted"] for e in log):
        return same_as(base, folder) or None
    if code != 130 or "Traceback" in said:
        return f"ended with {code}: {said[-300:]}"
    if wrong := clock.wrong(took):
        return wrong
    if times == 1 and "bench resume" not in said:
        return f"does not say how to go on: {said[-200:]}"
    flying = {e["key"] for e in log if e["event"] == "generating"} - {e["key"] for e in log if e["event"] in ("made", "failed")}
    noted = {e["key"] for e in log if e["event"] == "cancelled"}
    if times == 1 and noted != flying:
        return f"{len(flying)} jobs in flight, {len(noted)} recorded as cancelled"
    cancelled += noted
    if not comes(lambda: not any(map(alive, workers)), 10):
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

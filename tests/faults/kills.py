"""SIGKILL at random moments, and at every write: what was reported as done stays, nothing is done twice, tables are the same."""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from faults.fault import Figure, fault, in_pairs
from faults.runs import (
    PATIENCE,
    STAB,
    Undisturbed,
    children,
    count_writes,
    events,
    finished,
    go_on,
    kill,
    made_twice,
    make_light,
    spread,
    start,
    table_of,
    undisturbed,
)  # fmt: skip

Victims = Callable[[subprocess.Popen[str], random.Random], list[int]]
"""The processes to be killed, from the runner's."""
CASES = 4
EVENTS = 2 + 2 * 2 * CASES
"""Lines that the event log of such a run has at the end: the beginning, two a job, and the end."""


@fault("the runner killed at a random moment, then resumed", promise=1, sample=1, whole=80)
def runner_killed(n: int, place: Path) -> Figure:
    return _kills(n, place, lambda process, rng: [process.pid])


@fault("a worker killed at a random moment, the run goes on", promise=1, sample=1, whole=50)
def worker_killed(n: int, place: Path) -> Figure:
    return _kills(n, place, lambda process, rng: rng.sample(found, 1) if (found := children(process.pid)) else [])


@fault("runner and workers killed together, as when a machine loses its power", promise=1, sample=1, whole=40)
def all_killed(n: int, place: Path) -> Figure:
    return _kills(n, place, lambda process, rng: [process.pid, *children(process.pid)])


def _kills(n: int, place: Path, victims: Victims) -> Figure:
    base = undisturbed(CASES)
    figure = in_pairs(partial(_one_kill, place / f"{number}", random.Random(number), base, victims) for number in range(n))
    late = sum(not (place / f"{number}" / "hit").exists() for number in range(n))
    figure.note = f"{late} fell after the end" if late else ""
    return figure


def _one_kill(place: Path, rng: random.Random, base: Undisturbed, victims: Victims) -> str:
    """One run, one kill, resumed to its end. Returns what is wrong with it.

    The moment is a number of events, so that all of the run is met whatever the machine's speed, and a little more.
    """
    place.mkdir()
    folder = make_light(place / "run", cases=CASES)
    process = start(folder, "--workers", "2")
    moment = rng.randrange(EVENTS)
    wait_for(lambda: process.poll() is not None or (len(events(folder)) >= moment and bool(victims(process, rng))))
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=rng.uniform(0, 0.05 if moment else 0.5))
    before = {e["key"] for e in events(folder) if e.get("event") == "made"}
    killed = [pid for pid in victims(process, rng) if process.poll() is None and kill(pid)]
    if killed:
        (place / "hit").touch()
    if process.wait(timeout=PATIENCE) not in (0, 3, -9):
        return f"the run ended with {process.returncode}"
    lost = before - {e["key"] for e in events(folder) if e.get("event") == "made"}
    return f"{len(lost)} jobs that were reported as made are gone" if lost else same_as(base, folder)


def same_as(base: Undisturbed, folder: Path) -> str:
    """Resume a run to its end and compare it with the undisturbed one. Returns what differs, or ""."""
    said = go_on(folder, "--workers", "2")
    if said.code != 0:
        return f"resume ended with {said.code}: {said.err.strip().splitlines()[-1:]}"
    if table_of(said) != base.table:
        return f"another table: {table_of(said)}"
    if twice := made_twice(folder):
        return f"{len(twice)} finished jobs were made again"
    if finished(folder) != finished(base.folder):
        return "other artefacts"
    if left := list((folder / "artefacts").glob(".making-*")):
        return f"{len(left)} half-made folders left"
    return ""


def wait_for(found: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Look until it is so; false when it never was."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found():
            return True
        time.sleep(0.01)
    return False


def _by_stage(who: str, n: int, place: Path) -> Figure:
    """Death at write number 1, 2, ... of one process, before the write or in the middle of it."""
    base = undisturbed(1)
    counted = count_writes(who)
    chosen = spread(len(counted), n)
    points = [(action, at) for at in chosen for action in ("kill", "tear") if action == "kill" or counted[at - 1] == "w"]
    tries = [partial(_one_stab, place / f"{action}{at}", f"{who}:{action}:{at}", base) for action, at in points]
    figure = in_pairs(tries)
    figure.note = f"{len(chosen)} of {len(counted)} writes, before each, and in the middle of those that have one"
    return figure


def _one_stab(place: Path, what: str, base: Undisturbed) -> str:
    place.mkdir()
    folder = make_light(place / "run", cases=1, plugins=[STAB])
    said = go_on(folder, "--workers", "1", fault=what)
    if said.code not in (0, -9):
        return f"{what}: ended with {said.code}: {said.err.strip()[-200:]}"
    wrong = same_as(base, folder)
    return f"{what}: {wrong}" if wrong else ""


@fault("a worker killed at each of its writes", promise=1, sample=1, whole=100)
def worker_writes(n: int, place: Path) -> Figure:
    return _by_stage("worker", n, place)


@fault("the runner killed at each of its writes", promise=1, sample=1, whole=100)
def runner_writes(n: int, place: Path) -> Figure:
    return _by_stage("runner", n, place)

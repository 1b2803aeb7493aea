"""SIGKILL at random moments, and at every write: what was reported as done stays, nothing is done twice, tables are the same."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from support.light_runs import alive, children, comes, events, finished, make_light

from faults.fault import Figure, fault, in_pairs
from faults.runs import (
    PATIENCE,
    STAB,
    Undisturbed,
    count_writes,
    go_on,
    kill,
    made_twice,
    reached,
    spread,
    start,
    table_of,
    undisturbed,
)

Victims = Callable[[int, random.Random], list[int]]
"""The processes to be killed, from the runner's."""
CASES = 4
ON_ONE = 4
"""Kills on one run, each in its own part of it; after each the run goes on, and after the last it ends undisturbed."""
DRAWS = 10
"""A kill that came too late is drawn again, so often."""


@fault("the runner killed at a random moment, then resumed", promise=1, sample=1, whole=80)
def runner_killed(n: int, place: Path) -> Figure:
    return _kills(n, place, lambda runner, rng: [runner])


@fault("a worker killed at a random moment, the run goes on", promise=1, sample=1, whole=50)
def worker_killed(n: int, place: Path) -> Figure:
    return _kills(n, place, lambda runner, rng: rng.sample(found, 1) if (found := children(runner)) else [])


@fault("runner and workers killed together, as when a machine loses its power", promise=1, sample=1, whole=40)
def all_killed(n: int, place: Path) -> Figure:
    return _kills(n, place, lambda runner, rng: [*children(runner), runner])


@dataclass
class Kills:
    """Where kills fell, in parts of the run, and how many came too late and were drawn again."""

    at: list[float] = field(default_factory=list)
    late: int = 0

    def note(self) -> str:
        thirds = "/".join(str(sum(third <= 3 * a < third + 1 for a in self.at)) for third in range(3))
        return f"each on a living process before the run's end: {thirds} in its thirds; {self.late} came later, drawn again"


def _kills(n: int, place: Path, victims: Victims) -> Figure:
    """``n`` kills, up to ``ON_ONE`` of them on one run: each followed by going on, the last by an undisturbed end."""
    base, kills = undisturbed(CASES), Kills()
    counts = [min(ON_ONE, n - at) for at in range(0, n, ON_ONE)]
    runs = (partial(_one_run, place / f"{i}", random.Random(i), count, base, victims, kills) for i, count in enumerate(counts))
    figure = in_pairs(runs, counts)
    figure.note = f"up to {ON_ONE} on one run, {kills.note()}"
    return figure


def _one_run(place: Path, rng: random.Random, count: int, base: Undisturbed, victims: Victims, kills: Kills) -> str:
    """A run killed ``count`` times, each time in another part of it, then resumed. Returns what is wrong with it.

    A run that was over before its kill is compared like the others, and the kill is drawn again on a new one.
    """
    place.mkdir()
    parts = tuple(range(count))
    for draw in range(count * DRAWS):
        (place / f"{draw}").mkdir()
        folder = make_light(place / f"{draw}" / "run", cases=CASES)
        parts = _killed_in(folder, parts, count, rng, base, victims, kills)
        if (wrong := same_as(base, folder)) or not parts:
            return wrong
    return f"{len(parts)} kills always came too late"


def _killed_in(
    folder: Path, parts: Sequence[int], count: int, rng: random.Random, base: Undisturbed, victims: Victims, kills: Kills
) -> tuple[int, ...]:
    """Run it, killed once in each of these of ``count`` equal parts, and go on. Returns the parts in which nothing was hit.

    The moment is a step of the run, so that all of it is met whatever the machine's speed, and a little later. A run that is
    that far when it goes on is killed while it starts.
    """
    process, missed, reported = start(folder, "--workers", "2"), [], set()
    for part in parts:
        if process.poll() == -signal.SIGKILL:
            process = start(folder, "--workers", "2")
        moment = int(base.steps * (part + rng.random()) / count)
        there = reached(events(folder)) >= moment
        until([process], folder, moment, lambda of=process: bool(victims(of.pid, rng)))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=rng.uniform(0, base.start if there else base.pace))
        log = events(folder)
        reported |= made_keys(log)
        if strike(process, victims(process.pid, rng), folder):
            kills.at.append(reached(log) / base.steps)
        else:
            kills.late += 1
            missed.append(part)
    code = process.wait(timeout=PATIENCE)
    assert code in (0, 3, -signal.SIGKILL), f"the run ended with {code}"
    assert reported <= made_keys(events(folder)), "jobs that were reported as made are gone"
    return tuple(missed)


def until(
    runners: Sequence[subprocess.Popen[str]], folder: Path, moment: int, ready: Callable[[], bool] = lambda: True
) -> bool:
    """Wait until a run is at this step, and ready; or no runner is left."""
    return comes(
        lambda: all(r.poll() is not None for r in runners) or (reached(events(folder)) >= moment and ready()),
    )


def strike(process: subprocess.Popen[str], pids: Sequence[int], folder: Path) -> bool:
    """SIGKILL; true when it hit a living process, and before the end of the run."""
    if process.poll() is not None:
        return False
    hit = [pid for pid in pids if alive(pid) and kill(pid)]
    if process.pid in pids and process.wait(timeout=PATIENCE) != -signal.SIGKILL:
        return False
    return bool(hit) and not has_ended(folder)


def has_ended(folder: Path) -> bool:
    """Whether the log says that a runner came to its end."""
    return any(e.get("event") == "ended" for e in events(folder))


def made_keys(log: Sequence[dict[str, Any]]) -> set[str]:
    return {e["key"] for e in log if e.get("event") == "made"}


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


@fault("a worker killed at each of its writes", promise=1, sample=1, whole=60)
def worker_writes(n: int, place: Path) -> Figure:
    return _by_stage("worker", n, place)


@fault("the runner killed at each of its writes", promise=1, sample=1, whole=60)
def runner_writes(n: int, place: Path) -> Figure:
    return _by_stage("runner", n, place)

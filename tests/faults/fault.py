"""What a fault is: something done to the software on purpose, and how often it has to come through.

    @fault("a runner killed at a random moment", promise=1, sample=2, whole=120)
    def killed(n: int, place: Path) -> Figure: ...

``n`` says how often it is to be tried; the figure is how many of the tries came through, and the figure asked for is all of
them. ``pytest`` tries the sample, ``make faults`` the whole list.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Figure:
    """Tries that came through, tries there were, and what a reader should know beside it."""

    reached: int = 0
    tried: int = 0
    note: str = ""
    missed: list[str] = field(default_factory=list)
    """What went wrong, a sentence each."""

    def count(self, came_through: bool, otherwise: str) -> None:
        self.tried += 1
        if came_through:
            self.reached += 1
        else:
            self.missed.append(otherwise)

    @property
    def good(self) -> bool:
        return self.tried > 0 and self.reached == self.tried


class Impossible(Exception):
    """The fault cannot be made on this machine; the text says why."""


@dataclass(frozen=True)
class Fault:
    """One line of the list. ``promise``: its number in docs/explanation/promises.md."""

    title: str
    promise: int
    sample: int
    whole: int
    run: Callable[[int, Path], Figure]
    asked: str = ""

    @property
    def name(self) -> str:
        return self.run.__name__


FAULTS: dict[str, Fault] = {}
NODES: list[str] = []
"""Tests of the suite that the list leaves a fault to."""


def fault(title: str, *, promise: int, sample: int, whole: int) -> Callable[[Callable[[int, Path], Figure]], Fault]:
    """Put a scenario on the list.

    Args:
        sample, whole: how often it is tried under pytest and by the whole list; a sample of 0 is left out there.
    """

    def add(run: Callable[[int, Path], Figure]) -> Fault:
        found = Fault(title, promise, sample, whole, run)
        assert found.name not in FAULTS, found.name
        FAULTS[found.name] = found
        return found

    return add


def tests(name: str, title: str, promise: int, nodes: Sequence[str]) -> None:
    """Put tests that exist already on the list: run by pytest as they are, a test counts as a try."""

    def run(n: int, place: Path) -> Figure:
        return run_tests(nodes, place)

    NODES.extend(nodes)
    run.__name__ = name
    fault(title, promise=promise, sample=0, whole=1)(run)


def run_tests(nodes: Sequence[str], place: Path) -> Figure:
    """Tests passed, of those that did not skip themselves."""
    report = place / "junit.xml"
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *nodes]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": "random"})
    if not report.exists():
        return Figure(0, 1, missed=[done.stdout.strip()[-300:] or done.stderr.strip()[-300:]])
    figure, skipped = Figure(), 0
    for case in ET.parse(report).getroot().iter("testcase"):
        if case.find("skipped") is not None:
            skipped += 1
            continue
        figure.count(case.find("failure") is None and case.find("error") is None, f"{case.get('name')} failed")
    figure.note = f"tests; {skipped} skipped here" if skipped else "tests"
    return figure


CROWDED = 1.5


def crowding() -> float:
    """Seconds on the clock for a second of this process's CPU time, just now: 1 where nobody else wants the cores."""
    clock, used = time.perf_counter(), time.process_time()
    while time.process_time() - used < 0.1:
        pass
    return (time.perf_counter() - clock) / (time.process_time() - used)


@dataclass
class Times:
    """Seconds that tries took, against a limit. More is let pass only where others use the cores, and the note says so."""

    asked: float
    relaxed: float
    all: list[float] = field(default_factory=list)

    def wrong(self, seconds: float) -> str:
        self.all.append(seconds)
        beside = "PYTEST_XDIST_WORKER" in os.environ or crowding() >= CROWDED  # other tests, if not at this very moment
        allowed = self.relaxed if seconds >= self.asked and beside else self.asked
        return "" if seconds < allowed else f"took {seconds:.1f} s, asked is under {allowed:g} s"

    def note(self) -> str:
        over = [s for s in self.all if s >= self.asked]
        why = f"; {len(over)} of them only under {self.relaxed:g} s, as others used the cores" if over else ""
        return f"all under {self.asked:g} s (slowest {max(self.all, default=0):.1f} s){why}"


def in_pairs(tries: Iterable[Callable[[], str]], counting: Sequence[int] = ()) -> Figure:
    """Run tries two at a time, as there are two cores; each returns what went wrong, or "".

    Args:
        counting: for how many each of them counts, where one of them is several.
    """
    figure = Figure()
    with ThreadPoolExecutor(2) as pool:
        for number, said in enumerate(pool.map(_tried, tries)):
            for _ in range(counting[number] if counting else 1):
                figure.count(not said, said)
    return figure


def _tried(what: Callable[[], str]) -> str:
    try:
        return what()
    except Exception as error:  # a try that breaks is a try that was missed, and the others go on
        return f"{type(error).__name__}: {error}"[-600:]

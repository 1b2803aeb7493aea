"""Light runs: a run folder made by hand, ``bench resume`` on it in real processes, and what came of it."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from support import cli
from support.cli import Said, spawn
from support.light_runs import events, make_light

STAB = Path(__file__).with_name("stab.py")
VARIABLE = "FASTVMT_FAULT"
RUN = "FASTVMT_FAULT_RUN"
"""In the environment of a run's processes: its folder."""
PATIENCE = 120.0
"""Seconds after which a process that should have ended is a fault of its own."""


RESUME = ("--no-reuse", "--json")


def start(folder: Path, *more: str, **how: Any) -> subprocess.Popen[str]:
    """``bench resume`` in a process of its own, with what it says on stderr kept in ``FOLDER/../said``."""
    how = {"env": os.environ | {RUN: str(folder.resolve())}} | how
    with open(folder.parent / "said", "a") as said:
        return cli.start("resume", folder, *RESUME, *more, stderr=said, **how)


def go_on(folder: Path, *more: str, fault: str = "", **how: Any) -> Said:
    """``bench resume`` to its end.

    Args:
        fault: see ``stab``; the run folder needs that plug-in.
    """
    env = {VARIABLE: f"{fault}:{folder.resolve()}"} if fault else {}
    return spawn("resume", folder, *RESUME, *more, env=env, timeout=PATIENCE, **how)


@cache
def count_writes(who: str) -> str:
    """Writes that ``runner`` or ``worker`` makes in a run of one case, a character each; ``w``: it can be torn."""
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        folder = make_light(Path(place) / "run", cases=1, plugins=[STAB])
        assert go_on(folder, "--workers", "1", fault=f"{who}:count:0").code == 0
        return (Path(place) / f"{who}.count").read_text()


def spread(count: int, n: int) -> list[int]:
    """At most ``n`` of 1 ... count, from first to last."""
    n = min(n, count)
    if n == 1:
        return [1 + count // 2]
    return sorted({1 + round(i * (count - 1) / max(1, n - 1)) for i in range(n)})


def table_of(said: Said) -> Any:
    """The rows of a table and its digest: what has to be the same whatever happened."""
    return said.data["digest"], said.data["rows"]


@dataclass(frozen=True)
class Undisturbed:
    """A run that nothing happened to."""

    folder: Path
    table: Any
    steps: int
    """Steps of its log (see ``reached``): a kill is drawn over all of them."""
    start: float
    """Seconds from the command to the first line of the log."""
    pace: float
    """Seconds from one step to the next, on average."""


def undisturbed(cases: int) -> Undisturbed:
    """The run of so many cases as it should end, made once for all faults: copy it before you change it."""
    if cases not in _FOUND:
        place = Path(tempfile.mkdtemp(prefix="faults-"))
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        folder, began = make_light(place / "run", cases), time.time()
        said = go_on(folder, "--workers", "2")
        assert said.code == 0, said.err
        log = events(folder)
        first, last, steps = log[0]["time"], log[-1]["time"], reached(log)
        _FOUND[cases] = Undisturbed(folder, table_of(said), steps, first - began, (last - first) / steps)
    return _FOUND[cases]


_FOUND: dict[int, Undisturbed] = {}


STAGES = {"generating": 1, "made": 2, "done": 3}


def reached(log: Sequence[dict[str, Any]]) -> int:
    """How far a run is, by its log: one step when it starts, three a job (given out, made, scored), and one when it ends.

    What a killed run did again makes it no further, so the number stands for the same place in every run of the same jobs.
    """
    jobs: dict[str, int] = {}
    for event in log:
        if stage := STAGES.get(event.get("event", "")):
            jobs[event["key"]] = max(stage, jobs.get(event["key"], 0))
    return sum(jobs.values()) + len({e["event"] for e in log if e.get("event") in ("started", "ended")})


def made_twice(folder: Path) -> list[str]:
    """Keys of jobs that were reported as made more than once."""
    made = [e["key"] for e in events(folder) if e.get("event") == "made"]
    return sorted({key for key in made if made.count(key) > 1})


def kill(pid: int) -> bool:
    """SIGKILL; false when the process was gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True

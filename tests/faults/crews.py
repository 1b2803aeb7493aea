"""Several runners on one folder, here and in a Ray cluster: each job once, whoever is killed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from support import cli
from support.elsewhere import OWN, Nodes
from support.light_runs import events, make_light

from faults.fault import Figure, Impossible, fault, in_pairs, tests
from faults.kills import DRAWS, Kills, has_ended, made_keys, same_as, strike, until
from faults.runs import PATIENCE, Undisturbed, go_on, made_twice, reached, start, table_of, undisturbed

CASES = 4


def _helper(folder: Path) -> subprocess.Popen[str]:
    with open(folder.parent / "said", "a") as said:
        return cli.start("work", folder, stderr=said)


@fault("8 runners on one folder, each job done once", promise=1, sample=0, whole=12)
def eight_runners(n: int, place: Path) -> Figure:
    base, figure = undisturbed(CASES), Figure()
    for i in range(n):
        wrong = _eight(place / f"{i}", base)
        figure.count(not wrong, wrong)
    return figure


def _eight(place: Path, base: Undisturbed) -> str:
    place.mkdir()
    folder = make_light(place / "run", cases=CASES)
    helpers = [_helper(folder) for _ in range(7)]
    said = go_on(folder)
    codes = [helper.wait(timeout=PATIENCE) for helper in helpers]
    if said.code or any(codes) or "Traceback" in (place / "said").read_text():
        return f"ended with {said.code} and {codes}: {(place / 'said').read_text()[-300:]}"
    if table_of(said) != base.table:
        return "another table"
    begun = Counter(e["key"] for e in events(folder) if e["event"] == "generating")
    if made_twice(folder) or max(begun.values()) > 1:
        return f"a job was begun {max(begun.values())} times"
    left = [p for p in (folder / "leases").rglob("*") if p.is_file()]
    return f"{len(left)} leases left" if left else ""


@fault("one of two runners killed at a random moment: the other takes its job over", promise=1, sample=0, whole=20)
def helper_killed(n: int, place: Path) -> Figure:
    """The one that is killed has begun its work, unless the moment is before any has."""
    base, kills = undisturbed(CASES), Kills()
    figure = in_pairs(
        partial(_redrawn, partial(_one_of_two, base=base, part=(i, n), kills=kills), place / f"{i}", kills) for i in range(n)
    )
    figure.note = kills.note()
    return figure


def _redrawn(one: Callable[[Path, random.Random], str | None], place: Path, kills: Kills) -> str:
    """One kill, on a new run again while it came too late (None)."""
    place.mkdir()
    for draw in range(DRAWS):
        (place / f"{draw}").mkdir()
        wrong = one(place / f"{draw}", random.Random(f"{place.name} {draw}"))
        if wrong is not None:
            return wrong
        kills.late += 1
    return "the kill always came too late"


def _one_of_two(place: Path, rng: random.Random, base: Undisturbed, part: tuple[int, int], kills: Kills) -> str | None:
    folder = make_light(place / "run", cases=CASES)
    pair = [_helper(folder), _helper(folder)]
    moment = int(base.steps * (part[0] + rng.random()) / part[1])
    until(pair, folder, moment)
    with contextlib.suppress(subprocess.TimeoutExpired):
        pair[0].wait(timeout=rng.uniform(0, base.pace if moment else base.start))
    begun = [p for p in pair if p.pid in _begun(folder) and p.poll() is None]
    victim, at = rng.choice(begun or pair), reached(events(folder)) / base.steps
    other = pair[1 - pair.index(victim)]
    hit = strike(victim, [victim.pid], folder)
    if other.wait(timeout=PATIENCE):
        return f"the other one ended with {other.returncode}: {(place / 'said').read_text()[-300:]}"
    made = made_keys(events(folder))
    if len(made) < 2 * CASES - 1:  # one may have been published by the dead and not yet reported
        return f"{len(made)} of {2 * CASES} made after the other one ended"
    kills.at += [at] if hit else []
    return same_as(base, folder) or ("" if hit else None)


def _begun(folder: Path) -> set[int]:
    """Processes that have said on this run's leases that they are there."""
    found = set()
    for card in (folder / "leases" / "holders").glob("*"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            found.add(int(json.loads(card.read_text().splitlines()[0])["pid"]))
    return found


# --- ray -----------------------------------------------------------------------------------------------------------------


@contextmanager
def _cluster(place: Path) -> Iterator[Nodes]:
    if importlib.util.find_spec("ray") is None:
        raise Impossible("ray is not installed: pip install 'fastvmt-bench[ray]'")
    nodes = Nodes(place)
    try:
        yield nodes
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            nodes.close()


def _on_ray(folder: Path, address: str) -> subprocess.Popen[str]:
    return start(folder, "--executor", "ray", "--address", address, env=os.environ | OWN)


@fault("a Ray node killed at a random moment: its job moves to another", promise=1, sample=1, whole=5)
def ray_node_killed(n: int, place: Path) -> Figure:
    base, figure, kills = undisturbed(CASES), Figure(), Kills()
    with _cluster(place) as pair:
        for i in range(n):
            wrong = _redrawn(partial(_node, pair=pair, base=base, part=(i, n), kills=kills), place / f"{i}", kills)
            figure.count(not wrong, wrong)
    figure.note = kills.note()
    return figure


def _node(place: Path, rng: random.Random, pair: Nodes, base: Undisturbed, part: tuple[int, int], kills: Kills) -> str | None:
    folder = make_light(place / "run", cases=CASES)
    driver = _on_ray(folder, pair.address)
    until([driver], folder, int(base.steps * (part[0] + rng.random()) / part[1]))
    at = reached(events(folder)) / base.steps
    pair.kill_one()
    hit = driver.poll() is None and not has_ended(folder)
    code = driver.wait(timeout=PATIENCE)
    assert pair.line() == "again two"
    if code not in (0, 3):
        return f"ended with {code}: {(place / 'said').read_text()[-300:]}"
    kills.at += [at] if hit else []
    return same_as(base, folder) or ("" if hit else None)


@fault("the driver of a Ray run killed at a random moment, then resumed", promise=1, sample=1, whole=5)
def ray_driver_killed(n: int, place: Path) -> Figure:
    base, figure, kills = undisturbed(CASES), Figure(), Kills()
    with _cluster(place) as pair:
        for i in range(n):
            wrong = _redrawn(partial(_driver, pair=pair, base=base, part=(i, n), kills=kills), place / f"{i}", kills)
            figure.count(not wrong, wrong)
    figure.note = kills.note()
    return figure


def _driver(place: Path, rng: random.Random, pair: Nodes, base: Undisturbed, part: tuple[int, int], kills: Kills) -> str | None:
    folder = make_light(place / "run", cases=CASES)
    driver = _on_ray(folder, pair.address)
    until([driver], folder, int(base.steps * (part[0] + rng.random()) / part[1]))
    at = reached(events(folder)) / base.steps
    if not strike(driver, [driver.pid], folder):
        return same_as(base, folder) or None
    kills.at.append(at)
    again = _on_ray(folder, pair.address)
    if code := again.wait(timeout=PATIENCE):
        return f"resumed, it ended with {code}: {(place / 'said').read_text()[-300:]}"
    return same_as(base, folder)


tests(
    "leases", "stale, torn and forged leases, other boots and hosts, clocks that step back", 1, ["tests/runner/test_leases.py"]
)
tests("crews", "runners that join, leave, die and fail on one folder", 1, ["tests/runner/test_work.py"])

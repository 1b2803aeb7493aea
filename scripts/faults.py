"""``make faults``: the whole fault list, a table of figures, exit code 1 when one was missed."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
ALONE = {
    "ctrl_c", "ctrl_c_twice", "hangs", "orphans", "clocks", "small_disk", "eight_runners", "ray_node_killed",
    "ray_driver_killed", "device_memory", "interrupted_tiny",
}  # fmt: skip
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def main() -> int:
    from faults import FAULTS

    parser = argparse.ArgumentParser(prog="scripts/faults.py", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these (see --list)")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the tries; 1 for all")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--write", type=Path, help="also put the table between the marks of docs/explanation/promises.md")
    given = parser.parse_args()
    if unknown := [n for n in given.names if n not in FAULTS]:
        parser.error(f"no fault is called {', '.join(unknown)}; --list shows all")
    chosen = [f for f in FAULTS.values() if f.name in given.names or not given.names]
    if given.list:
        print("\n".join(f"{f.name:<28} {f.title} ({f.whole})" for f in chosen))
        return 0
    began, rows = time.monotonic(), []
    for row in _all([(f.name, max(1, round(f.whole * given.scale))) for f in chosen]):
        rows.append(row)
        print(_line(row), file=sys.stderr, flush=True)
    seconds = time.monotonic() - began
    print(_table(rows, seconds))
    if given.write:
        page = given.write.read_text()
        head, rest = page.split(BEGIN)
        given.write.write_text(f"{head}{BEGIN}\n{_table(rows, seconds)}\n{END}{rest.split(END)[1]}")
    if given.json:
        given.json.write_text(json.dumps({"seconds": round(seconds, 1), "faults": rows}, indent=1) + "\n")
    return int(any(row["outcome"] == "missed" for row in rows))


def _all(wanted: list[tuple[str, int]]) -> Iterator[dict[str, Any]]:
    """The figures, two faults at a time where there are two cores, then those that count seconds or fill the machine, alone."""
    beside = [w for w in wanted if w[0] not in ALONE]
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1), get_context("spawn"), max_tasks_per_child=1) as pool:
        tasks = [pool.submit(_one, *w) for w in beside]
        yield from (task.result() for task in as_completed(tasks))
    for name, n in wanted:
        if name in ALONE:
            yield _one(name, n)


@contextmanager
def _bytecode() -> Iterator[None]:
    """A place for what is trusted, and for bytecode where none may be written beside the modules: thousands of processes start
    in one run of the list, and each would compile all it imports."""
    with tempfile.TemporaryDirectory(prefix="bytecode-") as place:
        os.environ["XDG_CONFIG_HOME"] = place  # what the list gives by --plugin is nothing that the user trusts
        if sys.dont_write_bytecode:
            os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
            os.environ["PYTHONPYCACHEPREFIX"] = place
        yield


def _one(name: str, n: int) -> dict[str, Any]:
    from faults import FAULTS, Figure, Impossible

    fault, began, outcome = FAULTS[name], time.monotonic(), ""
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        try:
            figure = fault.run(n, Path(place))
        except Impossible as why:
            figure, outcome = Figure(note=str(why)), "not possible here"
        except Exception as error:  # noqa: BLE001 - a scenario that breaks is a figure missed; the others go on
            figure = Figure(0, n, missed=[f"{type(error).__name__}: {error}"])
    return {
        "fault": fault.title, "name": fault.name, "promise": fault.promise, "reached": figure.reached, "asked": figure.tried,
        "outcome": outcome or ("reached" if figure.good else "missed"), "note": figure.note, "missed": figure.missed[:20],
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def _figure(row: dict[str, Any]) -> str:
    return row["outcome"] if row["outcome"] == "not possible here" else f"{row['reached']:,} of {row['asked']:,}"


def _line(row: dict[str, Any]) -> str:
    why = f"  {row['missed'][0]}" if row["missed"] else ""
    return f"{row['outcome']:<8} {_figure(row):>18}  {row['seconds']:6.1f} s  {row['name']}{why}"


def _table(rows: list[dict[str, Any]], seconds: float) -> str:
    lines = ["| promise | fault | reached | asked | |", "|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda r: r["promise"]):
        mark = "MISSED: " + row["missed"][0].replace("|", "/").replace("\n", " ")[:200] if row["outcome"] == "missed" else ""
        reached = "–" if row["outcome"] == "not possible here" else f"{row['reached']:,}"
        lines.append(f"| {row['promise']} | {row['fault']} | {reached} | {row['asked'] or '–'} | {mark or row['note']} |")
    missed = sum(row["outcome"] == "missed" for row in rows)
    here = sum(row["outcome"] == "not possible here" for row in rows)
    return "\n".join([*lines, "", f"{len(rows)} faults, {missed} missed, {here} not possible here, {seconds:.0f} s"])


if __name__ == "__main__":
    with _bytecode():  # before anything notes what the environment is
        raise SystemExit(main())

"""100,000 planned jobs and records against their limits: ``python benchmarks/scale.py [--jobs 100000] [--json]``.

Writes a suite and two run folders of so many jobs to a temporary folder (10 methods; nothing is generated), one finished and
one empty, then times fresh processes, imports included where a user waits for them:

    plan      ``bench plan`` of the suite, from start to end
    scan      what every run begins with, on the finished folder: as an earlier look left it, and without its index
    status    ``bench status`` of the finished folder, from start to end
    runner    wall time a job of the runner with a worker that does nothing, and the runner's largest resident size

Printed beside each figure is its limit; exit code 1 when one is missed. Linux only (``/proc``).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _common import METHODS, fresh, write_run, write_suite

from fastvmt.core.lazy import load_when_used

LIMITS = {"plan_s": 20.0, "scan_s": 3.0, "status_s": 1.0, "runner_ms_a_job": 5.0, "runner_mb": 200.0}
GIVEN = 10_000
"""Jobs that the runner is timed on; the rest of the empty folder stays to do."""

STUB = """
import json, sys
print('{"report": "ready"}', flush=True)
for line in sys.stdin:
    task = json.loads(line)
    key = task["job"]["key"]
    if task["task"] == "generate":
        print(json.dumps({"report": "made", "key": key, "seconds": 1.0, "digest": key}), flush=True)
        continue
    for metric in task["metrics"]:
        record = {"key": key, "job_key": key, "metric": metric, "identity": {}, "status": "ok", "value": 0.5, "details": {}}
        print(json.dumps({"report": "record", "key": key, "record": record}), flush=True)
    print(json.dumps({"report": "scored", "key": key}), flush=True)
"""


def look(root: Path) -> dict[str, Any]:
    """One scan, from opening the folder to knowing what is to do (the fresh process; imports are over)."""
    load_when_used("torch")
    from fastvmt.plugins import metric_labels
    from fastvmt.records.missing import scan
    from fastvmt.store.folder import Store

    metric_labels.build("time")
    began = time.perf_counter()
    store = Store.open(root)
    config = store.config()
    found = scan(store, config, config.metrics)
    return {"seconds": time.perf_counter() - began, "found": found.found, "to_do": len(found.to_do)}


def drive(root: Path) -> dict[str, Any]:
    """The runner with a worker that does nothing, on the first jobs of an empty folder (the fresh process)."""
    load_when_used("torch")
    from fastvmt.runner import runner
    from fastvmt.runner.executors import local
    from fastvmt.runner.settings import Options
    from fastvmt.store.folder import Store

    class Popen(subprocess.Popen[bytes]):
        """Starts the worker that does nothing in the place of a worker."""

        def __init__(self, command: list[str], **options: Any) -> None:
            super().__init__([sys.executable, "-c", STUB], **options)

    local.subprocess = type("Stub", (), {"Popen": Popen, "PIPE": subprocess.PIPE})  # type: ignore[assignment]
    store = Store.open(root)
    going = runner.Runner(store, store.config(), Options(style="none"))
    at: dict[str, float] = {}

    class Clocked(runner.Progress):
        """Starts the clock at the first job and ends the run after enough of them."""

        def event(self, kind: str, text: str, /, **facts: Any) -> None:
            at.setdefault("began", time.perf_counter())
            super().event(kind, text, **facts)
            if self.done == GIVEN:
                at["ended"] = time.perf_counter()
                going._stop = True

    runner.Progress = Clocked  # type: ignore[misc]
    outcome = going.run()
    own = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())  # a parent's size would count in ru_maxrss
    assert own
    seconds = at.get("ended", time.perf_counter()) - at["began"]
    return {"made": outcome.made, "seconds": seconds, "mb": int(own[1]) / 1000}


def measure(folder: Path, jobs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """All figures; see the module."""
    bench, own = [sys.executable, "-m", "fastvmt.cli"], [sys.executable, __file__, "--part"]
    suite, whole, empty = folder / "suite", folder / "whole", folder / "empty"
    write_suite(suite, -(-jobs // len(METHODS)))
    say("planning")
    plan = fresh([*bench, "plan", "--suite", str(suite), "--methods", ",".join(METHODS), "--out", str(folder / "x"), "--json"])
    say("writing a finished run")
    write_run(whole, jobs)
    say("scanning")
    first, again = (json.loads(fresh([*own, "look", str(whole)])[1]) for _ in range(2))
    say("asking for its status")
    status = fresh([*bench, "status", str(whole), "--json"])
    say("running")
    write_run(empty, jobs, finished=False)
    driven = json.loads(fresh([*own, "drive", str(empty)])[1])
    assert json.loads(plan[1])["jobs"] == again["found"] == json.loads(status[1])["done"] >= jobs
    return {
        "jobs": jobs, "plan_s": round(plan[0], 2), "first_scan_s": round(first["seconds"], 2),
        "scan_s": round(again["seconds"], 2), "status_s": round(status[0], 2),
        "runner_ms_a_job": round(1000 * driven["seconds"] / driven["made"], 2), "runner_mb": round(driven["mb"]),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--part", nargs=2, metavar=("WHAT", "RUN"), help="for the fresh processes")
    asked = parser.parse_args()
    if asked.part:
        print(json.dumps({"look": look, "drive": drive}[asked.part[0]](Path(asked.part[1]))))
        return
    with tempfile.TemporaryDirectory() as name:
        found = measure(Path(name), asked.jobs, lambda line: print(line, file=sys.stderr))
    missed = [k for k, limit in LIMITS.items() if found[k] > limit]
    if asked.json:
        print(json.dumps(found | {"limits": LIMITS, "missed": missed}))
    else:
        print(f"{asked.jobs:,} jobs and records, measured on this machine at this moment")
        for key, limit in LIMITS.items():
            print(f"  {key:<16} {found[key]:>9}   limit {limit:g}{'  MISSED' if key in missed else ''}")
        print(f"  {'first_scan_s':<16} {found['first_scan_s']:>9}   no limit: the index is made")
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()

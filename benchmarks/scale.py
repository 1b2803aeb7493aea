"""100,000 planned jobs and records against their limits: ``python benchmarks/scale.py [--jobs 100000] [--json]``.

Writes a suite and two run folders of so many jobs to a temporary folder (10 methods; nothing is generated), one finished and
one empty, then times fresh processes, imports included where a user waits for them:

    plan      ``bench plan`` of the suite, from start to end
    scan      what every run begins with, on the finished folder: as an earlier look left it, and without its index
    status    ``bench status`` of the finished folder, from start to end
    runner    wall time a job of the runner with a worker that does nothing, and the runner's largest resident size

Printed beside each figure is its limit; exit code 1 when one is missed. Linux only (``/proc``, ``os.wait4``).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from planning import write_suite

from fastvmt.core.lazy import load_when_used

METHODS = ("none", "sdedit", "fastvmt", "fastvmt:no-window", "fastvmt:no-window-loss", "fastvmt:no-step-skip", "fastvmt:span=3",
           "fastvmt:span=7", "fastvmt:block=1", "ditflow")  # fmt: skip
LIMITS = {"plan_s": 20.0, "scan_s": 3.0, "status_s": 1.0, "runner_ms_a_job": 5.0, "runner_mb": 200.0}
NOTED = ("first_scan_s",)
"""Printed without a limit."""
LINKS = 50_000
"""Names of one file: file systems have a limit, ext4 one of 65,000."""
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


def write_run(root: Path, jobs: int, finished: bool = True) -> None:
    """A run folder of this many jobs; finished ones have an artefact (without frames) and one record each."""
    from fastvmt.backbones import card as cards
    from fastvmt.backbones.noise_levels import sigma_grid
    from fastvmt.core.content_address import canonical_json, digest
    from fastvmt.jobs.numbering import folder_name, slug
    from fastvmt.jobs.run_config import RunConfig
    from fastvmt.model import Artefact, Case, MetricRecord, Reference, Setting, Suite
    from fastvmt.plugins import labels
    from fastvmt.plugins.metric_labels import build
    from fastvmt.records.identity import record_key
    from fastvmt.store.checked_lines import with_check
    from fastvmt.store.folder import Store
    from fastvmt.store.index import Row

    card, sigmas = cards.load("tiny"), sigma_grid(10, 3.0)
    shape = card.shape(64, 64, 33, sigmas)
    cases = tuple(
        Case(id=f"case-{n:05d}", prompt=f"prompt {n}",
             reference=Reference(frames_digest=digest(n), width=64, height=64, frames=33, source="drawn"))
        for n in range(-(-jobs // len(METHODS)))
    )  # fmt: skip
    setting = Setting(backbone="tiny", weights_digest="0", width=64, height=64, frames=33, steps=10, guidance=3.0,
                      sigmas=sigmas, dtype="float32", negative="")  # fmt: skip
    methods = tuple(labels.resolve(m, shape, card.methods) for m in METHODS)
    config = RunConfig(suite=Suite(name="many", cases=cases), setting=setting, methods=methods, seeds=(0,), metrics=("time",))
    Store.create(root, config)
    if not finished:
        return
    grid, metric = config.grid(), build("time")
    artefact = Artefact(
        key="0" * 64, frames_digest="1" * 64, width=64, height=64, frames=33, fps_num=15, fps_den=1,
        files={"frames.mkv": {"bytes": 5, "sha256": "0" * 64}}, stages={"denoise": 1.0, "load": 1.0}, peak_memory_bytes=1 << 30,
        forward_equivalents=20.0, device="a device", software={"torch": "0"}, timing_key="2" * 64,
    )  # fmt: skip
    meta = artefact.model_dump_json(indent=1)
    record = MetricRecord(
        key="0" * 64, job_key="3" * 64, metric="time", identity=metric.identity(), status="ok", device="a device",
        value=1.0, details={"stages": {"denoise": 1.0}, "load": 1.0, "forward_equivalents": 20.0},
    ).model_dump_json()  # fmt: skip
    slugs, said = [slug(m.label) for m in methods], canonical_json(metric.identity())
    handle = os.open(root / "artefacts", os.O_RDONLY)
    with open(root / "records.jsonl", "w") as records, open(root / "events.jsonl", "w") as events:
        for n, key in enumerate(grid.keys()):
            case, seed, _ = grid.parts(n)
            name = folder_name(case.id, slugs[n % len(slugs)], seed, key)
            os.mkdir(name, dir_fd=handle)
            with open(os.open(f"{name}/meta.json", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=handle), "w") as file:
                file.write(meta.replace("0" * 64, key, 1))
            if n % LINKS == 0:
                (frames := root / f"frames-{n // LINKS}").write_bytes(b"lossy")
            os.link(frames, f"{name}/frames.mkv", dst_dir_fd=handle)
            of_record = record_key(said, True, Row(key, artefact.frames_digest, artefact.timing_key, "", "", ""), "").hex()
            records.write(with_check(record.replace("0" * 64, of_record, 1).replace("3" * 64, key, 1)) + "\n")
            events.write(json.dumps({"event": "generating", "key": key, "attempt": 1}) + "\n")
            events.write(json.dumps({"event": "made", "key": key, "digest": artefact.frames_digest, "seconds": 1.0}) + "\n")
    os.close(handle)


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


def timed(command: list[str]) -> tuple[float, str]:
    """Seconds and output of a fresh process."""
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:6])} ended with {done.returncode}")
    return time.perf_counter() - began, done.stdout


def measure(folder: Path, jobs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """All figures; see the module."""
    bench, own = [sys.executable, "-m", "fastvmt.cli"], [sys.executable, __file__, "--part"]
    suite = folder / "suite"
    suite.mkdir()
    write_suite(suite, -(-jobs // len(METHODS)))
    say("planning")
    plan = timed([*bench, "plan", "--suite", str(suite), "--methods", ",".join(METHODS), "--out", str(folder / "x"), "--json"])
    say("writing a finished run")
    write_run(folder / "whole", jobs)
    say("scanning")
    first = json.loads(timed([*own, "look", str(folder / "whole")])[1])
    again = json.loads(timed([*own, "look", str(folder / "whole")])[1])
    say("asking for its status")
    status = timed([*bench, "status", str(folder / "whole"), "--json"])
    say("running")
    write_run(folder / "empty", jobs, finished=False)
    driven = json.loads(timed([*own, "drive", str(folder / "empty")])[1])
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
        for key in (*LIMITS, *NOTED):
            limit = (
                f"limit {LIMITS[key]:g}{'  MISSED' if key in missed else ''}"
                if key in LIMITS
                else "no limit: the index is made"
            )
            print(f"  {key:<16} {found[key]:>9}   {limit}")
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()

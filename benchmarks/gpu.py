"""One session on one GPU, at most 15 minutes, nothing downloaded: ``python benchmarks/gpu.py --out gpu.json``.

Random weights in the layout of Wan2.1-T2V-1.3B are written beside FILE (14 GB; take them away afterwards) and measured, part
by part in the order of ``PARTS``. After each round of calls FILE is written in one step. A part that fails or whose time is
up keeps its rows, and the same command goes on with what is missing. ``--toy`` runs the same lines at toy size on a CPU.

    python benchmarks/gpu.py --tables gpu.json      # Markdown tables for the docs
"""

from __future__ import annotations

import argparse
import gc
import json
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PARTS = {
    "load": 150, "inner": 60, "reuse": 50, "released": 160, "methods": 160, "attention": 60, "compile": 100, "caches": 60,
    "memory": 80, "agreement": 20,
}  # fmt: skip
"""Seconds that each part may take at most; 900 together."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="FILE", help="the JSON file, made or gone on with")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of them, e.g. load,inner")
    parser.add_argument("--limit", type=float, help=f"seconds of the whole session, {sum(PARTS.values())} unless given")
    parser.add_argument("--toy", action="store_true", help="toy size, on the CPU")
    parser.add_argument("--tables", type=Path, metavar="FILE", help="print the tables of a JSON file, and measure nothing")
    args = parser.parse_args()
    if args.tables:
        from on_gpu.tables import tables

        print(tables(read(args.tables)))
        return 0
    if args.out is None:
        parser.error("--out FILE is needed, or --tables FILE")
    if unknown := [p for p in args.parts.split(",") if p not in PARTS]:
        parser.error(f"no part is called '{unknown[0]}'; there are {', '.join(PARTS)}")
    return run(args)


def read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path}: {error}. Give a file that this command has written.") from None


def run(args: argparse.Namespace) -> int:
    """Measure what is missing; 0 when all parts are done, 3 when some are not."""
    began = time.monotonic()
    import torch
    from diffusers.utils import logging
    from on_gpu import parts, profiles, session
    from on_gpu.device import Device

    logging.set_verbosity_error()
    if not (args.toy or torch.cuda.is_available()):
        raise SystemExit("torch sees no GPU here. Run it where there is one, or with --toy.")
    device = Device("cpu" if args.toy else "cuda")
    if args.toy:
        torch.set_num_threads(1)  # threads wait for one another on a busy machine
        gc.freeze()  # what the libraries hold: the released loop collects a hundred times
    scale = session.TOY if args.toy else session.REAL
    data = opened(args.out, {"toy": args.toy, "device": device.facts(), "size": scale.words()})
    calls: dict[str, Callable[[session.Session], session.Named]] = {
        "load": parts.loading, "inner": parts.inner_steps, "reuse": parts.reuse, "released": parts.against_released,
        "methods": parts.methods, "attention": profiles.attention, "compile": profiles.compiled, "caches": profiles.caches,
        "memory": parts.memory, "agreement": parts.agreement,
    }  # fmt: skip
    folder = args.out.with_name(f"{args.out.name}.{'toy' if args.toy else 'weights'}").resolve()
    here = session.Session(device, scale, folder)
    signal.signal(signal.SIGALRM, _time_is_up)
    ends = began + (args.limit or sum(PARTS.values()) * scale.patience)
    wanted = [name for name in calls if name in args.parts.split(",") and data["parts"].get(name, {}).get("state") != "done"]
    for name in wanted:
        measure(name, calls[name], here, ends, data, args.out)
        print(f"{name}: {data['parts'][name]['state']}, {data['parts'][name]['took']:.1f} s", flush=True)
    return 3 if any(data["parts"][name]["state"] != "done" for name in wanted) else 0


def opened(out: Path, head: dict[str, Any]) -> dict[str, Any]:
    """What the file holds so far; numbers of two devices, drivers or versions never stand in one."""
    if not out.exists():
        return head | {"parts": {}}
    data = read(out)
    for what in head:
        if data.get(what) != head[what]:
            raise SystemExit(f"{out} was measured with another {what}: {data.get(what)}, now {head[what]}. Give another --out.")
    return data


def _time_is_up(*_: object) -> None:
    from on_gpu.session import OutOfTime

    raise OutOfTime


def measure(name: str, call: Callable[[Any], Any], here: Any, ends: float, data: dict[str, Any], out: Path) -> None:
    """One part in its time; whatever ends it, its rows so far are in the file."""
    from on_gpu.session import OutOfTime, first_line

    from fastvmt.core.disk.atomic import write_atomic

    began = time.monotonic()
    budget = min(PARTS[name] * here.scale.patience, ends - began)
    rows: dict[str, Any] = {}
    part = {
        "what": (call.__doc__ or "").splitlines()[0],
        "state": "cut off",
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "took": 0.0,
        "rows": rows,
    }
    kept = data["parts"].get(name, {}).get("rows", {})

    def save() -> None:
        part["took"] = time.monotonic() - began
        data["parts"][name] = {**part, "rows": kept | rows}
        write_atomic(out, json.dumps(data, indent=1) + "\n")

    here.ends = began + budget
    try:
        if ends - began <= 1:
            raise OutOfTime
        signal.setitimer(signal.ITIMER_REAL, budget)
        for key, row in call(here):
            rows[key] = row
            save()
        part["state"] = "done"
    except OutOfTime:
        part["why"] = f"its time was up after {budget:.0f} s"
    except Exception as error:  # noqa: BLE001 - the parts behind it are to be measured all the same
        part |= {"state": "failed", "why": first_line(error)}
        print(f"{name}: {part['why']}", file=sys.stderr)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    save()
    here.device.collect()


if __name__ == "__main__":
    sys.exit(main())

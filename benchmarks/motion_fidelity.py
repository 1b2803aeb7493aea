"""Our motion fidelity against the scripts' form: ``python benchmarks/motion_fidelity.py [--tracklets 1000] [--frames 81]``.

The published scripts build an array of n x m x (T-1) cosines with one ``einsum`` and take its mean; ours is one matrix
product, block by block, and keeps only maxima. Both get the same tracklets and one thread. Seconds are taken in turns within
one process and only their paired ratios are worth quoting (median, quartiles in brackets). Memory is the largest resident
size while it runs minus that just before it, each in a fresh process with the library already warmed up on small inputs
(on Linux, where that peak can be reset; elsewhere the growth of ``ru_maxrss``).

The metrics compute in float64, the scripts in float32.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy reads it: threads that wait for each other measure the machine

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from fastvmt.core.stages import peak_process_bytes, reset_peak
from fastvmt.metrics.motion.tracklets import fidelity

Points = NDArray[np.float64]
SCRIPT = "einsum, as the scripts"


def by_einsum(generated: Points, reference: Points) -> tuple[float, float]:
    """Forward and backward from an array of n x m x (T-1), in float32 (the identity they subtract is left out)."""
    units = []
    for points in (generated, reference):
        p = torch.from_numpy(points).float()
        v = p[:, 1:] - p[:, :-1]
        units.append(v / v.norm(dim=-1, keepdim=True))
    matrix = torch.einsum("ntc,mtc->nmt", units[0], units[1]).mean(dim=-1)
    return float(matrix.max(dim=1)[0].mean()), float(matrix.max(dim=0)[0].mean())


def ours(generated: Points, reference: Points) -> tuple[float, float]:
    found = fidelity(generated, reference)
    assert found.forward is not None and found.backward is not None
    return found.forward, found.backward


FORMS: dict[str, Callable[[Points, Points], tuple[float, float]]] = {
    SCRIPT: by_einsum,
    "ours, float64": ours,
}


def tracklets(count: int, frames: int) -> tuple[Points, Points]:
    """Two sets of smooth random walks (n, T, 2) px."""
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(2, count, frames, 2)) + 3 * rng.normal(size=(2, count, 1, 2))
    walks: Points = steps.cumsum(2)
    return walks[0], walks[1]


def megabytes_of(name: str, count: int, frames: int) -> float:
    """Peak of one form in a fresh process, MiB."""
    command = [sys.executable, __file__, "--only", name, "--tracklets", str(count), "--frames", str(frames)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def growth(name: str, count: int, frames: int) -> float:
    """MiB by which the resident size of this process grows while one form runs."""
    FORMS[name](*tracklets(300, 9))
    both = tracklets(count, frames)
    reset_peak()
    before = peak_process_bytes()
    FORMS[name](*both)
    return (peak_process_bytes() - before) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracklets", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=3, help="fresh processes a form for the memory")
    parser.add_argument("--only", choices=FORMS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.only:
        print(growth(args.only, args.tracklets, args.frames))
        return
    both = tracklets(args.tracklets, args.frames)
    values = {name: form(*both) for name, form in FORMS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in FORMS}
    for _ in range(args.runs):
        for name, form in FORMS.items():
            start = time.perf_counter()
            form(*both)
            seconds[name].append(time.perf_counter() - start)
    memory = {name: [megabytes_of(name, args.tracklets, args.frames) for _ in range(args.repeats)] for name in FORMS}
    print(f"{args.tracklets} x {args.tracklets} tracklets, {args.frames} frames, {args.runs} interleaved runs")
    print("| form | median ms | times faster | peak MiB | times less | largest difference |")
    print("|---|---|---|---|---|---|")
    for name in FORMS:
        ratios = [a / b for a, b in zip(seconds[SCRIPT], seconds[name], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        mib = statistics.median(memory[name])
        less = [statistics.median(memory[SCRIPT]) / m for m in memory[name]]
        apart = max(abs(a - b) for a, b in zip(values[name], values["ours, float64"], strict=True))
        print(
            f"| {name} | {statistics.median(seconds[name]) * 1e3:.1f} | {middle:.1f} [{low:.1f}, {high:.1f}] "
            f"| {mib:.1f} | {statistics.median(less):.1f} [{min(less):.1f}, {max(less):.1f}] | {apart:.0e} |"
        )


if __name__ == "__main__":
    main()

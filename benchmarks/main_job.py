"""Where a second of the main job goes: ``python benchmarks/main_job.py``.

Runs README's methods over a few clips as two fresh commands: ``bench run --metrics time``, which makes the videos, then
``bench score``, which scores them as the main job does. Printed: shares of the processor seconds of both, by what they went to.
Then one pass through the model and one decode by torch's profiler: how much of each is matrix products and convolutions, which
no code of ours can make smaller.

With ``--against CHECKOUT`` the same is run by another checkout, in turns, and the ratio of processor seconds printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import torch
from _common import fresh, interleaved, ratio
from torch.profiler import ProfilerActivity, profile

METHODS = "fastvmt,ditflow,flowstep"
METRICS = "motion_fidelity,trajectory"
PRODUCTS = ("addmm", "mm", "bmm", "baddbmm", "scaled_dot_product_flash", "convolution", "conv3d", "conv2d")


def bench(checkout: Path, *words: str) -> float:
    """Processor seconds of a command and of its workers."""
    python = checkout / ".venv" / "bin" / "python"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    fresh([str(python if python.exists() else sys.executable), "-m", "fastvmt.cli", *words])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(checkout: Path, out: Path, clips: int, metrics: str) -> float:
    return bench(
        checkout, "run", "--methods", METHODS, "--limit", str(clips), "--metrics", metrics, "--workers", "2",
        "--threads", "1", "--no-reuse", "--out", str(out),
    )  # fmt: skip


def stages(run_folder: Path) -> dict[str, float]:
    """Processor seconds of all videos by stage, guidance by method."""
    found: dict[str, float] = defaultdict(float)
    for meta in run_folder.glob("artefacts/*/meta.json"):
        method = meta.parent.name.split("--")[1]
        for stage, seconds in json.loads(meta.read_text()).get("processor", {}).items():
            found[f"{stage} of {method}" if stage == "guidance" and seconds > 0.05 else stage] += seconds
    return found


def shares(clips: int, folder: Path) -> None:
    here = Path(__file__).resolve().parents[1]
    made = run(here, folder / "run", clips, "time")
    parts = stages(folder / "run")
    parts["start, imports, loading"] = made - sum(parts.values())
    parts["scoring, with its own imports"] = bench(here, "score", str(folder / "run"), "--metrics", "+trajectory")
    whole = sum(parts.values())
    print(f"{clips} clips, {whole:.0f} processor seconds\n\n| where | s | share |\n|---|---|---|")
    for name, seconds in sorted(parts.items(), key=lambda part: -part[1]):
        print(f"| {name} | {seconds:.1f} | {seconds / whole:.0%} |")


def products() -> None:
    """Share of one pass, and of one decode, that is spent in products and convolutions."""
    from fastvmt.backbones import card
    from fastvmt.backbones.wan import Backbone

    torch.set_num_threads(1)
    model = Backbone(card.load("tiny"))
    x, text = torch.randn(1, 24, 9, 16, 16), model.encode_text("a red circle moves right")
    calls = {"a pass through the model": lambda: model.velocity(x, 0.7, text), "a decode": lambda: model.decode(x)}
    with torch.no_grad():
        for name, call in calls.items():
            call()
            with profile(activities=[ProfilerActivity.CPU], acc_events=True) as seen:
                call()
            each = {e.key.removeprefix("aten::"): e.self_cpu_time_total for e in seen.key_averages()}
            inside = sum(v for k, v in each.items() if any(k == p or p in k for p in PRODUCTS))
            print(f"{name}: {inside / sum(each.values()):.0%} in products and convolutions")
        pair, texts = torch.cat([x, x]), torch.cat([text, text])

        def twice() -> None:
            model.velocity(x, 0.7, text)
            model.velocity(x, 0.5, text)

        took = interleaved({"two passes": twice, "one of both": lambda: model.velocity(pair, 0.7, texts)}, 12)
        print(f"both passes of classifier-free guidance apart / in one batch: {ratio(*took.values())}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--against", type=Path, help="another checkout of this project, with its environment in .venv")
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        if not asked.against:
            shares(asked.clips, Path(folder))
            products()
            return
        sides = (asked.against.resolve(), Path(__file__).resolve().parents[1])
        took = [
            [run(side, Path(folder) / f"{n}-{s}", asked.clips, METRICS) for s, side in enumerate(sides)]
            for n in range(asked.runs)
        ]
        print(f"that checkout / this one, processor seconds: {ratio(*zip(*took, strict=True))}")


if __name__ == "__main__":
    main()

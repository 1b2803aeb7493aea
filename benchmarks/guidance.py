"""What each part of FastVMT saves on a backbone: ``python benchmarks/guidance.py [--backbone tiny] [--steps 50] [--runs 3]``.

One interleaved run over drawn tuning pairs, one method after the other on each pair, so that a slow minute of the machine
meets all of them. Printed: seconds by stage, and how well the known path was followed; paired ratios of the guidance stage
and of the whole clip; the decomposition (window, reuse, early exit, one factor at a time); the most that any guidance could
gain here, given the backbone's own two sampling passes a step; and where the window starts to pay: dense against windowed
flow on random queries and keys, by token grid (``--grids 0`` leaves it out).
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
from dataclasses import dataclass

import torch
from speed import dense_against_window
from tiny.sweep import Pair, Trial, tuning_pair

from fastvmt.backbones import card as cards
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.backbones.wan import Backbone
from fastvmt.denoise import denoise
from fastvmt.plugins import labels

FULL = "fastvmt"
NO_EXIT = "fastvmt:no-early-exit"
LABELS = ("none", FULL, NO_EXIT, "fastvmt:no-step-skip", "fastvmt:no-window", "ditflow", "ditflow:inner=10",
          "flowstep", "flowstep:full")  # fmt: skip


@dataclass(frozen=True)
class Clip:
    """Seconds by stage of one clip, everything but loading and text; and what was made."""

    seconds: dict[str, float]
    trial: Trial


def clip_of(backbone: Backbone, label: str, pair: Pair, seed: int, steps: int) -> Clip:
    defaults = backbone.card.defaults
    sigmas = sigma_grid(steps, defaults["shift"])
    shape = backbone.card.shape(pair.scene.width, pair.scene.height, defaults["frames"], sigmas)
    method, ctx = labels.build(labels.resolve(label, shape, backbone.card.methods)), pair.context(backbone, sigmas, seed)
    stages = ctx.stages
    with stages("reference"):
        if label != "none":
            backbone.encode_video(pair.clip)
    latent = denoise(method, ctx, defaults["guidance"])
    with stages("decode"):
        frames = backbone.decode(latent)
    return Clip(dict(stages.seconds), pair.judged(frames))


def paired(a: list[float], b: list[float]) -> str:
    """Geometric mean of a/b with the lowest and highest pair."""
    ratios = [x / y for x, y in zip(a, b, strict=True)]
    mean = math.exp(statistics.fmean(math.log(r) for r in ratios))
    return f"{mean:.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"


def with_error(values: list[float]) -> str:
    """Mean ± standard error; of one value, the value."""
    error = f" ± {statistics.stdev(values) / len(values) ** 0.5:.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--runs", type=int, default=3, help="pairs, from the first on")
    parser.add_argument("--numbers", help="these tuning pairs instead, e.g. 30,31")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--grids", type=int, default=3, help="runs of the window's part; 0 leaves it out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    backbone = Backbone(cards.load(args.backbone))
    numbers = [int(n) for n in args.numbers.split(",")] if args.numbers else list(range(args.runs))
    clip_of(backbone, FULL, tuning_pair(backbone, 0), 0, 4)  # warm up
    found: dict[str, list[Clip]] = {label: [] for label in LABELS}
    for number in numbers:
        pair = tuning_pair(backbone, number)
        for label in LABELS:
            found[label].append(clip_of(backbone, label, pair, number, args.steps))
    stages = ("reference", "guidance", "denoise", "decode")
    print(f"{args.steps} steps, {len(numbers)} pairs, {args.threads} threads; median seconds by stage; mean trajectory")
    print(f"| method | {' | '.join(stages)} | clip | trajectory | shape |\n|{'---|' * (len(stages) + 4)}")
    clips, guided = {}, {}
    for label, made in found.items():
        runs = [c.seconds for c in made]
        clips[label] = [sum(r.values()) for r in runs]
        guided[label] = [r.get("guidance", 0.0) for r in runs]
        cells = [f"{statistics.median(r.get(s, 0.0) for r in runs):.2f}" for s in stages]
        looks = f"{with_error([c.trial.score for c in made])} | {statistics.fmean(c.trial.shape for c in made):.2f}"
        print(f"| {label} | {' | '.join(cells)} | {statistics.median(clips[label]):.2f} | {looks} |")
    print("\nguidance stage, this / fastvmt: geometric mean over pairs [lowest, highest]; and the whole clip")
    for label in LABELS[2:]:
        print(f"  {label:<26} {paired(guided[label], guided[FULL]):<22} {paired(clips[label], clips[FULL])}")
    print("\nseconds over no transfer, this / fastvmt (a pass that a method shares with sampling is in neither stage alone)")
    over = {label: [a - b for a, b in zip(clips[label], clips["none"], strict=True)] for label in LABELS[1:]}
    for label in LABELS[2:]:
        print(f"  {label:<26} {paired(over[label], over[FULL])}")
    print("\ntrajectory, fastvmt minus this: mean over pairs ± standard error")
    ours = [c.trial.score for c in found[FULL]]
    for label in LABELS[2:]:
        print(f"  {label:<26} {with_error([a - c.trial.score for a, c in zip(ours, found[label], strict=True)])}")
    rest = [c - g for c, g in zip(clips[FULL], guided[FULL], strict=True)]
    passes = 2 * args.steps
    print(
        f"\nmost that guidance could gain end to end here (no cost of its own, the backbone's {passes} sampling passes kept):"
    )
    for label in LABELS[3:]:
        print(f"  over {label:<21} {paired(clips[label], rest)}")
    if args.grids:
        print("\nwhere the window starts to pay (above 1: windowed is faster):")
        dense_against_window(args.grids)


if __name__ == "__main__":
    main()

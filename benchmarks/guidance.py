"""What each part of FastVMT saves on a backbone: ``python benchmarks/guidance.py [--backbone tiny] [--steps 50] [--runs 3]``.

One interleaved run over drawn tuning pairs, one method after the other on each pair, so that a slow minute of the machine
meets all of them. Printed: seconds by stage; paired ratios of the guidance stage and of the whole clip; the decomposition
(window, reuse, early exit, one factor at a time); the most that any guidance could gain here, given the backbone's own two
sampling passes a step; and where the window starts to pay: dense against windowed flow on random queries and keys, by
token grid (``--grids 0`` leaves it out).
"""

from __future__ import annotations

import argparse
import math
import os
import statistics

import torch
from fastvmt.datasets.scene import draw
from fastvmt.datasets.shapes import make_scene, stream
from speed import dense_against_window

from fastvmt import card as cards
from fastvmt import specs
from fastvmt.backbone import Backbone
from fastvmt.denoise import denoise
from fastvmt.measure import Stages
from fastvmt.method import Context
from fastvmt.sigmas import sigma_grid

FULL = "fastvmt"
NO_EXIT = "fastvmt:no-early-exit"
LABELS = ("none", FULL, NO_EXIT, "fastvmt:no-step-skip", "fastvmt:no-window", "ditflow", "ditflow:inner=10")


def seconds_of(backbone: Backbone, label: str, number: int, steps: int) -> dict[str, float]:
    """Seconds by stage for one clip; everything but loading and text."""
    defaults = backbone.card.defaults
    sigmas = sigma_grid(steps, defaults["shift"])
    rng = stream("tune", number)
    scene = make_scene(rng, ("linear",), "still", defaults["frames"], size=64)
    target = make_scene(rng, ("static",), "still", 1, avoid=scene.caption()).caption()
    shape = backbone.card.shape(defaults["width"], defaults["height"], defaults["frames"], sigmas)
    spec = specs.resolve(label, shape, backbone.card.methods)
    stages = Stages()
    texts = {"target": backbone.encode_text(target), "negative": backbone.encode_text("")}
    texts |= {"null": texts["negative"], "caption": texts["negative"]}
    with stages("reference"):
        reference = None if label == "none" else backbone.encode_video(draw(scene))
    noise = torch.randn(backbone.card.latent_shape(64, 64, defaults["frames"]), generator=torch.Generator().manual_seed(number))
    ctx = Context(backbone, sigmas, noise, lambda: reference, texts, stages)  # type: ignore[arg-type, return-value]
    latent = denoise(specs.build(spec), ctx, defaults["guidance"])
    with stages("decode"):
        backbone.decode(latent)
    return dict(stages.seconds)


def paired(a: list[float], b: list[float]) -> str:
    """Geometric mean of a/b with the lowest and highest pair."""
    ratios = [x / y for x, y in zip(a, b, strict=True)]
    mean = math.exp(statistics.fmean(math.log(r) for r in ratios))
    return f"{mean:.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--runs", type=int, default=3, help="pairs")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--grids", type=int, default=3, help="runs of the window's part; 0 leaves it out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    backbone = Backbone(cards.load(args.backbone))
    seconds_of(backbone, FULL, 0, 4)  # warm up
    found: dict[str, list[dict[str, float]]] = {label: [] for label in LABELS}
    for number in range(args.runs):
        for label in LABELS:
            found[label].append(seconds_of(backbone, label, number, args.steps))
    stages = ("reference", "guidance", "denoise", "decode")
    print(f"{args.steps} steps, {args.runs} pairs, {args.threads} threads; median seconds by stage")
    print(f"| method | {' | '.join(stages)} | clip |\n|{'---|' * (len(stages) + 2)}")
    clips, guided = {}, {}
    for label, runs in found.items():
        clips[label] = [sum(r.values()) for r in runs]
        guided[label] = [r.get("guidance", 0.0) for r in runs]
        cells = [f"{statistics.median(r.get(s, 0.0) for r in runs):.2f}" for s in stages]
        print(f"| {label} | {' | '.join(cells)} | {statistics.median(clips[label]):.2f} |")
    print("\nguidance stage, this / fastvmt: geometric mean over pairs [lowest, highest]; and the whole clip")
    for label in LABELS[2:]:
        print(f"  {label:<26} {paired(guided[label], guided[FULL]):<22} {paired(clips[label], clips[FULL])}")
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

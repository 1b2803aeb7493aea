"""Ratios of speed, interleaved in one process: ``python benchmarks/speed.py [--runs N] [--threads N]``.

1. Windowed attention motion flow, in regions, against a literal per-pair, per-tile transcription of the released
   algorithm (``tests/support/reference_amf.py``): random Q/K of 30x52 tokens (rows x columns), D 128, F 6, span 4, window 21,
   forward and backward. The two losses and gradients are compared first. Ends with 1 where it is less than 5 times as fast.
2. One fresh inner step of FastVMT on the embedded backbone with true early exit, against the same step through all
   blocks, at the first, middle and default tapped block.
3. Dense against windowed flow by token grid: where the window starts to pay.

Only ratios within one run are worth quoting; medians and quartiles are printed. Seconds are the process's own, which other
programs on the machine do not add to.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from _common import interleaved, ratio
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.reference_amf import total_loss

from fastvmt.backbones import card
from fastvmt.backbones.wan import Backbone
from fastvmt.methods._math import flow as amf
from fastvmt.methods._math import released

AT_LEAST = 5


def report(title: str, seconds: dict[str, list[float]]) -> None:
    print(title)
    first = next(iter(seconds))
    for name, values in seconds.items():
        print(
            f"  {name:<34} median {statistics.median(values) * 1e3:9.1f} ms   {first} / this = {ratio(seconds[first], values)}"
        )


def windowed_against_literal(runs: int) -> None:
    grid, tile, side, span, frames, width = (30, 52), (3, 4), 21, 4, 6, 128
    generator = torch.Generator().manual_seed(0)
    base = [torch.randn(frames, grid[0] * grid[1], width, generator=generator) for _ in range(4)]
    tiles, scale = amf.Tiles(grid, *tile), width**-0.5

    def literal() -> tuple[Tensor, ...]:
        q, k = (t.clone().requires_grad_(True) for t in base[2:])
        loss = total_loss(base[0], base[1], q, k, grid, tile, side, span)
        return (loss.detach(), *torch.autograd.grad(loss, (q, k)))

    def regions() -> tuple[Tensor, ...]:
        q, k = (t.clone().requires_grad_(True) for t in base[2:])
        with torch.no_grad():
            target = released.flow(base[0], base[1], tiles, side, span, scale)
        seen = released.flow(q, k, tiles, side, span, scale)
        loss = 5 * released.amf_loss(target, seen, span) + released.track_loss(k, seen, grid)
        return (loss.detach(), *torch.autograd.grad(loss, (q, k)))

    for a, b in zip(literal(), regions(), strict=True):
        print(f"  largest relative difference {float((a - b).abs().max() / a.abs().max()):.1e}")
    seconds = interleaved({"literal": literal, "regions": regions}, runs, time.process_time)
    report("1. windowed flow, forward and backward (both videos)", seconds)
    if (found := statistics.median(a / b for a, b in zip(*seconds.values(), strict=True))) < AT_LEAST:
        raise SystemExit(f"the windowed flow is {found:.1f} times as fast as the literal transcription, need {AT_LEAST}")


def early_exit(runs: int) -> None:
    backbone = Backbone(card.load("tiny"))
    text = backbone.encode_text("a red circle on a navy plain background")
    x = torch.randn(backbone.card.latent_shape(64, 64, 33), generator=torch.Generator().manual_seed(0))
    last = backbone.card.blocks - 1

    def step(block: int, stop: bool) -> Callable[[], object]:
        def call() -> object:
            latent = x.clone().requires_grad_(True)
            with torch.enable_grad():
                if stop:
                    taps = backbone.taps(latent, 0.9, text, (f"q@{block}", f"k@{block}"))
                    q, k = (taps[n][0].unflatten(0, (9, -1)).mean(2) for n in taps)
                else:
                    kept: dict[str, Tensor] = {}
                    hooks = [(f"blocks.{block}.attn1.norm_{n}", lambda m, a, o, n=n: kept.update({n: o})) for n in "qk"]
                    with backbone.hooked(*hooks):
                        backbone.velocity(latent, 0.9, text)
                    q, k = (kept[n][0].unflatten(0, (9, -1)).unflatten(3 - 1, (backbone.card.heads, -1)).mean(2) for n in "qk")
                flow = amf.dense_flow(q[:-1], k, torch.arange(1, 9), (8, 8), 0.1)
                return torch.autograd.grad(flow.square().sum(), latent)

        return call

    for block in sorted({0, last // 2, last}):
        calls = {"all blocks": step(block, False), "early exit": step(block, True)}
        report(f"2. one fresh inner step on tiny, block {block} of 0..{last}", interleaved(calls, runs, time.process_time))


def flow_step(q: Tensor, k: Tensor, grid: tuple[int, int], side: int = 0) -> tuple[Tensor, ...]:
    """Gradients of the flow over five frames' distances; ``side`` is the window's, 0 for the dense form."""
    a, b = q.clone().requires_grad_(True), k.clone().requires_grad_(True)
    tiles, scale, total = amf.Tiles(grid, 3, 4), 128**-0.5, q.new_zeros(())
    for d in range(1, 5):
        if side:
            centres = amf.window_centres(a[:-d], b[d:], tiles, scale)
            moved = amf.windowed_flow(a[:-d], b[d:], amf.windows_at(centres, grid, side), tiles, scale)
        else:
            moved = amf.dense_flow(a[:-d], b, torch.arange(d, 6), grid, scale)
        total = total + moved.square().mean()
    return torch.autograd.grad(total, (a, b))


def dense_against_window(runs: int) -> None:
    for grid in ((8, 8), (16, 16), (24, 24), (30, 52)):
        generator = torch.Generator().manual_seed(0)
        q, k = (torch.randn(6, grid[0] * grid[1], 128, generator=generator) * 2 for _ in range(2))
        side = max(5, min(21, grid[0] * 2 // 3))
        calls = {"dense": partial(flow_step, q, k, grid), "windowed": partial(flow_step, q, k, grid, side)}
        report(
            f"3. flow at {grid[0]} rows x {grid[1]} columns, window {side}, span 5, F 6, D 128",
            interleaved(calls, runs, time.process_time),
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--part", type=int, choices=(1, 2, 3), help="only one part")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for number, part in enumerate((windowed_against_literal, early_exit, dense_against_window), start=1):
        if args.part in (None, number):
            part(args.runs)

"""What each training-free method's descriptor answers to clips with known motion: does it tell motions apart, whatever moves?

    python benchmarks/descriptors.py [--backbone tiny] [--methods moft,smm] [--clips 2]

A drawn clip is the reference. Others are compared with it by the method's own loss: *same motion, other look* (the drawn
pair's own target along the reference's path), *other motion, same look* (the reference's frames, the second half of them
backwards), and *other motion, other look*. A descriptor of motion has a smaller loss for the first: ``ratio`` is the second
loss over the first, both less the loss of the reference against itself, as a geometric mean over clips; ``looks`` has the
third one above the line. Above 1 is right. Twice: at the noise level at which the method looks at its reference, and at that
of its last guided step, where the video is (all clips noised by the same noise).

Then one guided step from the run's noise: the loss before its first and its last gradient, from the artefact's log.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from fastvmt.backbones import card as cards
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.backbones.wan import Backbone
from fastvmt.core.content_address import noise_seed
from fastvmt.core.stages import Stages
from fastvmt.datasets.drawn.redraw import redraw
from fastvmt.datasets.drawn.scene import draw
from fastvmt.datasets.drawn.shapes import Pair, suite_pairs
from fastvmt.jobs import protocol
from fastvmt.media.files import Frames, fit_frames
from fastvmt.plugins import labels
from fastvmt.plugins.method import Context, Method

METHODS = ("fastvmt", "ditflow", "moft", "smm", "motionclone")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--clips", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    card = cards.load(given.backbone)
    bench = Bench(Backbone(card), card)
    pairs = bench.pairs(given.clips)
    print(f"{given.backbone}: {len(pairs)} drawn clips, width {bench.width}, height {bench.height}, {bench.frames} frames")
    print(f"{'method':<14} {'level':>6} {'same motion':>12} {'other motion':>13} {'ratio':>7} {'looks':>7}")
    for label in given.methods.split(","):
        for line in bench.responses(label, pairs):
            print(f"{label:<14} {line}")
    print("\none guided step from noise: loss before the first and the last gradient, mean over the clips")
    for label in given.methods.split(","):
        print(f"{label:<14} {bench.curve(label, pairs)}")


class Bench:
    """A backbone with a run's defaults."""

    def __init__(self, backbone: Backbone, card: cards.Card) -> None:
        self.backbone, self.card = backbone, card
        self.width, self.height, self.frames = (int(card.defaults[k]) for k in ("width", "height", "frames"))
        self.sigmas = sigma_grid(card.defaults["steps"], card.defaults["shift"])
        self.shape = card.shape(self.width, self.height, self.frames, self.sigmas)
        self.kept: dict[int, torch.Tensor] = {}

    def pairs(self, count: int) -> list[Pair]:
        """Drawn pairs of one moving thing, whose path is known."""
        found = [p for p in suite_pairs("shapes-64", self.frames) if p.category == "single_object"]
        return found[:count]

    def latent(self, frames: Frames) -> torch.Tensor:
        return self.backbone.encode_video(fit_frames(frames, self.width, self.height))

    def context(self, pair: Pair, number: int) -> Context:
        if number not in self.kept:
            self.kept[number] = self.latent(draw(pair.reference))
        generator = torch.Generator().manual_seed(noise_seed(number, "descriptors"))
        reference = self.kept[number]
        texts = {k: self.backbone.encode_text("") for k in ("null", "negative", "target", "caption")}
        noise = torch.randn(reference.shape, generator=generator).to(reference)
        return Context(self.backbone, self.sigmas, noise, lambda: reference, texts, Stages())

    def method(self, label: str) -> Method:
        cls, _ = labels.parse(label)
        return labels.build(labels.resolve(label, self.shape, self.card.methods, protocol.starts(cls, protocol.DEFAULT)))

    @torch.no_grad()
    def responses(self, label: str, pairs: list[Pair]) -> list[str]:
        """A line for each level: losses of the reference's motion in other looks, and of its looks in another motion."""
        found: dict[float, list[tuple[float, ...]]] = {}
        for number, pair in enumerate(pairs):
            ctx = self.context(pair, number)
            method = self.method(label)
            ctx.state = method.fit(ctx)
            other_look = draw(redraw(pair.reference, pair.target))
            clips = [*map(self.latent, (other_look, turned(draw(pair.reference)), turned(other_look)))]
            last = last_step(method, self.sigmas)
            mirror = method.mirror(ctx, last)
            assert mirror is not None, f"{label} has no loss on the latent"
            floor = value(method.loss(ctx, last, mirror[0], mirror[1]))
            for level in dict.fromkeys((mirror[1], self.sigmas[last])):
                losses = [value(method.loss(ctx, last, ctx.backbone.noised(c, level, ctx.noise), level)) for c in clips]
                found.setdefault(level, []).append(tuple(loss - floor for loss in losses))
        return [said(level, np.array(rows)) for level, rows in found.items()]

    @torch.no_grad()
    def curve(self, label: str, pairs: list[Pair]) -> str:
        first, last = [], []
        for number, pair in enumerate(pairs):
            ctx = self.context(pair, number)
            method = self.method(label)
            ctx.state = method.fit(ctx)
            run_step(method, ctx, last_step(method, self.sigmas))
            for values in ctx.log.get("loss", {}).values():
                first.append(values[0])
                last.append(values[-1])
        if not first:
            return "no gradient"
        return f"{np.mean(first):.4g} -> {np.mean(last):.4g}" + (" (one gradient a step)" if first == last else "")


def run_step(method: Method, ctx: Context, i: int) -> None:
    method.steer(ctx, i, method.adjust(ctx, i, ctx.noise))


def last_step(method: Method, sigmas: tuple[float, ...]) -> int:
    """The last guided step."""
    window: Callable[[Any], range] = method.window  # type: ignore[attr-defined]
    return window(sigmas)[-1]


def value(loss: torch.Tensor | None) -> float:
    return math.nan if loss is None else float(loss)


def turned(frames: Frames) -> Frames:
    """The second half of the frames backwards: the same pictures, another motion."""
    half = len(frames) // 2
    return np.concatenate([frames[:half], frames[half:][::-1]])


def said(level: float, rows: np.ndarray[Any, Any]) -> str:
    same, other, both = np.maximum(rows.T, 1e-12)
    ratios = (float(np.exp(np.log(above / same).mean())) for above in (other, both))
    return f"{level:>6.3f} {same.mean():>12.4g} {other.mean():>13.4g}" + "".join(f" {r:>7.2f}" for r in ratios)


if __name__ == "__main__":
    sys.exit(main())

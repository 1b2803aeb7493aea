"""Choose method parameters for the embedded backbone, on drawn pairs of the ``tune`` stream and never on a suite.

    python -m tools.tiny.sweep --pairs 12 --steps 20 "fastvmt" "fastvmt:block=2" "ditflow:lr_first=0.04"
    python -m tools.tiny.sweep --grid          # the published grids of all; --grid fastvmt,ditflow for some

Prints, for every label, the mean trajectory score over the pairs with its standard error, the share of pairs above 0.7, the
mean cosine of the path, the agreement of the ground under a moving camera, how often colours and shape came out as the prompt
says, and seconds a clip with one thread for each worker. Labels are resolved with the backbone card's defaults, so a label
names only what it changes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np
import torch

from fastvmt.backbones import card as cards
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.backbones.wan import Backbone
from fastvmt.core.stages import Stages
from fastvmt.datasets.drawn.scene import draw
from fastvmt.datasets.drawn.shapes import CATEGORIES, make_scene, motions_of, stream, truth
from fastvmt.denoise import denoise
from fastvmt.metrics.formulas import text_similarity
from fastvmt.metrics.looks import judge, named_in
from fastvmt.metrics.motion.trajectory import parts
from fastvmt.metrics.text.clip import Model
from fastvmt.model import Reference
from fastvmt.plugins import labels as specs
from fastvmt.plugins.method import Context
from fastvmt.plugins.workspace import Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from fastvmt.datasets.drawn.scene import Scene


def _around(method: str, *changes: str) -> list[str]:
    return [method, *(f"{method}:{c}" for c in changes)]


GRIDS = {
    "fastvmt": _around(
        "fastvmt", "guided=share:0.3", "lr_first=0.04:lr_last=0.026", "temperature=2", "block=3", "heads=mean_qk",
        "reference=matched", "centre_from=own", "window=3", "window=0", "rope=false",
    ),
    "ditflow": _around(
        "ditflow", "guided=share:0.3", "lr_first=0.04:lr_last=0.026", "temperature=2", "block=3", "heads=mean_qk",
        "ref_level=matched", "reference=argmax", "moving_only=false", "inner=10", "rope=false",
    ),
    "flowmotion": _around(
        "flowmotion", "across=0.1", "guided=share:0.65:lr_first=0.05:lr_last=0.03",
        "guided=share:0.5:lr_first=0.05:lr_last=0.03",
        "guided=share:0.65:lr_first=0.03:lr_last=0.02", "guided=share:0.65:lr_first=0.08:lr_last=0.05",
        "guided=share:0.65:inner=3:lr_first=0.05:lr_last=0.03", "guided=share:0.65:lr_first=0.05:lr_last=0.03:across=0.1",
        "guided=share:0.65:lr_first=0.05:lr_last=0.03:difference_weight=0",
        "guided=share:0.65:lr_first=0.05:lr_last=0.03:source=predicted",
        "guided=share:0.5:lr_first=0.05:lr_last=0.03:latent_weight=0:across=0.1",
    ),
    "ttm": _around(
        "ttm", "weak=5", "weak=5:strong=7", "weak=4", "weak=4:strong=6", "weak=3:strong=7", "weak=3:strong=5",
        "weak=2:strong=5", "weak=1:strong=5", "weak=0:strong=7", "weak=0:strong=5:mask=frame",
    ),
    "ropecraft": _around(
        "ropecraft", "guided=share:0.65", "phase_weight=1", "lr=0.06", "inner=10", "warp=true:divisor=2:blur=0:calm=100",
        "guided=share:0.65:warp=true:divisor=2:blur=0:calm=100", "guided=share:0.65:phase_weight=1:mse_weight=0.1:lr=0.1",
        "guided=share:0.2:warp=true:phase_weight=1:mse_weight=0.1:lr=0.001",
    ),
}  # fmt: skip
"""One change at a time around the card's values, about ten for each method."""


@dataclass(frozen=True)
class Trial:
    """One pair under one label: the score against known motion (0 for a lost subject), the looks, and what it took.

    ``text`` is the similarity to the prompt by the embedded CLIP; ``forwards`` counts evaluations of the model.
    """

    score: float
    path: float
    ground: float
    colours: bool
    shape: bool
    text: float
    seconds: float
    forwards: float


@dataclass(frozen=True)
class Pair:
    """A drawn clip, its latent, and texts with another subject and ground as the target."""

    scene: Scene
    target: str
    clip: NDArray[np.uint8]
    latent: Tensor
    texts: dict[str, Tensor]

    def context(self, backbone: Backbone, sigmas: Sequence[float], seed: int) -> Context:
        noise = torch.randn(self.latent.shape, generator=torch.Generator().manual_seed(seed))
        return Context(
            backbone, tuple(sigmas), noise, lambda: self.latent, dict(self.texts), Stages(), frames=lambda: self.clip,
            masks=lambda: np.asarray(truth(self.scene).masks.any(0)),
        )  # fmt: skip

    def workspace(self) -> Workspace:
        width, height = self.scene.width, self.scene.height
        known = Reference(frames_digest="", width=width, height=height, frames=len(self.clip), source="tuning")
        return Workspace(known, lambda: self.clip)

    def judged(self, frames: NDArray[np.uint8], seconds: float = 0.0, forwards: float = 0.0) -> Trial:
        found, seen, named = parts(frames, self.target, self.scene), judge(frames), named_in(self.target)
        colours = named is None or (seen.colour, seen.ground) == (named.colour, named.ground)  # nobody judges several
        shape = named is None or seen.shape == named.shape
        path, ground = (float(found.get(k, np.nan)) for k in ("path", "ground"))
        clip = _clip()
        text = float(text_similarity(clip.images(frames), clip.text(self.target)[0]))
        return Trial(found["value"], path, ground, bool(colours), bool(shape), text, seconds, forwards)


@cache
def _clip() -> Model:
    return Model("tiny-shapes")


def tuning_pair(backbone: Backbone, number: int, category: str = "single_object", name: str = "tune") -> Pair:
    """Pair ``number`` of a stream; its motions are those that the suites draw for the category and number."""
    rng = stream(name, number)
    motions, camera = motions_of(rng, category, number)
    scene = make_scene(rng, motions, camera, backbone.card.defaults["frames"])
    target = make_scene(rng, motions, "still", 1, avoid=scene.caption()).caption()
    clip, null = draw(scene), backbone.encode_text("")
    texts = {"target": backbone.encode_text(target), "negative": null, "null": null}
    texts["caption"] = backbone.encode_text(scene.caption())
    return Pair(scene, target, clip, backbone.encode_video(clip), texts)


_loaded: dict[str, Backbone] = {}
SEED_STEP = 100_000
"""Between the noise seeds of one pair."""


def run_trial(
    backbone_name: str, label: str, number: int, steps: int | None = None, guidance: float | None = None,
    category: str = "single_object", name: str = "tune", seed: int = 0,
) -> Trial:  # fmt: skip
    """Generate and judge pair ``number`` of a stream; steps and guidance scale are the card's unless given."""
    torch.set_num_threads(1)
    if backbone_name not in _loaded:
        _loaded[backbone_name] = Backbone(cards.load(backbone_name))
    backbone = _loaded[backbone_name]
    defaults = backbone.card.defaults
    sigmas = sigma_grid(steps or defaults["steps"], defaults["shift"])
    pair = tuning_pair(backbone, number, category, name)
    start, before = time.perf_counter(), backbone.forward_equivalents
    scene = pair.scene
    spec = specs.resolve(
        label, backbone.card.shape(scene.width, scene.height, defaults["frames"], sigmas), backbone.card.methods
    )
    method = specs.build(spec)
    ctx = pair.context(backbone, method.levels(method.params, sigmas), number + SEED_STEP * seed)
    ctx.prepared = method.prepare(ctx, pair.workspace())
    frames = backbone.decode(denoise(method, ctx, defaults["guidance"] if guidance is None else guidance))
    seconds = time.perf_counter() - start
    return pair.judged(frames, seconds, backbone.forward_equivalents - before)


def line(label: str, trials: Iterable[Trial]) -> str:
    """One row of the published table."""
    found = list(trials)
    score = np.array([t.score for t in found])
    error = score.std(ddof=1) / len(score) ** 0.5 if len(score) > 1 else float("nan")
    colours, shape, seconds = (float(np.mean([getattr(t, k) for t in found])) for k in ("colours", "shape", "seconds"))
    path, ground = (_mean([getattr(t, k) for t in found]) for k in ("path", "ground"))
    cells = (f"{score.mean():.3f} ± {error:.3f}", f"{(score > 0.7).mean():.2f}", path, ground, f"{colours:.2f}", f"{shape:.2f}")
    return f"| {label} | {' | '.join(cells)} | {seconds:.1f} |"


def _mean(values: list[float]) -> str:
    there = [v for v in values if np.isfinite(v)]
    return f"{np.mean(there):.3f}" if there else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", nargs="*")
    parser.add_argument("--grid", nargs="?", const=",".join(GRIDS), default="", help="published grids: of all, or a,b of some")
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--first", type=int, default=0, help="number of the first tuning pair")
    parser.add_argument("--numbers", help="these tuning pairs instead, e.g. 4,10,16; number n has motion n mod 6 of TRAVEL")
    parser.add_argument("--category", default="single_object", choices=CATEGORIES)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float, help="classifier-free guidance scale; the card's unless given")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    if odd := sorted({name for name in args.grid.split(",") if name} - GRIDS.keys()):
        parser.error(f"--grid: {odd[0]} has no published grid; there are {', '.join(GRIDS)}.")
    grids = [GRIDS[name] for name in args.grid.split(",") if name]
    labels = [*(["none"] if grids else ()), *itertools.chain(*grids), *args.labels]
    numbers = list(range(args.first, args.first + args.pairs))
    if args.numbers:
        numbers = [int(n) for n in args.numbers.split(",")]
    for label in labels:
        specs.parse(label)  # a misspelt one is told now, not after an hour
    steps = args.steps or cards.load(args.backbone).defaults["steps"]
    scale = "" if args.guidance is None else f", guidance scale {args.guidance:g}"
    print(f"{len(numbers)} tuning pairs, {args.category}, {steps} steps{scale}, {args.workers} workers of one thread")
    print("| label | trajectory | above 0.7 | path | ground | colours | shape | s a clip |")
    print("|---" * 8 + "|", flush=True)
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        rest = (args.steps, args.guidance, args.category)
        waiting = {label: [pool.submit(run_trial, args.backbone, label, n, *rest) for n in numbers] for label in labels}
        for label, trials in waiting.items():
            print(line(label, (t.result() for t in trials)), flush=True)


if __name__ == "__main__":
    main()

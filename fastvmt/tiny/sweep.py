"""Choose method parameters for the embedded backbone, on drawn pairs of the ``tune`` stream and never on a suite.

    python -m fastvmt.tiny.sweep --pairs 8 --steps 20 "fastvmt" "fastvmt:block=2" "ditflow:lr_first=0.04"

Prints, for every label, the mean trajectory cosine over the pairs with its standard error, the share of pairs above 0.7,
and seconds a clip. Labels are resolved with the backbone card's defaults, so a label names only what it changes.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from fastvmt import card as cards
from fastvmt import specs
from fastvmt.backbone import Backbone
from fastvmt.datasets.motion import TRAVEL
from fastvmt.datasets.scene import draw
from fastvmt.datasets.shapes import make_scene, stream, truth
from fastvmt.denoise import denoise
from fastvmt.measure import Stages
from fastvmt.method import Context
from fastvmt.metrics.trajectory import centroids, path_cosine, subject_mask
from fastvmt.sigmas import sigma_grid


def score_pair(backbone: Backbone, label: str, number: int, sigmas: tuple[float, ...], guidance: float, frames: int) -> float:
    """Trajectory cosine of one tuning pair; a lost subject scores 0."""
    rng = stream("tune", number)
    scene = make_scene(rng, (TRAVEL[number % len(TRAVEL)],), "still", frames)
    target = make_scene(rng, ("static",), "still", 1, avoid=scene.caption()).caption()
    shape = backbone.card.shape(scene.width, scene.height, frames, sigmas)
    spec = specs.resolve(label, shape, backbone.card.methods)
    reference = backbone.encode_video(draw(scene))
    null = backbone.encode_text("")
    texts = {"target": backbone.encode_text(target), "negative": null, "null": null, "caption": null}
    noise = torch.randn(reference.shape, generator=torch.Generator().manual_seed(number))
    ctx = Context(backbone, sigmas, noise, lambda: reference, texts, Stages())
    latent = denoise(specs.build(spec), ctx, guidance)
    found = centroids(subject_mask(backbone.decode(latent), target))
    if found is None:
        return 0.0
    return path_cosine(found, truth(scene).centroids[0], scene.width) or 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", nargs="+")
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--first", type=int, default=0, help="number of the first tuning pair")
    parser.add_argument("--steps", type=int)
    args = parser.parse_args()
    card = cards.load(args.backbone)
    backbone = Backbone(card)
    sigmas = sigma_grid(args.steps or card.defaults["steps"], card.defaults["shift"])
    print(
        f"{args.pairs} tuning pairs, {len(sigmas) - 1} steps\n| label | cosine | above 0.7 | s a clip |\n|---|---|---|---|",
        flush=True,
    )
    for label in args.labels:
        start = time.perf_counter()
        numbers = range(args.first, args.first + args.pairs)
        values = np.array(
            [score_pair(backbone, label, n, sigmas, card.defaults["guidance"], card.defaults["frames"]) for n in numbers]
        )
        error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        seconds = (time.perf_counter() - start) / len(values)
        print(f"| {label} | {values.mean():.3f} ± {error:.3f} | {(values > 0.7).mean():.2f} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()

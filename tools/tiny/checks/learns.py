"""Whether a method that trains learns on the embedded backbone: its loss on fixed noise levels, and what it then generates.

    python -m tools.tiny.checks.learns --numbers 1 none motion_inversion motion_inversion:begin=noise det

The loss of a training is noisy, because every step draws its own level and noise. Here the velocity's mean squared error
against one tuning pair, with its own caption, is taken at eight fixed levels with fixed noise, with what sampling uses of the
training in place. Beside it stand trajectory cosines of clips with the target caption, one for each noise seed.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch

from fastvmt.backbones import card as cards
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.backbones.wan import Backbone
from fastvmt.denoise import denoise
from fastvmt.methods._math.trainer import velocity_loss
from fastvmt.plugins import labels
from fastvmt.plugins.method import Context, Method

from ..sweep import Pair, tuning_pair

LEVELS = (0.15, 0.35, 0.55, 0.7, 0.8, 0.88, 0.94, 0.98)
NOISE = 900
"""Seed of the noise at the first level; the next levels have the next seeds."""


@torch.no_grad()
def fixed_losses(method: Method, ctx: Context, pair: Pair) -> list[float]:
    """The model's own loss at every level of ``LEVELS``, with the method's adapters as in the first step of sampling."""
    losses = []
    ctx.state = method.fit(ctx)
    with method.scope(ctx, 0):
        for k, level in enumerate(LEVELS):
            noise = torch.randn(pair.latent.shape, generator=torch.Generator().manual_seed(NOISE + k))
            found = ctx.backbone.velocity(ctx.backbone.noised(pair.latent, level, noise), level, pair.texts["caption"])
            losses.append(float(velocity_loss(found, pair.latent, noise)))
    return losses


def row(backbone: Backbone, pair: Pair, label: str, seeds: list[int]) -> str:
    defaults = backbone.card.defaults
    sigmas = sigma_grid(defaults["steps"], defaults["shift"])
    shape = backbone.card.shape(pair.scene.width, pair.scene.height, defaults["frames"], sigmas)
    method = labels.build(labels.resolve(label, shape, backbone.card.methods))
    ctx = pair.context(backbone, sigmas, seeds[0])
    prepared = method.prepare(ctx, pair.workspace())
    ctx.prepared = prepared
    losses, cosines = fixed_losses(method, ctx, pair), []
    for seed in seeds:
        ctx = pair.context(backbone, sigmas, seed)
        ctx.prepared = prepared
        cosines.append(pair.judged(backbone.decode(denoise(method, ctx, defaults["guidance"]))).cosine)
    shown = " | ".join(f"{x:.3f}" for x in losses)
    return f"| {label} | {shown} | {sum(losses) / len(losses):.4f} | {' '.join(f'{c:.2f}' for c in cosines)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", nargs="+")
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--numbers", default="1", help="tuning pairs, e.g. 1,2")
    parser.add_argument("--own-caption", action="store_true", help="sample with the pair's own caption instead of the target's")
    parser.add_argument("--seeds", default="11,12", help="of the noise that sampling starts from")
    args = parser.parse_args()
    torch.set_num_threads(1)
    backbone = Backbone(cards.load(args.backbone))
    for number in (int(n) for n in args.numbers.split(",")):
        pair = tuning_pair(backbone, number)
        if args.own_caption:
            pair = replace(pair, target=pair.scene.caption(), texts=pair.texts | {"target": pair.texts["caption"]})
        print(f"pair {number}: {pair.scene.caption()}; target: {pair.target}")
        print("| label | " + " | ".join(f"s = {s}" for s in LEVELS) + " | mean | cosine |\n" + "|---" * (len(LEVELS) + 3) + "|")
        for label in args.labels:
            print(row(backbone, pair, label, [int(s) for s in args.seeds.split(",")]), flush=True)


if __name__ == "__main__":
    main()

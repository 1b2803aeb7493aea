"""Where a subject's shape is decided: ``python -m tools.tiny.checks.shapes [--backbone tiny] [--each 6] [--steps 24]``.

Single frames of drawn subjects (stream ``tune``) are noised to a level and denoised from there under their own caption; how
many keep their shape (``metrics.looks``), by level and shape. Level 0 is only encoded and decoded, level 1 starts from noise
alone. Also printed: the largest cosine between the embeddings of two shape words, to see whether text can
tell them apart.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import Tensor

from fastvmt.backbones import card as cards
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.backbones.wan import Backbone
from fastvmt.datasets.drawn.scene import SHAPES, draw
from fastvmt.datasets.drawn.shapes import cut, make_scene, stream
from fastvmt.metrics.looks import judge

LEVELS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SHAPE_WORD = 2  # "a red star on ...": the third token


def drawn_frames(backbone: Backbone, each: int, size: int = 64) -> tuple[Tensor, list[str]]:
    """Latents (6 * each, C, 1, H, W) of single frames with one subject, and captions, ``each`` of every shape in turn."""
    left, found, number = dict.fromkeys(SHAPES, each), [], 5000
    while any(left.values()):
        scene = make_scene(stream("tune", number), ("linear",), "still", 33, size)
        number += 1
        shape = scene.movers[0].shape
        if left[shape]:
            left[shape] -= 1
            found.append((SHAPES.index(shape), backbone.encode_video(draw(cut(scene, 0, 1))), scene.caption()))
    found.sort(key=lambda f: f[0])
    return torch.cat([f[1] for f in found]), [f[2] for f in found]


@torch.no_grad()
def denoised(backbone: Backbone, clean: Tensor, captions: list[str], level: float, steps: int) -> Tensor:
    """The latents noised to ``level`` and denoised along what is left of the grid of ``steps`` steps."""
    text = torch.cat([backbone.encode_text(c) for c in captions])
    empty = backbone.encode_text("").expand(len(captions), -1, -1)
    x = backbone.noised(clean, level, torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)))
    below = [s for s in sigma_grid(steps, backbone.card.defaults["shift"]) if s < level - 1e-6]
    for now, after in zip([level, *below], below, strict=False):
        negative = backbone.velocity(x, now, empty)
        x = x + (after - now) * (negative + backbone.card.defaults["guidance"] * (backbone.velocity(x, now, text) - negative))
    return x


def kept(backbone: Backbone, latents: Tensor) -> str:
    """A row's cells: share of right shapes over all, then by shape, for latents ordered by shape."""
    seen = [judge(backbone.decode(x[None])).shape for x in latents]
    each = len(seen) // len(SHAPES)
    right = np.array([s == SHAPES[i // each] for i, s in enumerate(seen)]).reshape(len(SHAPES), each)
    return " | ".join([f"{right.mean():.2f}", *(f"{int(r.sum())} of {each}" for r in right)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--each", type=int, default=6, help="frames of every shape")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--levels", default=",".join(map(str, LEVELS)), help="noise levels, each a row of its own")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    backbone = Backbone(cards.load(args.backbone))
    words = torch.cat([backbone.encode_text(f"a red {s} on a gray plain background")[:, SHAPE_WORD] for s in SHAPES])
    words = torch.nn.functional.normalize(words, dim=-1)
    cosines = (words @ words.T).triu(1)
    print(f"largest cosine between two shape words: {float(cosines.max()):.2f}")
    clean, captions = drawn_frames(backbone, args.each)
    print(f"| noised to | right | {' | '.join(SHAPES)} |\n|{'---|' * (len(SHAPES) + 2)}")
    for level in (float(v) for v in args.levels.split(",")):
        print(f"| {level} | {kept(backbone, denoised(backbone, clean, captions, level, args.steps))} |", flush=True)


if __name__ == "__main__":
    main()

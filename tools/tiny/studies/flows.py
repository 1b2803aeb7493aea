"""What the guided block's attention flow says of ground and subject under a camera that moves, by noise level.

    python -m tools.tiny.studies.flows

Tuning clips of the category camera. The flow of a token is the mean place that its softmax chooses in another latent frame,
less its own; it is held against the true one by 2<a, b> / (|a|^2 + |b|^2): 1 is the true flow, 0 none. A method that guides by
this flow cannot transfer what the flow does not show.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray

from fastvmt.backbones import card as cards
from fastvmt.backbones.wan import Backbone
from fastvmt.datasets.drawn.scene import Scene, draw
from fastvmt.datasets.drawn.shapes import make_scene, motions_of, stream

from ..correspond import links

LEVELS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95)
FARTHEST = 4  # latent frames between the two of a flow


def _flow(q: torch.Tensor, k: torch.Tensor, rows: NDArray[np.floating], width: int) -> NDArray[np.floating]:
    """(N, 2) mean row and column chosen in the other frame, for links (frame, token, other, ...)."""
    i, token, j = (torch.from_numpy(rows[:, n].astype(np.int64)) for n in range(3))
    heads, d = q.shape[2:]
    chances = torch.einsum("nhd,nshd->ns", q[i, token], k[j]).div(heads * d**0.5).softmax(-1)
    places = torch.arange(chances.shape[1])
    return torch.stack([chances @ (places // width).float(), chances @ (places % width).float()], 1).numpy()


@torch.no_grad()
def flows(
    backbone: Backbone, scene: Scene, number: int, level: float
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.bool_]]:
    """Found and true flows (N, 2) in tokens of one clip's links, and which are of the ground."""
    latent = backbone.encode_video(draw(scene))
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(number)).to(latent)
    block = backbone.card.methods["fastvmt"]["block"]
    names = [f"q@{block}", f"k@{block}"]
    taps = backbone.taps(backbone.noised(latent, level, noise), level, backbone.encode_text(""), names)
    frames, _, width = backbone.tokens(latent)
    q, k = (taps[name][0].float().unflatten(0, (frames, -1)) for name in names)
    rows, ground = links(scene)
    near = np.abs(rows[:, 2] - rows[:, 0]) <= FARTHEST
    rows, ground = rows[near], ground[near]
    own = np.stack([rows[:, 1] // width, rows[:, 1] % width], 1)
    return _flow(q, k, rows, width) - own, rows[:, 3:5] - own, ground


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--clips", type=int, default=12)
    args = parser.parse_args()
    backbone = Backbone(cards.load(args.backbone))
    scenes = []
    for number in range(args.clips):
        rng = stream("tune", 20_000 + number)
        scenes.append(make_scene(rng, *motions_of(rng, "camera", number), backbone.card.defaults["frames"]))
    print("| tokens of | " + " | ".join(f"sigma {level:g}" for level in LEVELS) + " |\n|---" + "|---" * len(LEVELS) + "|")
    kinds = {"the subject": None, **{f"{p} ground": p for p in ("plain", "striped", "dotted", "checker")}}
    sums = {kind: np.zeros((len(LEVELS), 2)) for kind in kinds}
    for number, scene in enumerate(scenes):
        for n, level in enumerate(LEVELS):
            a, b, ground = flows(backbone, scene, number, level)
            for kind, chosen in (("the subject", ~ground), (f"{scene.pattern} ground", ground)):
                sums[kind][n] += 2 * (a * b)[chosen].sum(), (a * a)[chosen].sum() + (b * b)[chosen].sum()
    for kind, found in sums.items():
        if found[:, 1].all():
            print(f"| {kind} | " + " | ".join(f"{top / under:.2f}" for top, under in found) + " |")


if __name__ == "__main__":
    main()

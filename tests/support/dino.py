"""A small DINO of numbers that follow from a formula, and what DINO's own code makes of it.

``python tests/support/dino.py CHECKOUT`` writes tests/data/dino.json; CHECKOUT is github.com/facebookresearch/dino at the commit
that ``metrics/vbench/files.py`` pins. The formula makes the weights the same on every machine, so only features are stored.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import torch

STORED = Path(__file__).parents[1] / "data" / "dino.json"
SIDE, PATCH, WIDTH, DEPTH = 64, 16, 64, 2
SIZES = ((64, 64), (64, 112), (48, 80), (96, 96), (66, 70), (70, 70), (32, 128))
"""Height and width: the grid of the weights, wider, smaller, larger, as many patches but not square, cut patches, one by four."""


def drawn(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Numbers between -1 and 1 that are nowhere near each other's neighbours."""
    at = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.sin(at * 0.7548776662 + (at * at % 8191) * 0.5698402910 + seed).reshape(shape).float()


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """A number for every weight; the norms' scales lie around 1."""
    return {
        name: drawn(shape, n) * 0.15 + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        for n, (name, shape) in enumerate(sorted(shapes.items()))
    }


def image(height: int, width: int) -> torch.Tensor:
    return drawn((1, 3, height, width), 99)


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    from vision_transformer import VisionTransformer

    norm = partial(torch.nn.LayerNorm, eps=1e-6)
    model = VisionTransformer([SIDE], PATCH, embed_dim=WIDTH, depth=DEPTH, num_heads=1, qkv_bias=True, norm_layer=norm).eval()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict(weights(shapes))
    with torch.no_grad():
        found = {f"{h}x{w}": [round(v, 7) for v in model(image(h, w))[0].tolist()] for h, w in SIZES}
    STORED.write_text(json.dumps({"shapes": shapes, "features": found}) + "\n")


if __name__ == "__main__":
    main()

"""Where a backbone's queries and keys carry correspondence: per block and noise level, on clips with known motion.

For every moving subject token and a later frame, the best-matching key should lie at the token's true displacement. The
share of tokens for which it lies within ``TOLERANCE`` tokens is printed per block, before and after rotary embedding, for
logits averaged over heads and for heads averaged first. The guided block of a method should be read from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastvmt.backbones.wan import Backbone
from fastvmt.datasets.drawn.scene import Scene, draw
from fastvmt.datasets.drawn.shapes import make_scene, stream, truth
from fastvmt.media.framing import fit_frames, fit_masks, fit_points

LEVELS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95)
TOLERANCE, MIN_SHIFT, MAX_GAP = 1.25, 1.5, 5
FORMS = ("mean of logits, after RoPE", "mean of heads, after RoPE", "mean of logits, before RoPE", "mean of heads, before RoPE")


@dataclass(frozen=True)
class Correspondence:
    """share[form][block][level] in 0..1; ``stay`` is what "never moved" would score; n tokens were judged."""

    share: NDArray[np.float64]
    stay: float
    tokens: int
    levels: tuple[float, ...] = LEVELS
    forms: tuple[str, ...] = FORMS

    def best_block(self, form: int = 0, up_to: float = 0.6) -> int:
        """The block with the highest share over the levels up to a noise level."""
        chosen = [n for n, level in enumerate(self.levels) if level <= up_to]
        return int(self.share[form][:, chosen].mean(1).argmax())

    def data(self) -> dict[str, Any]:
        return {"levels": self.levels, "forms": self.forms, "share": self.share.tolist(), "best": self.best_block()}


@torch.no_grad()
def correspondence(
    backbone: Backbone, width: int, height: int, frames: int, clips: int = 12, empty: Tensor | None = None
) -> Correspondence:
    """Probe a loaded backbone on drawn clips of straight motion (stream ``tune``), with the empty caption.

    Args:
        empty: its embeddings, where they were made before the backbone was loaded.
    """
    blocks, text = backbone.card.blocks, backbone.encode_text("") if empty is None else empty
    hits = np.zeros((len(FORMS), blocks, len(LEVELS)))
    total = stays = 0
    names = [f"{kind}@{b}" for b in range(blocks) for kind in "qk"]
    for number in range(clips):
        scene = make_scene(stream("tune", 10_000 + number), ("linear",), "still", frames)
        latent = backbone.encode_video(fit_frames(draw(scene), width, height))
        grid = backbone.tokens(latent)
        pairs = _pairs(scene, grid, backbone.card.vae_temporal, width, height)
        if not len(pairs):
            continue
        total += len(pairs)
        stays += int((np.abs(pairs[:, 3:5] - pairs[:, 5:7]).max(1) <= TOLERANCE).sum())
        noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(number)).to(latent)
        for n, level in enumerate(LEVELS):
            noised = backbone.noised(latent, level, noise)
            for form, rope in ((0, True), (2, False)):
                taps = backbone.taps(noised, level, text, names, rope=rope)
                for b in range(blocks):
                    q, k = (taps[f"{kind}@{b}"][0].float().unflatten(0, (grid[0], -1)) for kind in "qk")
                    hits[form, b, n] += _hits(q.flatten(2), k.flatten(2), pairs, grid)
                    hits[form + 1, b, n] += _hits(q.mean(2), k.mean(2), pairs, grid)
    return Correspondence(hits / max(1, total), stays / max(1, total), total)


def _pairs(scene: Scene, grid: tuple[int, int, int], stride: int, width: int, height: int) -> NDArray[np.float64]:
    """Rows (frame, later frame, token, row, column, true row, true column) of subject tokens that really move.

    The scene is seen as the model sees it, brought to ``width`` and ``height`` px by the geometry of ``fit_frames``.
    """
    known, (f, h, w) = truth(scene), grid
    placed = fit_points(known.centroids[0][::stride] + 0.5, (scene.width, scene.height), (width, height))
    centre = (placed / [width / w, height / h] - 0.5)[:, ::-1]  # (f, 2) row, column in tokens
    mask = fit_masks(known.masks[0][::stride], width, height)
    rows = []
    for i in range(f):
        inside = mask[i].reshape(h, height // h, w, width // w).mean((1, 3)) > 0.6
        for token in np.flatnonzero(inside.ravel()):
            own = np.array([token // w, token % w], float)
            for j in range(i + 1, min(f, i + MAX_GAP + 1)):
                shift = centre[j] - centre[i]
                there = own + shift
                if np.abs(shift).max() >= MIN_SHIFT and (there > -0.5).all() and there[0] < h - 0.5 and there[1] < w - 0.5:
                    rows.append([i, j, token, *own, *there])
    return np.array(rows).reshape(-1, 7)


def _hits(q: Tensor, k: Tensor, pairs: NDArray[np.float64], grid: tuple[int, int, int]) -> int:
    hits = 0
    for a, b in np.unique(pairs[:, :2].astype(int), axis=0):  # one pair of frames at a time: all keys of all would be gigabytes
        own = pairs[(pairs[:, 0] == a) & (pairs[:, 1] == b)]
        best = (q[a, torch.from_numpy(own[:, 2].astype(int)).to(q.device)] @ k[b].T).argmax(1).cpu().numpy()
        found = np.stack([best // grid[2], best % grid[2]], -1)
        hits += int((np.abs(found - own[:, 5:7]).max(1) <= TOLERANCE).sum())
    return hits


def as_lines(found: Correspondence) -> str:
    """The tables as Markdown."""
    lines = [f"{found.tokens} moving tokens; staying put would score {found.stay:.2f}; best block {found.best_block()}"]
    for form, name in enumerate(found.forms):
        lines += ["", f"{name}:", "| block | " + " | ".join(f"sigma {s:g}" for s in found.levels) + " |"]
        lines.append("|---" * (len(found.levels) + 1) + "|")
        lines += [f"| {b} | " + " | ".join(f"{v:.2f}" for v in row) + " |" for b, row in enumerate(found.share[form])]
    return "\n".join(lines)

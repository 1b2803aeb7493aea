"""Pictures of a training run: the loss over time, and what the weights draw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from fastvmt.backbones import card as cards
from fastvmt.datasets.drawn.shapes import random_scene, stream
from fastvmt.runner.generate_suite import Sampler

SIDE, SHOWN = 96, 9


def loss_curve(out: Path) -> Path:
    """``loss.png``: training loss by hours, a line a stage, from the log."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2))
    for axis, stage, title in zip(axes, ("vae", "flow"), ("decoder", "transformer and text"), strict=True):
        own = [r for r in rows if r["stage"] == stage]
        axis.plot([r["seconds"] / 3600 for r in own], [r["loss"] for r in own], linewidth=1)
        axis.set(title=title, xlabel="hours of training", ylabel="loss", yscale="log")
        axis.grid(True, alpha=0.3)
    figure.tight_layout()
    figure.savefig(out / "loss.png", dpi=110)
    plt.close(figure)
    return out / "loss.png"


def sample_sheet(out: Path, folder: Path | None, count: int = 8) -> Path:
    """``samples.png``: clips for held-out captions without any transfer, a row each."""
    card = cards.load(str(folder) if folder else "tiny")
    captions = [random_scene(stream("heldout", 500 + row), 2).caption() for row in range(count)]
    sampler = Sampler(card, card.defaults | {"seed": 0}, captions)
    sheet = Image.new("RGB", (SHOWN * (SIDE + 4), count * (SIDE + 20)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, caption in enumerate(captions):
        frames = sampler.frames(caption)
        draw.text((4, row * (SIDE + 20) + 3), caption, fill="black")
        for column, index in enumerate(np.linspace(0, len(frames) - 1, SHOWN).round().astype(int)):
            tile = Image.fromarray(frames[index]).resize((SIDE, SIDE), Image.Resampling.NEAREST)
            sheet.paste(tile, (column * (SIDE + 4), row * (SIDE + 20) + 18))
    sheet.save(out / "samples.png")
    return out / "samples.png"

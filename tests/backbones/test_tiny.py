"""The embedded backbone: a real WanPipeline folder that diffusers loads and runs by itself."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from fastvmt.backbones import card
from fastvmt.backbones.wan import Backbone
from fastvmt.datasets.drawn.scene import draw
from fastvmt.datasets.drawn.shapes import random_scene, stream


@pytest.fixture(scope="module")
def tiny() -> Backbone:
    return Backbone(card.load("tiny"))


def test_the_folder_is_small_whole_and_free_of_pickles_and_paths() -> None:
    files = [p for p in card.TINY.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 25e6
    assert {p.suffix for p in files} <= {".json", ".safetensors", ".toml"}
    for path in files:
        if path.suffix == ".json":
            text = path.read_text()
            json.loads(text)
            assert "_name_or_path" not in text and "/root" not in text and "/tmp" not in text


def test_diffusers_alone_loads_it_and_generates() -> None:
    from diffusers import WanPipeline

    pipe = WanPipeline.from_pretrained(card.TINY, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    video = pipe(
        "a red circle on a navy plain background", height=64, width=64, num_frames=9, num_inference_steps=6, guidance_scale=3.0,
        generator=torch.Generator().manual_seed(0), output_type="np",
    ).frames[0]  # fmt: skip
    assert video.shape == (9, 64, 64, 3) and np.isfinite(video).all()
    corner = video[:, :4, :4].mean((0, 1, 2))
    assert corner.argmax() == 2, "the ground should be navy"  # blue is its strongest channel


def heldout(count: int) -> list[Any]:
    return [draw(random_scene(stream("heldout", n), 33)) for n in range(count)]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.square((a.astype(float) - b) / 255).mean()))


def test_reconstruction_holds_to_the_last_frame(tiny: Backbone) -> None:
    clips = heldout(3)
    back = [tiny.decode(tiny.encode_video(c)) for c in clips]
    assert np.mean([psnr(b, c) for b, c in zip(back, clips, strict=True)]) >= 38.0
    first = np.mean([psnr(b[1:9], c[1:9]) for b, c in zip(back, clips, strict=True)])
    last = np.mean([psnr(b[-8:], c[-8:]) for b, c in zip(back, clips, strict=True)])
    assert last >= first - 1.5, "quality must not fall along the clip"
    for b, c in zip(back, clips, strict=True):  # what moves is what this backbone is looked at for
        moving = (np.abs(np.diff(c.astype(int), axis=0)).max(-1) > 0.2 * 255)[..., None]
        assert psnr(*(np.compress(np.broadcast_to(moving, v[1:].shape).ravel(), v[1:]) for v in (b, c))) >= 28.0


def test_the_last_block_knows_where_things_go(tiny: Backbone) -> None:
    """What guidance reads: without it the methods have nothing to follow. Whole table: ``bench doctor --backbone tiny``."""
    from fastvmt.datasets.drawn.probe import correspondence

    found = correspondence(tiny, 64, 64, 33, clips=4)
    low = [n for n, level in enumerate(found.levels) if level <= 0.6]
    assert found.tokens >= 30 and found.stay < 0.2
    assert found.best_block() == tiny.card.blocks - 1 == tiny.card.methods["fastvmt"]["block"]
    assert found.share[0][-1][low].min() >= 0.9

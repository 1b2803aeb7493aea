"""The embedded backbone: a real WanPipeline folder that diffusers loads and runs by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastvmt.backbones import card
from fastvmt.backbones.wan import Backbone
from fastvmt.datasets.drawn.scene import draw
from fastvmt.datasets.drawn.shapes import random_scene, stream
from fastvmt.metrics.looks import judge


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


def test_longer_padding_does_not_change_what_a_caption_means(tiny: Backbone) -> None:
    """The pipeline pads to 512 tokens, the harness to the tokenizer's 24; the transformer was trained on both."""
    x = torch.randn(tiny.card.latent_shape(64, 64, 9), generator=torch.Generator().manual_seed(0))
    short = tiny.encode_text("a red circle on a navy plain background")
    long = torch.cat([short, short.new_zeros(1, 512 - short.shape[1], short.shape[2])], 1)
    with torch.no_grad():
        a, b = tiny.velocity(x, 0.7, short), tiny.velocity(x, 0.7, long)
    assert float((a - b).norm() / a.norm()) < 0.15


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


def test_the_shape_survives_encoding_and_decoding(tiny: Backbone) -> None:
    """What a clip without transfer gets wrong, stars and crosses above all, is not the decoder's doing."""
    wanted, seen = {"star": 2, "cross": 2, "ring": 1, "triangle": 1}, []
    for n in range(40):
        scene = random_scene(stream("heldout", n), 33)
        shape = scene.movers[0].shape
        if len(scene.movers) == 1 and wanted.get(shape):
            wanted[shape] -= 1
            frames = draw(scene)
            seen.append((shape, judge(frames).shape, judge(tiny.decode(tiny.encode_video(frames))).shape))
    assert len(seen) == 6 and all(drawn == before == after for drawn, before, after in seen), seen


def test_latents_keep_one_scale_along_the_clip(tiny: Backbone) -> None:
    latents = torch.cat([tiny.encode_video(c) for c in heldout(3)])
    by_frame = latents.std((0, 1, 3, 4))
    assert float(by_frame.max() / by_frame.min()) < 1.2


def test_a_still_clip_has_the_same_latent_in_every_frame(tiny: Backbone) -> None:
    """The first latent frame holds one image, the others four; a still clip must not show the difference."""
    frame = heldout(1)[0][:1]
    latent = tiny.encode_video(np.repeat(frame, 17, 0))
    assert float((latent - latent[:, :, :1]).abs().max()) < 0.02


def test_its_size_rules_come_from_its_configs(tiny: Backbone) -> None:
    assert tiny.card.multiple == 8 and tiny.card.vae_temporal == 4
    assert tiny.card.latent_shape(64, 64, 33) == (1, 24, 9, 16, 16)
    assert (Path(card.TINY) / "bench.toml").is_file()


def test_the_last_block_knows_where_things_go(tiny: Backbone) -> None:
    """What guidance reads: without it the methods have nothing to follow. Whole table: ``bench doctor --backbone tiny``."""
    from fastvmt.datasets.drawn.probe import correspondence

    found = correspondence(tiny, 64, 64, 33, clips=4)
    low = [n for n, level in enumerate(found.levels) if level <= 0.6]
    assert found.tokens >= 30 and found.stay < 0.2
    assert found.best_block() == tiny.card.blocks - 1 == tiny.card.methods["fastvmt"]["block"]
    assert found.share[0][-1][low].min() >= 0.9

"""A WanPipeline of random weights, a few kilobytes large, and a job's context on it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch

from fastvmt.backbones.card import Card
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.backbones.wan import Backbone
from fastvmt.core.stages import Stages
from fastvmt.media.files import Frames
from fastvmt.plugins.method import Context

SIZE: dict[str, Any] = {"width": 32, "height": 32, "frames": 17}
"""Of the checks' videos: 5 latent frames of 4x4 tokens on ``random_wan``; see ``size_of``."""
TARGET, CAPTION = "a red circle on a navy plain background", "a blue ring on a teal plain background"


SMALL_VAE: dict[str, Any] = {
    "base_dim": 4, "z_dim": 4, "dim_mult": [1, 1, 1], "num_res_blocks": 1, "temperal_downsample": [True, True],
    "scale_factor_spatial": 4, "latents_mean": [0.0] * 4, "latents_std": [1.0] * 4,
}  # fmt: skip
SMALL_TEXT: dict[str, Any] = {"d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}


def random_wan(
    folder: Path, blocks: int = 3, heads: int = 4, head_dim: int = 12, ffn: int = 32, text_dim: int = 16, freq_dim: int = 16,
    vae: dict[str, Any] = SMALL_VAE, text: dict[str, Any] = SMALL_TEXT, words: int = 24, pipeline: dict[str, Any] | None = None,
    control: Sequence[int] = (),
) -> Path:  # fmt: skip
    """Write a WanPipeline with random weights, always the same ones: VAE stride 4 in space and time, 4 latent channels.

    Args:
        blocks, heads, head_dim, ffn, text_dim, freq_dim: of the transformer; Wan2.1 1.3B has 30, 12, 128, 8960, 4096, 256.
        vae, text: configs of VAE and text encoder; an empty one for the VAE is Wan2.1's own.
        words: most tokens of a text.
        pipeline: what ``model_index.json`` says beside the parts: ``expand_timesteps``, or ``boundary_ratio``, with which there
            are two transformers.
        control: blocks that a control branch adds to; with any it is a ``WanVACEPipeline``.
    """
    from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    tokenizer, code, said = _tokenizer(words), AutoencoderKLWan(**vae), dict(pipeline or {})
    channels, space = code.config.z_dim, code.config.scale_factor_spatial
    branch = {"vace_layers": list(control), "vace_in_channels": 2 * channels + space**2} if control else {}
    kind, pipeline_of = (getattr(diffusers, name) for name in CONTROLLED_BY[bool(control)])
    for part in ("transformer", "transformer_2") if "boundary_ratio" in said else ("transformer",):
        said[part] = kind(
            patch_size=(1, 2, 2), num_attention_heads=heads, attention_head_dim=head_dim, in_channels=channels,
            out_channels=channels, text_dim=text_dim, freq_dim=freq_dim, ffn_dim=ffn, num_layers=blocks, cross_attn_norm=True,
            rope_max_seq_len=32 if vae else 1024, **branch,
        )  # fmt: skip
    config = {"vocab_size": len(tokenizer), "feed_forward_proj": "gated-gelu", "dropout_rate": 0.0} | text
    encoder = UMT5EncoderModel(UMT5Config(d_model=text_dim, **config))
    pipe = pipeline_of(tokenizer=tokenizer, vae=code, text_encoder=encoder, scheduler=FlowMatchEulerDiscreteScheduler(), **said)
    pipe.save_pretrained(folder, safe_serialization=True)
    side = TOKENS * 2 * space
    (folder / "bench.toml").write_text(
        f"[defaults]\nwidth = {side}\nheight = {side}\nframes = 17\nsteps = 3\nguidance = 3.0\nshift = 3.0\nnegative = ''\n"
    )
    return folder


CONTROLLED_BY = (("WanTransformer3DModel", "WanPipeline"), ("WanVACETransformer3DModel", "WanVACEPipeline"))
"""diffusers' classes of a model without and with a control branch."""
TOKENS = 4
"""A side of the checks' videos, in tokens."""


def size_of(card: Card) -> dict[str, Any]:
    """Width, height and frames of the checks' videos on a backbone: 4x4 tokens, which ``SIZE`` are on ``random_wan``."""
    return SIZE | {"width": TOKENS * card.multiple, "height": TOKENS * card.multiple}


def _tokenizer(limit: int) -> Any:
    """A word-level tokenizer: lower case, one id a word of the checks' texts, ``</s>`` at the end, zeros behind it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ("<pad>", "</s>", "<unk>", *dict.fromkeys(f"{TARGET} {CAPTION}".split()))
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))  # noqa: S106
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=limit, **special)


def make_context(backbone: Backbone, steps: int = 4, seed: int = 0) -> Context:
    """A job's context without a job: drawn noise, a reference of noise, four texts."""
    generator = torch.Generator().manual_seed(seed)
    size = size_of(backbone.card)
    shape = backbone.card.latent_shape(**size)
    reference, noise = (torch.randn(shape, generator=generator).to(backbone.device) for _ in range(2))
    said = {"target": TARGET, "negative": "", "null": "", "caption": CAPTION}
    texts = {name: backbone.encode_text(text) for name, text in said.items()}
    frames = partial(noise_clip, size)
    return Context(backbone, sigma_grid(steps, 3.0), noise, lambda: reference, texts, Stages(), frames=frames)


def noise_clip(size: dict[str, Any] = SIZE) -> Frames:
    """The checks' reference as frames: noise, always the same."""
    return np.random.default_rng(0).integers(0, 256, (size["frames"], size["height"], size["width"], 3), np.uint8)

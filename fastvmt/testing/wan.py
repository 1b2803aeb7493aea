"""A WanPipeline of random weights, a few kilobytes large, and a job's context on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.backbones.wan import Backbone
from fastvmt.core.stages import Stages
from fastvmt.media.files import Frames
from fastvmt.plugins.method import Context

SIZE: dict[str, Any] = {"width": 32, "height": 32, "frames": 17}
"""Of the checks' videos: 5 latent frames of 4x4 tokens on ``random_wan``."""
TARGET, CAPTION = "a red circle on a navy plain background", "a blue ring on a teal plain background"


SMALL_VAE: dict[str, Any] = {
    "base_dim": 4, "z_dim": 4, "dim_mult": [1, 1, 1], "num_res_blocks": 1, "temperal_downsample": [True, True],
    "scale_factor_spatial": 4, "latents_mean": [0.0] * 4, "latents_std": [1.0] * 4,
}  # fmt: skip
SMALL_TEXT: dict[str, Any] = {"d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}


def random_wan(
    folder: Path, blocks: int = 3, heads: int = 4, head_dim: int = 12, ffn: int = 32, text_dim: int = 16, freq_dim: int = 16,
    vae: dict[str, Any] = SMALL_VAE, text: dict[str, Any] = SMALL_TEXT, words: int = 24,
) -> Path:  # fmt: skip
    """Write a WanPipeline with random weights, always the same ones: VAE stride 4 in space and time, 4 latent channels.

    Args:
        blocks, heads, head_dim, ffn, text_dim, freq_dim: of the transformer; Wan2.1 1.3B has 30, 12, 128, 8960, 4096, 256.
        vae, text: configs of VAE and text encoder; an empty one for the VAE is Wan2.1's own.
        words: most tokens of a text.
    """
    from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanPipeline, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    tokenizer, channels = _tokenizer(words), vae.get("z_dim", 16)
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=heads, attention_head_dim=head_dim, in_channels=channels,
        out_channels=channels, text_dim=text_dim, freq_dim=freq_dim, ffn_dim=ffn, num_layers=blocks, cross_attn_norm=True,
        rope_max_seq_len=32 if vae else 1024,
    )  # fmt: skip
    config = {"vocab_size": len(tokenizer), "feed_forward_proj": "gated-gelu", "dropout_rate": 0.0} | text
    pipe = WanPipeline(
        tokenizer=tokenizer, transformer=transformer, vae=AutoencoderKLWan(**vae),
        text_encoder=UMT5EncoderModel(UMT5Config(d_model=text_dim, **config)), scheduler=FlowMatchEulerDiscreteScheduler(),
    )  # fmt: skip
    pipe.save_pretrained(folder, safe_serialization=True)
    (folder / "bench.toml").write_text(
        "[defaults]\nwidth = 32\nheight = 32\nframes = 17\nsteps = 3\nguidance = 3.0\nshift = 3.0\nnegative = ''\n"
    )
    return folder


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
    shape = backbone.card.latent_shape(**SIZE)
    reference, noise = (torch.randn(shape, generator=generator).to(backbone.device) for _ in range(2))
    said = {"target": TARGET, "negative": "", "null": "", "caption": CAPTION}
    texts = {name: backbone.encode_text(text) for name, text in said.items()}
    return Context(backbone, sigma_grid(steps, 3.0), noise, lambda: reference, texts, Stages(), frames=noise_clip)


def noise_clip() -> Frames:
    """The checks' reference as frames: noise, always the same."""
    return np.random.default_rng(0).integers(0, 256, (SIZE["frames"], SIZE["height"], SIZE["width"], 3), np.uint8)

"""The parts of the ``tiny`` pipeline and the words it knows."""

from __future__ import annotations

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, WanTransformer3DModel
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from fastvmt.datasets.drawn.scene import GROUND_COLOURS, PATTERNS, SHAPES, SUBJECT_COLOURS

from .latents import Z

TEXT_DIM, TEXT_LENGTH = 64, 24
SHIFT = 3.0
WORDS = ("a", "an", "and", "on", "the", "empty", "scene", "background", *SUBJECT_COLOURS, *SHAPES, *GROUND_COLOURS, *PATTERNS)

TRANSFORMER_CONFIG: dict[str, object] = {
    "patch_size": [1, 2, 2],
    "num_attention_heads": 3,
    "attention_head_dim": 64,
    "in_channels": Z,
    "out_channels": Z,
    "text_dim": TEXT_DIM,
    "freq_dim": 128,
    "ffn_dim": 512,
    "num_layers": 5,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 64,
}


def new_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer: lower case, one id a word, ``</s>`` at the end, zeros behind it."""
    vocabulary = {w: i for i, w in enumerate(("<pad>", "</s>", "<unk>", *dict.fromkeys(WORDS)))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=TEXT_LENGTH,
    )


def new_text_encoder(tokenizer: PreTrainedTokenizerFast) -> UMT5EncoderModel:
    """One layer of UMT5, enough to bind a colour to the shape beside it."""
    config = UMT5Config(
        vocab_size=len(tokenizer),
        d_model=TEXT_DIM,
        d_kv=32,
        d_ff=128,
        num_layers=1,
        num_heads=2,
        relative_attention_num_buckets=16,
        relative_attention_max_distance=32,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        pad_token_id=0,
        eos_token_id=1,
    )
    return UMT5EncoderModel(config)


def new_transformer() -> WanTransformer3DModel:
    return WanTransformer3DModel(**TRANSFORMER_CONFIG)


def new_scheduler() -> FlowMatchEulerDiscreteScheduler:
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=SHIFT)


def embed(
    tokenizer: PreTrainedTokenizerFast, encoder: UMT5EncoderModel, captions: list[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Caption embeddings (B, TEXT_LENGTH, TEXT_DIM), zero behind the end as in ``WanPipeline``; and lengths (B,)."""
    batch = tokenizer(captions, padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="pt")
    hidden = encoder(batch.input_ids, batch.attention_mask).last_hidden_state
    return hidden * batch.attention_mask.unsqueeze(-1), batch.attention_mask.sum(1)

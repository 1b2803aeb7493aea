"""Attention for training on CPUs: batched matrix products in bfloat16 instead of torch's fused kernel, and Q/K kept aside.

Same mathematics as ``WanAttnProcessor``; the fused kernel took more than half of a step at 576 tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from torch import Tensor

from fastvmt.backbones.wan import rotate


def fast_products(device: str) -> torch.autocast:
    """Products in bfloat16 inside a ``with``, but not on a CPU that only emulates them: float32 is faster there."""
    emulated = device == "cpu" and not torch.cpu._is_avx512_bf16_supported()  # oneDNN says yes to AVX-512 alone, and emulates
    return torch.autocast(device, torch.bfloat16, enabled=not emulated)


class _Attend(torch.autograd.Function):
    """softmax(q k^T) v for (N, S, d) in the inputs' type, with the probabilities kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:  # type: ignore[override]
        p = torch.bmm(q, k.mT).softmax(-1)
        ctx.save_for_backward(q, k, v, p)
        return torch.bmm(p, v)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        q, k, v, p = ctx.saved_tensors
        dv = torch.bmm(p.mT, g)
        ds = torch._softmax_backward_data(torch.bmm(g, v.mT), p, -1, p.dtype)
        return torch.bmm(ds, k), torch.bmm(ds.mT, q), dv


class TrainingSelfAttention(WanAttnProcessor):
    """Self-attention of one block; ``seen`` holds the last call's rotated queries and keys, (B, S, heads, d)."""

    seen: tuple[Tensor, Tensor] | None = None

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, rotary_emb=None):  # type: ignore[no-untyped-def]
        q, k = attn.norm_q(attn.to_q(hidden_states)), attn.norm_k(attn.to_k(hidden_states))
        q, k = (rotate(x.unflatten(2, (attn.heads, -1)), *rotary_emb) for x in (q, k))
        self.seen = q, k
        v = attn.to_v(hidden_states).unflatten(2, (attn.heads, -1))
        count, _, heads, d = q.shape
        q, k, v = (x.transpose(1, 2).flatten(0, 1).to(v.dtype) for x in (q * d**-0.5, k, v))
        out = _Attend.apply(q, k, v).unflatten(0, (count, heads)).transpose(1, 2).flatten(2)
        return attn.to_out[1](attn.to_out[0](out))

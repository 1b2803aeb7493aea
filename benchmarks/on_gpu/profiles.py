"""The parts that measure what could speed sampling up: attention backends, compiled blocks, caches. Each is undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from on_gpu.parts import gradient
from on_gpu.session import Named, Row, Session, as_row, difference
from torch import Tensor

NOT_TRIED = {
    "hub": "it is downloaded on first use",
    "varlen": "it is for clips of several lengths in one batch",
    "npu": "it is another maker's", "xla": "it is another maker's", "aiter": "it is another maker's",
    "math": "it holds every score: 48 GB at the long size",
    "flex": "without a compiler it holds every score",
}  # fmt: skip


def attention(s: Session) -> Named:
    """Every backend of diffusers' dispatcher: one sampling pass, how far from torch's choice, and whether it has a gradient."""
    from diffusers.models.attention_dispatch import AttentionBackendName

    usual, usual_gradient = s.velocity(s.scale.long), _step(s)()
    names = sorted(AttentionBackendName, key=lambda backend: backend.value != "native")  # the one that others are held against
    for name in (backend.value for backend in names):
        row: Row = {}
        if why := next((why for part, why in NOT_TRIED.items() if part in name), ""):
            row["left out"] = why
        else:
            with as_row(row), _backend(s, name):
                row |= difference(s.velocity(s.scale.long), usual)
                for _, timed in s.turns({name: partial(s.velocity, s.scale.long)}, s.scale.runs, warm=lambda: None):
                    row |= timed
                with as_row(backward := {}):
                    backward |= difference(_step(s)(), usual_gradient)
                row["gradient"] = backward
        yield name, row


def _step(s: Session) -> Callable[[], Tensor]:
    """A fresh inner step at the short size."""
    method, ctx = s.method("fastvmt", s.scale.short, s.scale.short_steps), s.context(s.scale.short, s.scale.short_steps)
    loss = partial(method.compare, ctx, ctx.sigmas[0], method.wanted(ctx, 0))
    return partial(gradient, method, ctx, loss)


@contextmanager
def _backend(s: Session, name: str) -> Iterator[None]:
    try:
        s.backbone.transformer.set_attention_backend(name)
        yield
    finally:
        s.backbone.transformer.set_attention_backend("native")


def compiled(s: Session) -> Named:
    """Blocks compiled one by one: seconds of the first pass and of later ones; and the guided step, with hooks inside."""
    passing, step = partial(s.velocity, s.scale.long), _step(s)
    usual, usual_gradient = passing(), step()
    for _, row in s.turns({"": passing}, s.scale.runs, warm=lambda: None):
        yield "one pass, as it is", row
    for _, row in s.turns({"": step}, s.scale.runs, warm=lambda: None):
        yield "a fresh inner step, as it is", row
    for name, call, before in (("one pass", passing, usual), ("a fresh inner step", step, usual_gradient)):
        row: Row = {}
        with as_row(row), _compiled_blocks(s):
            row["first"], found = s.device.seconds(call)
            row |= difference(found, before)
            for _, timed in s.turns({"": call}, s.scale.runs, warm=lambda: None):
                row |= timed
        yield f"{name}, compiled by {s.scale.compiler}", row


@contextmanager
def _compiled_blocks(s: Session) -> Iterator[None]:
    """Hooks are part of what compiled code depends on: torch leaves them out unless told, and a tap then sees nothing."""
    try:
        with torch._dynamo.config.patch(skip_nnmodule_hook_guards=False):
            s.backbone.transformer.compile_repeated_blocks(backend=s.scale.compiler)
            yield
    finally:
        for block in s.backbone.transformer.blocks:
            block._compiled_call_impl = None
        torch._dynamo.reset()


def caches(s: Session) -> Named:
    """``none`` with each of diffusers' caches that needs no calibration, inside ``cache_context``: never in a guided pass.

    Weights are random: the machinery's time is a fact, but how often a cache is hit depends on the model and is stated beside.
    """
    from diffusers import FirstBlockCacheConfig, PyramidAttentionBroadcastConfig, TaylorSeerCacheConfig

    level = [1.0]
    kinds: dict[str, Any] = {
        "none": None,
        "first_block, threshold 0.1": FirstBlockCacheConfig(threshold=0.1),
        "taylorseer, interval 5, order 1": TaylorSeerCacheConfig(
            cache_interval=5, max_order=1, disable_cache_before_step=1, cache_identifiers=[r"blocks\.\d+\.attn\d"]
        ),  # its own list of names fits nothing of Wan, and then it does nothing and says nothing
        "pyramid, every second": PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2, current_timestep_callback=lambda: level[0] * 1000
        ),
    }
    plain, wanted = s.velocity(s.scale.short), None
    for name, config in kinds.items():
        row: Row = {"seconds": []}
        with as_row(row), _cache(s, config):
            with _counted(s) as count:
                seconds, found = s.device.seconds(partial(_sampled, s, level))
            row["seconds"].append(seconds)
            row["blocks run"] = count[0] / (2 * s.scale.short_steps * s.backbone.card.blocks)
            wanted = found if wanted is None else wanted
            row |= difference(found, wanted)
        row["left behind"] = float((s.velocity(s.scale.short) - plain).abs().max())
        yield name, row
    yield "magcache", {"left out": "its ratios have to be measured on the model's own weights"}


def _sampled(s: Session, level: list[float]) -> Tensor:
    """The latent of a video without transfer, each of a step's two passes in a context of its own."""
    ctx, transformer = s.context(s.scale.short, s.scale.short_steps), s.backbone.transformer
    x = ctx.noise
    with torch.no_grad():
        for now, then in zip(ctx.sigmas, ctx.sigmas[1:], strict=False):
            level[0] = now
            with transformer.cache_context("cond"):
                positive = s.backbone.velocity(x, now, ctx.texts["target"])
            with transformer.cache_context("uncond"):
                negative = s.backbone.velocity(x, now, ctx.texts["negative"])
            x = x + (then - now) * (negative + 5.0 * (positive - negative))
    return x


@contextmanager
def _cache(s: Session, config: Any) -> Iterator[None]:
    transformer = s.backbone.transformer
    if config is not None:
        transformer.enable_cache(config)
    try:
        yield
    finally:
        if transformer.is_cache_enabled:
            transformer.disable_cache()


@contextmanager
def _counted(s: Session) -> Iterator[list[int]]:
    """How often a block's attention is computed: caches replace the call of a block or of its attention, not what is inside."""
    count = [0]

    def hook(*_: object) -> None:
        count[0] += 1

    names = [(f"blocks.{n}.attn1.to_q", hook) for n in range(s.backbone.card.blocks)]
    with s.backbone.hooked(*names):
        yield count

"""The parts that measure what a run's profile can name: attention backends, compiled blocks, caches. Each is undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from on_gpu.parts import gradient
from on_gpu.session import Named, Row, Session, as_row, difference
from torch import Tensor

from fastvmt.backbones.acceleration import accelerate, set_attention
from fastvmt.denoise import denoise
from fastvmt.methods.controls import NoTransfer
from fastvmt.model import Profile
from fastvmt.model.profile import ATTENTION, CACHES, NATIVE, in_full
from fastvmt.plugins.method import Params

NOT_TRIED = {
    "_native_math": "it holds every score: 48 GB at the long size",
    "flex": "without a compiler it holds every score",
}


def attention(s: Session) -> Named:
    """Every backend that a profile takes: one sampling pass, how far from torch's choice, and whether it has a gradient."""
    usual, usual_gradient = s.velocity(s.scale.long), _step(s)()
    for name in ATTENTION:  # the first is the one that others are held against
        row: Row = {}
        if why := NOT_TRIED.get(name):
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
        set_attention(s.backbone.transformer, name)
        yield
    finally:
        set_attention(s.backbone.transformer, NATIVE)


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
    try:
        accelerate([s.backbone.transformer], Profile(compile=s.scale.compiler))
        yield
    finally:
        for block in s.backbone.transformer.blocks:
            block._compiled_call_impl = None
        torch._dynamo.reset()


def caches(s: Session) -> Named:
    """``none`` with each cache of a profile.

    Weights are random: the machinery's time is a fact, but how often a cache is hit depends on the model and is stated beside.
    """
    kinds = {"none": Profile()} | {name: Profile(cache=name) for name in (*map(in_full, CACHES), "first_block:threshold=0.1")}
    plain, wanted = s.velocity(s.scale.short), None
    for name, profile in kinds.items():
        row: Row = {"seconds": []}
        with as_row(row), _cache(s, profile):
            before = s.backbone.forward_equivalents
            seconds, found = s.device.seconds(partial(_sampled, s, profile))
            row["seconds"].append(seconds)
            row["blocks run"] = (s.backbone.forward_equivalents - before) / (2 * s.scale.short_steps)
            wanted = found if wanted is None else wanted
            row |= difference(found, wanted)
        row["left behind"] = float((s.velocity(s.scale.short) - plain).abs().max())
        yield name, row


def _sampled(s: Session, profile: Profile) -> Tensor:
    """The latent of a video without transfer."""
    return denoise(NoTransfer(Params()), s.context(s.scale.short, s.scale.short_steps), 5.0, profile=profile)


@contextmanager
def _cache(s: Session, profile: Profile) -> Iterator[None]:
    usual = s.backbone.cache
    s.backbone.cache = accelerate([*s.backbone.experts], profile)
    try:
        yield
    finally:
        s.backbone.cache.forget()
        s.backbone.cache = usual

"""Blocks that come to the device in turn compute the same to the bit, and none is there that has no business there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fastvmt.backbones import card
from fastvmt.backbones.wan import Backbone, TextEncoder
from fastvmt.denoise import denoise
from fastvmt.plugins import labels
from fastvmt.plugins.method import Context
from fastvmt.testing.wan import SIZE, make_context


@pytest.fixture(scope="module")
def in_turn(xs: Path) -> Backbone:
    return Backbone(card.load(str(xs)), offload="block")


def there(model: Backbone) -> set[int]:
    """Blocks whose weights are on the device. The others have none: a pass that met one would fail."""
    return {n for n, b in enumerate(model.transformer.blocks) if all(p.numel() for p in b.parameters())}


def watched(model: Backbone) -> tuple[list[tuple[int, set[int]]], list[Any]]:
    """Which block begins, and which are there then; and what takes the watching away."""
    seen: list[tuple[int, set[int]]] = []
    blocks = enumerate(model.transformer.blocks)
    return seen, [b.register_forward_pre_hook(lambda m, a, n=n: seen.append((n, there(model)))) for n, b in blocks]


def gradient(model: Backbone, ctx: Context, *names: str) -> tuple[torch.Tensor, ...]:
    x = ctx.noise.clone().requires_grad_(True)
    with torch.enable_grad():
        taps = model.taps(x, 0.7, ctx.texts["target"], names)
        loss = sum(taps[name].sin().sum() for name in names if taps[name].requires_grad)
        return torch.autograd.grad(loss, x)[0], *(taps[name].detach() for name in names)


@pytest.mark.parametrize("names", [("q@0", "k@0"), ("q@1", "k@1"), ("hidden@2",), ("q@1", "k@1", "velocity")])
def test_guided_passes_are_the_same_to_the_bit_and_leave_no_block(
    backbone: Backbone, in_turn: Backbone, context: Context, names: tuple[str, ...]
) -> None:
    for _ in range(2):  # whatever the pass before has left
        for mine, wanted in zip(gradient(in_turn, context, *names), gradient(backbone, context, *names), strict=True):
            assert torch.equal(mine, wanted)
        assert there(in_turn) <= {0, 1}, "a backward pass leaves what the next pass begins with"
    with torch.no_grad():
        in_turn.taps(context.noise, 0.7, context.texts["target"], names)
    assert there(in_turn) == set(), "an early exit leaves none, fetched ahead or begun"


def test_two_blocks_at_most_are_there_the_next_one_in_the_direction_of_the_pass(in_turn: Backbone, context: Context) -> None:
    seen, watching = watched(in_turn)
    gradient(in_turn, context, "hidden@2")
    assert seen == [(0, {0, 1}), (1, {1, 2}), (2, {2}), (2, {1, 2}), (1, {0, 1}), (0, {0})]
    for handle in watching:
        handle.remove()


def test_a_pass_that_fails_leaves_none_and_the_next_is_as_before(
    backbone: Backbone, in_turn: Backbone, context: Context
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("broken")

    text = context.texts["target"]
    with torch.no_grad():
        with pytest.raises(ValueError, match="broken"), in_turn.hooked(("blocks.1", fail)):
            in_turn.velocity(context.noise, 0.7, text)
        assert there(in_turn) == set()
        assert torch.equal(in_turn.velocity(context.noise, 0.7, text), backbone.velocity(context.noise, 0.7, text))


def test_a_gradient_that_the_caller_takes_through_the_whole_model_is_the_same(
    backbone: Backbone, in_turn: Backbone, context: Context
) -> None:
    found = []
    for model in (backbone, in_turn):
        x = context.noise.clone().requires_grad_(True)
        with torch.enable_grad():
            found.append(torch.autograd.grad(model.velocity(x, 0.7, context.texts["target"]).sin().sum(), x)[0])
    assert torch.equal(*found)


def test_the_vae_has_the_device_without_blocks(in_turn: Backbone, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    gradient(in_turn, context, "hidden@2")
    seen: list[set[int]] = []
    decode = in_turn.vae.decode
    monkeypatch.setattr(in_turn.vae, "decode", lambda *a, **k: seen.append(there(in_turn)) or decode(*a, **k))
    in_turn.decode(context.noise)
    assert seen == [set()]


@pytest.mark.parametrize("label", ["fastvmt:inner=2", "ditflow:inner=2"])
def test_a_guided_video_is_the_same_to_the_bit(label: str) -> None:
    """On the trained backbone: injected keys, reused gradients, and sampling between guided steps."""
    latents = []
    for offload in ("text", "block"):
        model = Backbone(card.load("tiny"), offload=offload)
        ctx = make_context(model)
        spec = labels.resolve(label, model.card.shape(**SIZE, sigmas=ctx.sigmas), model.card.methods)
        latents.append(denoise(labels.build(spec), ctx, 3.0))
    assert torch.equal(*latents)


def test_texts_are_the_same_with_an_encoder_in_turn(xs: Path) -> None:
    whole, in_turn = (TextEncoder(card.load(str(xs)), "cpu", torch.float32, offload) for offload in ("text", "block"))
    assert torch.equal(whole("a red circle"), in_turn("a red circle"))
    blocks = in_turn.module.encoder.block
    assert not any(p.numel() for block in blocks for p in block.parameters())

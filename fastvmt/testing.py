"""What every method has to hold, as checks that a plug-in's author can call.

    from fastvmt.testing import check_method, random_wan
    check_method(Mine, random_wan(tmp_path / "wan"))        # AssertionError names what does not hold

A check needs no weights: ``random_wan`` writes a WanPipeline with random ones, a few kilobytes unless told otherwise. What a
method does not have (a loss, an adapter, an optimiser's bound) is not checked; ``Method`` says how it tells.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from fastvmt.backbones import card as cards
from fastvmt.backbones import wan as backbones
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.backbones.wan import Backbone
from fastvmt.core.stages import Stages
from fastvmt.denoise import denoise
from fastvmt.model import Reference
from fastvmt.plugins.method import Context, Method, Shape
from fastvmt.plugins.workspace import Workspace

SIZE: dict[str, Any] = {"width": 32, "height": 32, "frames": 17}
"""Of the checks' videos: 5 latent frames of 4x4 tokens on ``random_wan``."""
GUIDANCE = 3.0
JOBS = 20
"""Videos made one after the other by the memory check."""
COST_TOLERANCE = 1e-6
"""Relative difference between the formula and the forwards that are counted."""
ADAM_SLACK = 1.1
"""Bias-corrected moments can make a step of Adam a little longer than its rate: at most 1.04 times within ten steps."""


def random_wan(
    folder: Path, blocks: int = 3, heads: int = 4, head_dim: int = 12, ffn: int = 32, text_dim: int = 16, freq_dim: int = 16
) -> Path:
    """Write a WanPipeline with random weights, always the same ones: VAE stride 4 in space and time, 4 latent channels.

    Args:
        blocks, heads, head_dim, ffn, text_dim, freq_dim: of the transformer; Wan2.1 1.3B has 30, 12, 128, 8960, 4096, 256.
    """
    from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler, WanPipeline, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    from tools.tiny.parts import new_tokenizer

    torch.manual_seed(0)
    tokenizer = new_tokenizer()
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=heads, attention_head_dim=head_dim, in_channels=4, out_channels=4,
        text_dim=text_dim, freq_dim=freq_dim, ffn_dim=ffn, num_layers=blocks, cross_attn_norm=True, rope_max_seq_len=32,
    )  # fmt: skip
    vae = AutoencoderKLWan(
        base_dim=4, z_dim=4, dim_mult=[1, 1, 1], num_res_blocks=1, temperal_downsample=[True, True], scale_factor_spatial=4,
        latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    )  # fmt: skip
    text = UMT5EncoderModel(
        UMT5Config(vocab_size=len(tokenizer), d_model=text_dim, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
                   feed_forward_proj="gated-gelu", dropout_rate=0.0)
    )  # fmt: skip
    pipe = WanPipeline(
        tokenizer=tokenizer, text_encoder=text, vae=vae, transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler()
    )
    pipe.save_pretrained(folder, safe_serialization=True)
    (folder / "bench.toml").write_text(
        "[defaults]\nwidth = 32\nheight = 32\nframes = 17\nsteps = 3\nguidance = 3.0\nshift = 3.0\nnegative = ''\n"
    )
    return folder


def make_context(backbone: Backbone, steps: int = 4, seed: int = 0) -> Context:
    """A job's context without a job: drawn noise, a reference of noise, four texts."""
    generator = torch.Generator().manual_seed(seed)
    shape = backbone.card.latent_shape(**SIZE)
    reference = torch.randn(shape, generator=generator)
    texts = {
        "target": backbone.encode_text("a red circle on a navy plain background"),
        "negative": backbone.encode_text(""),
        "null": backbone.encode_text(""),
        "caption": backbone.encode_text("a blue ring on a teal plain background"),
    }
    noise = torch.randn(shape, generator=generator)
    return Context(backbone, sigma_grid(steps, 3.0), noise, lambda: reference, texts, Stages())


@dataclass(frozen=True)
class Trial:
    """A method with small work on a small backbone.

    Attributes:
        changes: parameters, before ``resolve``; ``small`` makes some that are quick.
    """

    cls: type[Method]
    backbone: Backbone
    changes: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 4

    def context(self, seed: int = 0) -> Context:
        torch.manual_seed(seed)
        return make_context(self.backbone, self.steps, seed)

    @property
    def shape(self) -> Shape:
        return self.backbone.card.shape(**SIZE, sigmas=sigma_grid(self.steps, 3.0))

    def params(self, **more: Any) -> Any:
        return self.cls.resolve(self.cls.Params.model_validate({**self.changes, **more}), self.shape)

    def method(self, **more: Any) -> Method:
        return self.cls(self.params(**more))

    def train(self, method: Method, ctx: Context) -> None:
        """What its training leaves, on a clip of noise; nothing for a method that trains none."""
        clip = np.random.default_rng(0).integers(0, 256, (SIZE["frames"], SIZE["height"], SIZE["width"], 3), np.uint8)
        width, height, frames = SIZE["width"], SIZE["height"], SIZE["frames"]
        known = Reference(frames_digest="", source="noise", width=width, height=height, frames=frames)
        ctx.prepared = method.prepare(ctx, Workspace(known, lambda: clip))

    def fitted(self, ctx: Context, **more: Any) -> Method:
        method = self.method(**more)
        self.train(method, ctx)
        with torch.no_grad():
            ctx.state = method.fit(ctx)
        return method

    def video(self, seed: int = 0, method: Method | None = None) -> Tensor:
        """The final latent of a whole job."""
        self.backbone.forward_equivalents = 0.0
        method, ctx = method or self.method(), self.context(seed)
        self.train(method, ctx)
        return denoise(method, ctx, GUIDANCE)

    def velocity(self) -> Tensor:
        ctx = self.context()
        with torch.no_grad():
            return self.backbone.velocity(ctx.noise, ctx.sigmas[1], ctx.texts["target"])


def small(cls: type[Method], changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Parameters that make a method quick: two guided steps, two inner steps, where it has such parameters."""
    wanted = {"guided": "steps:0-1", cls.protocols.work: 2}
    return {k: v for k, v in wanted.items() if k in cls.Params.model_fields} | dict(changes or {})


def the_reference_has_the_lowest_loss(trial: Trial) -> None:
    """Against itself, at its own level and text; any other clip has more."""
    ctx = trial.context()
    method = trial.fitted(ctx, **trial.cls.study.floor_when)
    for i in (0, 1):
        mirror = method.mirror(ctx, i)
        if mirror is None:
            return
        x, level, text = mirror
        ctx.texts = {**ctx.texts, "target": ctx.texts[text]}
        others = [x.flip(2), x.flip(4), -x, *(x + 0.5 * trial.context(seed).noise for seed in (1, 2))]
        with torch.no_grad():
            own, *rest = (float(_value(method.loss(ctx, i, v, level))) for v in (x, *others))
        assert min(rest) > own + 1e-9, f"{trial.cls.id}: step {i}: another clip has loss {min(rest)}, the reference {own}"


def the_gradient_is_sound(trial: Trial) -> None:
    """Finite, not zero, and the same with checkpointing and when the model runs to its end."""
    found = {}
    for name, how in (("plain", _plain), ("checkpointed", _checkpointed), ("whole", _whole)):
        ctx = trial.context()
        method = trial.fitted(ctx)
        with how(trial.backbone), torch.enable_grad():
            x = (0.7 * ctx.noise + 0.3 * ctx.reference()).requires_grad_(True)
            loss = method.loss(ctx, 1, x)
            if loss is None:
                return
            (found[name],) = torch.autograd.grad(loss, x)
    assert bool(torch.isfinite(found["plain"]).all()), f"{trial.cls.id}: the gradient is not finite"
    assert bool(found["plain"].any()), f"{trial.cls.id}: the gradient is zero"
    for name in ("checkpointed", "whole"):
        torch.testing.assert_close(found[name], found["plain"], rtol=1e-5, atol=1e-9, msg=f"{trial.cls.id}: {name} differs")


def adapters_are_nothing_untrained_and_gone_afterwards(trial: Trial) -> None:
    """A new adapter changes no velocity, and after a job the model is as it was: outputs, hooks, modes, parameters."""
    model = trial.backbone.transformer
    before, state = trial.velocity(), _state(model)
    adapted = trial.method().adapted(trial.context())
    if adapted is not None:
        with adapted:
            assert torch.equal(trial.velocity(), before), f"{trial.cls.id}: an untrained adapter changes the velocity"
    trial.video()
    assert torch.equal(trial.velocity(), before), f"{trial.cls.id}: the model is not what it was before the job"
    assert _state(model) == state, f"{trial.cls.id}: the job left hooks, parameters or modes in the model"


def displacement_is_bounded(trial: Trial) -> None:
    """The latent moves by no more than the optimiser's rates allow, summed over all its steps."""
    reach = trial.cls.reach(trial.params(), trial.shape)
    if reach is None:
        return
    method, moved, largest = trial.method(), [0.0], [0.0]
    plain = method.adjust

    def adjust(ctx: Context, i: int, x: Tensor) -> Tensor:
        found = plain(ctx, i, x)
        moved.append(float((found - x).abs().max()))
        largest.append(float(x.abs().max()))
        return found

    with mock.patch.object(method, "adjust", adjust):
        trial.video(method=method)
    decay = 1 + float(getattr(method.params, "weight_decay", 0.0)) * max(largest)
    assert 0 < sum(moved) <= reach * ADAM_SLACK * decay, f"{trial.cls.id}: moved {sum(moved)}, its rates allow {reach}"


def seeds_repeat(trial: Trial) -> None:
    """Bit for bit; another seed gives another video."""
    first, again, other = trial.video(0), trial.video(0), trial.video(1)
    assert torch.equal(first, again), f"{trial.cls.id}: the same seed gave another video"
    assert not torch.equal(first, other), f"{trial.cls.id}: another seed gave the same video"


def the_cost_formula_counts(trial: Trial) -> None:
    """``Method.cost`` is what the backbone counts, within ``COST_TOLERANCE``."""
    trial.video()
    counted, said = trial.backbone.forward_equivalents, trial.cls.cost(trial.params(), trial.shape)
    assert abs(counted - said) <= COST_TOLERANCE * counted, f"{trial.cls.id}: {counted} forwards counted, {said} by formula"


def memory_does_not_grow(trial: Trial) -> None:
    """After ``JOBS`` videos no more tensors are alive than after two."""
    held = []
    for n in range(JOBS):
        trial.video(n)
        if n in (1, JOBS - 1):
            held.append(_held_bytes())
    assert held[1] <= held[0], f"{trial.cls.id}: tensors of {held[0]} bytes after 2 videos, {held[1]} after {JOBS}"


CHECKS: dict[str, Callable[[Trial], None]] = {
    check.__name__: check
    for check in (
        the_reference_has_the_lowest_loss, the_gradient_is_sound, adapters_are_nothing_untrained_and_gone_afterwards,
        displacement_is_bounded, seeds_repeat, the_cost_formula_counts, memory_does_not_grow,
    )
}  # fmt: skip


def check_method(cls: type[Method], folder: Path, **changes: Any) -> None:
    """Every check on a method.

    Args:
        folder: a WanPipeline, such as ``random_wan`` writes.
        changes: parameters to run it with; guided and inner steps are few unless given.

    Raises:
        AssertionError: naming what does not hold.
    """
    trial = Trial(cls, Backbone(cards.load(str(folder))), small(cls, changes))
    for check in CHECKS.values():
        check(trial)


def _value(loss: Tensor | None) -> Tensor:
    assert loss is not None, "a method with a mirror has a loss"
    return loss


@contextmanager
def _plain(backbone: Backbone) -> Iterator[None]:
    yield


@contextmanager
def _checkpointed(backbone: Backbone) -> Iterator[None]:
    with mock.patch.object(backbones, "free_bytes", lambda device: 0):
        yield


@contextmanager
def _whole(backbone: Backbone) -> Iterator[None]:
    plain = backbone.taps
    with mock.patch.object(backbone, "taps", lambda *a, **k: plain(*a, **{**k, "early": False})):
        yield


def _state(model: Any) -> list[Any]:
    """Names, modes and hooks of all modules, and what of the parameters is trained."""
    modules = [(n, m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for n, m in model.named_modules()]
    return [modules, [(n, p.requires_grad) for n, p in model.named_parameters()]]


def _held_bytes() -> int:
    gc.collect()
    tensors = (o for o in gc.get_objects() if issubclass(type(o), Tensor))
    return sum(t.numel() * t.element_size() for t in tensors if t.device.type != "meta")


__all__ = ["CHECKS", "Trial", "check_method", "make_context", "random_wan", "small"]

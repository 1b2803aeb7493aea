"""What every method has to hold. What a method does not have (a loss, an adapter, a bound) is not checked, and said."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from fastvmt.backbones import card as cards
from fastvmt.backbones import wan as backbones
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.backbones.wan import Backbone
from fastvmt.denoise import denoise
from fastvmt.model import Reference
from fastvmt.plugins.method import Context, Method, Shape
from fastvmt.plugins.workspace import Workspace
from fastvmt.testing.checked import Checked, all_of, all_spelt, returned
from fastvmt.testing.wan import make_context, random_wan, size_of

GUIDANCE = 3.0
JOBS = 20
"""Videos made one after the other by the memory check."""
COST_TOLERANCE = 1e-6
"""Relative difference between the formula and the forwards that are counted."""
ADAM_SLACK = 1.1
"""Bias-corrected moments can make a step of Adam a little longer than its rate: at most 1.04 times within ten steps."""


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
        return self.backbone.card.shape(**size_of(self.backbone.card), sigmas=sigma_grid(self.steps, 3.0))

    def params(self, **more: Any) -> Any:
        return self.cls.resolve(self.cls.Params.model_validate({**self.changes, **more}), self.shape)

    def method(self, **more: Any) -> Method:
        return self.cls(self.params(**more))

    def train(self, method: Method, ctx: Context) -> None:
        """What its training leaves, on a clip of noise; nothing for a method that trains none."""
        known = Reference(frames_digest="", source="noise", **size_of(self.backbone.card))
        ctx.prepared = method.prepare(ctx, Workspace(known, ctx.frames))

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


def nothing_is_misspelt(trial: Trial) -> str:
    """What has nearly a hook's name is called by nobody."""
    all_spelt(trial.cls, Method, "training", "trains")  # ``train`` is a good name for a helper
    return ""


def it_does_something(trial: Trial) -> str:
    """Its video is not, bit for bit, that of ``none`` from the same noise."""
    if trial.cls.role not in ("method", "baseline"):
        return f"its role is {trial.cls.role}"
    plain = Trial(Method, trial.backbone, steps=trial.steps).video()
    said = f"{trial.cls.id}: its video equals none's bit for bit, so no hook of it has any effect"
    assert not torch.equal(trial.video(), plain), said
    return ""


def hooks_return_what_the_loop_takes(trial: Trial) -> str:
    """Each hook in the loop's order, for the first step that is taken."""
    ctx, method, need = trial.context(), trial.method(), partial(returned, trial.cls.id)
    shape, steps = tuple(ctx.noise.shape), trial.steps
    latent = f"a floating-point tensor of the latent's shape {shape}"

    def is_latent(x: Any) -> bool:
        return isinstance(x, Tensor) and tuple(x.shape) == shape and x.is_floating_point()

    def adds(term: Any) -> bool:
        if isinstance(term, Tensor):
            return term.ndim <= len(shape) and all(a in (1, b) for a, b in zip(term.shape[::-1], shape[::-1], strict=False))
        return isinstance(term, int | float)

    params, kind = trial.params(), trial.cls.Params
    need("resolve", params, isinstance(params, kind), f"a {kind.__name__}")
    cost = trial.cls.cost(params, trial.shape)
    need("cost", cost, isinstance(cost, int | float) and 0 < cost < float("inf"), "forward-equivalents above 0")
    trial.train(method, ctx)
    weights = ctx.prepared
    named = isinstance(weights, Mapping) and all(isinstance(w, Tensor) for w in weights.values())
    need("prepare", weights, named, "tensors by name")
    with torch.no_grad():
        ctx.state = method.fit(ctx)
        start = method.start(ctx)
        pair = isinstance(start, tuple) and len(start) == 2 and is_latent(start[0]) and isinstance(start[1], int)
        need("start", start, pair and 0 <= start[1] < steps, f"{latent}, and the first step, 0 to {steps - 1}")
        x, i = start
        scope = method.scope(ctx, i)
        need("scope", scope, hasattr(scope, "__enter__"), "a context manager")
        with scope:
            x = method.adjust(ctx, i, x)
            need("adjust", x, is_latent(x), latent)
            term = method.steer(ctx, i, x)
            need("steer", term, adds(term), "a number, or a tensor that can be added to the latent")
            x = method.settle(ctx, i, x, x + term)
            need("settle", x, is_latent(x), latent)
    return ""


def the_reference_has_the_lowest_loss(trial: Trial) -> str:
    """Against itself, at its own level and text; any other clip has more."""
    ctx = trial.context()
    method = trial.fitted(ctx, **trial.cls.study.floor_when)
    for i in (0, 1):
        mirror = method.mirror(ctx, i)
        if mirror is None:
            return "it has no mirror"
        x, level, text = mirror
        ctx.texts = {**ctx.texts, "target": ctx.texts[text]}
        others = [x.flip(2), x.flip(4), -x, *(x + 0.5 * trial.context(seed).noise for seed in (1, 2))]
        with torch.no_grad():
            own, *rest = (float(_value(method.loss(ctx, i, v, level))) for v in (x, *others))
        assert min(rest) > own + 1e-9, f"{trial.cls.id}: step {i}: another clip has loss {min(rest)}, the reference {own}"
    return ""


def the_gradient_is_sound(trial: Trial) -> str:
    """Finite, not zero, and the same with checkpointing and when the model runs to its end."""
    found, taps = {}, trial.backbone.taps
    ways: dict[str, AbstractContextManager[Any]] = {
        "plain": nullcontext(),
        "checkpointed": mock.patch.object(backbones, "free_bytes", lambda device: 0),
        "whole": mock.patch.object(trial.backbone, "taps", lambda *a, **k: taps(*a, **k | {"early": False})),
    }
    for name, way in ways.items():
        ctx = trial.context()
        method = trial.fitted(ctx)
        with way, torch.enable_grad():
            x = (0.7 * ctx.noise + 0.3 * ctx.reference()).requires_grad_(True)
            loss = method.loss(ctx, 1, x)
            if loss is None:
                return "it has no loss"
            (found[name],) = torch.autograd.grad(loss, x)
    assert bool(torch.isfinite(found["plain"]).all()), f"{trial.cls.id}: the gradient is not finite"
    assert bool(found["plain"].any()), f"{trial.cls.id}: the gradient is zero"
    for name in ("checkpointed", "whole"):
        torch.testing.assert_close(found[name], found["plain"], rtol=1e-5, atol=1e-9, msg=f"{trial.cls.id}: {name} differs")
    return ""


def adapters_are_nothing_untrained_and_gone_afterwards(trial: Trial) -> str:
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
    return ""


def displacement_is_bounded(trial: Trial) -> str:
    """The latent moves by no more than the optimiser's rates allow, summed over all its steps."""
    reach = trial.cls.reach(trial.params(), trial.shape)
    if reach is None:
        return "it has no reach"
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
    return ""


def seeds_repeat(trial: Trial) -> str:
    """Bit for bit; another seed gives another video."""
    first, again, other = trial.video(0), trial.video(0), trial.video(1)
    assert torch.equal(first, again), f"{trial.cls.id}: the same seed gave another video"
    assert not torch.equal(first, other), f"{trial.cls.id}: another seed gave the same video"
    return ""


def the_cost_formula_counts(trial: Trial) -> str:
    """``Method.cost`` is what the backbone counts, within ``COST_TOLERANCE``."""
    trial.video()
    counted, said = trial.backbone.forward_equivalents, trial.cls.cost(trial.params(), trial.shape)
    assert abs(counted - said) <= COST_TOLERANCE * counted, f"{trial.cls.id}: {counted} forwards counted, {said} by formula"
    return ""


def memory_does_not_grow(trial: Trial) -> str:
    """After ``JOBS`` videos no more tensors are alive than after two."""
    held = []
    for n in range(JOBS):
        trial.video(n)
        if n in (1, JOBS - 1):
            held.append(_held_bytes())
    assert held[1] <= held[0], f"{trial.cls.id}: tensors of {held[0]} bytes after 2 videos, {held[1]} after {JOBS}"
    return ""


CHECKS: dict[str, Callable[[Trial], str]] = {
    check.__name__: check
    for check in (
        nothing_is_misspelt, hooks_return_what_the_loop_takes, it_does_something,
        the_reference_has_the_lowest_loss, the_gradient_is_sound, adapters_are_nothing_untrained_and_gone_afterwards,
        displacement_is_bounded, seeds_repeat, the_cost_formula_counts, memory_does_not_grow,
    )
}  # fmt: skip


def check_method(cls: type[Method], folder: Path | None = None, **changes: Any) -> Checked:
    """Every check on a method.

    Args:
        folder: a WanPipeline to run on; without one, ``random_wan`` writes one for the time of the check.
        changes: parameters to run it with; guided and inner steps are few unless given.

    Returns:
        Which checks hold, and which do not apply and why; it prints as a list.

    Raises:
        AssertionError: naming what does not hold.
    """
    with TemporaryDirectory() as place:
        control = (0, 2) if cls.needs_control else ()
        backbone = Backbone(cards.load(str(folder or random_wan(Path(place) / "wan", control=control))))
        return all_of(cls.id, CHECKS.values(), Trial(cls, backbone, small(cls, changes)))


def _value(loss: Tensor | None) -> Tensor:
    assert loss is not None, "a method with a mirror has a loss"
    return loss


def _state(model: Any) -> list[Any]:
    """Names, modes and hooks of all modules, and what of the parameters is trained."""
    modules = [(n, m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for n, m in model.named_modules()]
    return [modules, [(n, p.requires_grad) for n, p in model.named_parameters()]]


def _held_bytes() -> int:
    gc.collect()
    tensors = (o for o in gc.get_objects() if issubclass(type(o), Tensor))
    return sum(t.numel() * t.element_size() for t in tensors if t.device.type != "meta")

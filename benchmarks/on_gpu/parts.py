"""The parts that measure this program: loading, inner steps, reuse, the released loop, methods, memory, a CPU's numbers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from on_gpu.device import Device
from on_gpu.released_loop import ReleasedLoop, checkpointed_twice
from on_gpu.session import Named, Session, difference
from torch import Tensor

from fastvmt.backbones import card as cards
from fastvmt.backbones.wan import Backbone
from fastvmt.denoise import denoise
from fastvmt.estimates.memory import need
from fastvmt.plugins import labels
from fastvmt.plugins.method import Context, Method
from fastvmt.testing.wan import SIZE, make_context, random_wan

WHOLE = "transcription of the released loop"


def loading(s: Session) -> Named:
    """Weights from disk, texts, the VAE's two ways, one sampling pass at both lengths."""
    seconds, _ = s.device.seconds(s.write_folder)
    size = sum(p.stat().st_size for p in s.folder.rglob("*") if p.is_file())
    yield "write random weights", {"seconds": [seconds], "bytes": size}
    s.unload()
    seconds, texts = s.device.seconds(lambda: s.texts)
    sound = all(bool(torch.isfinite(t).all()) for t in texts.values())
    yield "load the text encoder, encode 4 texts", {"seconds": [seconds], "finite": sound}
    s.device.reset_peak()
    seconds, backbone = s.device.seconds(lambda: s.backbone)
    yield "load transformer and VAE", {"seconds": [seconds], "peak": s.device.peaks()}
    passes = {f"one pass, {n} frames": partial(s.velocity, n) for n in (s.scale.short, s.scale.long)}
    yield from s.turns(passes, s.scale.runs)
    clip = np.random.default_rng(0).integers(0, 255, (s.scale.long, s.scale.height, s.scale.width, 3), np.uint8)
    yield from s.turns({"encode the reference": lambda: backbone.encode_video(clip)}, 1, warm=lambda: None)
    yield from s.turns({"decode the video": lambda: backbone.decode(s.noise(s.scale.long))}, 1, warm=lambda: None)


def gradient(method: Method, ctx: Context, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Of one fresh inner step."""
    latent = ctx.noise.clone().requires_grad_(True)
    with torch.enable_grad():
        return torch.autograd.grad(loss(latent), latent)[0]


def inner_steps(s: Session) -> Named:
    """A fresh inner step at the long size: with early exit, through all blocks, as the released loop takes it."""
    frames, steps = s.scale.long, s.scale.long_steps
    calls: dict[str, Callable[[], object]] = {}
    for label in ("fastvmt", "fastvmt:no-early-exit", "fastvmt:released"):
        method, ctx = s.method(label, frames, steps), s.context(frames, steps)
        loss = partial(method.compare, ctx, ctx.sigmas[0], method.wanted(ctx, 0))
        calls[label] = partial(gradient, method, ctx, loss)
    loop, ctx = _loop(s, frames, steps), s.context(frames, steps)
    objective = loop.objective(ctx, 0)

    def step() -> Tensor:
        with checkpointed_twice(s.backbone):
            return gradient(loop, ctx, objective)

    yield from s.turns({**calls, WHOLE: step}, s.scale.runs)


def _loop(s: Session, frames: int, steps: int) -> ReleasedLoop:
    return ReleasedLoop(s.method("fastvmt:released", frames, steps).params, s.shape(frames, steps), s.device)


def reuse(s: Session) -> Named:
    """A guided step of ten inner steps: four fresh gradients, or ten."""
    frames, steps = s.scale.short, s.scale.short_steps
    calls = {}
    for label in ("fastvmt", "fastvmt:no-step-skip"):
        calls[f"{label}, a guided step"] = partial(s.guided_step, s.method(label, frames, steps), frames, steps)
    yield from s.turns(calls, s.scale.runs, warm=partial(s.velocity, frames))


def against_released(s: Session) -> Named:
    """Whole denoise loops in turns; first, that the transcription computes the numbers of ``fastvmt:released``."""
    frames, steps = s.scale.short, s.scale.short_steps
    loop, ours = _loop(s, frames, steps), s.method("fastvmt:released", frames, steps)
    ctx = s.context(frames, steps)
    with checkpointed_twice(s.backbone):
        theirs = gradient(loop, ctx, loop.objective(ctx, 0))
    own = gradient(ours, ctx, partial(ours.compare, ctx, ctx.sigmas[0], ours.wanted(ctx, 0)))
    yield "gradient of the transcription against fastvmt:released", difference(theirs, own)
    methods = {"fastvmt": s.method("fastvmt", frames, steps), "fastvmt:released": ours, WHOLE: loop}
    calls = {name: partial(s.video, method, frames, steps) for name, method in methods.items()}
    yield from s.turns(calls, s.scale.runs, warm=partial(s.velocity, frames))


def methods(s: Session) -> Named:
    """The denoise loop of the control and two methods at the long size."""
    frames, steps = s.scale.long, s.scale.long_steps
    calls = {label: partial(s.video, s.method(label, frames, steps), frames, steps) for label in ("none", "fastvmt", "ditflow")}
    yield from s.turns(calls, s.scale.runs, warm=partial(s.velocity, frames))


def memory(s: Session) -> Named:
    """The peak of each stage of a ``fastvmt`` job at the long size, beside what ``bench plan`` predicts for this device.

    Then guidance and sampling again with blocks in turn, and how far their latents are from those of the whole model: 0 is due.
    """
    frames, steps, scale = s.scale.long, s.scale.long_steps, s.scale
    spec = s.spec("fastvmt", frames, steps)
    dtype = str(scale.dtype).removeprefix("torch.")

    def predicted(offload: str) -> dict[str, dict[str, int]]:
        size = scale.width, scale.height, frames, dtype
        return need(s.card, *size, (spec,), offload=offload, device=s.device.kind).stages(s.device.facts()["bytes"])

    clip = np.zeros((frames, scale.height, scale.width, 3), np.uint8)
    stages: dict[str, Callable[[], Any]] = {
        "text": s.encode_texts,
        "encode": lambda: s.backbone.encode_video(clip),
        "guidance": lambda: s.guided_step(s.method("fastvmt", frames, steps), frames, steps),
        "denoise": partial(s.velocity, frames),
        "decode": lambda: s.backbone.decode(s.noise(frames)),
    }
    s.unload()
    whole: dict[str, Any] = {}
    for name, call in stages.items():
        s.device.reset_peak(give_back=True)
        whole[name] = call()
        yield name, {"peak": s.device.peaks(), "predicted": sum(predicted("text")[name].values())}
    s.unload()
    s.__dict__["backbone"] = Backbone(s.card, s.device.kind, scale.dtype, "block")
    for name in ("guidance", "denoise"):
        s.device.reset_peak(give_back=True)
        row = difference(stages[name](), whole[name])
        yield f"{name}, blocks in turn", row | {"peak": s.device.peaks(), "predicted": sum(predicted("block")[name].values())}
    s.unload()


def agreement(s: Session) -> Named:
    """One guided step and one pass in float32 on two blocks of full width: the device against a CPU."""
    with tempfile.TemporaryDirectory() as place:
        wide = {"heads": 12, "head_dim": 128, "ffn": 8960, "freq_dim": 256} if s.device.gpu else {}
        folder = random_wan(Path(place) / "wan", blocks=2, **wide)
        found = []
        for device in (Device("cpu"), s.device):
            backbone = Backbone(cards.load(str(folder)), device.kind)
            ctx = make_context(backbone, steps=5)
            method = labels.build(labels.resolve("fastvmt", backbone.card.shape(**SIZE, sigmas=ctx.sigmas), {}))
            loss = partial(method.compare, ctx, ctx.sigmas[0], method.wanted(ctx, 0))
            made = [backbone.velocity(ctx.noise, 0.9, ctx.texts["target"]), gradient(method, ctx, loss)]
            made += [method.adjust(ctx, 0, ctx.noise), denoise(method, make_context(backbone, steps=5), 3.0)]
            found.append([tensor.cpu() for tensor in made])
    names = ("one pass", "gradient of an inner step", "latent after a guided step", "latent of a video, 5 steps")
    for name, theirs, own in zip(names, *found, strict=True):
        yield name, difference(own, theirs)

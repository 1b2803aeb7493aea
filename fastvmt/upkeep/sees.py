"""``bench doctor --method M``: does guidance see the reference? Its gradient for the right one against that for a wrong one.

A method that guides a latent by the gradient of a loss can transfer only what is in that gradient, and most of it may be about
the video itself. So the gradient is computed twice, on the same latent in the same step: with the reference, and with another
clip in its place. Printed are their cosine, and the share of the gradient that is about the reference,

    |g_right - g_wrong|^2 / (|g_right|^2 + |g_wrong|^2),

which is the variance over references over the mean square, estimated from two: 0 where the reference makes no difference, 1
where the two gradients are orthogonal, 2 where they are opposite. Latents are those of the method's own run, before each guided
step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.backbones.wan import Backbone
from fastvmt.core.screen.status_line import doing
from fastvmt.core.stages import Stages
from fastvmt.datasets.drawn.scene import draw
from fastvmt.datasets.drawn.shapes import make_scene, motions_of, stream
from fastvmt.denoise import denoise
from fastvmt.errors import SpecError
from fastvmt.jobs import protocol
from fastvmt.media.framing import fit_frames
from fastvmt.plugins import labels
from fastvmt.plugins.method import Context, Method

CLIPS = 4
"""Drawn clips, where nothing else is said: each is the reference once, and once the wrong one."""
SEEN = 0.01
"""A smaller share of a gradient is not about the reference, for a verdict."""
FIRST = 2_000
"""Number of the first clip in the tuning stream: beyond those that any setting was tuned on."""


@dataclass(frozen=True)
class Look:
    """Two gradients of one step, over all clips: their mean cosine, and the share about the reference; NaN without any."""

    step: int
    level: float
    cosine: float
    share: float

    def data(self) -> dict[str, float | None]:
        """As JSON has it: None where there is no number."""
        return {k: v if np.isfinite(v) else None for k, v in vars(self).items()}


@dataclass(frozen=True)
class Sight:
    """What a method sees of the reference: in every guided step, and in its first, middle and last one by block."""

    label: str
    block: int | None
    steps: tuple[Look, ...]
    blocks: dict[int, tuple[Look, ...]]
    clips: int
    seconds: float

    @property
    def seeing(self) -> list[Look]:
        """The guided steps of whose gradient enough is about the reference."""
        return [look for look in self.steps if look.share >= SEEN]

    @property
    def says(self) -> str:
        """Whether it can transfer here, and why."""
        shares = [look.share for look in self.steps if np.isfinite(look.share)]
        if not self.seeing:
            most = f"at most {max(shares):.4f}" if shares else "nothing"
            return (
                f"{self.label} cannot transfer here, because {most} of its gradient is about the reference in any guided step."
            )
        first, n = self.seeing[0], len(self.steps)
        if first == self.steps[0]:
            ends = f"{min(look.share for look in self.seeing):.2f} to {max(shares):.2f}"
            seen = "its" if len(self.seeing) == n else f"{len(self.seeing)} of its"
            told = f"of the gradient of {seen} {n} guided steps is about the reference"
            return f"{self.label} can transfer here, because {ends} {told}."
        before = self.steps.index(first)
        return (
            f"{self.label} can transfer here only from step {first.step} (level {first.level:.3f}) on, because less than "
            f"{SEEN:g} of its gradient is about the reference in the {before} of {n} guided steps before."
        )

    def data(self) -> dict[str, Any]:
        blocks = {str(b): [look.data() for look in looks] for b, looks in self.blocks.items()}
        return {
            "method": self.label, "block": self.block, "sees": bool(self.seeing), "verdict": self.says, "clips": self.clips,
            "steps": [look.data() for look in self.steps], "blocks": blocks, "seconds": round(self.seconds, 1),
        }  # fmt: skip


def refuse_blind(asked: Sequence[str], clips: int) -> None:
    """
    Raises:
        SpecError: for a method without the gradient of a loss, none at all, or a single clip.
    """
    if not asked:
        raise SpecError("--method is empty; it names methods, e.g. --method fastvmt,ditflow.")
    for label in asked:
        cls = labels.parse(label)[0]
        if cls.loss is Method.loss:
            how = "it is trained on the reference instead" if labels.trains(cls) else "what it does is not steered by one"
            raise SpecError(f"--method {label}: {cls.id} has no gradient of a loss on the latent; {how}.")
    if clips < 2:
        raise SpecError("--clips 1: a wrong reference is another clip, so --method needs 2 or more.")


def sight(
    backbone: Backbone, label: str, width: int, height: int, frames: int, steps: int | None = None, clips: int = CLIPS,
    by_block: bool = True,
) -> Sight:  # fmt: skip
    """Look through a method's eyes on drawn clips.

    Args:
        label: of a method that guides by the gradient of a loss.
        steps: of a video; the backbone's default without.
        clips: at least 2.
        by_block: also with every other guided block.

    Raises:
        SpecError: for a method without such a gradient, or settings that it does not take.
    """
    refuse_blind((label,), clips)
    cls: type[Method] = labels.parse(label)[0]
    card = backbone.card
    sigmas = sigma_grid(steps or card.defaults["steps"], card.defaults["shift"])
    shape, starts = card.shape(width, height, frames, sigmas), protocol.starts(cls, protocol.DEFAULT)

    def made(label: str) -> Method:
        return labels.build(labels.resolve(label, shape, card.methods, starts))

    clock, method = Stages(), made(label)
    sigmas = method.levels(method.params, sigmas)
    shape = card.shape(width, height, frames, sigmas)
    with clock("looking"):
        contexts = [_context(backbone, sigmas, FIRST + n, (width, height, frames)) for n in range(clips)]
        if not (guided := _guided(method, shape)):
            raise SpecError(f"--method {label}: none of the {len(sigmas) - 1} steps is guided, so there is nothing to look at.")
        latents = []
        for n, ctx in enumerate(contexts):
            doing(f"following {label}", n, clips)
            latents.append(_latents(method, ctx, guided))
        looks = _looks(method, contexts, latents, guided)
        own = getattr(method.params, "block", None)
        ends = sorted({guided[0], guided[len(guided) // 2], guided[-1]})
        blocks = {}
        for block in range(card.blocks) if by_block and own is not None else ():
            doing(f"looking through block {block}", block, card.blocks)
            blocks[block] = (
                tuple(look for look in looks if look.step in ends)
                if block == own
                else _looks(made(f"{label}:block={block}"), contexts, latents, ends)
            )
    return Sight(label, own, looks, blocks, clips, sum(clock.seconds.values()))


def _guided(method: Method, shape: Any) -> list[int]:
    """The guided steps; of a method that does not name them, all."""
    named = method.guided_steps(method.params, shape)
    return list(range(len(shape.sigmas) - 1) if named is None else named)


def _context(backbone: Backbone, sigmas: tuple[float, ...], number: int, size: tuple[int, int, int]) -> Context:
    """A drawn single object with its target prompt, as a job has them."""
    rng = stream("tune", number)
    motions, camera = motions_of(rng, "single_object", number)
    scene = make_scene(rng, motions, camera, size[2])
    target = make_scene(rng, motions, "still", 1, avoid=scene.caption()).caption()
    latent = backbone.encode_video(fit_frames(draw(scene), size[0], size[1]))
    words = {"target": target, "negative": backbone.card.defaults["negative"], "null": "", "caption": scene.caption()}
    texts = {name: backbone.encode_text(text) for name, text in words.items()}
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(number)).to(latent)
    return Context(backbone, sigmas, noise, lambda: latent, texts, Stages())


class _Enough(Exception):
    """The last guided step is over."""


def _latents(method: Method, ctx: Context, guided: Sequence[int]) -> dict[int, Tensor]:
    """The latent before each of these steps of the method's own run; ``ctx.state`` is then that of its reference."""
    found: dict[int, Tensor] = {}
    adjust = method.adjust

    def seen(ctx: Context, i: int, x: Tensor) -> Tensor:
        found[i] = x
        return adjust(ctx, i, x)

    def tick(i: int, steps: int) -> None:
        if i > max(guided, default=-1):
            raise _Enough

    setattr(method, "adjust", seen)  # noqa: B010 - this object alone
    card = ctx.backbone.card
    try:
        denoise(method, ctx, card.scale(*card.scales()), tick)
    except _Enough:
        pass
    finally:
        delattr(method, "adjust")
    return found


def _looks(
    method: Method, contexts: Sequence[Context], latents: Sequence[dict[int, Tensor]], steps: Sequence[int]
) -> tuple[Look, ...]:
    """The two gradients of each step; the wrong reference of a clip is the next clip."""
    pairs = []
    for n, right in enumerate(contexts):
        other = contexts[(n + 1) % len(contexts)]
        wrong = replace(right, reference=other.reference, texts={**right.texts, "caption": other.texts["caption"]}, log={})
        both = [replace(right, log={}), wrong]
        for ctx in both:
            with torch.no_grad():
                ctx.state = method.fit(ctx)
        pairs.append(both)
    found = []
    for i in steps:
        cosines, apart, whole = [], 0.0, 0.0
        for (right, wrong), latent in zip(pairs, latents, strict=True):
            if i not in latent:
                continue
            a, b = (_gradient(method, ctx, i, latent[i]) for ctx in (right, wrong))
            if (size := float(a.norm() * b.norm())) > 0:
                cosines.append(float(a @ b) / size)
            apart, whole = apart + float((a - b).square().sum()), whole + float(a.square().sum() + b.square().sum())
        cosine = float(np.mean(cosines)) if cosines else float("nan")
        found.append(Look(i, contexts[0].sigmas[i], cosine, apart / whole if whole > 0 else float("nan")))
    return tuple(found)


def _gradient(method: Method, ctx: Context, i: int, x: Tensor) -> Tensor:
    """Of the loss of step ``i``, flat, fp64 on the CPU; zeros where the method has no loss there."""
    latent = x.detach().clone().requires_grad_(True)
    with method.scope(ctx, i), torch.enable_grad():
        value = method.loss(ctx, i, latent)
        if value is None or not value.requires_grad:
            return torch.zeros(x.numel(), dtype=torch.float64)
        (gradient,) = torch.autograd.grad(value, latent)
    return gradient.detach().flatten().double().cpu()


def as_lines(found: Sequence[Sight]) -> str:
    """Verdicts and tables as Markdown: of one method by step and block, of several a row each."""
    lines = [one.says for one in found]
    if len(found) > 1:
        lines += [
            "",
            "| method | block | guided steps | cosine, first | last | share, first | last | seconds |",
            f"{'|---' * 8}|",
        ]
        for s in found:
            ends = [s.steps[0], s.steps[-1]]
            cells = [
                s.label,
                _text(s.block),
                str(len(s.steps)),
                *(f"{e.cosine:.3f}" for e in ends),
                *(f"{e.share:.3f}" for e in ends),
            ]
            lines.append(f"| {' | '.join([*cells, f'{s.seconds:.0f}'])} |")
        return "\n".join(lines)
    (one,) = found
    lines += [
        "", f"{one.clips} drawn clips, each against the next one; guided block {_text(one.block)}:",
        "| step | level | cosine of right and wrong | share about the reference |", "|---|---|---|---|",
        *(f"| {look.step} | {look.level:.3f} | {look.cosine:.3f} | {look.share:.3f} |" for look in one.steps),
    ]  # fmt: skip
    if one.blocks:
        looks = next(iter(one.blocks.values()))
        heads = " | ".join(f"step {look.step}" for look in looks)
        lines += ["", "cosine (share) by block:", f"| block | {heads} |", f"|---{'|---' * len(looks)}|"]
        lines += [
            f"| {b}{' (guided)' if b == one.block else ''} | {' | '.join(f'{k.cosine:.3f} ({k.share:.3f})' for k in row)} |"
            for b, row in one.blocks.items()
        ]
    return "\n".join(lines)


def _text(block: int | None) -> str:
    return "–" if block is None else str(block)

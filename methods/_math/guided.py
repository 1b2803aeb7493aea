"""What methods that guide the latent by a block's inner tensors have in common: parameters, window, Adam, injection, start.

A method says what it compares (``wanted``, ``compare``); this file says when and how the latent follows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import torch
from pydantic import BeforeValidator, Field

from fastvmt.backbones.noise_levels import resolve_steps
from fastvmt.backbones.token_grid import VELOCITY
from fastvmt.core.content_address import noise_seed
from fastvmt.errors import SpecError
from fastvmt.methods._math.updater import LatentUpdate, StepLog
from fastvmt.methods.controls import noised_start, start_index
from fastvmt.plugins.method import TAP_SHARE, Context, Method, OwnGrid, Params, Protocols, Shape

if TYPE_CHECKING:
    from torch import Tensor

Block = Annotated[
    int | float,
    Field(ge=0, le=10_000, allow_inf_nan=False, description="index of the tapped block, or a fraction of the depth"),
]
Guided = Annotated[str, Field(description="guided steps: steps:0-9, share:0.2 or sigma:1.0-0.9")]
Inner = Annotated[int, Field(ge=1, le=10_000, description="optimiser steps per guided step")]
Rate = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False, description="learning rate")]
Step = Annotated[int | float, Field(ge=0, le=10_000, allow_inf_nan=False, description="index of a step, or a share of them")]
Temperature = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]
Tile = Annotated[
    tuple[Annotated[int, Field(ge=1, le=10_000)], Annotated[int, Field(ge=1, le=10_000)]],
    BeforeValidator(lambda value: [int(v) for v in value.split("x")] if isinstance(value, str) else value),
]
"""Rows and columns of tokens; typed as ``3x4``."""
Weight = Annotated[float, Field(ge=0, le=1e6, description="of a part of the loss, or a factor of it")]
Inject = Annotated[bool, Field(description="keys and values of block 0 from the noised reference in guided steps")]


def needs_latent_frames(method: str, shape: Shape, least: int = 2) -> None:
    """
    Raises:
        SpecError: for a video of fewer latent frames than a method compares with one another.
    """
    if shape.grid[0] < least:
        raise SpecError(
            f"{method} compares at least {least} latent frames with one another and this size has {shape.grid[0]}. Give "
            f"--frames {4 * least - 3} or more."
        )


def other_noise(ctx: Context, n: int) -> Tensor:
    """The ``n``-th tensor of noise beside the run's own, which follows case and seed as that does."""
    drawn = hashlib.sha256(ctx.noise.cpu().contiguous().numpy().tobytes()).hexdigest()
    generator = torch.Generator().manual_seed(noise_seed(n, drawn))
    return torch.randn(ctx.noise.shape, generator=generator).to(ctx.noise)


FROM_NOISE = Protocols({"as-published": {"begin": "noise"}, "matched-start": {"begin": "noise"}}, work="inner")
"""Of methods that can start from the reference (``begin=reference``) and are published with a start from noise."""
NONE = re.compile(r"share:0(\.0*)?|steps:0--1")
"""No guidance on purpose: to see what a method does without, and as it is written once resolved."""


class GuidedParams(OwnGrid):
    block: Block = 0.5
    guided: Guided = "share:0.2"


class AdamParams(GuidedParams):
    inner: Inner = 5
    lr_first: Rate = 0.002
    lr_last: Rate = 0.001


class GuidedMethod(Method):
    """Base: the steps in which the latent is guided and, where a method taps one, a block."""

    Params: ClassVar[type[Params]] = GuidedParams

    @classmethod
    def resolve(cls, params: Any, shape: Shape) -> Any:
        tapped = {"block": shape.block_index(params.block)} if hasattr(params, "block") else {}
        found = params.model_copy(update=tapped | {"guided": shape.steps(params.guided)})
        if not cls.guided_steps(found, shape) and not NONE.fullmatch(params.guided):
            cls._refuse_unguided(params.guided, found, shape)
        return found

    @classmethod
    def _refuse_unguided(cls, asked: str, found: Any, shape: Shape) -> None:
        """Its video would be that of no transfer, under another name."""
        steps, begins = len(shape.sigmas) - 1, cls.begins(found, shape)
        first, last = resolve_steps(found.guided, shape.sigmas)
        if last < first:
            raise SpecError(f"{cls.id}: guided={asked} holds none of the run's {steps} steps.")
        raise SpecError(
            f"{cls.id}: no guided step is left: guided={asked} means steps {first} to {last}, and the video starts at step "
            f"{begins} (level {shape.sigmas[begins]:.4f}). Guide later steps (guided=sigma:0.95-0.9), or start higher "
            "(begin_sigma)."
        )

    @classmethod
    def from_noise(cls, params: Any) -> bool:
        return getattr(params, "begin", "noise") != "reference"

    @classmethod
    def remarks(cls, params: Any, shape: Shape) -> list[str]:
        taken, asked = cls.guided_steps(params, shape), resolve_steps(params.guided, shape.sigmas)
        if len(taken) == asked[1] + 1 - asked[0]:
            return []
        begins = cls.begins(params, shape)
        return [
            f"is guided in {len(taken)} of the {asked[1] + 1 - asked[0]} steps that guided= names, because it starts at step "
            f"{begins} (level {shape.sigmas[begins]:.4f})"
        ]

    @classmethod
    def begins(cls, params: Any, shape: Shape) -> int:
        """Index of the first denoise step."""
        if getattr(params, "begin", "noise") != "reference":
            return 0
        return start_index(params.begin_sigma, shape.sigmas)

    def start(self, ctx: Context) -> tuple[Tensor, int]:
        """``begin=reference``: the reference noised to ``begin_sigma``, or the level below it; else the run's noise."""
        if getattr(self.params, "begin", "noise") != "reference":
            return ctx.noise, 0
        return noised_start(ctx, self.params.begin_sigma)

    @classmethod
    def guided_steps(cls, params: Any, shape: Shape) -> range:
        """The guided steps that are taken."""
        first, last = resolve_steps(params.guided, shape.sigmas)
        return range(max(first, cls.begins(params, shape)), last + 1)

    @classmethod
    def sampling_cost(cls, params: Any, shape: Shape) -> float:
        """Two forwards for every denoise step that is taken."""
        return 2.0 * (len(shape.sigmas) - 1 - cls.begins(params, shape))

    def _attended(
        self, ctx: Context, x: Tensor, level: float, text: str, rope: bool = True, early: bool = True,
        beside: dict[str, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Queries and keys of the tapped block, (F, P, heads, d) each, fp32; ``beside`` gets the velocity of the same pass."""
        names = (f"q@{self.params.block}", f"k@{self.params.block}")
        wanted = names if beside is None else (*names, VELOCITY)
        taps = ctx.backbone.taps(x, level, ctx.texts[text], wanted, rope=rope, early=early)
        if beside is not None:
            beside[VELOCITY] = taps[VELOCITY]
        frames = ctx.backbone.tokens(x)[0]
        q, k = (taps[n][0].float().unflatten(0, (frames, -1)) for n in names)
        return q, k

    def _features(
        self, ctx: Context, x: Tensor, level: float, text: str, beside: dict[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same as (F, P, D): heads averaged, or side by side (their dot product is the sum of the heads' logits).

        For methods with the parameters ``heads`` and ``rope``, and ``exit`` where it can be chosen.
        """
        p = self.params
        q, k = self._attended(ctx, x, level, text, p.rope, getattr(p, "exit", "early") == "early", beside)
        return (q.mean(2), k.mean(2)) if p.heads == "mean_qk" else (q.flatten(2), k.flatten(2))

    def _scale(self, ctx: Context) -> float:
        """The factor on logits of such features: ``temperature`` over heads and root of a head's width."""
        card = ctx.backbone.card
        heads = card.heads if self.params.heads == "mean_logits" else 1
        return float(self.params.temperature / (heads * card.head_dim**0.5))

    def _hidden(self, ctx: Context, x: Tensor, level: float, text: Tensor) -> Tensor:
        """Output of the tapped block, (F, P, D), fp32."""
        name = f"hidden@{self.params.block}"
        hidden = ctx.backbone.taps(x, level, text, (name,), rope=False)[name]
        return hidden[0].float().unflatten(0, (ctx.backbone.tokens(x)[0], -1))

    def window(self, sigmas: Sequence[float]) -> range:
        first, last = resolve_steps(self.params.guided, tuple(sigmas))
        return range(first, last + 1)

    def _noised(self, ctx: Context, level: float) -> Tensor:
        """The reference at a noise level, with the run's own noise."""
        return ctx.backbone.noised(ctx.reference(), level, ctx.noise)

    def wanted(self, ctx: Context, i: int) -> Any:
        """What step ``i`` compares the video with."""
        return ctx.state

    def compare(self, ctx: Context, level: float, wanted: Any, x: Tensor) -> Tensor:
        """The loss of a latent at a noise level."""
        raise NotImplementedError

    def loss(self, ctx: Context, i: int, x: Tensor, level: float | None = None) -> Tensor | None:
        return self.compare(ctx, ctx.sigmas[i] if level is None else level, self.wanted(ctx, i), x)


class AdamMethod(GuidedMethod):
    """Base: Adam on the latent, anew in every guided step, at a rate that falls from one guided step to the next."""

    Params: ClassVar[type[Params]] = AdamParams
    protocols = Protocols(work="inner")
    reaches_last: ClassVar[bool] = False
    """Whether the last guided step has ``lr_last``, or the one that would follow it."""

    @classmethod
    def reach(cls, params: Any, shape: Shape) -> float | None:
        steps = cls.guided_steps(params, shape)
        return float(sum(params.inner * cls.rate(params, n, len(steps)) for n in range(len(steps))))

    @classmethod
    def rate(cls, params: Any, n: int, steps: int) -> float:
        """Learning rate of the n-th of the guided steps."""
        span = max(1, steps - 1) if cls.reaches_last else steps
        return float(params.lr_first + (params.lr_last - params.lr_first) * n / span)

    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        window = self.window(ctx.sigmas)
        if i not in window:
            return x
        loss = partial(self.compare, ctx, ctx.sigmas[i], self.wanted(ctx, i))
        return self.update(i - window.start, len(window))(x, loss, StepLog(ctx.log, i))

    def update(self, n: int, steps: int) -> LatentUpdate:
        rate = self.rate(self.params, n, steps)
        return LatentUpdate(self.params.inner, 1, rate, rate, 1, weight_decay=0.0, decoupled=False)


KEY, VALUE = "blocks.0.attn1.norm_k", "blocks.0.attn1.to_v"


class InjectingMethod(AdamMethod):
    """Base of methods that DiTFlow's authors run with the reference's keys and values in block 0 (parameter ``inject``).

    During a guided step block 0 attends to the reference, noised to the step's level with the run's own noise, instead of to
    itself: in both sampling passes and in the guidance passes alike. It is a switch, because it can carry more than motion.
    """

    @classmethod
    def injection_cost(cls, params: Any, shape: Shape) -> float:
        """Of a step: the part of block 0 that runs before its keys exist."""
        return len(cls.guided_steps(params, shape)) * shape.share(TAP_SHARE) if params.inject else 0.0

    def scope(self, ctx: Context, i: int) -> AbstractContextManager[Any]:
        """Keys are taken before rotary embedding, which depends on the position alone and is applied to them afterwards."""
        if not (self.params.inject and i in self.window(ctx.sigmas)):
            return nullcontext()
        level = ctx.sigmas[i]
        with ctx.stages("guidance"), torch.no_grad():
            taps = ctx.backbone.taps(self._noised(ctx, level), level, ctx.texts["target"], ("v@0", "k@0"), rope=False)
        key, value = taps["k@0"].flatten(2), taps["v@0"]
        return ctx.backbone.hooked((KEY, lambda *_: key), (VALUE, lambda *_: value))

"""Keys and values of the reference in the first block, as DiTFlow's authors take them in guided steps.

During a guided step block 0 attends to the reference, noised to the step's level with the run's own noise, instead of to
itself: in both sampling passes and in the guidance passes alike. It is a switch, because it can carry more than motion.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fastvmt.plugins.method import TAP_SHARE, Context, Shape

KEY, VALUE = "blocks.0.attn1.norm_k", "blocks.0.attn1.to_v"


@contextmanager
def reference_attended(ctx: Context, i: int) -> Iterator[None]:
    """While it holds, block 0 takes keys and values from the reference noised to the level of step ``i``.

    Keys are taken before rotary embedding, which depends on the position alone and is applied to them afterwards.
    """
    level = ctx.sigmas[i]
    with ctx.stages("guidance"), torch.no_grad():
        noised = ctx.backbone.noised(ctx.reference(), level, ctx.noise)
        taps = ctx.backbone.taps(noised, level, ctx.texts["target"], ("v@0", "k@0"), rope=False)
    key, value = taps["k@0"].flatten(2), taps["v@0"]
    with ctx.backbone.hooked((KEY, lambda *_: key), (VALUE, lambda *_: value)):
        yield


def step_cost(shape: Shape) -> float:
    """Forward-equivalents of one such step: the part of block 0 that runs before its keys exist."""
    return TAP_SHARE / shape.blocks

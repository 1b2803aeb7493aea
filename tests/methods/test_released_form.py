"""What the preset ``released`` takes from the authors' code beside the descriptor: head reduction, its noise, rounded times."""

from __future__ import annotations

import pytest
import torch

from fastvmt.denoise import denoise
from fastvmt.errors import SpecError
from fastvmt.methods._math import released
from fastvmt.plugins import labels
from fastvmt.plugins.method import Context, Method

RELEASED = "fastvmt:released:tile=2x2:inner=1:guided=steps:0-0"


def made(ctx: Context, label: str) -> Method:
    shape = ctx.backbone.card.shape(32, 32, 17, ctx.sigmas)
    found = labels.build(labels.resolve(label, shape, {}))
    ctx.sigmas = found.levels(found.params, ctx.sigmas)
    return found


def test_a_true_mean_over_heads_isolates_the_token_groups(context: Context) -> None:
    q, k = (torch.randn(5, 16, 4, 12, generator=torch.Generator().manual_seed(n)) for n in (0, 1))
    for label, reduce in (
        (RELEASED, lambda t: released.group_tokens(t, 4)),
        (f"{RELEASED}:heads=mean_qk", lambda t: t.mean(2)),
    ):
        method = made(context, label)
        method._attended = lambda *a: (q, k)
        keys, _ = method._released(context, context.noise, 0.9, "target")
        assert torch.equal(keys, reduce(k))


@pytest.mark.parametrize("label", ["fastvmt:heads=groups", "fastvmt:released:heads=mean_logits:tile=2x2"])
def test_a_head_reduction_of_the_other_preset_is_refused(label: str, context: Context) -> None:
    with pytest.raises(SpecError, match="heads"):
        made(context, label)


def test_only_token_groups_need_tokens_that_heads_divide(context: Context) -> None:
    shape = context.backbone.card.shape(32, 32, 17, context.sigmas)
    shape = type(shape)(shape.blocks, 7, shape.grid, shape.sigmas)
    assert labels.resolve("fastvmt:released:tile=2x2:heads=mean_qk", shape, {})
    with pytest.raises(SpecError, match="divisible by heads"):
        labels.resolve("fastvmt:released:tile=2x2", shape, {})


def test_the_references_noise_is_neither_the_runs_nor_that_of_another_seed(context: Context) -> None:
    seen: list[torch.Tensor] = []
    noised = context.backbone.noised
    context.backbone.noised = lambda x0, sigma, eps: (seen.append(eps), noised(x0, sigma, eps))[1]
    try:
        for seed in (0, 1, 0):
            context.noise = torch.randn(context.noise.shape, generator=torch.Generator().manual_seed(seed))
            for i in (0, 1):
                made(context, RELEASED).wanted(context, i)
            assert torch.equal(*seen[-2:]) and not torch.equal(seen[-1], context.noise)
    finally:
        del context.backbone.noised
    assert torch.equal(seen[0], seen[4]) and not torch.equal(seen[0], seen[2])


def test_the_model_is_told_rounded_times_in_both_sampling_passes(context: Context) -> None:
    method, told = made(context, RELEASED), set()
    embedder = context.backbone.transformer.condition_embedder.timesteps_proj
    handle = embedder.register_forward_hook(lambda module, inputs, out: told.add(float(inputs[0][0])))
    try:
        denoise(method, context, 3.0)
    finally:
        handle.remove()
    assert told == {released.bf16_time(level) for level in context.sigmas[:-1]}
    assert told != {1000 * level for level in context.sigmas[:-1]}


def test_videos_of_the_form_before_are_not_taken_for_this_one(context: Context) -> None:
    """A run of version 1 says so; the paper's form is the same as ever and keeps its version."""
    shape = context.backbone.card.shape(32, 32, 17, context.sigmas)
    now, paper = (labels.resolve(label, shape, {}) for label in (RELEASED, "fastvmt"))
    assert (now.version, paper.version) == (2, 1)
    with pytest.raises(SpecError, match="version 1 in this run and 2 here"):
        labels.refuse_other_version("runs/x", [now.model_copy(update={"version": 1})])
    labels.refuse_other_version("runs/x", [now, paper])

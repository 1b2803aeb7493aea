"""FastVMT's guidance as its authors' program runs it, written out plainly: what ours is timed against.

The transformer, the flow of sampling and the two passes a step are the same as in the other rows; this is the loop around:

- the forward pass goes six blocks beyond the tapped one (20 of 30 at their size), with a gradient and without
- each block is checkpointed, and its self-attention once more inside: it runs three times in a fresh inner step
- one pair of frames after the other; keys of a window are gathered for each tile, with a gradient through the centres too
- three more inner steps of ten compute a gradient, the others that of <latent, gradient> by autograd
- latent and moments in bfloat16, products of queries and keys in the model's precision, the optimiser anew each guided step
- twice ``gc.collect`` and ``empty_cache`` twelve times a guided step and twice a video

Numbers are those of ``fastvmt:released``, which the benchmark checks first. What is not written out: their rotary embedding
in complex128, the moves of models between CPU and GPU, and text and VAE, which both sides have alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from on_gpu.device import Device
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from fastvmt.backbones.wan import Backbone
from fastvmt.methods._math import released
from fastvmt.methods._math.guided import other_noise
from fastvmt.methods.fastvmt import FastVMT
from fastvmt.plugins.method import Context, Method, Shape

BEYOND = 5
"""Blocks behind the tapped one that their forward pass runs: 15 to 19 of 0 to 29."""


@contextmanager
def checkpointed_twice(backbone: Backbone) -> Iterator[None]:
    """Each block, and its self-attention inside; must hold until the backward pass is done."""
    attention = [block.attn1 for block in backbone.transformer.blocks]
    for module in attention:
        module.forward = partial(checkpoint, module.forward, use_reentrant=False)
    backbone.transformer.enable_gradient_checkpointing()
    try:
        yield
    finally:
        backbone.transformer.disable_gradient_checkpointing()
        for module in attention:
            del module.forward


class ReleasedLoop(Method):
    """Built by hand from the resolved parameters of ``fastvmt:released``; it is not registered."""

    id = "released-loop"

    def __init__(self, params: Any, shape: Shape, device: Device) -> None:
        super().__init__(params)
        self.device, self.steps = device, FastVMT.guided_steps(params, shape)
        self.last = min(params.block + BEYOND, shape.blocks - 1)

    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        if i not in self.steps:
            return x
        p, stale = self.params, None
        latent = x.to(torch.bfloat16).clone().requires_grad_(True)
        optimiser = torch.optim.AdamW([latent], lr=p.lr_first, weight_decay=p.weight_decay)
        self._clean()
        loss = self.objective(ctx, i)
        with torch.enable_grad(), checkpointed_twice(ctx.backbone):
            for j in range(p.inner):
                optimiser.param_groups[0]["lr"] = p.lr_first + (p.lr_last - p.lr_first) * j / p.inner
                value = loss(latent) if stale is None or j % p.interval == 0 else (latent * stale).sum()
                optimiser.zero_grad()
                value.backward()
                stale = latent.grad.detach().clone()
                optimiser.step()
                self._clean()
        self._clean()
        return latent.detach().float()

    def settle(self, ctx: Context, i: int, x: Tensor, x_next: Tensor) -> Tensor:
        if i in (0, len(ctx.sigmas) - 2):
            self._clean()
        return x_next

    def _clean(self) -> None:
        self.device.collect()
        self.device.collect()

    def objective(self, ctx: Context, i: int) -> Callable[[Tensor], Tensor]:
        """The loss of a latent at step ``i``; the reference is read here, once a guided step."""
        with torch.no_grad():
            noise = other_noise(ctx, 0)  # which follows the run, as theirs does
            reference = ctx.backbone.noised(ctx.reference(), released.reference_sigma(i, ctx.sigmas), noise)
            q, k = self._features(ctx, reference, i, "null")
        frames, (height, width) = q.shape[0], ctx.backbone.tokens(ctx.noise)[1:]
        pairs = [(a, b) for a in range(frames) for b in range(a, min(frames, a + self.params.span))]
        with torch.no_grad():
            wanted = {(a, b): self._moved(q[a], k[b], a == b, (height, width))[0] for a, b in pairs}

        def loss(x: Tensor) -> Tensor:
            q, k = self._features(ctx, x, i, "target")
            return self._loss(q, k, wanted, (height, width))

        return loss

    def _features(self, ctx: Context, x: Tensor, i: int, text: str) -> tuple[Tensor, Tensor]:
        backbone, block = ctx.backbone, self.params.block
        names = (f"q@{block}", f"k@{block}", f"hidden@{self.last}")
        taps = backbone.taps(x, released.bf16_time(ctx.sigmas[i]) / 1000, ctx.texts[text], names)
        frames = backbone.tokens(x)[0]
        q, k = (released.group_tokens(taps[n][0].unflatten(0, (frames, -1)), backbone.card.heads) for n in names[:2])
        return q, k

    def _loss(self, q: Tensor, k: Tensor, wanted: dict[tuple[int, int], Tensor], grid: tuple[int, int]) -> Tensor:
        amf, slots = torch.zeros((), device=q.device), {}
        for (a, b), target in wanted.items():
            moved, slots[a, b] = self._moved(q[a], k[b], a == b, grid)
            amf = amf + (1 - 0.2 * (b - a) / (self.params.span - 1)) * (moved - target).norm() ** 2
        mean, track = k.mean(-1).float(), []
        for a in range(len(q)):
            targets = range(a + 1, min(len(q), a + self.params.span))
            if len(targets) > 1:
                steps = [
                    (mean[c][slots[a, c]] - mean[b][slots[a, b]]).norm(dim=-1).mean() for b, c in itertools.pairwise(targets)
                ]
                anchor = torch.stack(steps).mean()
                if not bool(torch.isnan(anchor)):  # their look at each anchor, for which the host waits
                    track.append(anchor)
        following = torch.stack(track).mean() if track else 0.0
        return self.params.amf_weight * amf / len(wanted) + self.params.window_weight * following

    def _moved(self, q: Tensor, k: Tensor, same: bool, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Displacements of one pair of frames, in the order of tokens (same) or tiles, and the windows' keys."""
        height, width = grid
        rows, columns = torch.arange(height, device=q.device), torch.arange(width, device=q.device)
        place = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).view(-1, 2).float()
        scale = q.shape[1] ** -0.5
        if same:
            return torch.softmax((q @ k.T).float() * scale, -1) @ place - place, place.new_zeros(0).long()
        (th, tw), side = self.params.tile, self.params.window
        tiles = torch.arange(height * width, device=q.device).view(height // th, th, width // tw, tw)
        tiles = tiles.permute(0, 2, 1, 3).reshape(-1, th * tw)
        middle = (th // 2) * tw + tw // 2
        centre = torch.softmax((q[tiles[:, middle]] @ k.T).float() * scale, -1) @ place
        offset = torch.arange(side, device=q.device) - side // 2
        edge = side // 2
        at_rows = (centre[:, :1] + offset).clamp(edge, height - edge - 1).long()
        at_columns = (centre[:, 1:] + offset).clamp(edge, width - edge - 1).long()
        slots = (at_rows[:, :, None] * width + at_columns[:, None, :]).flatten(1)
        keys = k.expand(side * side, -1, -1).gather(1, slots.T[..., None].expand(-1, -1, k.shape[1])).transpose(0, 1)
        attention = torch.softmax((q[tiles] @ keys.transpose(1, 2)).float() * scale, -1)
        slot = torch.arange(side * side, device=q.device)
        value = torch.stack([slot // side, slot % side], -1).float() * (slot % 2 == 0)[:, None]
        own = torch.stack(torch.meshgrid(rows[:th], columns[:tw], indexing="ij"), -1).view(-1, 2)
        return attention @ value - own, slots

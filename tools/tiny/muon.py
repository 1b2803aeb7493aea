"""Muon for CPUs: momentum, orthogonalised by Newton-Schulz steps in float32, shared out over the processes of a run.

``torch.optim.Muon`` computes the steps in bfloat16, one matrix at a time; without bfloat16 arithmetic that took 0.64 s of
a 1.65 s training step of ``tiny``. Here matrices of one shape are stacked, and each process does its share of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan et al. 2024: steep at zero, singular values end near 1


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Stack (N, rows, columns) to matrices with the same singular vectors and singular values near 1."""
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum 0.95, decoupled weight decay, update scaled to the size AdamW's has (factor 0.2 sqrt(longer side)).

    A convolution's kernel (out, in, ...) is the matrix (out, everything else). With ``world`` > 1, every process must call
    ``step`` with equal gradients.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float, rank: int = 0, world: int = 1) -> None:
        super().__init__(params, {"lr": lr, "momentum": 0.95, "weight_decay": weight_decay})
        self.rank, self.world = rank, world

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One update of every matrix that has a gradient."""
        for group in self.param_groups:
            held = [p for p in group["params"] if p.grad is not None]
            wanted = [self._momentum(p, group["momentum"]) for p in held]
            updates = self._updates(wanted)
            for p, update in zip(held, updates, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.view(p.shape), alpha=-group["lr"] * 0.2 * max(update.shape) ** 0.5)

    def _momentum(self, p: Tensor, momentum: float) -> Tensor:
        assert p.grad is not None
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p)
        state["momentum_buffer"].lerp_(p.grad, 1 - momentum)
        return p.grad.lerp(state["momentum_buffer"], momentum).flatten(1)

    def _updates(self, wanted: list[Tensor]) -> list[Tensor]:
        updates = [torch.zeros_like(w) for w in wanted]
        for shape in sorted({tuple(w.shape) for w in wanted}):
            mine = [i for i, w in enumerate(wanted) if w.shape == shape][self.rank :: self.world]
            if mine:
                for i, done in zip(mine, orthogonalise(torch.stack([wanted[i] for i in mine])), strict=True):
                    updates[i].copy_(done)
        if self.world > 1:
            flat = torch.cat([u.view(-1) for u in updates])
            dist.all_reduce(flat)
            updates = [part.view_as(u) for part, u in zip(flat.split([u.numel() for u in updates]), updates, strict=True)]
        return updates

"""Optimising a latent for a few inner steps, with gradients computed afresh or reused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LatentUpdate:
    """Adam or AdamW on the latent alone.

    Attributes:
        inner: steps J.
        interval: a fresh gradient every so many steps, the last one again in between (FastVMT section 3.4).
        lr_first, lr_last: learning rates, linear; step j of J uses first + (last - first) * j / span.
        span: J, or J - 1 to reach ``lr_last`` in the last step.
        weight_decay: AdamW's; 0 with plain Adam.
        decoupled: AdamW when true, Adam otherwise.
        dtype: of latent and moments.
    """

    inner: int
    interval: int
    lr_first: float
    lr_last: float
    span: int
    weight_decay: float = 0.01
    decoupled: bool = True
    dtype: torch.dtype = torch.float32

    def __call__(self, x: Tensor, loss: Callable[[Tensor], Tensor], curve: list[float] | None = None) -> Tensor:
        """The latent after J steps, detached, fp32. ``loss`` maps a latent to a scalar; ``curve`` collects its values.

        On reused steps the model is not run: the optimiser sees the last gradient again (equation 9's surrogate
        <x, g> has exactly that gradient).
        """
        latent = x.detach().to(self.dtype).clone().requires_grad_(True)
        kind = torch.optim.AdamW if self.decoupled else torch.optim.Adam
        optimiser = kind([latent], lr=self.lr_first, weight_decay=self.weight_decay)
        gradient: Tensor | None = None
        for j in range(self.inner):
            optimiser.param_groups[0]["lr"] = self.lr_first + (self.lr_last - self.lr_first) * j / max(1, self.span)
            if gradient is None or j % self.interval == 0:
                with torch.enable_grad():
                    value = loss(latent)
                    (gradient,) = torch.autograd.grad(value, latent)
                if curve is not None:
                    curve.append(float(value.detach()))
            latent.grad = gradient
            optimiser.step()
        return latent.detach().float()

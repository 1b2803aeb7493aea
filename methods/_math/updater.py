"""Optimising a latent for a few inner steps, with gradients computed afresh or reused, and what a step leaves in the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SKETCH = 64
"""Numbers in a sketch: a squared distance between two sketches has a relative error of sqrt(2 / SKETCH), about 18 %."""


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
        dtype: of latent and moments; fp32 when None.
    """

    inner: int
    interval: int
    lr_first: float
    lr_last: float
    span: int
    weight_decay: float = 0.01
    decoupled: bool = True
    dtype: torch.dtype | None = None

    def __call__(self, x: Tensor, loss: Callable[[Tensor], Tensor], log: StepLog | None = None) -> Tensor:
        """The latent after J steps, detached, fp32. ``loss`` maps a latent to a scalar; ``log`` only reads.

        On reused steps the model is not run: the optimiser sees the last gradient again (equation 9's surrogate
        <x, g> has exactly that gradient).
        """
        start = x.detach().to(self.dtype or torch.float32)
        latent = start.clone().requires_grad_(True)
        kind = torch.optim.AdamW if self.decoupled else torch.optim.Adam
        optimiser = kind([latent], lr=self.lr_first, weight_decay=self.weight_decay)
        gradient: Tensor | None = None
        for j in range(self.inner):
            optimiser.param_groups[0]["lr"] = self.lr_first + (self.lr_last - self.lr_first) * j / max(1, self.span)
            if gradient is None or j % self.interval == 0:
                with torch.enable_grad():
                    value = loss(latent)
                    (gradient,) = torch.autograd.grad(value, latent)
                if log is not None:
                    log.fresh(j, value.detach(), gradient)
            latent.grad = gradient
            optimiser.step()
            if log is not None:
                log.moved(start, latent.detach())
        return latent.detach().float()


class StepLog:
    """Writes one guided step into an artefact's log; nothing here changes a video.

    Under the step's number: ``loss`` (value at every fresh gradient) and ``gradients`` with ``at`` (inner steps, from 0),
    ``norm`` and ``cosine`` (the whole matrix: with the norms it is the Gram matrix). ``path``, in the first guided step
    only: ``step`` and ``sketch``, one ``sketch_of(x_j - x_0)`` per inner step j = 1 .. J.
    """

    def __init__(self, log: dict[str, Any], step: int) -> None:
        self._loss: list[float] = log.setdefault("loss", {}).setdefault(str(step), [])
        empty: dict[str, Any] = {"at": [], "norm": [], "cosine": []}
        self._gradients: dict[str, Any] = log.setdefault("gradients", {}).setdefault(str(step), empty)
        self._path: list[list[float]] | None = None
        if "path" not in log:
            self._path = []
            log["path"] = {"step": step, "sketch": self._path}
        self._units: list[Tensor] = []  # dropped with this object, when the guided step is over

    def fresh(self, j: int, value: Tensor, gradient: Tensor) -> None:
        """Note the loss and the gradient of inner step ``j``."""
        self._loss.append(float(value))
        # On the CPU, so that the device's peak memory stays the method's own.
        flat = gradient.detach().flatten().float().cpu()
        norm = float(torch.linalg.vector_norm(flat, dtype=torch.float64))
        unit = flat / norm if norm else flat
        row = [round(float(unit @ other), 4) for other in self._units]
        known = self._gradients["cosine"]
        for other, cosine in zip(known, row, strict=True):
            other.append(cosine)
        known.append([*row, 1.0 if norm else 0.0])
        self._gradients["at"].append(j)
        self._gradients["norm"].append(_short(norm))
        self._units.append(unit)

    def moved(self, start: Tensor, latent: Tensor) -> None:
        """Note where the latent is after an inner step."""
        if self._path is not None:
            self._path.append(sketch_of(latent.float() - start.float()))


def sketch_of(x: Tensor) -> list[float]:
    """``SKETCH`` numbers whose distances stand for those of whole latents: a count sketch.

    Every entry is added, with its own sign, to its own bucket; both were drawn once from a fixed seed and depend on the
    number of entries alone, so sketches of different runs can be compared. Linear: sketches may be subtracted.
    """
    bucket, sign = _draw(x.numel())
    values = x.detach().flatten().double().cpu().numpy()
    total = np.bincount(bucket, weights=values * sign, minlength=SKETCH)  # one thread, one order: the same every time
    return [_short(v) for v in total]


@lru_cache(maxsize=2)
def _draw(entries: int) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    rng = np.random.default_rng(602)
    return rng.integers(0, SKETCH, entries), rng.integers(0, 2, entries, dtype=np.int8) * np.int8(2) - np.int8(1)


def _short(value: float) -> float:
    """Five significant digits."""
    return float(f"{value:.5g}")

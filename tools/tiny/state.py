"""Training state: schedule by training time, moving average, checkpoints, log."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Run:
    """A training folder. ``rank`` and ``world`` are set when several processes share one run."""

    folder: Path
    rank: int = 0
    world: int = 1

    def log(self, **row: object) -> None:
        if self.rank == 0:
            with open(self.folder / "log.jsonl", "a") as f:
                f.write(json.dumps(row) + "\n")


class Progress:
    """Learning-rate schedule over training time, gradient step, moving average and checkpoints of one stage.

    The schedule is warm-up, constant to 55 % of the time, then linear to 3 %. Time spent is kept in the checkpoint, so
    a resumed run goes on, and giving a larger ``hours`` prolongs it.
    """

    def __init__(
        self,
        run: Run,
        stage: str,
        module: nn.Module,
        optimiser: torch.optim.Optimizer | list[torch.optim.Optimizer],
        hours: float,
        base_lr: float,
        average: float,
    ) -> None:
        self.run, self.stage, self.module, self.hours, self.base_lr, self.decay = run, stage, module, hours, base_lr, average
        self.optimisers = optimiser if isinstance(optimiser, list) else [optimiser]
        self.scales = [[g["lr"] for g in o.param_groups] for o in self.optimisers]
        self.average = {k: v.detach().clone() for k, v in module.state_dict().items()}
        self.step, self.seconds, self._saved, self._shown = 0, 0.0, time.time(), time.time()
        self._losses: list[float] = []
        self.warm = False

    @property
    def share(self) -> float:
        """Part of the training time used, 0 to 1."""
        return self.seconds / (self.hours * 3600)

    def rate(self) -> float:
        warm = min(1.0, (self.step + 1) / 100)
        tail = 1.0 if self.share < 0.55 else max(0.03, 1 - 0.97 * (self.share - 0.55) / 0.45)
        return self.base_lr * warm * tail

    def update(self, loss: Tensor, began: float, position: int, **extra: object) -> None:
        """One optimiser step on ``loss``, whose batch was begun at ``began``; logs every 20 s and saves every 3 minutes."""
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.run.world > 1:
            _average_gradients(self.module, self.run.world)
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        for optimiser, scales in zip(self.optimisers, self.scales, strict=True):
            for group, scale in zip(optimiser.param_groups, scales, strict=True):
                group["lr"] = self.rate() * scale
            optimiser.step()
        self.step += 1
        keep = min(self.decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for key, value in self.module.state_dict().items():
                self.average[key].lerp_(value, 1 - keep)
        self._losses.append(float(loss.detach()))
        self.seconds += time.time() - began
        if time.time() - self._shown > 20:
            mean = sum(self._losses) / len(self._losses)
            self.run.log(
                stage=self.stage,
                step=self.step,
                seconds=round(self.seconds),
                loss=round(mean, 5),
                lr=self.rate(),
                seen=position,
                **extra,
            )
            self._shown, self._losses = time.time(), []
        if time.time() - self._saved > 180:
            self.save(position)
            self._saved = time.time()
        if self.run.world > 1:  # every process must leave the loop at the same step
            clock = torch.tensor(self.seconds, dtype=torch.float64)
            dist.broadcast(clock, 0)
            self.seconds = float(clock)

    def _path(self) -> Path:
        return self.run.folder / f"{self.stage}.pt"

    def save(self, position: int) -> None:
        if self.run.rank:
            return
        state = {
            "module": self.module.state_dict(),
            "average": self.average,
            "optimisers": [o.state_dict() for o in self.optimisers],
            "step": self.step,
            "seconds": self.seconds,
            "position": position,
        }
        partial = self._path().with_suffix(".part")
        torch.save(state, partial)
        os.replace(partial, self._path())

    def restore(self) -> int:
        """Load the stage's checkpoint if there is one; returns the number of the next clip."""
        warm = self.run.folder / f"{self.stage}.warm.pt"
        self.warm = warm.exists()
        if not self._path().exists():
            if self.warm:
                self.module.load_state_dict(torch.load(warm, weights_only=True)["warm"])
                self.average = {k: v.detach().clone() for k, v in self.module.state_dict().items()}
            return 0
        state = torch.load(self._path(), weights_only=True)
        self.module.load_state_dict(state["module"])
        self.average = state["average"]
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step, self.seconds = state["step"], state["seconds"]
        return int(state["position"])

    def finish(self, position: int) -> None:
        self.save(position)
        self.module.load_state_dict(self.average)


def _average_gradients(model: nn.Module, world: int) -> None:
    parameters = [p for p in model.parameters() if p.grad is not None]
    flat = torch.cat([p.grad.view(-1) for p in parameters])  # type: ignore[union-attr]
    dist.all_reduce(flat)
    flat /= world
    offset = 0
    for p in parameters:
        p.grad.copy_(flat[offset : offset + p.numel()].view_as(p))  # type: ignore[union-attr]
        offset += p.numel()
    if not math.isfinite(float(flat.sum())):
        raise FloatingPointError("a gradient is not finite; lower the learning rate or resume from the last checkpoint")

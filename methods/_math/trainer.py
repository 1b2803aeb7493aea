"""The one trainer of all methods that fit weights to a reference: draws, objectives, optimisers, checkpoints.

Each step draws u from U(0, 1), the level s = shift u / (1 + (shift - 1) u), noise, and what an objective draws besides, all
from the step's own seed: a step does not depend on how its trainer came to it, so an interrupted training ends with the bits
of an undisturbed one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from fastvmt.core.content_address import noise_seed
from fastvmt.errors import NonFinite
from fastvmt.plugins.workspace import Workspace

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINTS = 10
"""Checkpoints of one training, evenly spread."""


@dataclass(frozen=True)
class Draw:
    """What chance decides in one step.

    Attributes:
        step: from 0.
        sigma: noise level in (0, 1).
        noise: of the latent's shape.
        generator: on the CPU, for whatever else an objective draws.
    """

    step: int
    sigma: float
    noise: Tensor
    generator: torch.Generator

    def noised(self, clean: Tensor) -> Tensor:
        return (1 - self.sigma) * clean + self.sigma * self.noise

    def below(self, end: int) -> int:
        """A whole number from 0 to end - 1."""
        return int(torch.randint(end, (1,), generator=self.generator))

    def noise_like(self, x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=self.generator).to(x.device)


Objective = Callable[[Draw], Iterator[tuple[str, "Tensor"]]]
"""Yields (group, loss); the group is stepped before the objective goes on."""


class Trainer:
    """Trains groups of weights with AdamW at a constant rate.

    Args:
        groups: weights by name, by group; the loss that an objective yields under a group's name moves that group alone.
        steps: how many.
        shift: of the noise levels.
        seed: of every draw.
        clip: bounds the norm of a group's gradient.
        adamw: its ``lr``, ``weight_decay`` and ``betas``.
    """

    def __init__(
        self, groups: Mapping[str, Mapping[str, Tensor]], steps: int, shift: float, seed: int, clip: float | None = None,
        **adamw: Any,
    ) -> None:  # fmt: skip
        self.groups, self.steps, self.shift, self.seed, self.clip = groups, steps, shift, seed, clip
        self.losses: dict[str, list[float]] = {}
        for _, _, weight in self._weights():
            weight.requires_grad_(True)
        self._optimisers = {name: torch.optim.AdamW(list(group.values()), **adamw) for name, group in groups.items()}

    def run(self, clean: Tensor, workspace: Workspace, objective: Objective) -> None:
        """Train the groups' weights in place, from the workspace's checkpoint where there is one.

        Args:
            clean: whose shape the noise has.

        Raises:
            NonFinite: for a loss that is NaN or infinite, naming group and step.
        """
        every = max(1, self.steps // CHECKPOINTS)
        first = self._resume(workspace)
        with torch.random.fork_rng(), torch.enable_grad():
            for step in range(first, self.steps):
                workspace.tick(step, self.steps)
                for name, loss in objective(self._draw(step, clean)):
                    self._move(name, loss, step)
                if workspace.checkpoint and (step + 1) % every == 0 and step + 1 < self.steps:
                    workspace.checkpoint.save(self._state(), {"step": step + 1, "losses": self.losses})
        workspace.log |= {"train_steps": self.steps, "train_loss": self.losses}

    def _draw(self, step: int, clean: Tensor) -> Draw:
        generator = torch.Generator().manual_seed(noise_seed(self.seed, f"training step {step}"))
        torch.manual_seed(noise_seed(self.seed, f"dropout of training step {step}"))
        u = float(torch.rand((), generator=generator, dtype=torch.float64))
        sigma = self.shift * u / (1 + (self.shift - 1) * u)
        return Draw(step, sigma, torch.randn(clean.shape, generator=generator).to(clean.device), generator)

    def _move(self, name: str, loss: Tensor, step: int) -> None:
        value = float(loss.detach())
        if not math.isfinite(value):
            raise NonFinite(f"the training loss of '{name}' is {value} at step {step} of {self.steps}; try a smaller lr")
        weights = list(self.groups[name].values())
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)  # of this group alone, whatever else has a part in it
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = torch.zeros_like(weight) if gradient is None else gradient
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(weights, self.clip)
        self._optimisers[name].step()
        self._optimisers[name].zero_grad(set_to_none=True)
        self.losses.setdefault(name, []).append(round(value, 6))

    # --- checkpoints --------------------------------------------------------------------------------------------------

    def _state(self) -> dict[str, Tensor]:
        """Weights as ``weight|group|name`` and the optimisers' moments beside them."""
        state: dict[str, Tensor] = {}
        for group, name, weight in self._weights():
            state[f"weight|{group}|{name}"] = weight
            for kind, value in self._optimisers[group].state[weight].items():
                state[f"{kind}|{group}|{name}"] = value
        return state

    def _resume(self, workspace: Workspace) -> int:
        """The step to go on with."""
        found = workspace.checkpoint.load() if workspace.checkpoint else None
        if found is None:
            return 0
        tensors, facts = found
        kept: dict[str, dict[str, Any]] = {}
        for key, value in tensors.items():
            kind, _, place = key.partition("|")
            kept.setdefault(place, {})[kind] = value
        for group, name, weight in self._weights():
            state = kept[f"{group}|{name}"]
            weight.data.copy_(state.pop("weight"))
            # The count of steps stays on the CPU, where AdamW keeps it.
            moments = {k: v if k == "step" else v.to(weight.device) for k, v in state.items()}
            if moments:
                self._optimisers[group].state[weight] = moments
        self.losses = facts["losses"]
        return int(facts["step"])

    def _weights(self) -> Iterator[tuple[str, str, Tensor]]:
        for group, members in self.groups.items():
            for name, weight in members.items():
                yield group, name, weight


# --- objectives -------------------------------------------------------------------------------------------------------


def velocity_loss(found: Tensor, clean: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error of a velocity (1, C, F, H, W) against noise - clean."""
    return (found - (noise - clean)).square().mean()


def debiased_loss(found: Tensor, clean: Tensor, noise: Tensor, anchor: int, strength: float = 1.0) -> Tensor:
    """The same between frames from which an anchor's part is taken away, phi(e)_i = sqrt(b^2 + 1) e_i - b e_anchor.

    Both are linear in the error, so it is taken of the error. What all frames share, looks, counts less. Source:
    MotionDirector, eq. 6.

    Args:
        anchor: latent frame.
        strength: b.
    """
    error = found - (noise - clean)
    shifted = (strength**2 + 1) ** 0.5 * error - strength * error[:, :, anchor : anchor + 1]
    return shifted.square().mean()


def track_loss(clean: Tensor, places: Tensor, visible: Tensor) -> Tensor:
    """Mean squared change of a latent (1, C, F, H, W) along tracks, from each latent frame to the next.

    Args:
        places: (F, N, 2) whole numbers, column and row in the latent.
        visible: (F, N) bool; a pair counts when its later end is seen.
    """
    if clean.shape[2] < 2 or places.shape[1] == 0:
        return clean.sum() * 0
    frames = torch.arange(clean.shape[2], device=clean.device)[:, None]
    seen = clean[0][:, frames, places[..., 1], places[..., 0]]  # (C, F, N)
    change = (seen[:, 1:] - seen[:, :-1]).square() * visible[1:]
    return change.mean()

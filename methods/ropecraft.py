"""RoPECraft (Gokmen et al., NeurIPS 2025): motion in the rotary embedding, which flow places and a few gradients correct.

As its authors' code has it: the reference's flow between frames, one field a latent frame, at the size of the token grid,
blurred, divided by 8 and summed over time (a step that changes much counts less) shifts the row and column that every token's
rotary factors say it stands at; its place in time stays. In guided steps a correction of these factors, complex numbers that
need no longer be rotations, is fitted by AdamW with the latent held: one correction a guided step, all so far summed and fitted
on. Target of the conditional velocity is (x - reference) / s. Loss: the L1 distance of the *phases* of both velocities' Fourier
transforms over time, rows and columns, and a tenth of the mean squared error. Both sampling passes of the step see the
corrected factors; after the guided steps the model has its own again. The gradient goes through all blocks.

What had to change: the authors' grid of 30 x 52 tokens and 13 latent frames is whatever the run has. Their flow is RAFT-small's
(``raft``, whose weights torchvision fetches); the default needs no network: OpenCV's dense inverse search, which sees nothing
move inside flat colour.
"""

from __future__ import annotations

import itertools
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field

from fastvmt.errors import MissingWeights
from fastvmt.methods._math.guided import Guided, GuidedMethod, Inner, Rate, Weight
from fastvmt.plugins.method import GRADIENT_COST, Context, Method, Params, Protocols, Shape, Study

if TYPE_CHECKING:
    from torch import Tensor

    from fastvmt.media.files import Frames

RAFT_FILE = "raft_small_C_T_V2-01064c6d.pth"


class RoPECraftParams(Params):
    guided: Guided = "share:0.2"
    inner: Inner = 5
    lr: Rate = 0.001
    weight_decay: float = Field(0.01, ge=0, le=1000)
    phase_weight: Weight = 1.0
    mse_weight: Weight = 0.1
    warp: bool = Field(True, description="begin from rotary factors that the reference's flow has shifted, or from the model's")
    flow: Literal["dis", "raft"] = Field("dis", description="OpenCV's dense inverse search, or torchvision's RAFT-small")
    divisor: float = Field(8.0, gt=0, le=1e6, description="px of flow that shift a token by one")
    blur: int = Field(10, ge=0, le=1000, description="radius of the flow's blur, in tokens; 0 leaves it as it is")
    spread: float = Field(11.0, gt=0, le=1e6, description="standard deviation of the blur, in tokens")
    calm: float = Field(1.0, gt=0, le=1e6, description="a step whose flow changes by more than this counts less in the sum")


@dataclass
class Factors:
    """Rotary factors (S, d/2, 2): where the flow puts them, and a correction for each guided step, of which ``used`` count."""

    base: Tensor
    corrections: list[Tensor]
    optimiser: torch.optim.Optimizer
    used: int = 0

    def now(self) -> Tensor:
        return self.base + torch.stack(self.corrections[: self.used]).sum(0) if self.used else self.base


class RoPECraft(GuidedMethod):
    id = "ropecraft"
    summary = "rotary factors shifted by the reference's flow, and fitted to its velocity in guided steps"
    source = "RoPECraft, NeurIPS 2025 (arXiv 2505.13344), the authors' code"
    Params = RoPECraftParams
    variants = {
        "no-warp": {"warp": False}, "no-phase": {"phase_weight": 0.0}, "no-mse": {"mse_weight": 0.0}, "raft": {"flow": "raft"},
    }  # fmt: skip
    protocols = Protocols(work="inner")
    study = Study({
        "warp": ("no-warp",), "phase": ("no-phase",), "mse": ("no-mse",), "inner": ("inner=1", "inner=10"),
        "rate": ("lr=0.003", "lr=0.01"), "blur": ("blur=0",),
    })  # fmt: skip
    whole_gradient: ClassVar[bool] = True

    @classmethod
    def cost(cls, params: RoPECraftParams, shape: Shape) -> float:
        return cls.sampling_cost(params, shape) + len(cls.guided_steps(params, shape)) * params.inner * GRADIENT_COST

    def fit(self, ctx: Context) -> Factors:
        p, grid = self.params, ctx.backbone.tokens(ctx.noise)
        columns, rows = torch.zeros(2, *grid)
        if p.warp and grid[0] > 1:
            steps = flow_of(ctx.frames(), p.flow, ctx.backbone.device)
            columns, rows = shifts(steps, grid, p.divisor, p.blur, p.spread, p.calm)
        ctx.log["largest_shift"] = round(float(torch.maximum(columns.abs(), rows.abs()).max()), 4)
        base = ctx.backbone.rotary(ctx.noise, rows, columns)
        corrections = [torch.zeros_like(base).requires_grad_(True) for _ in self.window(ctx.sigmas)]
        made = torch.optim.AdamW(corrections or [torch.zeros(1)], lr=p.lr, weight_decay=p.weight_decay)
        return Factors(base, corrections, made)

    def scope(self, ctx: Context, i: int) -> AbstractContextManager[Any]:
        factors: Factors = ctx.state
        return ctx.backbone.rotated(factors.now) if i in self.window(ctx.sigmas) else nullcontext()

    def adjust(self, ctx: Context, i: int, x: Tensor) -> Tensor:
        """Fits the step's rotary factors; the latent stays."""
        factors: Factors = ctx.state
        window, p, level = self.window(ctx.sigmas), self.params, ctx.sigmas[i]
        if i not in window:
            return x
        factors.used = i - window.start + 1
        wanted, losses = (x - ctx.reference()) / level, []
        for _ in range(p.inner):
            found = ctx.backbone.trained_velocity(x, level, ctx.texts["target"])
            with torch.enable_grad():
                loss = p.phase_weight * phase_loss(found, wanted) + p.mse_weight * (found - wanted).square().mean()
                loss.backward()
            factors.optimiser.step()
            factors.optimiser.zero_grad()
            losses.append(float(loss.detach()))
        ctx.log.setdefault("loss", {})[str(i)] = losses
        return x

    loss = Method.loss  # none of the latent: its own is of rotary factors, with the latent held


def phase_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """L1 distance of unit phases, real and imaginary parts, of Fourier transforms over the last three axes."""
    one, other = (torch.fft.rfftn(v, dim=(-3, -2, -1), norm="ortho") for v in (found, wanted))
    apart = torch.view_as_real(one / (one.abs() + 1e-8) - other / (other.abs() + 1e-8)).abs()
    return apart[..., 0].mean() + apart[..., 1].mean()


def shifts(flow: Tensor, grid: tuple[int, int, int], divisor: float, blur: int, spread: float, calm: float) -> Tensor:
    """How far each token stands from its place, in tokens: (2, F, h, w), columns and rows.

    Args:
        flow: (T - 1, 2, H, W) px from each frame to the next, columns and rows.
        grid: tokens (F, h, w).
        divisor, blur, spread, calm: see ``RoPECraftParams``.
    """
    frames, height, width = grid
    chosen = flow[torch.linspace(0, len(flow) - 1, frames).long()].float()
    small = torch.nn.functional.interpolate(chosen, size=(height, width), mode="bilinear", align_corners=False)
    if blur:
        places = torch.arange(-blur, blur + 1, device=flow.device)
        line = torch.exp(-(places**2) / (2 * spread**2))
        line = line / line.sum()
        kernel = (line[:, None] * line)[None, None]
        small = torch.nn.functional.conv2d(small.flatten(0, 1)[:, None], kernel, padding=blur).view_as(small)
    steps = small / divisor
    change = torch.zeros(frames, device=flow.device)
    change[:-1] = steps.diff(dim=0).flatten(1).norm(dim=1)
    share = (calm / (change + 1e-6)).clamp(max=1.0)
    return (share[:, None, None, None] * steps).cumsum(0).transpose(0, 1)


def flow_of(frames: Frames, kind: str, device: torch.device) -> Tensor:
    """(T - 1, 2, H, W) flow in px, columns and rows.

    Raises:
        MissingWeights: for ``raft``, when torchvision has not fetched its weights.
    """
    if kind == "dis":
        from fastvmt.media.flow import consecutive_flow

        return torch.from_numpy(consecutive_flow(frames)).to(device)
    from torchvision.models.optical_flow import raft_small

    file = Path(torch.hub.get_dir()) / "checkpoints" / RAFT_FILE
    if not file.is_file():
        raise MissingWeights(
            f"flow=raft: RAFT-small's weights (4 MB) are not in {file.parent}: fetch them with "
            f"`curl -L --create-dirs -o {file} https://download.pytorch.org/models/{RAFT_FILE}`, or leave flow=raft out."
        )
    model = raft_small().to(device).eval()
    model.load_state_dict(torch.load(file, map_location=device, weights_only=True))
    clip = torch.tensor(frames).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        return torch.cat([model(a[None], b[None])[-1] for a, b in itertools.pairwise(clip)])

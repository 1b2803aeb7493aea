"""DeT (Shi et al., ICCV 2025): convolutions along time beside attention, and a loss along tracks.

As its authors define it: in every block a branch takes the normed hidden states at each place as a line in time, through a
kernel of 3 from D to 128 channels (drawn from N(0, 1)), GELU, and a kernel of 3 back (zero), and is added to the attention's
output. Training sees the clip with its own caption: the velocity's mean squared error, and at low noise (s up to 0.555, their
t up to 400) 0.1 times the squared change of the predicted clean latent along point tracks, where the later point is visible.
AdamW at 1e-5, betas 0.9 and 0.95, weight decay 1e-4, gradients clipped to 1, 500 steps. All blocks are trained; in sampling
the first 36 % act. Sampling starts from noise.

What had to change for Wan: AdamW keeps its moments in fp32, not in 8 bits. A latent frame packs four frames of the video, so a
track is read at the middle of them, not at evenly spread times. The mean of the track loss is over channels too. The authors
sample 100 points inside the subject's mask; a drawn suite knows its subjects and gives exact tracks of points on them. Where a
suite has none, a tracker's points over the whole frame are taken (``tracker``), and the log says so. Their released script
leaves the track loss off: ``no-tracks``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field

from fastvmt.methods._math.adapters import convolutions, new_convolutions
from fastvmt.methods._math.inversion import source_text
from fastvmt.methods._math.trained import TrainedMethod, TrainedParams
from fastvmt.methods._math.trainer import Draw, track_loss, velocity_loss
from fastvmt.plugins import registry
from fastvmt.plugins.method import Context, Shape, Study
from fastvmt.plugins.tracker import Tracks, tracks_of, tracks_origin

if TYPE_CHECKING:
    from torch import Tensor

    from fastvmt.model import Case
    from fastvmt.plugins.workspace import Workspace


class DeTParams(TrainedParams):
    steps: int = Field(500, ge=1, le=1_000_000, description="training steps")
    lr: float = Field(1e-5, gt=0, le=1000, description="AdamW's rate, constant; small because the first kernel is large")
    weight_decay: float = Field(1e-4, ge=0, le=1000)
    middle: int = Field(128, ge=1, le=16_384, description="channels between the two kernels")
    kernel: int = Field(3, ge=1, le=1000, description="latent frames that a kernel spans")
    acting: float = Field(0.36, gt=0, le=1, description="share of the blocks, from the first, whose branch acts in sampling")
    track_weight: float = Field(0.1, ge=0, le=1e6, description="of the loss along tracks; 0 leaves it out")
    track_sigma: float = Field(0.555, ge=0, le=1, description="the track loss counts at noise levels up to this")
    points: int = Field(100, ge=1, le=100_000, description="tracks, at the most")
    tracker: str = Field("lk", description="registered tracker for references whose suite has no tracks")


class DeT(TrainedMethod):
    id = "det"
    summary = "convolutions along time beside attention, fitted to the clip with a loss along tracks"
    source = "DeT, ICCV 2025 (arXiv 2503.17350)"
    Params = DeTParams
    unseen = TrainedMethod.unseen | {"acting"}
    variants = {"no-tracks": {"track_weight": 0.0}, "all-blocks": {"acting": 1.0}}
    study = Study({"tracks": ("no-tracks",), "acting": ("all-blocks",), "steps": ("steps=100", "steps=250")})

    @classmethod
    def resolve(cls, params: DeTParams, shape: Shape) -> Any:
        registry.trackers.get(params.tracker)  # an unknown one is refused before anything is loaded
        return super().resolve(params, shape)

    @classmethod
    def training(cls, params: Mapping[str, Any], case: Case) -> dict[str, Any]:
        kept = super().training(params, case)
        origin = tracks_origin(case.reference, params["tracker"]) if params["track_weight"] else None
        return kept | {"tracker": origin}

    def prepare(self, ctx: Context, workspace: Workspace) -> Mapping[str, Tensor]:
        p, clean, text = self.params, ctx.reference(), source_text(ctx)
        weights = self._new(ctx)
        places, visible = self._tracks(ctx, workspace) if p.track_weight else (None, None)

        def objective(draw: Draw) -> Iterator[tuple[str, Tensor]]:
            noised = draw.noised(clean)
            found = ctx.backbone.trained_velocity(noised, draw.sigma, text)
            loss = velocity_loss(found, clean, draw.noise)
            if places is not None and visible is not None and draw.sigma <= p.track_sigma:
                loss = loss + p.track_weight * track_loss(noised - draw.sigma * found, places, visible)
            yield "convolutions", loss

        with convolutions(ctx.backbone, weights, clean.shape[2]):
            self.train({"convolutions": weights}, clean, workspace, objective, betas=(0.9, 0.95), clip=1.0)
        return weights

    def scope(self, ctx: Context, i: int) -> AbstractContextManager[Any]:
        blocks = max(1, round(self.params.acting * ctx.backbone.card.blocks))
        acting = {name: weight for name, weight in ctx.prepared.items() if int(name.partition(".")[2]) < blocks}
        return convolutions(ctx.backbone, acting, ctx.noise.shape[2])

    def adapted(self, ctx: Context) -> AbstractContextManager[Any]:
        return convolutions(ctx.backbone, self._new(ctx), ctx.noise.shape[2])

    def _new(self, ctx: Context) -> dict[str, Tensor]:
        p = self.params
        return new_convolutions(ctx.backbone, range(ctx.backbone.card.blocks), p.middle, p.kernel, p.train_seed)

    def _tracks(self, ctx: Context, workspace: Workspace) -> tuple[Tensor, Tensor]:
        p, frames = self.params, workspace.frames()
        found = tracks_of(workspace.reference, frames, p.tracker, p.points)
        chosen = subject_points(found, p.points, p.train_seed)
        origin = tracks_origin(workspace.reference, p.tracker)
        where = "on its subjects" if found.subject is not None else "over the whole frame, as the suite has no mask"
        workspace.log["tracks"] = f"{len(chosen)} from {origin}, {where}"
        _, _, *latent = ctx.reference().shape
        places, visible = latent_places(
            found.points[chosen], found.visible[chosen], (latent[0], latent[1], latent[2]), ctx.backbone.card.vae_temporal,
            (frames.shape[2], frames.shape[1]),
        )  # fmt: skip
        device = ctx.backbone.device
        return torch.from_numpy(places).to(device), torch.from_numpy(visible).to(device)


def subject_points(tracks: Tracks, most: int, seed: int) -> np.ndarray:
    """Numbers of up to ``most`` points seen in the first frame: on a subject where that is known, else anywhere."""
    usable = tracks.visible[:, 0] if tracks.subject is None else tracks.visible[:, 0] & tracks.subject
    numbers = np.flatnonzero(usable)
    if len(numbers) <= most:
        return numbers
    return np.sort(np.random.default_rng(seed).choice(numbers, most, replace=False))


def latent_places(
    points: np.ndarray, visible: np.ndarray, latent: tuple[int, int, int], stride: int, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Tracks (N, T, 2) in px as places in a latent (F, H, W): whole (F, N, 2) column and row, and visible (F, N).

    Latent frame 0 is frame 0, latent frame f the ``stride`` frames up to stride * f, read at their middle.

    Args:
        size: width and height of the frames, px.
    """
    frames, height, width = latent
    middle = np.array([0.0, *(stride * f - (stride - 1) / 2 for f in range(1, frames))])
    before, after = np.floor(middle).astype(int), np.ceil(middle).astype(int)
    place = ((points[:, before] + points[:, after]) / 2 + 0.5) / size * (width, height)
    whole = np.floor(place).astype(np.int64)
    inside = ((whole >= 0) & (whole < (width, height))).all(-1)
    seen = visible[:, before] & visible[:, after] & inside
    return whole.clip(0, (width - 1, height - 1)).transpose(1, 0, 2), seen.T

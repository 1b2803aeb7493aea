"""AllTracker (Harley et al.) as a tracker, by the route of ``checkout.py``.

It finds the flow from the first frame to every other one, and the points are read from it. Its code moves pictures to CUDA by
itself, so it needs a GPU. ``FASTVMT_ALLTRACKER`` names a checkout of your own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastvmt.media.files import Frames
from fastvmt.metrics.trackers.checkout import CheckoutTracker, Code, cloning, imported, own_randomness
from fastvmt.metrics.trackers.lk import GRID, grid_points
from fastvmt.plugins.tracker import F64, Tracks

ROWS, COLUMNS = 384, 512
"""Every clip is resized to this, as in its evaluation."""
WINDOW, ROUNDS, VISIBLE = 16, 4, 0.6
"""Frames at a time, refinements, and the visibility times confidence of a visible point: the defaults of its evaluation."""
LEAST_FRAMES = 3
"""With two, its result has another shape; the last frame is repeated."""


class AllTracker(CheckoutTracker):
    """AllTracker at 384 x 512 px; points are read from its flow between pixels."""

    id = "alltracker"
    summary = (
        "AllTracker (384x512 px), 20x20 points of the first frame; needs CUDA; code and weights to be fetched (66 MB, MIT)"
    )
    source = "Harley et al., ICCV 2025 (arXiv 2506.07310)"
    licence = "MIT (code and weights)"
    terms = "MIT"
    code = Code(
        "aharley/alltracker", "c1ed462b7cfe9b4c6d07d8880ae5ed103b0848e0",
        "82ef857af4e7357d02f378d94996423845e81808cf0bf28ba0b87f570fed4c67", "FASTVMT_ALLTRACKER",
        ("nets/alltracker.py", "nets/*.py", "utils/*.py"), ("nets", "utils"), ("einops",),
    )  # fmt: skip
    file = "alltracker.pth"
    megabytes = 66
    devices: ClassVar[tuple[str, ...]] = ("cuda",)

    def missing(self) -> str:
        lacks = super().missing()
        if lacks or self.device in self.devices:
            return lacks
        return f"{self.id}'s code runs on CUDA alone, and no GPU is seen here: use another tracker."

    def fetching(self) -> str:
        return cloning(self.code, f"https://huggingface.co/aharley/alltracker/resolve/main/{self.file}")

    def settings(self) -> dict[str, Any]:
        return {"grid": GRID, "network_input": f"{ROWS} rows, {COLUMNS} columns", "rounds": ROUNDS, "visible_above": VISIBLE}

    def build(self, folder: Path) -> Any:
        return imported(folder, "nets.alltracker").Net(
            WINDOW, init_weights=False
        )  # or it would fetch the weights of its encoder

    def fill(self, network: Any, state: dict[str, Any]) -> None:
        network.load_state_dict(state.get("model", state))

    def track(self, frames: Frames, queries: F64 | None = None) -> Tracks:
        """Follow points of the first frame.

        Raises:
            MissingWeights: when code, checkpoint or a GPU are not here.
            UserError: when they cannot be used.
        """
        import torch
        from torch.nn.functional import grid_sample, interpolate

        points = grid_points(*frames.shape[1:3]) if queries is None else np.asarray(queries, np.float64)
        scale = np.array([COLUMNS / frames.shape[2], ROWS / frames.shape[1]])
        with own_randomness(), torch.no_grad():
            network = self._predictor()
            pictures = torch.tensor(frames, device=self.device).permute(0, 3, 1, 2).float()
            small = interpolate(pictures, (ROWS, COLUMNS), mode="bilinear", align_corners=False)
            video = torch.cat([small, *[small[-1:]] * (LEAST_FRAMES - len(small))])[None]
            flow, sure, *_ = network.forward_sliding(video, iters=ROUNDS, sw=None, is_training=False)
            maps = torch.cat([flow[0], sure[0]], 1)[: len(frames)].cpu().float()  # (T, 4, rows, columns)
            place = torch.tensor(2 * (points + 0.5) / [frames.shape[2], frames.shape[1]] - 1).float()  # -1..1 over the picture
            grid = place[None, None].expand(len(maps), 1, -1, 2)
            read = grid_sample(maps, grid, padding_mode="border", align_corners=False)[:, :, 0].double().numpy()
        moved = points[:, None] + read[:, :2].transpose(2, 0, 1) / scale
        return Tracks(moved, (read[:, 2] * read[:, 3] > VISIBLE).T)

"""TAPNext++ as a tracker (google-deepmind/tapnet, PyTorch), by the route of ``checkout.py``.

Points are followed together, one frame after the other, as its demo does. ``FASTVMT_TAPNEXT`` names a checkout of your own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fastvmt.media.files import Frames
from fastvmt.metrics.trackers.checkout import CheckoutTracker, Code, cloning, imported, own_randomness
from fastvmt.metrics.trackers.lk import GRID, grid_points
from fastvmt.plugins.tracker import F64, Tracks

SIDE = 256
"""Rows and columns of the network's input, and of the places it names."""


class TAPNext(CheckoutTracker):
    """TAPNext++ at 256 x 256 px; a point is visible where the network's logit is above 0."""

    id = "tapnext"
    summary = "TAPNext++ (256 px), 20x20 points of the first frame; code and weights to be fetched (978 MB, Apache-2.0)"
    source = "Jung et al. 2026 (arXiv 2604.10582); Zholus et al. 2025 (arXiv 2504.05579)"
    licence = "Apache-2.0 (code and weights)"
    terms = "Apache-2.0"
    code = Code(
        "google-deepmind/tapnet", "c2cbab81cc06092b5f05bfe2da7bfec54e2079c9",
        "2d5ff55f50809cb699b1f0fd63b8b91d8659a6ab9262cc7788a44661b17bf6c3", "FASTVMT_TAPNEXT",
        ("tapnet/tapnext/tapnext_torch.py", "tapnet/__init__.py", "tapnet/tapnext/*.py"), ("tapnet",), ("einops",),
    )  # fmt: skip
    file = "tapnextpp_ckpt.pt"
    megabytes = 978

    def fetching(self) -> str:
        return cloning(self.code, f"https://storage.googleapis.com/dm-tapnet/tapnextpp/{self.file}")

    def settings(self) -> dict[str, Any]:
        return {"grid": GRID, "network_input": f"{SIDE} rows, {SIDE} columns"}

    def build(self, folder: Path) -> Any:
        return imported(folder, "tapnet.tapnext.tapnext_torch").TAPNext(image_size=(SIDE, SIDE))

    def fill(self, network: Any, state: dict[str, Any]) -> None:
        weights = state.get("state_dict", state)
        network.load_state_dict({name.removeprefix("tapnext."): value for name, value in weights.items()})

    def track(self, frames: Frames, queries: F64 | None = None) -> Tracks:
        """Follow points of the first frame.

        Raises:
            MissingWeights: when code or checkpoint are not here.
            UserError: when they cannot be used.
        """
        import torch
        from torch.nn.functional import interpolate

        points = grid_points(*frames.shape[1:3]) if queries is None else np.asarray(queries, np.float64)
        if not len(points):
            return Tracks(np.zeros((0, len(frames), 2)), np.zeros((0, len(frames)), bool))
        scale = SIDE / np.array([frames.shape[2], frames.shape[1]])  # their pixel centres lie at half numbers
        state, path, seen = None, [], []
        with own_randomness(), torch.no_grad():
            network = self._predictor()
            rows = np.pad(((points + 0.5) * scale)[:, ::-1], ((0, 0), (1, 0)))  # (frame, y, x)
            asked = torch.tensor(rows[None], dtype=torch.float32, device=self.device)
            for frame in frames:
                picture = torch.tensor(frame, device=self.device).permute(2, 0, 1)[None].float()
                small = interpolate(picture, (SIDE, SIDE), mode="bilinear", align_corners=False) / 127.5 - 1
                video = small.permute(0, 2, 3, 1)[None]
                found, _, logit, state = network(video=video, query_points=asked if state is None else None, state=state)
                path.append(found[0, 0].double().cpu().numpy()[:, ::-1] / scale - 0.5)
                seen.append(logit[0, 0, :, 0].cpu().numpy() > 0)
        return Tracks(np.stack(path, 1), np.stack(seen, 1))

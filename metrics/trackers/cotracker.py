"""CoTracker 3 and 2 (Karaev et al.) as trackers, by the route of ``checkout.py``.

Their code and weights are CC-BY-NC 4.0 and no part of this package. ``FASTVMT_COTRACKER`` names a checkout of your own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastvmt.media.files import Frames
from fastvmt.metrics.trackers.checkout import CheckoutTracker, Code, own_randomness
from fastvmt.plugins.tracker import F64, Tracks

REPOSITORY = "facebookresearch/co-tracker"
COMMIT = "82e02e8029753ad4ef13cf06be7f4fc5facdda4d"
NETWORK_INPUT = (384, 512)
"""Rows and columns every clip is resized to inside, whatever its shape."""


class CoTracker3(CheckoutTracker):
    """CoTracker 3, offline, scaled: the tracker of the DiTFlow and DeT evaluations.

    Args:
        grid: points along each side of the grid on the first frame; 55 in the published scripts, 50 in DeT's.
        points_at_once: split the points into groups of this size, to need less memory; 0 for all together. Points of a
            group attend to each other, so groups change the tracks: it is part of the identity and never done silently.
        device: ``cpu`` or ``cuda``; by default CUDA where there is one.
    """

    id = "cotracker3"
    summary = "CoTracker 3 offline, 55x55 points of the first frame; code and weights to be fetched (102 MB, CC-BY-NC 4.0)"
    source = "Karaev et al. 2024 (arXiv 2410.11831)"
    licence = "CC-BY-NC 4.0 (code and weights)"
    terms = "CC-BY-NC 4.0: not for commercial use"
    code = Code(
        REPOSITORY, COMMIT, "c55d913f081eb630fbd172adc56674dd7ac5ca3094e67e5238f58d5af8758538", "FASTVMT_COTRACKER",
        ("hubconf.py", "cotracker/**/*.py"), ("cotracker",),
    )  # fmt: skip
    entry: ClassVar[str] = "cotracker3_offline"
    file = "scaled_offline.pth"
    megabytes = 102

    def __init__(self, grid: int = 55, points_at_once: int = 0, device: str = "") -> None:
        super().__init__(device)
        self.grid, self.points_at_once = grid, points_at_once

    def fetching(self) -> str:
        call = f"torch.hub.load('{REPOSITORY}:{COMMIT}', '{self.entry}', trust_repo=True, skip_validation=True)"
        return f'python -c "import torch; {call}"'

    def settings(self) -> dict[str, Any]:
        return {
            "grid": self.grid,
            "points_at_once": self.points_at_once or "all",
            "network_input": f"{NETWORK_INPUT[0]} rows, {NETWORK_INPUT[1]} columns",
        }

    def build(self, folder: Path) -> Any:
        import torch

        return torch.hub.load(str(folder), self.entry, source="local", trust_repo=True, pretrained=False)

    def fill(self, network: Any, state: dict[str, Any]) -> None:
        network.model.load_state_dict(state.get("model", state))

    def track(self, frames: Frames, queries: F64 | None = None) -> Tracks:
        """Follow points of the first frame; occluded points keep the network's guess.

        Raises:
            MissingWeights: when code or checkpoint are not here.
            UserError: when they cannot be used.
        """
        import torch

        if queries is None and self.points_at_once:
            queries = grid_points(self.grid, frames.shape[1], frames.shape[2])
        with own_randomness(), torch.no_grad():
            predictor = self._predictor()
            video = torch.tensor(frames).to(self.device).permute(0, 3, 1, 2)[None].float()
            if queries is None:
                found = [predictor(video, grid_size=self.grid)]
            else:
                # As (frame, x, y); beside given points the predictor lays a 6x6 grid of its own, and takes it away again.
                rows = torch.from_numpy(np.pad(queries, ((0, 0), (1, 0)))).to(video)
                found = [predictor(video, queries=part[None]) for part in rows.split(self.points_at_once or len(rows) or 1)]
        points = torch.cat([tracks[0] for tracks, _ in found], 1).double().cpu().numpy()
        seen = torch.cat([visible[0] for _, visible in found], 1).cpu().numpy()
        return Tracks(points.swapaxes(0, 1).copy(), seen.T.astype(bool))


class CoTracker2(CoTracker3):
    """CoTracker 2, the nearest that its authors still publish to the first CoTracker, which SMM's script used."""

    id = "cotracker2"
    summary = "CoTracker 2, 55x55 points of the first frame; code and weights to be fetched (204 MB, CC-BY-NC 4.0)"
    source = "Karaev et al. 2023 (arXiv 2307.07635), version 2"
    entry = "cotracker2"
    file = "cotracker2.pth"
    megabytes = 204


def grid_points(side: int, height: int, width: int) -> F64:
    """(side * side, 2) the predictor's own grid in px of the clip: a margin of 1/64 of the network's width on all sides."""
    rows, columns = NETWORK_INPUT
    margin = columns / 64
    x, y = np.meshgrid(np.linspace(margin, columns - margin, side), np.linspace(margin, rows - margin, side))
    scale = np.array([(width - 1) / (columns - 1), (height - 1) / (rows - 1)])
    return np.stack([x.ravel(), y.ravel()], -1) * scale

"""CoTracker 3 and 2 (Karaev et al.) as trackers, run from a checkout and a checkpoint that are already on the machine.

Their code and weights are CC-BY-NC 4.0 and no part of this package. Nothing is ever fetched here: ``missing()`` says what
to fetch, once, and how. Looked for in this order:

    code        $FASTVMT_COTRACKER (any checkout), else $TORCH_HOME/hub/facebookresearch_co-tracker_<COMMIT>/
    checkpoint  $TORCH_HOME/hub/checkpoints/<file>, else <checkout>/checkpoints/<file>

Running somebody's code is a matter of trust: a folder of the hub is run only when it is, byte for byte, the pinned commit;
any other state has to be named with ``FASTVMT_COTRACKER``. What ran is in the identity either way.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastvmt.core.caches import place, torch_home
from fastvmt.core.disk.file_digests import code_sha256, sha256_of
from fastvmt.errors import MissingWeights, UserError
from fastvmt.media.files import Frames
from fastvmt.plugins.tracker import F64, Tracker, Tracks

REPOSITORY = "facebookresearch/co-tracker"
COMMIT = "82e02e8029753ad4ef13cf06be7f4fc5facdda4d"
CODE_SHA256 = "c55d913f081eb630fbd172adc56674dd7ac5ca3094e67e5238f58d5af8758538"
"""Of ``code_digest`` at ``COMMIT``."""
VARIABLE = "FASTVMT_COTRACKER"
NETWORK_INPUT = (384, 512)
"""Rows and columns every clip is resized to inside, whatever its shape."""


class CoTracker3(Tracker):
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
    entry: ClassVar[str] = "cotracker3_offline"
    file: ClassVar[str] = "scaled_offline.pth"
    megabytes: ClassVar[int] = 102

    def __init__(self, grid: int = 55, points_at_once: int = 0, device: str = "") -> None:
        self.grid, self.points_at_once, self._device = grid, points_at_once, device
        self._loaded: Any = None

    def missing(self) -> str:
        folder, weights = _checkout(), _checkpoint(self.file)
        for name in (VARIABLE, "TORCH_HOME"):
            if os.environ.get(name) and not Path(os.environ[name]).expanduser().is_absolute():
                return f"{name}={os.environ[name]} is not an absolute path, and workers run elsewhere: set it to one."
        lacks = [] if (folder / "hubconf.py").is_file() else [f"its code ({REPOSITORY} at {COMMIT[:7]}) in {folder}"]
        if not lacks and not os.environ.get(VARIABLE) and code_digest(folder) != CODE_SHA256:
            return (
                f"the code in {folder} is not {REPOSITORY} at {COMMIT[:7]}: remove it and fetch it again, or set "
                f"{VARIABLE} to it if you trust it."
            )
        lacks += [] if weights.is_file() else [f"its checkpoint {self.file} in {weights.parent}"]
        if not lacks:
            return ""
        call = f"torch.hub.load('{REPOSITORY}:{COMMIT}', '{self.entry}', trust_repo=True, skip_validation=True)"
        return (
            f"{self.id} lacks {' and '.join(lacks)}: fetch both (about {self.megabytes} MB, licence CC-BY-NC 4.0: not for "
            f'commercial use) with `python -c "import torch; {call}"`, or set {VARIABLE} to a checkout that has the file '
            "under checkpoints/."
        )

    def identity(self) -> dict[str, Any]:
        folder, weights = _checkout(), _checkpoint(self.file)
        here = not self.missing()
        code = code_digest(folder) if here else "unfetched"
        return {
            "tracker": self.id,
            "commit": COMMIT if code == CODE_SHA256 else "not the pinned one",
            "code_sha256": code,
            "checkpoint": self.file,
            "checkpoint_sha256": sha256_of([weights])[0] if here else "unfetched",
            "grid": self.grid,
            "points_at_once": self.points_at_once or "all",
            "network_input": f"{NETWORK_INPUT[0]} rows, {NETWORK_INPUT[1]} columns",
            "device": self.device,
        }

    @property
    def device(self) -> str:
        if not self._device:
            import torch

            self._device = "cuda" if torch.cuda.is_available() else "cpu"
        return self._device

    def track(self, frames: Frames, queries: F64 | None = None) -> Tracks:
        """Follow points of the first frame; occluded points keep the network's guess.

        Raises:
            MissingWeights: when code or checkpoint are not here.
            UserError: when they cannot be used.
        """
        import torch

        if queries is None and self.points_at_once:
            queries = grid_points(self.grid, frames.shape[1], frames.shape[2])
        with _own_randomness(), torch.no_grad():
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

    def _predictor(self) -> Any:
        if self._loaded is None:
            sentence = self.missing()
            if sentence:
                raise MissingWeights(sentence)
            self._loaded = self._load(_checkout(), _checkpoint(self.file))
        return self._loaded

    def _load(self, folder: Path, weights: Path) -> Any:
        import torch

        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            predictor = torch.hub.load(str(folder), self.entry, source="local", trust_repo=True, pretrained=False)
            _check_origin(folder)
            predictor.model.load_state_dict(state.get("model", state))
        except UserError:
            raise
        except Exception as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
            raise UserError(
                f"{self.id}: {weights} cannot be loaded into the code of {folder} ({type(error).__name__}: {first}); "
                "fetch both again."
            ) from error
        return predictor.to(self.device).eval()


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


def code_digest(folder: Path) -> str:
    """SHA-256 over names and bytes of ``hubconf.py`` and every Python file of ``cotracker/``."""
    files = sorted([folder / "hubconf.py", *(folder / "cotracker").rglob("*.py")], key=lambda p: p.as_posix())
    return code_sha256(folder, files)


def _checkout() -> Path:
    return place(VARIABLE, f"{torch_home()}/hub/{REPOSITORY.replace('/', '_')}_{COMMIT}")


def _checkpoint(file: str) -> Path:
    usual, beside = torch_home() / "hub" / "checkpoints" / file, _checkout() / "checkpoints" / file
    return beside if beside.is_file() and not usual.is_file() else usual


def _check_origin(folder: Path) -> None:
    """Another ``cotracker`` may be installed or imported already: then the identity would name code that did not run."""
    origin = Path(getattr(sys.modules.get("cotracker"), "__file__", None) or folder / "cotracker").resolve()
    if not origin.is_relative_to(folder.resolve()):
        raise UserError(f"Python already has another package 'cotracker' ({origin.parent}): remove it to use {folder}.")


@contextmanager
def _own_randomness() -> Iterator[None]:
    """Importing their code seeds torch globally (``torch.manual_seed(0)`` in two modules): give everything back."""
    import torch

    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)

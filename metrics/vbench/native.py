"""Backend ``native``: VBench's formulas on the same weight files, without VBench.

Every measure takes its model as an argument, so tests give small ones. Equal to the package to 1e-6 on the CPU; on CUDA the
package runs CLIP in half precision and this does not. AMT-S and RAFT exist only inside the package.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvmt.media.files import Frames
from fastvmt.metrics import formulas
from fastvmt.metrics.vbench import files
from fastvmt.plugins.metric import Scored, Value

F64 = NDArray[np.float64]
Model = Callable[[Any], Any]
"""Images as a float tensor (N, 3, H, W), already prepared, to features (N, D) or scores (N,)."""
Flow = Callable[[NDArray[np.uint8], NDArray[np.uint8]], Any]
"""Two frames (H, W, 3) to the flow (2, H, W) in px."""
DINO_SCALE = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP_SCALE = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
SIDE, LARGEST, BATCH = 224, 512, 32
PACKAGE_ONLY = {"motion_smoothness": "AMT-S", "dynamic_degree": "RAFT"}
NEEDED = {n: tuple(f for f in needed if f != files.REPO) for n, needed in files.NEEDED.items()}


def missing(name: str) -> str:
    if name in PACKAGE_ONLY:
        return (
            f"{PACKAGE_ONLY[name]} is defined only inside the vbench package: use `vbench:{name}` (backend=package), or "
            "backend=tiny-shapes, which is another number."
        )
    if name == "imaging_quality" and importlib.util.find_spec("pyiqa") is None:
        return (
            "MUSIQ is defined in pyiqa, which is not installed here: install it with `pip install pyiqa` (for non-commercial "
            "use), or use `vbench:imaging_quality` (backend=package)."
        )
    return files.lacking(NEEDED[name])


def identity(name: str, device: str) -> dict[str, Any]:
    if name == "temporal_flickering":
        return {"features": "pixels"}
    found = {"device": device, "weights": files.digests(NEEDED[name])}
    return found | ({"positions": 2} if name == "subject_consistency" else {})  # 1: other numbers where a clip is nearly square


def score(name: str, scored: Scored, device: str) -> Value:
    """One number, with models loaded once per process."""
    frames = scored.generated
    if name == "temporal_flickering":
        return Value(formulas.temporal_flickering(frames))
    at = files.located
    if name == "subject_consistency":
        features = subject_features(frames, _network("load_dino", at(files.DINO), device), device)
        return Value(formulas.vbench_consistency(features))
    if name == "background_consistency":
        features = clip_features(frames, _network("load_clip", at(files.CLIP_B), device), device)
        return Value(formulas.vbench_consistency(features))
    if name == "aesthetic_quality":
        features = clip_features(frames, _network("load_clip", at(files.CLIP_L), device), device)
        return Value(formulas.aesthetic_quality(aesthetic_scores(features, *_head(at(files.HEAD)))))
    return Value(formulas.imaging_quality(imaging_scores(frames, _musiq(at(files.MUSIQ), device), device)))


@cache
def _network(loader: str, path: Path, device: str) -> Model:
    from fastvmt.metrics.vbench import vit

    model: Model = getattr(vit, loader)(path, device)
    return model


@cache
def _head(path: Path) -> tuple[F64, float]:
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    return state["weight"][0].double().numpy(), float(state["bias"][0])


@cache
def _musiq(path: Path, device: str) -> Model:
    from pyiqa.archs.musiq_arch import MUSIQ

    model: Model = MUSIQ(pretrained_model_path=str(path)).to(device).eval()
    return model


def prepared(frames: Frames, mode: str, scale: tuple[tuple[float, ...], tuple[float, ...]], crop: bool) -> Any:
    """Frames (T, H, W, 3) as a float tensor (T, 3, h, w): shorter side ``SIDE``, then channel means and deviations.

    No antialiasing, on the scale 0 to 255 and without clamping, as VBench does; ``crop`` keeps the middle square.
    """
    import torch
    from torch.nn.functional import interpolate

    x = torch.tensor(frames).permute(0, 3, 1, 2).float()
    h, w = x.shape[-2:]
    size = (SIDE, int(SIDE * w / h)) if h <= w else (int(SIDE * h / w), SIDE)
    if size != (h, w):
        x = interpolate(x, size, mode=mode, align_corners=False)
    if crop:
        top, left = round((size[0] - SIDE) / 2), round((size[1] - SIDE) / 2)
        x = x[..., top : top + SIDE, left : left + SIDE]
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in scale)
    return (x / 255 - mean) / deviation


def _rows(model: Model, images: Any, batch: int, device: str) -> F64:
    import torch

    with torch.no_grad():
        parts = [model(images[n : n + batch].to(device)).double().cpu().numpy() for n in range(0, len(images), batch)]
    return np.concatenate(parts)


def subject_features(frames: Frames, model: Model, device: str = "cpu") -> F64:
    """(T, D) features of whole frames, one at a time."""
    return _rows(model, prepared(frames, "bilinear", DINO_SCALE, crop=False), 1, device)


def clip_features(frames: Frames, model: Model, device: str = "cpu") -> F64:
    """(T, D) features of the middle square of every frame."""
    return _rows(model, prepared(frames, "bicubic", CLIP_SCALE, crop=True), BATCH, device)


def aesthetic_scores(features: F64, weight: F64, bias: float) -> F64:
    """(T,) scores of a linear head (weight of shape (D,)) on features of length 1; about 0 to 10."""
    scores: F64 = formulas.unit_rows(features) @ weight + bias
    return scores


def imaging_scores(frames: Frames, model: Model, device: str = "cpu") -> F64:
    """(T,) scores of a quality model on frames of 0 to 1, shrunk to ``LARGEST`` px on the longer side (bilinear)."""
    import torch
    from torch.nn.functional import interpolate

    x = torch.tensor(frames).permute(0, 3, 1, 2).float()
    h, w = x.shape[-2:]
    if max(h, w) > LARGEST:
        scale = LARGEST / max(h, w)
        x = interpolate(x, (int(scale * h), int(scale * w)), mode="bilinear", align_corners=False)
    with torch.no_grad():
        return np.array([float(model(frame[None].to(device))) for frame in x / 255])


def moves(frames: Frames, fps: float, flow: Flow) -> bool | None:
    """VBench's dynamic degree of a clip with any flow; None when fewer than two frames are sampled."""
    sampled = frames[:: formulas.sampling_step(fps)]
    if len(sampled) < 2:
        return None
    scores: list[float] = []
    for before, after in itertools.pairwise(sampled):  # a pair can only add to the count, so the first True is the answer
        scores.append(formulas.flow_score(flow(before, after)))
        if formulas.dynamic_degree(scores, frames.shape[1], frames.shape[2], len(sampled)):
            return True
    return False

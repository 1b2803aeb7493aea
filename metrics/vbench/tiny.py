"""Backend ``tiny-shapes``: VBench's formulas on what ships inside, for clips of the embedded backbone. Not VBench's numbers.

Consistency uses the embedded CLIP of drawn shapes for subject and background alike (there is no second network), so that the
two are one number here; smoothness uses blended midpoints, dynamic degree OpenCV's DIS flow, flickering is exact.
Aesthetic and imaging quality are judgements of photographs and have no substitute.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from fastvmt.media.flow import SHORT_SIDE, dis_flow, enlarged
from fastvmt.metrics import formulas
from fastvmt.metrics.text import clip
from fastvmt.metrics.text.clip_weights import TINY
from fastvmt.metrics.text.clip_weights import missing as clip_missing
from fastvmt.metrics.vbench.files import FPS
from fastvmt.metrics.vbench.native import moves
from fastvmt.plugins.metric import Scored, Value

WITHOUT = {"aesthetic_quality": "beauty", "imaging_quality": "image quality"}
CONSISTENCY = ("subject_consistency", "background_consistency")


def missing(name: str) -> str:
    if name in WITHOUT:
        return (
            f"there is no honest substitute for a network that was taught {WITHOUT[name]} by people's ratings: use "
            f"`vbench:{name}` (backend=package)."
        )
    return clip_missing(TINY) if name in CONSISTENCY else ""


def identity(name: str, device: str) -> dict[str, Any]:
    """What stands in for VBench's network; ``device`` is not used, the embedded CLIP runs where all of ours do."""
    if name in CONSISTENCY:
        found = {} if clip_missing(TINY) else clip.weights_identity(TINY)
        return {"features": "embedded CLIP tiny-shapes, not VBench's", **found, "device": clip.device()}
    if name == "dynamic_degree":
        flow = {"opencv": cv2.__version__, "preset": "medium", "short_side": SHORT_SIDE}
        return {"features": "OpenCV's DIS flow, not RAFT", **flow, "fps": FPS}
    return {"features": "blend of two frames, not AMT-S" if name == "motion_smoothness" else "pixels"}


def score(name: str, scored: Scored, device: str) -> Value:
    """One number; undefined where the formula is."""
    frames = scored.generated
    if name in CONSISTENCY:
        return Value(formulas.vbench_consistency(clip.image_features(scored, TINY)))
    if name == "dynamic_degree":
        found = moves(np.stack([enlarged(f) for f in frames]), FPS, dis_flow)
        return Value(None if found is None else float(found))
    if name == "motion_smoothness":
        return Value(formulas.motion_smoothness(frames))
    return Value(formulas.temporal_flickering(frames))

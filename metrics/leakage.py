"""How much of the reference's looks a video shows, which motion transfer must not take over.

    histogram   intersection of the colours of all frames: sum of the smaller share over 8 x 8 x 8 bins of RGB
    ssim        structural similarity (Wang et al. 2004) of each frame to the reference's frame of that time: Gaussian window of
                1.5 px, colour by colour, frames shrunk to 256 px on the longer side; mean, below 0 counted as 0
    clip        cosine of CLIP's image features of the same two frames; mean, below 0 counted as 0

Every part is 0 to 1, and 1 only for the reference itself; a video of the same motion in other looks is far below.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from fastvmt.media.files import Frames
from fastvmt.metrics.copies import shrunk
from fastvmt.metrics.formulas import unit_rows
from fastvmt.metrics.text.clip import ClipParams, device, image_features, reference_features
from fastvmt.metrics.text.clip_weights import missing, weights_identity
from fastvmt.plugins.method import Params
from fastvmt.plugins.metric import Metric, Scored, Value

F32 = NDArray[np.float32]
Part = Literal["all", "histogram", "ssim", "clip"]
LONGER_SIDE, BINS, SIGMA = 256, 8, 1.5
NO_CLIP = "none"


def histogram(generated: Frames, reference: Frames) -> float:
    """Colour histogram intersection of two clips (T, H, W, 3), 0 to 1."""
    a, b = (_shares(frames) for frames in (generated, reference))
    return float(np.minimum(a, b).sum())


def _shares(frames: Frames) -> NDArray[np.float64]:
    """(BINS ** 3,) share of the pixels in each bin."""
    levels = frames.reshape(-1, 3) // (256 // BINS)
    index = levels[:, 0].astype(np.intp) * BINS * BINS + levels[:, 1].astype(np.intp) * BINS + levels[:, 2]
    return np.bincount(index, minlength=BINS**3) / len(index)


def ssim(generated: Frames, reference: Frames) -> float:
    """Mean structural similarity of frames of the same time, colour by colour; below 0 counts as 0.

    Args:
        generated, reference: (T, H, W, 3) of one height and width; the longer one is cut.
    """
    return max(0.0, float(np.mean([similarity_map(a, b).mean() for a, b in zip(generated, reference, strict=False)])))


def similarity_map(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> F32:
    """SSIM (H, W, 3) of two frames at every pixel."""
    a, b = first.astype(np.float32), second.astype(np.float32)

    def mean(values: Any) -> F32:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), SIGMA), np.float32)

    of_a, of_b = mean(a), mean(b)
    spread_a, spread_b, shared = mean(a * a) - of_a**2, mean(b * b) - of_b**2, mean(a * b) - of_a * of_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    light = (2 * of_a * of_b + c1) / (of_a**2 + of_b**2 + c1)
    return np.asarray(light * (2 * shared + c2) / (spread_a + spread_b + c2), np.float32)


class LeakageParams(Params):
    clip: str = Field(NO_CLIP, description="a CLIP as text_similarity's, whose image similarity is one more part")
    part: Part = Field("all", description="show one part as a column of its own")

    @field_validator("clip")
    @classmethod
    def _known(cls, value: str) -> str:
        return value if value == NO_CLIP else ClipParams(clip=value).clip

    @model_validator(mode="after")
    def _has_the_part(self) -> LeakageParams:
        if self.part == "clip" and self.clip == NO_CLIP:
            raise ValueError("part=clip needs a clip=, e.g. clip=tiny-shapes")
        return self


class AppearanceLeakage(Metric):
    """Mean of how alike the video and the reference look by their parts: colours (``histogram``), structure frame by frame
    (``ssim``), and CLIP's image features (``clip``) where ``clip=`` names one. Range 0 to 1, lower is better; 1 is the
    reference itself.

    Chance is what another case's reference gets (``appearance_leakage_wrong``): a method that stands above it has taken looks
    over with the motion. A copy scores high on motion for free and 1 here. Where the prompt asks for the reference's own
    looks the number says nothing. ``appearance_leakage:part=ssim`` shows a part as a column. Source: this package; SSIM of Wang
    et al. 2004; histogram intersection of Swain and Ballard 1991.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> (frames, _), (other, _) = clip("single-object-100"), clip("single-object-101")
    >>> copy, fresh = (score_clip("appearance_leakage", g, frames).value for g in (frames, other))
    >>> copy == 1 and fresh < 0.5
    True
    """

    id = "appearance_leakage"
    summary = "how much of the reference's looks the video shows: colours, structure, CLIP image features"
    source = "this package; SSIM of Wang et al. 2004, histogram intersection of Swain and Ballard 1991"
    direction = "down"
    range = (0.0, 1.0)
    backend = "opencv"
    Params: ClassVar[type[Params]] = LeakageParams

    @property
    def _clip(self) -> str:
        return "" if self.params.clip == NO_CLIP else str(self.params.clip)

    def missing(self) -> str:
        return missing(self._clip) if self._clip else ""

    def identity(self) -> dict[str, Any]:
        facts = {"longer_side": LONGER_SIDE, "bins": BINS, "sigma": SIGMA, "part": self.params.part}
        return super().identity() | facts | (weights_identity(self._clip) | {"device": device()} if self._clip else {})

    def against(self, scored: Scored) -> tuple[str, Frames] | None:
        """Digest and frames of the clip whose looks are looked for."""
        return scored.case.reference.frames_digest, scored.reference

    def score(self, scored: Scored) -> Value:
        other = self.against(scored)
        if other is None:
            return Value(None, {"why": "every case has the same reference"})
        key = (self.id, self._clip)
        if key not in scored.cache:
            scored.cache[key] = self._parts(scored, *other)
        found: dict[str, float] = dict(scored.cache[key])
        value = float(np.mean(list(found.values()))) if self.params.part == "all" else found[self.params.part]
        return Value(value, {name: round(part, 6) for name, part in found.items()})

    def _parts(self, scored: Scored, digest: str, reference: Frames) -> dict[str, float]:
        g, r = (shrunk(frames, LONGER_SIDE) for frames in (scored.generated, reference))
        found = {"histogram": histogram(g, r), "ssim": ssim(g, r)}
        if self._clip:
            a, b = image_features(scored, self._clip), reference_features(digest, reference, self._clip)
            frames = min(len(a), len(b))
            found["clip"] = max(0.0, float((unit_rows(a[:frames]) * unit_rows(b[:frames])).sum(1).mean()))
        return {name: min(1.0, value) for name, value in found.items()}


class AppearanceLeakageWrong(AppearanceLeakage):
    """Control: the same likeness to another case's reference, which a video has by chance.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> (frames, _), (other, _) = clip("single-object-100"), clip("single-object-101")
    >>> score_clip("appearance_leakage_wrong", frames, frames, other=other).value < 0.5
    True
    """

    id = "appearance_leakage_wrong"
    summary = "control: how much of another case's reference's looks the video shows"
    direction = "none"

    def against(self, scored: Scored) -> tuple[str, Frames] | None:
        return scored.wrong_reference()

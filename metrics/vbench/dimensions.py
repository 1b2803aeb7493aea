"""Seven of VBench's dimensions, those that need no prompt table, each with three backends.

``package``: the real vbench 0.1.5, in a Python environment of its own. ``native``: our formulas on the same weight files.
``tiny-shapes``: our formulas on features that ship with the embedded backbone, which is another number and says so.
Per video, on the scale 0 to 1. A frozen clip scores (nearly) 1 in four of them: read them beside ``dynamic_degree``.
Source of all: Huang et al., VBench, CVPR 2024, and the package of that name (Apache-2.0).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar, Literal, Protocol, cast

from pydantic import Field

from fastvmt.errors import MissingWeights
from fastvmt.metrics.vbench.files import FPS
from fastvmt.plugins.method import Params as BaseParams
from fastvmt.plugins.metric import Metric, Scored, Value

Backend = Literal["package", "native", "tiny-shapes"]
MODULES = {"package": "package", "native": "native", "tiny-shapes": "tiny"}


class BackendModule(Protocol):
    """What ``package``, ``native`` and ``tiny`` offer; ``name`` is VBench's name of a dimension."""

    def missing(self, name: str) -> str: ...
    def identity(self, name: str, device: str) -> dict[str, Any]: ...
    def score(self, name: str, scored: Scored, device: str) -> Value: ...


class VBenchParams(BaseParams):
    backend: Backend = Field("package", description="package: vbench 0.1.5; native: our formulas; tiny-shapes: other features")
    device: Literal["cpu", "cuda"] = Field("cpu", description="where the networks run; part of the identity")


class FlickerParams(VBenchParams):
    backend: Backend = Field("native", description="native is exact and needs no weights; package: vbench 0.1.5")


class Dimension(Metric):
    """Base: one dimension of VBench. ``least`` frames make it defined.

    Raises (in ``score``): MissingWeights, when environment or weights are not there (any more); JobError, when the worker
    process of the package fails. Both become a failed record.
    """

    source = "VBench 0.1.5 (Huang et al., CVPR 2024)"
    direction = "up"
    range = (0.0, 1.0)
    decimals = 4
    Params: ClassVar[type[BaseParams]] = VBenchParams
    least: ClassVar[int] = 2

    @property
    def name(self) -> str:
        return self.id.partition(":")[2]

    def _module(self) -> BackendModule:
        return cast(BackendModule, import_module(f"fastvmt.metrics.vbench.{MODULES[self.params.backend]}"))

    def missing(self) -> str:
        return self._module().missing(self.name)

    def identity(self) -> dict[str, Any]:
        own = {"metric": self.id, "version": self.version, "backend": self.params.backend}
        return own | self._module().identity(self.name, self.params.device)

    def score(self, scored: Scored) -> Value:
        if len(scored.generated) < self.least:
            return Value(None, {"why": f"fewer than {self.least} frames"})
        sentence = self.missing()
        if sentence:
            raise MissingWeights(sentence)
        return self._module().score(self.name, scored, self.params.device)


class SubjectConsistency(Dimension):
    """Cosine of each frame's DINO ViT-B/16 feature to the one before and to the first, negatives as 0, mean over frames.

    Frames are resized to 224 px on the shorter side (bilinear, no antialiasing, no crop). DINO: Apache-2.0.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> other, _ = clip("single-object-101")
    >>> cut = frames.copy()  # two scenes are less consistent than one
    >>> cut[16:] = other[16:]
    >>> label = "vbench:subject_consistency:backend=tiny-shapes"
    >>> score_clip(label, cut).value < score_clip(label, frames).value
    True
    """

    id = "vbench:subject_consistency"
    summary = "VBench subject consistency: likeness of DINO features to the frame before and the first"


class BackgroundConsistency(Dimension):
    """The same formula on CLIP ViT-B/32 image features (bicubic to 224 px without antialiasing, centre crop). CLIP: MIT.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> other, _ = clip("single-object-101")
    >>> cut = frames.copy()  # two scenes are less consistent than one
    >>> cut[16:] = other[16:]
    >>> label = "vbench:background_consistency:backend=tiny-shapes"
    >>> score_clip(label, cut).value < score_clip(label, frames).value
    True
    """

    id = "vbench:background_consistency"
    summary = "VBench background consistency: likeness of CLIP features to the frame before and the first"


class MotionSmoothness(Dimension):
    """How well AMT-S foretells every odd frame from its even neighbours: 1 - mean absolute error / 255.

    With an even number of frames the last is not used. Never computed at reduced size, whatever the memory. AMT-S is
    licensed CC-BY-NC 4.0: non-commercial use only.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> label = "vbench:motion_smoothness:backend=tiny-shapes"
    >>> score_clip(label, frames[::4]).value < score_clip(label, frames).value < 1
    True
    """

    id = "vbench:motion_smoothness"
    summary = "VBench motion smoothness: how well AMT-S foretells the odd frames; backend=native is not available"
    least = 3


class DynamicDegree(Dimension):
    """1 when enough sampled frame pairs move far enough by RAFT-things (``formulas.dynamic_degree``), else 0; the mean over
    clips is the share that moves. RAFT: BSD-3-Clause.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> label = "vbench:dynamic_degree:backend=tiny-shapes"
    >>> [score_clip(label, g).value for g in (frames, frames[:1].repeat(33, 0))]
    [1.0, 0.0]
    """

    id = "vbench:dynamic_degree"
    summary = "VBench dynamic degree: share of clips that move, by optical flow; backend=native is not available"
    binary = True
    least = FPS // 8 + 1


class AestheticQuality(Dimension):
    """LAION's linear head on CLIP ViT-L/14 image features, over 10, mean over frames; about 0 to 1, not bounded by it.

    Judges single frames, so a frozen or static clip loses nothing. CLIP and head: MIT.

    >>> from fastvmt.metrics.formulas import aesthetic_quality
    >>> aesthetic_quality([5.0, 6.0])  # the head's scores of two frames
    0.55
    """

    id = "vbench:aesthetic_quality"
    summary = "VBench aesthetic quality: LAION's head on CLIP features, over 10"
    least = 1


class ImagingQuality(Dimension):
    """MUSIQ trained on SPAQ, over 100, mean over frames; frames over 512 px are shrunk to that on the longer side.

    MUSIQ's code and weights come with pyiqa, whose licence (PolyForm) allows non-commercial use only.

    >>> from fastvmt.metrics.formulas import imaging_quality
    >>> imaging_quality([60.0, 70.0])  # MUSIQ's scores of two frames
    0.65
    """

    id = "vbench:imaging_quality"
    summary = "VBench imaging quality: MUSIQ, over 100; backend=native is not available until `pip install pyiqa`"
    least = 1


class TemporalFlickering(Dimension):
    """1 - mean absolute change between consecutive frames / 255; needs no network, so every backend gives VBench's number.

    VBench's own code takes static videos alone. What moves changes from frame to frame and lowers the number, so that it has no
    better end here: no arrow, no mark.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> label = "vbench:temporal_flickering:backend=native"
    >>> [score_clip(label, g).value == 1 for g in (frames[:1].repeat(33, 0), frames)]
    [True, False]
    """

    id = "vbench:temporal_flickering"
    summary = "VBench temporal flickering: 1 - mean absolute change between frames; meant for static videos, so never ranked"
    direction = "none"
    heading = "Temp. flickering (static)"
    Params: ClassVar[type[BaseParams]] = FlickerParams

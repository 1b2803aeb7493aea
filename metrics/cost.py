"""What a video cost on the machine that made it."""

from __future__ import annotations

from typing import ClassVar

from fastvmt.metric import Metric, Scored, Value


class Time(Metric):
    """Seconds for one video: text, encoding, reference, guidance, denoising, decoding, writing; loading apart.

    Shared work (text embeddings, the reference's latent) is charged to every video that uses it. Source: FastVMT,
    section 4.2 ("total time ... including any inference-time optimization").
    """

    id = "time"
    summary = "seconds per video, loading apart"
    direction = "down"
    range = (0.0, float("inf"))
    unit = "s"
    decimals = 2
    timing: ClassVar[bool] = True

    def score(self, scored: Scored) -> Value:
        stages = dict(scored.artefact.stages)
        load = stages.pop("load", 0.0)
        return Value(round(sum(stages.values()), 6), {"stages": stages, "load": load})


class PeakMemory(Metric):
    """Largest memory held while a video was made: allocated device memory on CUDA, resident size on the CPU."""

    id = "peak_memory"
    summary = "peak memory: device allocations on CUDA, resident size on the CPU"
    direction = "down"
    range = (0.0, float("inf"))
    unit = "GiB"
    decimals = 2
    timing: ClassVar[bool] = True

    def score(self, scored: Scored) -> Value:
        return Value(scored.artefact.peak_memory_bytes / 2**30)

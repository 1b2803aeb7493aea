"""What a video cost on the machine that made it."""

from __future__ import annotations

from typing import Any, ClassVar

from fastvmt.model import Artefact
from fastvmt.plugins.metric import Metric, Scored, Value


def example(**facts: Any) -> Scored:
    """A video's facts without the video, for trying a cost: fields of ``model.Artefact``, the rest empty."""
    empty: dict[str, Any] = {
        "key": "", "frames_digest": "", "width": 64, "height": 64, "frames": 33, "fps_num": 15, "fps_den": 1, "files": {},
        "stages": {}, "peak_memory_bytes": 0, "forward_equivalents": 0, "device": "cpu", "software": {}, "timing_key": "",
    }  # fmt: skip
    nothing: Any = None  # a cost reads the artefact alone
    return Scored(nothing, nothing, nothing, nothing, Artefact(**empty | facts))


class Cost(Metric):
    """Base: belongs to one machine, lower is better, no upper end."""

    direction = "down"
    range = (0.0, float("inf"))
    decimals = 2
    timing: ClassVar[bool] = True


class Time(Cost):
    """Seconds for one video: text, encoding, reference, guidance, denoising, decoding, writing; loading apart.

    Shared work (text embeddings, the reference's latent) is charged to every video that uses it. Source: FastVMT,
    section 4.2 ("total time ... including any inference-time optimization").

    >>> Time().score(example(stages={"load": 9.0, "encode": 1.0, "guidance": 4.0, "denoise": 2.0})).value
    7.0
    """

    id = "time"
    summary = "seconds per video, loading apart"
    unit = "s"

    def score(self, scored: Scored) -> Value:
        found = scored.artefact
        stages = dict(found.stages)
        load = stages.pop("load", 0.0)
        facts: dict[str, object] = {"stages": stages, "load": load, "forward_equivalents": found.forward_equivalents}
        if found.repeats:
            facts |= {"repeats": list(found.repeats), "warm_up": found.warm_up_seconds}
        return Value(round(sum(stages.values()), 6), facts)


PREPARATION = ("encode", "reference", "train")
"""Stages that depend on the reference alone; their result could serve every prompt and seed."""


class TimeAmortised(Time):
    """Seconds for one video when what depends on the reference alone is shared among the run's videos of that reference.

    ``time`` charges preparation (encoding, features, training) to every video in full. Equal to it where every reference
    has one prompt and one seed.

    >>> TimeAmortised().score(example(stages={"encode": 1.0, "denoise": 2.0}, shared_by=4)).value
    2.25
    """

    id = "time_amortised"
    summary = "seconds per video, preparation of a reference shared among its videos"

    def score(self, scored: Scored) -> Value:
        found = scored.artefact
        prepared = sum(found.stages.get(s, 0.0) for s in PREPARATION)
        whole = sum(v for k, v in found.stages.items() if k != "load")
        seconds = whole - prepared * (1 - 1 / found.shared_by)
        return Value(round(seconds, 6), {"preparation": round(prepared, 6), "shared_by": found.shared_by})


class Forwards(Cost):
    """Forward passes for one video, counted while it was made: a pass to the latent and back counts as three, one that stops
    early as its share of the blocks. The same on every machine; ``details`` hold what the method's formula says. Undefined
    for a video that was imported: nobody counted here.

    >>> Forwards().score(example(forward_equivalents=35.2, forward_formula=35.2)).value
    35.2
    >>> Forwards().score(example(reused_from="imported")).details["why"]
    'imported: its work was not counted here'
    """

    id = "forwards"
    heading = "FE"
    summary = "forward-equivalents per video, counted"
    source = "docs/explanation/cost-and-memory.md, section Forward-equivalents"
    decimals = 1
    timing: ClassVar[bool] = False
    count: ClassVar[bool] = True

    def score(self, scored: Scored) -> Value:
        found = scored.artefact
        if found.imported:
            return Value(None, {"why": "imported: its work was not counted here"})
        if found.ceiling:
            return Value(None, {"why": "the reference itself: nothing was generated"})
        return Value(found.forward_equivalents, {"formula": found.forward_formula})


class Energy(Cost):
    """Energy of one video by the GPU's own counter (NVML), in J; undefined where there is none. Source: NVML.

    >>> Energy().score(example(energy_joules=1234.0)).value, Energy().score(example()).details["why"]
    (1234.0, 'no energy counter (NVML) on this device')
    """

    id = "energy"
    summary = "energy per video by the GPU's counter"
    unit = "J"
    decimals = 0

    def score(self, scored: Scored) -> Value:
        joules = scored.artefact.energy_joules
        return Value(joules, {} if joules is not None else {"why": "no energy counter (NVML) on this device"})


class PeakMemory(Cost):
    """Largest memory held while a video was made, GiB: allocated device memory on CUDA, resident size on the CPU.

    >>> PeakMemory().score(example(peak_memory_bytes=3 * 2**29)).value
    1.5
    """

    id = "peak_memory"
    summary = "peak memory: device allocations on CUDA, resident size on the CPU"
    unit = "GiB"

    def score(self, scored: Scored) -> Value:
        return Value(scored.artefact.peak_memory_bytes / 2**30)


class PeakReserved(PeakMemory):
    """Largest memory that CUDA's allocator held from the device, GiB: what a neighbour could not have; undefined on a CPU.

    >>> PeakReserved().score(example(peak_reserved_bytes=2**30)).value, PeakReserved().score(example()).value
    (1.0, None)
    """

    id = "peak_reserved"
    summary = "peak memory reserved by CUDA's allocator"

    def score(self, scored: Scored) -> Value:
        found = scored.artefact.peak_reserved_bytes
        return Value(found / 2**30 if found else None)

"""The vocabulary: Suite, Case, MethodSpec, Job, Artefact, MetricRecord, Failure.

All are frozen and refuse unknown keys, so that a file of another version is named instead of half understood.
Sizes are pixels, times are seconds, digests are hex SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fastvmt.core.content_address import canonical_json, digest, job_key

IMPORTED = "imported"
"""Id of the method whose videos somebody else made, first part of its labels, and ``reused_from`` of its artefacts."""
CATEGORIES = ("camera", "single_object", "multiple_objects", "complex_human_motion", "complex", "uncategorised")


class Frozen(BaseModel):
    """Base of the vocabulary: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Reference(Frozen):
    """The clip whose motion is transferred, as decoded and fitted to the run's size."""

    frames_digest: str
    width: int
    height: int
    frames: int
    fps_num: int = 15
    fps_den: int = 1
    source: str
    """Where it came from: a path as the user gave it, or ``drawn:<suite>/<case>``."""
    fit: str = "crop"
    notes: tuple[str, ...] = ()


class Case(Frozen):
    """One reference and one target prompt."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$")
    category: str = "uncategorised"
    prompt: str
    caption: str = ""
    """What the reference shows; used by methods that need it."""
    negative: str | None = None
    """None: the backbone's own negative prompt."""
    reference: Reference

    def digest(self) -> str:
        """What of the case determines the video: decoded frames and texts, not names or paths."""
        return _case_digest(self.reference.frames_digest, self.prompt, self.caption, self.negative)


@lru_cache(maxsize=1 << 14)
def _case_digest(frames: str, prompt: str, caption: str, negative: str | None) -> str:
    return digest({"frames": frames, "prompt": prompt, "caption": caption, "negative": negative})


class Suite(Frozen):
    """Named cases; ``digest`` covers every case in order."""

    name: str
    cases: tuple[Case, ...]

    def digest(self) -> str:
        return digest([self.name, [[c.id, c.category, c.digest()] for c in self.cases]])


class MethodSpec(Frozen):
    """A method with every parameter resolved to an absolute value."""

    label: str
    """As the user wrote it, e.g. ``fastvmt:no-window``."""
    method: str
    version: int
    params: dict[str, Any]
    preset: str = ""
    control: bool = False

    @property
    def imported(self) -> bool:
        """Made by somebody else: its parameters are claims."""
        return self.method == IMPORTED

    def identity(self) -> dict[str, Any]:
        """What determines the video: not the label."""
        return {"method": self.method, "version": self.version, "params": self.params}


class Setting(Frozen):
    """What all jobs of a run share and what determines the video."""

    backbone: str
    """Name, hub id, or the absolute path of a folder."""
    weights_digest: str
    width: int
    height: int
    frames: int
    steps: int
    guidance: float
    solver: Literal["euler"] = "euler"
    sigmas: tuple[float, ...]
    """steps + 1 noise levels, falling, the last one 0."""
    dtype: str
    negative: str
    protocol: Literal["matched-start", "as-published", "matched-budget"] = "matched-start"
    """What methods have in common; see ``fastvmt.jobs.protocol``. Runs older than this field started all from noise."""
    budget: float | None = None
    """Forward-equivalents of one video under ``matched-budget``."""

    def identity(self) -> dict[str, Any]:
        """What goes into every key: all of it, less where a folder lies and what a run of the default protocol need not say."""
        silent = {"protocol": "matched-start", "budget": None}
        said = self.model_dump(mode="json")
        if Path(self.backbone).is_absolute():  # its weights are in weights_digest
            said["backbone"] = ""
        return {k: v for k, v in said.items() if k not in silent or v != silent[k]}

    @property
    def fairness(self) -> str:
        """The protocol as tables head it: ``protocol matched-budget (40 forward-equivalents)``."""
        return f"protocol {self.protocol}" + ("" if self.budget is None else f" ({self.budget:g} forward-equivalents)")


class Job(Frozen):
    """One video to be made. ``key`` is its content address."""

    key: str
    method: MethodSpec
    case_id: str
    case_digest: str
    seed: int

    @classmethod
    def make(cls, method: MethodSpec, case: Case, seed: int, setting: Setting) -> Job:
        """The job of one method, case and seed; ``jobs.JobGrid`` makes many."""
        what = case.digest()
        key = job_key(what, canonical_json(method.identity()), seed, canonical_json(setting.identity()))
        return cls(key=key, method=method, case_id=case.id, case_digest=what, seed=seed)


class FileInfo(Frozen):
    bytes: int
    sha256: str


class Artefact(Frozen):
    """A finished video: what it is, and what it cost where it was made.

    ``timing_key`` covers the job, the device class and the software; seconds are only ever reported under it, and an
    artefact taken over from another run (``reused_from``) reports none.
    """

    key: str
    frames_digest: str
    width: int
    height: int
    frames: int
    fps_num: int
    fps_den: int
    files: dict[str, FileInfo]
    stages: dict[str, float]
    peak_memory_bytes: int
    forward_equivalents: float
    """Counted while it was made."""
    device: str
    software: dict[str, str]
    timing_key: str
    repeats: tuple[float, ...] = ()
    """Seconds of each timed repeat (protocol timing); ``stages`` then holds the median of each stage."""
    warm_up_seconds: float = 0.0
    """A whole video made and discarded first (protocol timing, first job of a method in a worker); else 0."""
    forward_formula: float | None = None
    """What ``Method.cost`` said it would take; None in files older than this field."""
    shared_by: int = 1
    """Jobs of the run with the same method and reference, among which preparation is amortised."""
    peak_reserved_bytes: int = 0
    energy_joules: float | None = None
    busy: str = ""
    """What else used the device when the job began; "" when nothing did."""
    reused_from: str | None = None
    log: dict[str, Any] = {}
    check: str = ""
    """SHA-256 of everything else, so that one flipped bit of it is found; "" where nobody sealed it."""

    @property
    def imported(self) -> bool:
        """Made by somebody else, and not from another run of ours."""
        return self.reused_from == IMPORTED

    def sealed(self) -> Artefact:
        """The same facts with their ``check``, as they are written."""
        facts = json.loads(self.model_dump_json(exclude={"check"}))
        return self.model_copy(update={"check": _seal(facts)})

    @model_validator(mode="after")
    def _unchanged(self) -> Artefact:
        # Only what the file holds: a later version's new fields must not break an older seal.
        if self.check and self.check != _seal(self.model_dump(mode="json", exclude={"check"}, exclude_unset=True)):
            raise ValueError("it is not what was written: its check differs")
        return self


def _seal(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class MetricRecord(Frozen):
    """One number about one job, or the reason why there is none."""

    key: str
    """See ``fastvmt.records.identity``."""
    job_key: str
    metric: str
    identity: dict[str, Any]
    """What ``Metric.identity`` said: formula version, backend, grid ...; numbers of different identity never share a cell."""
    status: Literal["ok", "undefined", "failed"]
    value: float | None
    details: dict[str, Any] = {}
    device: str | None = None
    """Of a timing, the video's; with its ``software`` (digest, 8 characters) the machine. None of other metrics and in records
    older than this field, whose ``identity`` holds both."""
    software: str | None = None


class Failure(Frozen):
    """One job that could not be done."""

    job_key: str
    kind: str
    """``error``, ``non_finite``, ``wrong_output``, ``out_of_memory``, ``timeout``, ``crash``, ``cancelled``; of merged runs
    ``conflict`` and ``damaged``; of imported methods ``not_given``."""
    stage: str
    message: str
    traceback: str = ""
    attempt: int = 1

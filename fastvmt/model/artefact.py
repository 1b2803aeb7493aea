"""What was made, what was measured, and what failed: FileInfo, Artefact, MetricRecord, Failure."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import model_validator

from fastvmt.model.case import IMPORTED, REFERENCE, Frozen
from fastvmt.model.fields import Amount, Count, Details, Facts, FileName, Hex, Label, Line, Number, Offload, Size

COPIES = "copies_reference"
"""In the details of every number of a video that is (nearly) its reference."""


class FileInfo(Frozen):
    bytes: Count
    sha256: Hex


class Conditions(Frozen):
    """What decides seconds besides device and software; None where it does not apply or cannot be known.

    A default is what holds for files older than the field. What changes from moment to moment (a clock as it is now, a
    temperature) is not among them: no two videos would agree.
    """

    memory_bytes: Count | None = None
    """Of the GPU."""
    power_limit: Line | None = None
    """W."""
    clock: Line | None = None
    """The highest that the card allows, MHz."""
    clock_set: Line | None = None
    """The one that its user has set, MHz."""
    driver: Line | None = None
    cuda: Line | None = None
    """Version that torch was built for."""
    attention: Line = "native"
    """Backend in diffusers' dispatcher."""
    compiled: bool = False
    offload: Offload = "text"
    shared: bool = False
    """Whether other processes were on the GPU."""

    def said(self) -> dict[str, Any]:
        """What is not as in files older than these fields."""
        return self.model_dump(exclude_defaults=True)


class Artefact(Frozen):
    """A finished video: what it is, and what it cost where it was made.

    ``timing_key`` covers the job, the device class, the software and the conditions; seconds are only ever reported under it,
    and an artefact taken over from another run (``reused_from``) reports none.
    """

    key: Hex
    frames_digest: Hex
    width: Size
    height: Size
    frames: Size
    fps_num: Size
    fps_den: Size
    files: dict[FileName, FileInfo]
    stages: dict[Line, Amount]
    peak_memory_bytes: Count
    forward_equivalents: Amount
    """Counted while it was made."""
    device: Line
    software: dict[Line, Line]
    timing_key: Line
    repeats: tuple[Amount, ...] = ()
    """Seconds of each timed repeat (protocol timing); ``stages`` then holds the median of each stage."""
    processor: dict[Line, Amount] = {}
    """Processor seconds by stage, without stages whose work videos share; empty on a GPU and in files older than this field."""
    warm_up_seconds: Amount = 0.0
    """A whole video made and discarded first (protocol timing, first job of a method in a worker); else 0."""
    forward_formula: Amount | None = None
    """What ``Method.cost`` said it would take; None in files older than this field."""
    shared_by: Size = 1
    """Jobs of the run with the same method and reference, among which preparation is amortised."""
    peak_reserved_bytes: Count = 0
    energy_joules: Number | None = None
    busy: Line = ""
    """What else used the device when the job began; "" when nothing did."""
    conditions: Conditions = Conditions()
    """What else its seconds depend on."""
    reused_from: Line | None = None
    log: dict[str, Any] = {}
    """What the method wrote down, in its own words; whoever draws it takes nothing in it for granted."""
    check: Hex = ""
    """SHA-256 of everything else, so that one flipped bit of it is found; "" where nobody sealed it."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, height, width."""
        return self.frames, self.height, self.width

    @property
    def imported(self) -> bool:
        """Made by somebody else, and not from another run of ours."""
        return self.reused_from == IMPORTED

    @property
    def ceiling(self) -> bool:
        """The reference itself, which nobody made."""
        return self.reused_from == REFERENCE

    @property
    def taken_over(self) -> bool:
        """Made for another run of ours."""
        return bool(self.reused_from) and not self.imported and not self.ceiling

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

    key: Hex
    """See ``fastvmt.records.identity``."""
    job_key: Hex
    metric: Label
    identity: Facts
    """What ``Metric.identity`` said: formula version, backend, grid ...; numbers of different identity never share a cell."""
    status: Literal["ok", "undefined", "failed"]
    value: Number | None
    details: Details = {}
    device: Line | None = None
    """Of a timing, the video's; with its ``software`` (digest of that and of the conditions, 8 characters) the machine. None of
    other metrics and in records older than this field, whose ``identity`` holds both."""
    software: Line | None = None
    code: Line | None = None
    """State of the metric's code, where it is a file of the user's."""

    @property
    def copies(self) -> bool:
        """Whether the video was found to be (nearly) its reference when it was scored."""
        return COPIES in self.details


class Failure(Frozen):
    """One job that could not be done."""

    job_key: Hex
    kind: Line
    """``error``, ``non_finite``, ``wrong_output``, ``out_of_memory``, ``timeout``, ``crash``, ``cancelled``; of merged runs
    ``conflict`` and ``damaged``; of imported methods ``not_given``."""
    stage: Line
    message: str
    traceback: str = ""
    attempt: Count = 1

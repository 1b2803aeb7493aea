"""What was measured, and what failed: MetricRecord, Failure."""

from __future__ import annotations

from typing import Any, Literal

from fastvmt.model.frozen import Frozen


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

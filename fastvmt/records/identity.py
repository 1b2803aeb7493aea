"""What makes a metric record the same record: one recipe for all who write records and all who read them.

A record's key covers what the metric says of itself (``Metric.identity``), the job, and what was looked at: the video's frames
and its reference's, or of a timing the device class, software and conditions under which it was made (``Artefact.timing_key``).

A record keeps what the metric said untouched, and the machine of a timing in fields of its own. Older records have the machine
of a timing among what the metric said; ``Identities.own`` takes it out of those, and of those alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Protocol

from fastvmt.core.content_address import canonical_json, digest
from fastvmt.model import Artefact, Case, MetricRecord
from fastvmt.plugins.blame import blamed, need
from fastvmt.plugins.metric import Metric
from fastvmt.plugins.traits import Traits

Machine = tuple[str, str]
"""Device, and the first eight characters of the digest of the software and of whatever else decides seconds."""
OF_THE_MACHINE = ("device", "software")


class Made(Protocol):
    """What of a video a key covers: an ``Artefact``, or its row in the index."""

    @property
    def key(self) -> str: ...
    @property
    def frames_digest(self) -> str: ...
    @property
    def timing_key(self) -> str: ...


def machine(artefact: Artefact) -> Machine:
    """Where a video was made; seconds of two machines never share a mean."""
    said = artefact.conditions.said()
    return artefact.device, digest([artefact.software, said] if said else artefact.software)[:8]


def record_key(identity: str, timing: bool, video: Made, reference: str) -> bytes:
    """SHA-256 that a record's key is the hex of, written out because tables and scans ask for 100,000 of them.

    Args:
        identity: what the metric says of itself, as ``canonical_json``.
        timing: whether the metric is one.
        reference: digest of the reference's frames.

    >>> from types import SimpleNamespace
    >>> video, said = SimpleNamespace(key="j", frames_digest="f", timing_key="t"), {"metric": "m"}
    >>> record_key(canonical_json(said), False, video, "r").hex() == digest([said, ["f", "r"], "j"])
    True
    >>> record_key(canonical_json(said), True, video, "r").hex() == digest([said, "t", "j"])
    True
    """
    subject = f'"{video.timing_key}"' if timing else f'["{video.frames_digest}","{reference}"]'
    return hashlib.sha256(f'[{identity},{subject},"{video.key}"]'.encode()).digest()


def identity_of(metric: Metric) -> str:
    """What a metric says of itself, as ``canonical_json``.

    Raises:
        SpecError: when that is no dictionary of plain data.
    """
    said = metric.identity()
    with blamed(type(metric), f"Metric '{metric.label}': what identity returned"):
        text = canonical_json(said)
    need(type(metric), f"Metric '{metric.label}': identity", said, text.startswith("{"), "a dictionary")
    return text


def key_of(metric: Metric, video: Made, case: Case) -> str:
    """Key of the record that a metric makes of a video now."""
    return record_key(identity_of(metric), metric.timing, video, case.reference.frames_digest).hex()


class Identities:
    """Of records as they are read: each metric is looked up, and each identity written out, once.

    Args:
        traits: what the runs say of metrics whose code is not here.
    """

    def __init__(self, traits: Traits | None = None) -> None:
        self._traits = traits or Traits()
        self._metrics: dict[str, Metric] = {}
        self._last: dict[str, tuple[dict[str, Any], bool, str]] = {}

    def metric(self, label: str, record: MetricRecord | None = None) -> Metric:
        """What tables ask of a metric; whether one is a timing that nobody has said anything of, its records tell."""
        if label not in self._metrics:
            machine = record is not None and (record.device is not None or set(OF_THE_MACHINE) <= record.identity.keys())
            self._metrics[label] = self._traits.metric(label, timing=machine)
        return self._metrics[label]

    def timing(self, label: str, record: MetricRecord | None = None) -> bool:
        """Whether a metric's numbers belong to one machine."""
        return self.metric(label, record).timing

    def own(self, record: MetricRecord) -> dict[str, Any]:
        """What the metric said of itself when it scored."""
        if record.device is None and self.timing(record.metric, record):
            return {k: v for k, v in record.identity.items() if k not in OF_THE_MACHINE}
        return record.identity

    def whole(self, record: MetricRecord) -> dict[str, Any]:
        """What must agree between numbers of one column: what the metric said, and of a timing the machine."""
        if record.device is None:
            return record.identity
        return {"device": record.device, "software": record.software} | record.identity

    def fits(self, record: MetricRecord, video: Made, reference: str) -> bool:
        """Whether a record is of this video as it is now."""
        before, older = self._last.get(record.metric), record.device is None
        if before is None or before[0] != record.identity or before[1] != older:
            before = self._last[record.metric] = (record.identity, older, canonical_json(self.own(record)))
        return record_key(before[2], self.timing(record.metric, record), video, reference).hex() == record.key


def differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Names under which two identities say something else."""
    return sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))

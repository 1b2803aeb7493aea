"""What a second look at a run found, in the same words whoever looked: videos as they were stored, scores as they were."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastvmt.core.spelling import shown
from fastvmt.model import MetricRecord


@dataclass
class Verified:
    """Counts, and a sentence for whatever is not as it was.

    Attributes:
        videos, references: looked at; ``_as_stored``: of those, files and frames with the digests they were stored with.
        scores: computed again; equal: of those, with the same number, or the same reason why there is none.
        new: of ``scores``, those without an earlier one by the same version of the metric.
        largest: difference of two numbers.
    """

    videos: int = 0
    videos_as_stored: int = 0
    references: int = 0
    references_as_stored: int = 0
    scores: int = 0
    equal: int = 0
    new: int = 0
    largest: float = 0.0
    faults: list[str] = field(default_factory=list)

    def compare(self, before: MetricRecord | None, now: MetricRecord, name: str = "", room: float = 0.0) -> None:
        """Count a score that was computed again.

        Args:
            name: of the video, for the sentence on a difference.
            room: by which two numbers may differ and count as equal: the last bits of a sum are another machine's.
        """
        self.scores += 1
        if before is None:
            self.new += 1
        elif before.status == now.status and abs((before.value or 0.0) - (now.value or 0.0)) <= room:
            self.equal += 1
        else:
            if before.value is not None and now.value is not None:
                self.largest = max(self.largest, abs(before.value - now.value))
            self.faults.append(f"{name or now.job_key[:12]}: {shown(now.metric)} was {_said(before)} and is {_said(now)}.")

    def words(self) -> str:
        """``64 videos, 64 as stored; 128 scores recomputed, 128 equal, largest difference 0``: what was looked at."""
        parts = [
            f"{n} {what}, {same} as stored"
            for n, what, same in (
                (self.videos, "videos", self.videos_as_stored), (self.references, "references", self.references_as_stored)
            ) if n or (what == "videos" and not self.scores)
        ]  # fmt: skip
        if self.scores:
            new = f", {self.new} without an earlier one" if self.new else ""
            parts.append(f"{self.scores} scores recomputed, {self.equal} equal{new}, largest difference {self.largest:.3g}")
        return "; ".join(parts)

    def data(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return vars(self) | {"words": self.words()}


def _said(record: MetricRecord) -> str:
    return record.status if record.value is None else f"{record.value:.6g}"

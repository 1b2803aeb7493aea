"""What a metric is: a formula and a backend, with a declared direction, range and unit.

A metric is one class in ``metrics/``. Its ``identity`` goes into every record; records of different identity never
share a cell of a table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from fastvmt.core.sealed import Shared
from fastvmt.media.files import Frames
from fastvmt.model import Artefact, Case, Job
from fastvmt.plugins.method import Params as BaseParams


@dataclass
class Scored:
    """What a metric may look at.

    Attributes:
        generated, reference: uint8 RGB (T, H, W, 3), read-only; copy one before you change it.
        case, job, artefact: where the generated clip comes from, read-only.
        cache: shared between the metrics of one file and job (tracks, features), keyed by what was computed. What is put in
            is copied; what is taken out is read-only.
        wrong_reference: digest and frames of another case's reference, for controls; None when all cases have one.
    """

    generated: Frames
    reference: Frames
    case: Case
    job: Job
    artefact: Artefact
    cache: MutableMapping[Any, Any] = field(default_factory=Shared)
    wrong_reference: Callable[[], tuple[str, Frames] | None] = lambda: None


@dataclass(frozen=True)
class Value:
    """A number, or None where the metric is undefined (too few tracks, nothing moves ...); ``details`` say more."""

    value: float | None
    details: dict[str, Any] = field(default_factory=dict)


class Metric:
    """Base of all metrics.

    A metric is named as a method is: ``motion_fidelity:tracker=cotracker3`` is the formula ``motion_fidelity`` with one
    parameter changed, and that label is the column of the table. Making one must be cheap: whatever it loads, it loads at
    the first ``score``.

    Attributes:
        Params: pydantic model of what can be chosen (tracker, weights ...); every field has a default.
        id, version: name of the formula; raise the version when the same input gives another number.
        direction: ``up`` (higher is better), ``down`` or ``none``.
        range: lowest and highest possible value; unit: "" for a pure number.
        needs: what must be there beside frames, e.g. ``known motion``.
        backend: what computes the features, e.g. ``opencv-lk``.
        binary: true where each clip scores 0 or 1, so that the mean is a share and has the interval of one.
        decimals: how many are worth printing.
        timing: true for numbers that belong to one machine and are never taken over from elsewhere.
        count: true for counts of work, the same on every machine: the gate lets none of it grow.
        heading: short words over its column; made from the id when empty.
    """

    id: ClassVar[str] = ""
    version: ClassVar[int] = 1
    summary: ClassVar[str] = ""
    source: ClassVar[str] = ""
    direction: ClassVar[str] = "up"
    range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    unit: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()
    backend: ClassVar[str] = "none"
    binary: ClassVar[bool] = False
    decimals: ClassVar[int] = 3
    timing: ClassVar[bool] = False
    count: ClassVar[bool] = False
    heading: ClassVar[str] = ""
    Params: ClassVar[type[BaseParams]] = BaseParams

    def __init__(self, params: BaseParams | None = None) -> None:
        self.params: Any = params or self.Params()

    @property
    def label(self) -> str:
        """The id, with every parameter that is not at its default: ``motion_fidelity:tracker=cotracker3``."""
        return ":".join([self.id, *(f"{k}={v}" for k, v in self._changed().items())])

    def _changed(self) -> dict[str, Any]:
        fields = type(self.params).model_fields
        return {k: v for k, f in fields.items() if (v := getattr(self.params, k)) != f.default}

    def missing(self) -> str:
        """What has to be fetched before this metric can be computed: one sentence with size and command, or ""."""
        return ""

    def identity(self) -> dict[str, Any]:
        """Formula version, backend and settings. Records are kept by it: what makes another number must be in it.

        Parameters that are not at their defaults are here already; a class with an ``identity`` of its own names them itself.
        """
        own = {"metric": self.id, "version": self.version, "backend": self.backend}
        return own | (self._changed() if type(self).identity is Metric.identity else {})

    def applies(self, case: Case) -> bool:
        """False where the metric has no meaning for a case (a record is then not made)."""
        return True

    def caution(self, cases: Sequence[Case]) -> str:
        """What has to be known of its numbers of these cases before they are made: one sentence, or ""."""
        return ""

    def score(self, scored: Scored) -> Value:
        """The number for one clip."""
        raise NotImplementedError


def bounds_of(metric: Metric) -> tuple[float, float] | None:
    """A metric's range, where both ends are finite and chance is in its numbers: counts of work have none."""
    if metric.binary is True:
        return 0.0, 1.0
    ends: Any = metric.range  # an author's, who may have declared anything
    plain = isinstance(ends, tuple) and len(ends) == 2 and all(isinstance(end, int | float) for end in ends)
    chance = plain and not metric.count and not metric.timing and all(map(math.isfinite, ends)) and ends[0] < ends[1]
    return (float(ends[0]), float(ends[1])) if chance else None

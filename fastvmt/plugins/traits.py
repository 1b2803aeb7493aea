"""What tables need of a method or metric, as data: a run folder says it of each that is not built in, and is read without code.

    RUN/traits.json    written by the run that has the code; without it a table shows what the records say, and ranks nothing

What is built in speaks for itself, whatever a folder says of it.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any, Literal

from pydantic import Field, FiniteFloat

from fastvmt.errors import SpecError
from fastvmt.model import Frozen
from fastvmt.plugins import registry
from fastvmt.plugins.method import Method, Role, Study
from fastvmt.plugins.metric import Metric
from fastvmt.plugins.metric_labels import build, name_of
from fastvmt.plugins.registry import BUILTIN, PluginFile

FACTS = ("id", "direction", "unit", "binary", "decimals", "timing", "count", "heading", "backend")
"""Of a metric: attributes that are kept as they are."""


class MetricTraits(Frozen):
    """See ``Metric``. ``bounds``: its range, where that is finite; ``without``: ids of the cases for which it has no meaning;
    ``code``: digest of its code."""

    id: str = Field(max_length=200)
    direction: Literal["up", "down", "none"]
    unit: str = Field(default="", max_length=40, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")
    binary: bool = False
    bounds: tuple[FiniteFloat, FiniteFloat] | None = None
    decimals: int = Field(default=3, ge=0, le=12)
    timing: bool = False
    count: bool = False
    heading: str = Field(default="", max_length=40, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")
    backend: str = Field(default="none", max_length=200)
    without: tuple[str, ...] = ()
    code: str = Field(default="", pattern="^([0-9a-f]{16})?$")

    def as_metric(self, label: str) -> Metric:
        """A metric that answers what tables ask, and cannot score."""
        facts = {name: getattr(self, name) for name in FACTS}
        without = frozenset(self.without)
        more = {
            "label": label,
            "range": self.bounds or (-math.inf, math.inf),
            "applies": lambda metric, case: case.id not in without,
        }
        found: Metric = type("Recorded", (Metric,), facts | more)()
        return found


class MethodTraits(Frozen):
    """See ``Method``. ``card``: as data; None where it has none."""

    summary: str = Field(default="", max_length=2000)
    source: str = Field(default="", max_length=2000)
    role: Role = "method"
    trains: bool = False
    ablations: dict[str, tuple[str, ...]] = {}
    ladder: tuple[tuple[str, str], ...] = ()
    card: dict[str, Any] | None = None
    code: str = Field(default="", pattern="^([0-9a-f]{16})?$")

    def as_method(self, id: str) -> type[Method]:
        """A method that answers what reports ask, and makes no video."""
        trains = self.trains
        more = {"study": Study(self.ablations, self.ladder), "card": self.card, "trains": classmethod(lambda cls: trains)}
        return type("Recorded", (Method,), {"id": id, "summary": self.summary, "source": self.source, "role": self.role} | more)


class Traits(Frozen):
    """Of a run: its plug-in files by path, methods by id and metrics by label; those that are not built in."""

    plugins: dict[str, PluginFile] = {}
    methods: dict[str, MethodTraits] = {}
    metrics: dict[str, MetricTraits] = {}

    def over(self, other: Traits) -> Traits:
        """Both; what this one says goes before."""
        return Traits(
            plugins=other.plugins | self.plugins, methods=other.methods | self.methods, metrics=other.metrics | self.metrics
        )

    def metric(self, label: str, timing: bool = False) -> Metric:
        """What tables ask of a metric: its own answers where it is built in or loaded already, else the recorded ones.

        Args:
            timing: of one that nobody has said anything of.
        """
        name = name_of(label)
        with registry.reading(), suppress(SpecError):
            if name in BUILTIN["metrics"] or label not in self.metrics:
                return build(label)
        if name in BUILTIN["metrics"]:  # with a tracker that is not here
            known: Metric = type("Recorded", (registry.metrics.get(name),), {"label": label, "identity": lambda metric: {}})()
            return known
        return self.metrics.get(label, MetricTraits(id=name[:200], direction="none", timing=timing)).as_metric(label)

    def knows(self, label: str) -> bool:
        """Whether somebody has said what a metric's numbers mean."""
        with registry.reading(), suppress(SpecError):
            return label in self.metrics or bool(registry.metrics.get(name_of(label)))
        return False

    def method(self, id: str) -> type[Method]:
        """What reports ask of a method, likewise."""
        with registry.reading(), suppress(SpecError):
            if id in BUILTIN["methods"] or id not in self.methods:
                found: type[Method] = registry.methods.get(id)
                return found
        return self.methods.get(id, MethodTraits()).as_method(id)

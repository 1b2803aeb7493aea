"""The tidy frame: a row for every video and number, and a row for every number that is missing, with the reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fastvmt.model import Case, MethodSpec, Setting, Suite
from fastvmt.plugins.method import Method
from fastvmt.plugins.metric import Metric
from fastvmt.plugins.traits import Traits
from fastvmt.store.folder import Store

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "run", "case", "category", "reference", "label", "method", "control", "preset", "seed", "job", "metric", "unit", "value",
    "status", "why", "timing", "device", "backend", "identity", "frames_digest", "reused",
    "imported", "protocol",
)  # fmt: skip
"""Of the long form. ``status``: ok, undefined, failed, missing, or elsewhere (a timing of a video taken over from another
run); ``why`` says more. ``reference`` is the digest of the reference's frames: the unit of analysis. ``metric`` is a metric's
label, or ``stage:NAME`` (seconds), ``forward_equivalents`` (counted) or ``forward_formula`` (what ``Method.cost`` says).
``imported``: somebody else's video, its settings claimed."""
TEXTS = (
    "run", "case", "category", "reference", "label", "method", "preset", "metric", "unit", "status", "why", "device", "backend",
    "identity", "protocol",
)  # fmt: skip
"""Columns that repeat few words; held as categories."""
STAGE = "stage:"
WORK, FORMULA = "forward_equivalents", "forward_formula"


@dataclass
class Count:
    """Videos of one method: made, planned, failed by kind, made here while others used the machine; (nearly) the reference."""

    made: int = 0
    planned: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    busy: int = 0
    copies: int = 0


@dataclass(frozen=True)
class Tidy:
    """Runs as one frame, with what its words stand for.

    Attributes:
        frame: long form; see ``COLUMNS``.
        metrics: what was scored, by label, in the run's order.
        identities: what its numbers have in common, of a timing with the machine; ``own_identities``: what it said of itself.
        methods: by label, in the run's order.
        stores: where it came from, the first run's folder first.
        cases: by id.
        counts: videos made, planned and failed, by method label.
        notes: what a reader has to know; caveat: what the backbone's card wants said with every verdict, or "".
        digest: over the frames digests of every finished job and every untimed record: equal numbers, equal digest.
        suite_digest: over every case's texts and decoded reference.
    """

    frame: pd.DataFrame
    metrics: dict[str, Metric]
    identities: dict[str, dict[str, Any]]
    methods: dict[str, MethodSpec]
    cases: dict[str, Case]
    stores: tuple[Store, ...]
    suite: Suite
    setting: Setting
    device: str
    seeds: tuple[int, ...]
    notes: tuple[str, ...]
    digest: str
    suite_digest: str
    counts: dict[str, Count] = field(default_factory=dict)
    own_identities: dict[str, dict[str, Any]] = field(default_factory=dict)
    traits: Traits = field(default_factory=Traits)
    """Of the runs' plug-ins, whose code is not here."""
    names: dict[str, str] = field(default_factory=dict)
    """What a reader calls methods and metrics, by their labels or a metric's id; see ``tables.headings``."""
    caveat: str = ""

    def method(self, label: str) -> type[Method]:
        """The method of a line, or what the run says of it."""
        return self.traits.method(self.methods[label].method)

    def copies(self, label: str) -> bool:
        """Whether at least half of a line's videos are (nearly) their references; a ceiling's are meant to be."""
        count = self.counts.get(label, Count())
        return 0 < count.made <= 2 * count.copies

    @property
    def title(self) -> str:
        s, n = self.setting, len(self.seeds)
        return (
            f"{s.fairness}: {self.suite.name} ({len(self.cases)} cases, {n} seed{'s' if n > 1 else ''}) on {s.called}, "
            f"width {s.width}, height {s.height}, {s.frames} frames, {s.steps} steps, "
            f"{s.scales}, {s.dtype} on {self.device}"
        )

    def of(self, metric: str) -> pd.DataFrame:
        """The rows of one metric."""
        return self._by_metric.get(metric, self.frame.iloc[:0])

    def wide(self, metric: str) -> pd.DataFrame:
        """Values of one metric: index (reference, case, seed), a column for each method, NaN where there is none."""
        if metric not in self._wide:
            found = self.of(metric).pivot(index=["reference", "case", "seed"], columns="label", values="value")
            self._wide[metric] = found.reindex(columns=[label for label in self.methods if label in found.columns])
        return self._wide[metric]

    @cached_property
    def _wide(self) -> dict[str, pd.DataFrame]:
        return {}

    @cached_property
    def _by_metric(self) -> dict[str, pd.DataFrame]:
        return {str(k): v for k, v in self.frame.groupby("metric", observed=True, sort=False)}

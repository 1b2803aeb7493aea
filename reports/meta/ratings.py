"""What metrics of motion say of clips whose motion is known, as tables of numbers; and which metrics those are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from fastvmt.errors import BenchError, NotComparable, SpecError
from fastvmt.model import CATEGORIES
from fastvmt.plugins import metric_labels, registry
from fastvmt.plugins import tracker as trackers
from fastvmt.plugins.metric import Metric
from fastvmt.reports.statistics.paired import Floats
from fastvmt.reports.tidy import Tidy

TRUTH = "trajectory"
"""The yardstick of a run, whose videos' motion is found by colour."""
BACKENDS = ("tracker", "motion")
DRAWN_BY = "tiny"
"""The backbone whose list of metrics is for drawn clips."""


@dataclass(frozen=True)
class Ratings:
    """Numbers and truth, of the same versions of the same reference clips.

    Attributes:
        rated: names of the versions: degradations, or methods; kinds: of each, "" for methods.
        categories: of each clip.
        truth: (clips, rated), NaN where there is no such version; two decimals, as less decides nothing.
        scores: by the metric's label (clips, rated), more is better whatever its direction; NaN where it is undefined.
        metrics: by the same label; seconds: that one clip took, or nothing.
        failed: label to the first sentence of why, and how often.
    """

    rated: tuple[str, ...]
    kinds: tuple[str, ...]
    categories: tuple[str, ...]
    truth: Floats
    scores: dict[str, Floats]
    metrics: dict[str, Metric]
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, tuple[str, int]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def of_motion(metric: Metric | type[Metric]) -> bool:
    """Whether a metric says how well a motion was transferred, by what it declares: controls have no direction."""
    return _ranks(metric) and (metric.backend in BACKENDS or "tracker" in metric.Params.model_fields)


def _ranks(metric: Metric | type[Metric]) -> bool:
    return metric.direction != "none" and not metric.timing


def sign_of(metric: Metric) -> int:
    """1 where more is better, -1 where less is."""
    return -1 if metric.direction == "down" else 1


def chosen(asked: Iterable[str] = ()) -> tuple[dict[str, Metric], list[str]]:
    """The metrics to judge by label, and notes on those that are left out.

    Args:
        asked: labels and patterns; without any every metric of motion that is registered, by every tracker that is here.

    Raises:
        SpecError: for an unknown label, or where nothing is left.
        MissingWeights: for a metric named in full whose weights are missing.
    """
    labels, notes = metric_labels.choose(asked, ()) if (asked := tuple(asked)) else _every()
    found = {label: metric_labels.build(label) for label in labels}
    gone = [label for label, metric in found.items() if not _ranks(metric)]
    if gone and asked:
        notes = (*notes, f"{', '.join(gone)}: no better and worse motion is declared, so nothing is judged by it.")
    kept = {label: metric for label, metric in found.items() if label not in gone}
    if not kept:
        raise SpecError(
            f"--metrics {','.join(asked)}: none of them says which motion is better. `bench list metrics` shows all."
        )
    return kept, list(notes)


def _every() -> tuple[tuple[str, ...], tuple[str, ...]]:
    here: list[str] = []
    away: list[str] = []
    for name in registry.trackers.names():
        try:
            missing = trackers.get(name).missing()
        except BenchError as error:
            missing = str(error)
        (away if missing else here).append(name)
    notes = [f"Trackers that are not here: {', '.join(away)}. `bench list trackers` says what they need."] if away else []
    names = [e.name for e in registry.metrics.entries() if not e.cause and of_motion(registry.metrics.get(e.name))]
    own = [label for label in metric_labels.of_backbone(DRAWN_BY) if metric_labels.name_of(label) in names]
    labels: dict[str, Metric] = {}
    for label in (*names, *own):
        by = here if "tracker" in metric_labels.build(label).Params.model_fields else [""]
        for metric in (metric_labels.build(f"{label}:tracker={name}" if name else label) for name in by):
            if missing := metric.missing():
                notes.append(f"{metric.label} is not judged: {missing}")
            else:
                labels[metric.label] = metric
    return tuple(labels), tuple(notes)


def of_runs(tidy: Tidy, asked: Iterable[str] = ()) -> Ratings:
    """The records of runs: every method's numbers beside its known motion.

    Args:
        asked: labels of the run's metrics; without any those of motion.

    Raises:
        SpecError: for a label that the run has not scored.
        NotComparable: where nothing says which motion is right, or nothing is to be compared with it.
    """
    names = ", ".join(store.root.name for store in tidy.stores)
    wanted = [metric_labels.resolved(label, tidy.metrics) for label in asked]
    if unknown := [label for label in wanted if label not in tidy.metrics]:
        raise SpecError(f"--metrics {unknown[0]}: the run has not scored it. It has: {', '.join(tidy.metrics)}.")
    metrics = {k: m for k, m in tidy.metrics.items() if (k in wanted if wanted else of_motion(m)) and _ranks(m)}
    if not metrics:
        raise NotComparable(f"{names}: no metric that says which motion is better was scored; `bench score` does.")
    truth = tidy.wide(TRUTH).groupby(level="reference", sort=False, observed=True).mean() if len(tidy.of(TRUTH)) else None
    if truth is not None:
        truth = truth.dropna(axis=1, how="all").dropna(how="all")
    if truth is None or len(truth.columns) < 2:
        raise NotComparable(
            f"{names}: there is nothing to judge by: it takes numbers of {TRUTH}, which drawn clips have, of two methods at "
            f"least. `bench score RUN --metrics {TRUTH}` makes them."
        )
    scores = {}
    for label, metric in metrics.items():
        means = tidy.wide(label).groupby(level="reference", sort=False, observed=True).mean()
        scores[label] = sign_of(metric) * means.reindex(index=truth.index, columns=truth.columns).to_numpy(float)
    category = {case.reference.frames_digest[:16]: case.category for case in tidy.cases.values()}
    rated = tuple(map(str, truth.columns))
    return Ratings(
        rated, ("",) * len(rated), tuple(category[str(clip)] for clip in truth.index), truth.to_numpy(float).round(2), scores,
        metrics, notes=tidy.notes,
    )  # fmt: skip


def in_order(categories: Iterable[str]) -> list[str]:
    """Categories, each once, in the order of all tables."""
    there = set(categories)
    return [c for c in CATEGORIES if c in there] + sorted(there - set(CATEGORIES))

"""The cases that all methods of a column have: which, over how many clips, what is lacking, and who can be told apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from fastvmt.plugins.metric import bounds_of
from fastvmt.reports.statistics import Gap, Scale, fewest_clips, gaps, lopsided
from fastvmt.reports.tables.view import Column
from fastvmt.reports.tidy import Tidy

if TYPE_CHECKING:
    import pandas as pd


CLOSE = 0.005
"""A smaller p leaves room for what skewed differences do to it."""


def common(tidy: Tidy, metric: str, labels: Iterable[str]) -> pd.DataFrame:
    """The cases that all of these methods have a value for; a method without any value is no column.

    A ceiling is no method: it is in no comparison, and costs none of them a case. It is one where nothing else is asked for.
    """
    labels = tuple(labels)
    # Asked for by every view, mark and note of a column: kept, and nobody writes into it.
    kept: dict[tuple[str, ...], pd.DataFrame] = tidy.__dict__.setdefault("_common", {})
    if (key := (metric, *labels)) not in kept:
        wide = tidy.wide(metric).reindex(columns=[k for k in labels if not is_ceiling(tidy, k)] or list(labels))
        kept[key] = wide.dropna(axis=1, how="all").dropna()
    return kept[key]


def is_ceiling(tidy: Tidy, label: str) -> bool:
    """Whether a line is the references themselves."""
    return getattr(tidy.methods.get(label), "ceiling", False)


def by_clip(cases: pd.DataFrame) -> pd.DataFrame:
    """Means over the cases and seeds of each reference clip."""
    return cases.groupby(level="reference", sort=False, observed=True).mean() if len(cases) else cases


def clips_of(tidy: Tidy, metric: str, labels: Iterable[str]) -> int:
    """How many reference clips these methods are compared over."""
    return common(tidy, metric, labels).index.get_level_values("reference").nunique() if len(tidy.of(metric)) else 0


def scale_of(tidy: Tidy, metric: str) -> Scale | None:
    """What the numbers of a metric can be, where it is bounded."""
    facts = tidy.metrics.get(metric)
    ends = bounds_of(facts) if facts else None
    return Scale(*ends, share=facts.binary is True) if facts and ends else None


def few_clips(tidy: Tidy, labels: Sequence[str], columns: Sequence[Column], ranked: Sequence[str]) -> list[str]:
    """Notes on columns whose clips are too few to tell any two methods apart."""
    counts = {
        c.head: clips_of(tidy, c.key, labels)
        for c in columns
        if c.direction != "none" and len(common(tidy, c.key, ranked).columns) > 1
    }
    notes = []
    for clips in sorted({n for n in counts.values() if 0 < n < fewest_clips()}):
        heads = [head for head, n in counts.items() if n == clips]
        named = f"{', '.join(heads)}: " if len(heads) < len(counts) else ""
        some = "1 reference clip is" if clips == 1 else f"{clips} reference clips are"
        notes.append(
            f"{named}{some} too few to tell methods apart, however large the difference (at 5 % it takes {fewest_clips()}); "
            "neither best nor second nor ≈ is marked."
        )
    return notes


def skewed(tidy: Tidy, columns: Iterable[Column], labels: Sequence[str], among: Sequence[str], base: str = "") -> list[str]:
    """A note on methods that are told apart by little and by clearly skewed differences, which the test does not allow for.

    Args:
        labels: the rows that are tested together.
        among: those that are looked at, each against ``base``, by default the best of them.
    """
    found: dict[str, list[str]] = {}
    for column in (c for c in columns if c.direction != "none"):
        gaps_here = apart(tidy, column.key, labels)
        clips = by_clip(common(tidy, column.key, labels))
        there = [k for k in among if k in clips]
        if not there or not any(gap.apart and gap.p >= CLOSE for gap in gaps_here.values()):
            continue
        means = clips[there].mean()
        first = base or str(means.idxmax() if column.direction == "up" else means.idxmin())
        for other in there:
            gap = gaps_here.get((first, other))
            if gap and gap.apart and gap.p >= CLOSE and lopsided((clips[first] - clips[other]).to_numpy(float)):
                found.setdefault(column.head, []).append(f"{first} and {other}")
    said = "; ".join(f"{head}: {', '.join(which)}" for head, which in found.items())
    return (
        [f"skewed differences, which the test takes as symmetric; p may be half of what it should be ({said})."] if said else []
    )


def lacking(tidy: Tidy, labels: Sequence[str], columns: Iterable[Column]) -> list[str]:
    """Notes on columns that are over a part of the cases: how many, and which methods' gaps cost the others."""
    found: dict[str, list[str]] = {}
    for column in columns:
        if not len(tidy.of(column.key)):
            continue
        cases = common(tidy, column.key, labels)
        wide = tidy.wide(column.key)
        gone = wide[[label for label in wide if label in cases]].isna()
        if not len(cases.columns) or not gone.to_numpy().any():
            continue
        nobody = gone.all(axis=1)
        missing = gone[~nobody].sum().sort_values(ascending=False, kind="stable")
        costs = [f"{label} {n}" for label, n in missing.items() if n]
        costs += [f"all of them {nobody.sum()}"] if nobody.any() else []
        said = (
            f"{len(cases)} of {len(gone)} videos of each method are compared, those that every method has a value for "
            f"(lacking: {', '.join(costs)})."
        )
        found.setdefault(said, []).append(column.head)
    return [f"{', '.join(heads)}: {said}" for said, heads in found.items()]


def apart(tidy: Tidy, metric_label: str, labels: Iterable[str]) -> dict[tuple[str, str], Gap]:
    """Which of these methods can be told apart by a metric: every ordered pair, all tested as one family.

    The one answer that marks of tables, ``bench compare`` and verdicts share. It is over the cases that all of these methods
    have a value for, averaged inside a reference clip; a method without any value is in no pair. Give all rows of a column:
    who else is looked at together moves p and intervals.
    """
    if not len(tidy.of(metric_label)):
        return {}
    # In the run's order whatever order is asked for: a pair's digits are the same wherever the same rows are tested.
    wanted = set(labels)
    clips = by_clip(common(tidy, metric_label, [k for k in tidy.methods if k in wanted]))
    kept: dict[tuple[str, ...], dict[tuple[str, str], Gap]] = tidy.__dict__.setdefault("_apart", {})
    names = [str(k) for k in clips]
    key = (metric_label, *names)
    if key not in kept:
        found = gaps(clips.to_numpy(float), scale=scale_of(tidy, metric_label)) if len(clips) else {}
        kept[key] = {(names[a], names[b]): gap for (a, b), gap in found.items()}
    return kept[key]

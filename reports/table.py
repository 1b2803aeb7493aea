"""The table of a run: one row per method, one cell per metric, from records alone.

A cell is a mean over jobs with its standard error and n. Failed jobs are counted in their own column and never averaged
away; records of different identity (tracker, version, device) or presets of one method never share a table.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fastvmt import metric_specs, registry
from fastvmt.errors import NotComparable
from fastvmt.keys import digest
from fastvmt.metric import Metric
from fastvmt.model import Artefact, Job, MetricRecord
from fastvmt.store import RunConfig, Store

DENSE = "ditflow"
MOST_COLUMNS = 9
"""A wider table is turned: a line for each metric, a column for each method."""
RESAMPLES = 10_000


@dataclass(frozen=True)
class Cell:
    """Mean, standard error and count of one metric for one method; ``undefined`` records are counted apart."""

    mean: float | None
    error: float | None
    n: int
    undefined: int = 0
    failed: int = 0


@dataclass(frozen=True)
class Ratio:
    """Paired geometric mean of time ratios with a 95 % bootstrap interval over pairs."""

    value: float
    low: float
    high: float
    n: int


@dataclass
class Row:
    label: str
    control: bool
    made: int
    planned: int
    failed: dict[str, int]
    cells: dict[str, Cell]
    speed_up: Ratio | None = None


@dataclass
class Table:
    """Rows in the run's order, and what a reader must know about them."""

    title: str
    metrics: list[str]
    rows: list[Row]
    identities: dict[str, dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    videos: str = ""
    digest: str = ""
    """Over the frames digests of every finished job and every untimed record: equal tables have equal digests."""
    suite_digest: str = ""
    """Over every case's texts and decoded reference: numbers of suites that differ in it cannot be compared."""


def build(store: Store, config: RunConfig) -> Table:
    """The table of what is in the store.

    Raises:
        NotComparable: when one method stands in it with two presets, or records differ in identity.
    """
    refuse_mixed_presets(config)
    jobs = config.jobs()
    artefacts = {j.key: a for j in jobs if (a := store.artefact(j))}
    failures = store.failures()
    records = current_records(store, artefacts)
    identities = _identities(records)
    names = [m for m in _metric_names(config, records) if any(r.metric == m for r in records)]
    rows = []
    for method in config.methods:
        own = [j for j in jobs if j.method.label == method.label]
        kinds: dict[str, int] = defaultdict(int)
        for job in own:
            if job.key not in artefacts and job.key in failures:
                kinds[failures[job.key].kind] += 1
        keys = {j.key for j in own}
        cells = {m: cell_of([r for r in records if r.metric == m and r.job_key in keys]) for m in names}
        made = sum(k in artefacts for k in keys)
        rows.append(Row(method.label, method.control, made, len(own), dict(kinds), cells))
    _add_speed_up(rows, jobs, records)
    facts = sorted([j.key, a.frames_digest] for j, a in ((j, artefacts.get(j.key)) for j in jobs) if a)
    scores = sorted([r.key, r.status, r.value] for r in records if not _metric(r.metric).timing)
    return Table(
        title=_title(config), metrics=names, rows=rows, identities=identities, notes=_notes(store, config, rows),
        videos=str(store.root / "artefacts"), digest=digest([facts, scores])[:16],
        suite_digest=config.suite.digest()[:16],
    )  # fmt: skip


def _metric(label: str) -> Metric:
    return metric_specs.build(label)


def _metric_names(config: RunConfig, records: list[MetricRecord]) -> list[str]:
    registered = registry.metrics.names()
    others = sorted({r.metric for r in records} - set(registered))
    return list(dict.fromkeys([*config.metrics, *registered, *others]))


def refuse_mixed_presets(config: RunConfig) -> None:
    """Numbers of two presets of one method must not stand side by side.

    Raises:
        NotComparable: naming the method and its presets.
    """
    presets: dict[str, set[str]] = defaultdict(set)
    for method in config.methods:
        if method.preset:
            presets[method.method].add(method.preset)
    for name, found in presets.items():
        if len(found) > 1:
            raise NotComparable(
                f"{name} stands in this run with presets {' and '.join(sorted(found))}, whose numbers must not share a "
                "table. Run them apart."
            )


def current_records(store: Store, artefacts: dict[str, Artefact]) -> list[MetricRecord]:
    """The last record of each job and metric: one scored again with another version or backend replaces the older one."""
    last = {(r.job_key, r.metric): r for r in store.records().values() if r.job_key in artefacts}
    return list(last.values())


def _identities(records: list[MetricRecord]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for record in records:
        first = found.setdefault(record.metric, record.identity)
        if first != record.identity:
            differing = sorted(k for k in first.keys() | record.identity.keys() if first.get(k) != record.identity.get(k))
            raise NotComparable(
                f"{record.metric}: records of this run differ in {', '.join(differing)} and must not be averaged. "
                f"Score again on one machine with `bench score RUN --metrics {record.metric} --again`."
            )
    return found


def cell_of(records: list[MetricRecord]) -> Cell:
    """Mean and standard error of what is defined among some records of one metric."""
    values = np.array([r.value for r in records if r.status == "ok" and r.value is not None])
    undefined = sum(r.status == "undefined" for r in records)
    failed = sum(r.status == "failed" for r in records)
    if not len(values):
        return Cell(None, None, 0, undefined, failed)
    error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return Cell(float(values.mean()), error, len(values), undefined, failed)


def paired_ratio(numerator: np.ndarray, denominator: np.ndarray) -> Ratio:  # type: ignore[type-arg]
    """Geometric mean of paired ratios with a 95 % percentile bootstrap interval (seeded).

    Args:
        numerator, denominator: positive, same length n >= 1, paired.
    """
    logs = np.log(numerator / denominator)
    draws = np.random.default_rng(0).choice(logs, (RESAMPLES, len(logs))).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Ratio(float(np.exp(logs.mean())), float(np.exp(low)), float(np.exp(high)), len(logs))


def _add_speed_up(rows: list[Row], jobs: list[Job], records: list[MetricRecord]) -> None:
    seconds = {r.job_key: r.value for r in records if r.metric == "time" and r.value}
    by_label: dict[str, dict[tuple[str, int], float]] = defaultdict(dict)
    for job in jobs:
        if (value := seconds.get(job.key)) is not None:
            by_label[job.method.label][job.case_id, job.seed] = value
    dense = by_label.get(DENSE, {})
    for row in rows:
        shared = sorted(dense.keys() & by_label[row.label].keys())
        if shared and row.label != DENSE:
            a, b = (np.array([t[k] for k in shared]) for t in (dense, by_label[row.label]))
            row.speed_up = paired_ratio(a, b)


def _title(config: RunConfig) -> str:
    s = config.setting
    seeds = f"{len(config.seeds)} seed{'s' if len(config.seeds) > 1 else ''}"
    return (
        f"{config.suite.name} ({len(config.suite.cases)} cases, {seeds}) on {s.backbone}: width {s.width}, height "
        f"{s.height}, {s.frames} frames, {s.steps} steps, guidance {s.guidance:g}, {s.dtype} on {config.device}"
    )


def _notes(store: Store, config: RunConfig, rows: list[Row]) -> list[str]:
    notes = list(store.warnings)
    reused = [j for j in config.jobs() if (a := store.artefact(j)) and a.reused_from]
    if reused:
        notes.append(
            f"{len(reused)} videos were taken over from other runs; their seconds are not reported "
            "(--no-reuse makes them again)."
        )
    counts = {row.made for row in rows}
    if len(counts) > 1:
        notes.append(
            "Not every method has every video; means are over different cases. Run the same command again to fill them."
        )
    made = [a for j in config.jobs() if (a := store.artefact(j)) and not a.reused_from]
    if any(a.busy for a in made):
        words = next(a.busy for a in made if a.busy)
        share = f"{sum(bool(a.busy) for a in made)} of {len(made)}"
        notes.append(f"{share} videos were made on a busy machine ({words}); do not trust their seconds.")
    if differ := sum(bool(a.log.get("repeats_differ")) for a in made):
        notes.append(f"{differ} videos came out different when made again; this device is not deterministic here.")
    for row in rows:
        for kind, n in sorted(row.failed.items()):
            notes.append(f"{row.label}: {n} failed ({kind}); see failures.jsonl.")
    notes += config.notes
    return notes


def as_lines(table: Table, path: Path | None = None) -> str:
    """The table as Markdown text, which also reads well on a terminal."""
    heads = ["method", "n", *(head_of(m) for m in table.metrics), f"speed-up over {DENSE}"]
    body = [
        [_label(r), _count(r), *(cell_text(r.cells[m], m, r.made) for m in table.metrics), _ratio(r.speed_up)]
        for r in table.rows
    ]
    grid = [heads, *body]
    lines = ruled(grid if len(heads) <= MOST_COLUMNS else [list(column) for column in zip(*grid, strict=True)])
    tail = [f"note: {n}" for n in table.notes]
    where = [f"videos: {table.videos}", f"suite digest: {table.suite_digest}", f"table digest: {table.digest}"]
    if path is not None:
        where.insert(1, f"picture: {path}")
    return "\n".join([table.title, "", *lines, "", "mean ± standard error over videos (n where it differs)", *tail, *where])


def ruled(rows: list[list[str]]) -> list[str]:
    """Rows of text (the first one holds the heads) as the lines of a Markdown table with aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return lines


def head_of(name: str) -> str:
    """A metric's column head: name, unit and the direction that is better."""
    metric = _metric(name)
    arrow = {"up": " ↑", "down": " ↓", "none": ""}[metric.direction]
    return name + (f" [{metric.unit}]" if metric.unit else "") + arrow


def _label(row: Row) -> str:
    return f"{row.label} (control)" if row.control else row.label


def _count(row: Row) -> str:
    return str(row.made) if row.made == row.planned else f"{row.made} of {row.planned}"


def cell_text(cell: Cell, name: str, made: int) -> str:
    """A cell as printed; ``made`` videos are what it could cover."""
    if cell.mean is None:
        return "undefined" if cell.undefined else "failed" if cell.failed else "–"
    places = _metric(name).decimals
    text = f"{cell.mean:.{places}f}"
    if cell.error is not None:
        text += f" ± {cell.error:.{places}f}"
    return text if cell.n == made else f"{text} (n={cell.n})"


def _ratio(ratio: Ratio | None) -> str:
    return "" if ratio is None else f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def as_data(table: Table) -> dict[str, Any]:
    """The table as plain data, for ``--json``."""
    return {
        "title": table.title,
        "rows": [
            {
                "method": r.label, "control": r.control, "made": r.made, "planned": r.planned, "failed": r.failed,
                "metrics": {m: vars(c) for m, c in r.cells.items()},
                "speed_up": vars(r.speed_up) if r.speed_up else None,
            }
            for r in table.rows
        ],
        "identities": table.identities,
        "notes": table.notes,
        "videos": table.videos,
        "suite_digest": table.suite_digest,
        "digest": table.digest,
    }  # fmt: skip

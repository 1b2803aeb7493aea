"""One tidy frame per run: a row for every video and number, and a row for every number that is missing, with the reason.

    from fastvmt.reports.tidy import gather
    found = gather([Path("runs/a")])
    found.frame    # pandas, long form: COLUMNS
    found.wide("time")    # cases and seeds down, methods across

Every table, figure and page is a view of this frame. Several run folders may be gathered into one where suite, setting and
the identity of every metric agree; anything else is refused with the reason.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastvmt.core.content_address import digest
from fastvmt.errors import NotComparable, SpecError, StoreError
from fastvmt.model import Artefact, Case, Failure, Job, MethodSpec, MetricRecord, Setting, Suite
from fastvmt.plugins import metric_labels, registry
from fastvmt.plugins.labels import refuse_mixed_presets
from fastvmt.plugins.metric import Metric
from fastvmt.records.identity import Identities, differing
from fastvmt.records.same_setting import refuse_other_setting, refuse_other_timing
from fastvmt.reports.tidy.elsewhere import IMPORTED_WHY, TAKEN_OVER_WHY, timed_aside
from fastvmt.store.folder import RunConfig, Store

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
OF_A_NUMBER = ("metric", "unit", "value", "status", "why", "timing", "backend", "identity")
"""Columns that differ between the rows of one video."""
STAGE = "stage:"
WORK, FORMULA = "forward_equivalents", "forward_formula"


@dataclass
class Count:
    """Videos of one method: made, planned, and failed by kind."""

    made: int = 0
    planned: int = 0
    failed: dict[str, int] = field(default_factory=dict)


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
        notes: what a reader has to know.
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

    @property
    def title(self) -> str:
        s, n = self.setting, len(self.seeds)
        return (
            f"{s.fairness}: {self.suite.name} ({len(self.cases)} cases, {n} seed{'s' if n > 1 else ''}) on {s.backbone}, "
            f"width {s.width}, height {s.height}, {s.frames} frames, {s.steps} steps, "
            f"guidance {s.guidance:g}, {s.dtype} on {self.device}"
        )

    def of(self, metric: str) -> pd.DataFrame:
        """The rows of one metric."""
        found: pd.DataFrame = self._by_metric.get(metric, self.frame.iloc[:0])
        return found

    def wide(self, metric: str) -> pd.DataFrame:
        """Values of one metric: index (reference, case, seed), a column for each method, NaN where there is none."""
        kept: dict[str, pd.DataFrame] = self.__dict__.setdefault("_wide", {})
        if metric not in kept:
            rows = self.of(metric)
            found = rows.pivot(index=["reference", "case", "seed"], columns="label", values="value")
            kept[metric] = found.reindex(columns=[label for label in self.methods if label in found.columns])
        return kept[metric]

    @property
    def _by_metric(self) -> dict[str, pd.DataFrame]:
        found = self.__dict__.get("_groups")
        if found is None:
            found = {str(k): v for k, v in self.frame.groupby("metric", observed=True, sort=False)}
            self.__dict__["_groups"] = found
        return found  # type: ignore[no-any-return]


def gather(folders: Sequence[Path]) -> Tidy:
    """The frame of one or several run folders.

    Raises:
        StoreError: for a folder that is no run.
        NotComparable: when suites, settings, devices, threads, offloading or repeats of timings, metric identities, methods of
            one label, or presets of one method differ.
    """
    if not folders:
        raise SpecError("No run folder was given.")
    opened = [(store := Store.open(folder), store.config()) for folder in folders]
    for store, config in opened:
        registry.load_own_plugins(store.root, config.plugins)
    return of_stores(opened)


def of_stores(opened: Sequence[tuple[Store, RunConfig]]) -> Tidy:
    """As ``gather``, for runs that are open already.

    Raises:
        NotComparable: as ``gather`` does.
    """
    first = opened[0][1]
    for store, config in opened[1:]:
        _refuse_other_run(opened[0][0], first, store, config)
    if len(opened) > 1 and not any(config.ablates_presets for _, config in opened):
        refuse_mixed_presets(spec for _, config in opened for spec in config.methods)
    with no_collection():
        return _gathered(opened, first)


@contextmanager
def no_collection() -> Iterator[None]:
    """Nothing read here is garbage: looking for some between 100,000 records takes as long as reading them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _gathered(opened: Sequence[tuple[Store, RunConfig]], first: RunConfig) -> Tidy:
    import pandas as pd

    rows = _Rows(protocol=first.setting.protocol)
    jobs = [config.jobs() for _, config in opened]
    held = [{j.key: a for j in own if (a := store.artefact(j))} for (store, _), own in zip(opened, jobs, strict=True)]
    for (store, config), own, artefacts in zip(opened, jobs, held, strict=True):
        elsewhere = {key for other in held if other is not artefacts for key in other} - artefacts.keys()
        rows.add_run(store, config, [j for j in own if j.key not in elsewhere], artefacts)
    frame = pd.DataFrame(rows.columns)
    for name in TEXTS:
        frame[name] = frame[name].astype("category")
    frame["value"] = frame["value"].astype(float)
    there = set(frame["metric"].cat.categories)
    labels = dict.fromkeys([*(m for _, c in opened for m in c.metrics), *registry.metrics.names(), *rows.identities])
    return Tidy(
        frame=frame, metrics={k: metric_labels.build(k) for k in labels if k in there},
        identities=rows.identities, methods=rows.methods,
        cases={c.id: c for c in first.suite.cases}, stores=tuple(s for s, _ in opened), suite=first.suite,
        setting=first.setting, device=first.device, seeds=tuple(dict.fromkeys(s for _, c in opened for s in c.seeds)),
        notes=tuple(dict.fromkeys(rows.notes)), digest=digest([sorted(rows.made), sorted(rows.scored)])[:16],
        suite_digest=first.suite.digest()[:16], counts=rows.counts, own_identities=rows.own_identities,
    )  # fmt: skip


def _refuse_other_run(a: Store, first: RunConfig, b: Store, config: RunConfig) -> None:
    if config.suite.digest() != first.suite.digest():
        raise NotComparable(
            f"{a.root.name} and {b.root.name} are runs of different suites ({first.suite.name} {first.suite.digest()[:12]}, "
            f"{config.suite.name} {config.suite.digest()[:12]}); their numbers must not share a table. Report them apart."
        )
    refuse_other_setting(a.root.name, first, b.root.name, config)
    refuse_other_timing(a.root.name, first, b.root.name, config)


def current_records(
    store: Store, artefacts: dict[str, Artefact], references: Mapping[str, str], identities: Identities | None = None
) -> list[MetricRecord]:
    """The last record of each job and metric that is of the video as it is now: one scored again with another version or
    backend replaces the older one, and what was said of frames that are gone does not count.

    Args:
        references: job key to the reference's frames digest.
        identities: what the caller knows of them already.
    """
    fits = (identities or Identities()).fits
    found = (r for r in store.records().values() if (a := artefacts.get(r.job_key)) and fits(r, a, references[r.job_key]))
    return list({(r.job_key, r.metric): r for r in found}.values())


@dataclass
class _Rows:
    """Columns as they grow, and what is noticed on the way."""

    columns: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    identities: dict[str, dict[str, Any]] = field(default_factory=dict)
    own_identities: dict[str, dict[str, Any]] = field(default_factory=dict)
    known: Identities = field(default_factory=Identities)
    methods: dict[str, MethodSpec] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    made: list[list[str]] = field(default_factory=list)
    scored: list[list[Any]] = field(default_factory=list)
    counts: dict[str, Count] = field(default_factory=dict)
    protocol: str = ""
    _jobs: dict[str, str] = field(default_factory=dict)
    _names: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add_run(self, store: Store, config: RunConfig, jobs: list[Job], artefacts: dict[str, Artefact]) -> None:
        """A run's rows; ``jobs`` are without those whose video only another run has."""
        failures = store.failures()
        records: dict[str, dict[str, MetricRecord]] = {}
        aside, said = timed_aside(artefacts)
        self.notes += said
        clips = {c.id: c.reference.frames_digest for c in config.suite.cases}
        references = {j.key: clips[j.case_id] for j in jobs}
        for record in current_records(store, artefacts, references, self.known):
            if record.job_key in aside and self.known.timing(record.metric):
                continue
            self._check(record)
            records.setdefault(record.job_key, {})[record.metric] = record
        for spec in config.methods:
            known = self.methods.setdefault(spec.label, spec)
            if known.identity() != spec.identity():
                raise NotComparable(
                    f"'{spec.label}' has other parameters in {store.root.name} than in the run before it; its numbers must not "
                    "share a table. Report the runs apart, or write the parameters out in the label."
                )
        cases = {c.id: c for c in config.suite.cases}
        wanted = list(dict.fromkeys([*config.metrics, *(m for r in records.values() for m in r)]))
        metrics = {name: metric_labels.build(name) for name in wanted}
        for job in jobs:
            artefact = artefacts.get(job.key)
            if self._seen(job, artefact, store):
                continue
            failure = failures.get(job.key) if artefact is None else None
            self._count(job, artefact, failure)
            state = ("failed", failure.kind) if failure else ("missing", "not made yet")
            why = aside.get(job.key, "") or _elsewhere(artefact)
            self._add_job(store, job, cases[job.case_id], artefact, records.get(job.key, {}), metrics, state, why)
        self.notes += _notes(store, config, jobs, artefacts)

    def _count(self, job: Job, artefact: Artefact | None, failure: Failure | None) -> None:
        count = self.counts.setdefault(job.method.label, Count())
        count.planned += 1
        count.made += artefact is not None
        if failure:
            count.failed[failure.kind] = count.failed.get(failure.kind, 0) + 1

    def _check(self, record: MetricRecord) -> None:
        whole = self.known.whole(record)
        first = self.identities.setdefault(record.metric, whole)
        self.own_identities.setdefault(record.metric, self.known.own(record))
        if first != whole:
            raise NotComparable(
                f"{record.metric}: records differ in {', '.join(differing(first, whole))} and must not be averaged. "
                f"Score again on one machine with `bench score RUN --metrics {record.metric} --again`."
            )

    def _seen(self, job: Job, artefact: Artefact | None, store: Store) -> bool:
        """Whether another run has brought this job already.

        Raises:
            StoreError: when its video was another one there.
        """
        digest_here = artefact.frames_digest if artefact else ""
        known, before = job.key in self._jobs, self._jobs.get(job.key)
        if before and digest_here and before != digest_here:
            raise StoreError(
                f"{job.case_id} {job.method.label} seed {job.seed}: {store.root.name} holds another video of the same job than "
                "the run before it; numbers of both must not be averaged. Report the runs apart, or find out which machine "
                "is not deterministic."
            )
        self._jobs[job.key] = before or digest_here
        return known

    def _add_job(
        self, store: Store, job: Job, case: Case, artefact: Artefact | None, records: dict[str, MetricRecord],
        metrics: dict[str, Metric], state: tuple[str, str], elsewhere: str,
    ) -> None:  # fmt: skip
        device, frames = (artefact.device, artefact.frames_digest) if artefact else ("", "")
        reused = bool(artefact and artefact.reused_from)
        if artefact:
            self.made.append([job.key, artefact.frames_digest])
        rows: list[tuple[Any, ...]] = []
        for name, metric in metrics.items():
            record = records.get(name)
            if record is None and not metric.applies(case):
                continue
            value: float | None = None
            if record is not None:
                status: str = record.status
                value = record.value
                why = "" if status == "ok" else str(record.details.get("why") or record.details.get("cause") or "")
                if not metric.timing:
                    self.scored.append([record.key, status, value])
            elif artefact and metric.timing and elsewhere:
                status, why = "elsewhere", elsewhere
            else:
                status, why = ("missing", "not scored yet") if artefact else state
            rows.append((name, metric.unit, value, status, why, metric.timing, *self._identity(name, metric)))
        imported = job.method.imported
        if artefact and not imported:
            rows.append((WORK, "", artefact.forward_equivalents, "ok", "", False, "", ""))
            if artefact.forward_formula is not None:
                rows.append((FORMULA, "", artefact.forward_formula, "ok", "", False, "", ""))
            for stage, seconds in artefact.stages.items() if not elsewhere else ():
                rows.append((STAGE + stage, "s", seconds, "ok", "", True, "", ""))
        common = {
            "run": store.root.name, "case": case.id, "category": case.category, "reference": case.reference.frames_digest[:16],
            "label": job.method.label, "method": job.method.method, "control": job.method.control, "preset": job.method.preset,
            "seed": job.seed, "job": job.key, "device": device, "frames_digest": frames, "reused": reused,
            "imported": imported,
            "protocol": self.protocol,
        }  # fmt: skip
        for name, value_of_all in common.items():
            self.columns[name].extend([value_of_all] * len(rows))
        for name, values in zip(OF_A_NUMBER, zip(*rows, strict=True), strict=True) if rows else ():
            self.columns[name].extend(values)

    def _identity(self, name: str, metric: Metric) -> tuple[str, str]:
        """Backend and digest of a metric's identity as its records have it; no digest where there is no record yet."""
        if name not in self._names:
            facts = self.identities.get(name)
            self._names[name] = (str(facts.get("backend", "")), digest(facts)[:12]) if facts else (metric.backend, "")
        return self._names[name]


def _elsewhere(artefact: Artefact | None) -> str:
    """Why a video has no seconds of this run, or ""."""
    if artefact is None or not artefact.reused_from:
        return ""
    return IMPORTED_WHY if artefact.imported else TAKEN_OVER_WHY


def _notes(store: Store, config: RunConfig, jobs: list[Job], artefacts: dict[str, Artefact]) -> list[str]:
    notes = list(store.warnings)
    found = list(artefacts.values())
    if reused := sum(bool(a.reused_from) and not a.imported for a in found):
        notes.append(
            f"{reused} videos were taken over from other runs; their seconds are not reported (--no-reuse makes them again)."
        )
    made = [a for a in found if not a.reused_from]
    if busy := [a.busy for a in made if a.busy]:
        notes.append(f"{len(busy)} of {len(made)} videos were made on a busy machine ({busy[0]}); do not trust their seconds.")
    if differ := sum(bool(a.log.get("repeats_differ")) for a in made):
        notes.append(f"{differ} videos came out different when made again; this device is not deterministic here.")
    failures = store.failures()
    for spec in config.methods:
        codes = {a.log.get("code") for j in jobs if j.method is spec and (a := artefacts.get(j.key)) and not a.imported}
        if len(codes - {None, ""}) > 1:
            notes.append(
                f"{spec.label}: its videos were made by {len(codes - {None, ''})} states of its code under one version number; "
                "raise the version, or give another --out."
            )
        kinds = [failures[j.key].kind for j in jobs if j.method is spec and j.key not in artefacts and j.key in failures]
        notes += [f"{spec.label}: {kinds.count(k)} failed ({k}); see failures.jsonl." for k in sorted(set(kinds))]
    return [*notes, *config.notes]

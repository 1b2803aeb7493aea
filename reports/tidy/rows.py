"""The frame's rows as they are read, run by run: what each video has, and why it lacks what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastvmt.core.content_address import digest
from fastvmt.core.spelling import public
from fastvmt.errors import NotComparable, StoreError
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import Artefact, Case, Job, MethodSpec, MetricRecord
from fastvmt.plugins.metric import Metric
from fastvmt.plugins.metric_labels import applies
from fastvmt.records.failures import cause_of
from fastvmt.records.identity import Identities, differing
from fastvmt.reports.tidy.frame import COLUMNS, FORMULA, STAGE, WORK, Count
from fastvmt.reports.tidy.gaps import cut_prompts, notes_of, timed_aside, why_unscored, why_untimed
from fastvmt.store.folder import Store

OF_A_NUMBER = ("metric", "unit", "value", "status", "why", "timing", "backend", "identity")
"""Columns that differ between the rows of one video."""


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
class Rows:
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
        codes: dict[str, set[str]] = {}
        aside, said = timed_aside(artefacts)
        self.notes += said
        clips = {c.id: c.reference.frames_digest for c in config.suite.cases}
        references = {j.key: clips[j.case_id] for j in jobs}
        for record in current_records(store, artefacts, references, self.known):
            if record.job_key in aside and self.known.timing(record.metric):
                continue
            if record.status != "failed":  # it has no number that could share a mean
                self._check(record)
                codes.setdefault(record.metric, set()).update([record.code] if record.code else [])
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
        metrics = {name: self.known.metric(name) for name in wanted}
        for job in jobs:
            artefact = artefacts.get(job.key)
            if self._seen(job, artefact, store):
                continue
            failure = failures.get(job.key) if artefact is None else None
            count = self.counts.setdefault(job.method.label, Count())
            count.planned += 1
            count.made += artefact is not None
            count.busy += bool(artefact and artefact.busy and not artefact.reused_from)
            if failure:
                count.failed[failure.kind] = count.failed.get(failure.kind, 0) + 1
            state = ("failed", failure.kind) if failure else ("missing", "not made yet")
            why = aside.get(job.key, "") or why_untimed(artefact)
            self._add_job(store, job, cases[job.case_id], artefact, records.get(job.key, {}), metrics, state, why)
        self.notes += [
            *notes_of(store, config, jobs, artefacts),
            *why_unscored(jobs, records),
            *cut_prompts(cases, jobs, records),
        ]
        self.notes += [
            f"{name}: its numbers were computed by {len(found)} states of its code; `bench score` computes them again."
            for name, found in codes.items()
            if len(found) > 1
        ]

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
            if record is None and not applies(metric, case):
                continue
            value: float | None = None
            if record is not None:
                status: str = record.status
                value = record.value
                why = "" if status == "ok" else public(cause_of(record))
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

"""Metrics that could not say why they failed: their worker died, was stopped, or had no frames to give them."""

from __future__ import annotations

from collections.abc import Sequence

from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import Job, MetricRecord
from fastvmt.records.failures import CAUSE, TRACE
from fastvmt.records.identity import key_of, machine
from fastvmt.runner.scoring.score import wanted_metrics
from fastvmt.store.folder import Store


def not_scored(
    store: Store, config: RunConfig, job: Job, labels: Sequence[str], cause: str, trace: str = ""
) -> list[MetricRecord] | None:
    """A failed record of each of these metrics that applies; None where there is no video to be scored any more.

    Args:
        cause: one sentence.
        trace: a traceback, or the last words of the worker.
    """
    artefact = store.artefact(job)
    if artefact is None:
        return None
    case = next(c for c in config.suite.cases if c.id == job.case_id)
    details = {CAUSE: cause} | ({TRACE: trace} if trace else {})
    found = []
    for metric in wanted_metrics(list(labels), case, artefact):
        device, software = machine(artefact) if metric.timing else (None, None)
        found.append(
            MetricRecord(
                key=key_of(metric, artefact, case), job_key=job.key, metric=metric.label, identity=metric.identity(),
                status="failed", value=None, details=details, device=device, software=software,
            )
        )  # fmt: skip
    return found

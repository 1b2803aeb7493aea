"""From an artefact and metrics to records. Frames are decoded once per job; features are shared through a cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

from fastvmt.core.content_address import canonical_json, frames_digest
from fastvmt.errors import JobError, MissingWeights, SpecError
from fastvmt.jobs.run_config import RunConfig
from fastvmt.media.files import Frames, read_lossless
from fastvmt.model import Artefact, Case, Job, MetricRecord, Reference
from fastvmt.model.fields import LARGEST
from fastvmt.plugins.metric import Metric, Scored, Value
from fastvmt.plugins.metric_labels import build
from fastvmt.records.identity import machine, record_key
from fastvmt.store.folder import Store
from fastvmt.store.layout import FRAMES


def wanted_metrics(names: list[str] | tuple[str, ...], case: Case, artefact: Artefact) -> list[Metric]:
    """The metrics that apply: not those without meaning for the case, no timing of an artefact made elsewhere."""
    return [m for m in map(build, names) if m.applies(case) and not (m.timing and artefact.reused_from)]


def score_job(store: Store, config: RunConfig, job: Job, names: list[str]) -> Iterator[MetricRecord]:
    """Records of one job.

    Raises:
        JobError: when the artefact is missing or its frames are not those it was published with.
    """
    artefact = store.artefact(job, verify=True)
    if artefact is None:
        why = store.warnings[-1] if store.warnings else "there is none"
        raise JobError(f"there is no video to score: {why} Give the same command again.")
    case = next(c for c in config.suite.cases if c.id == job.case_id)
    scored: Scored | None = None
    for metric in wanted_metrics(names, case, artefact):
        if not metric.timing and scored is None:
            generated = read_lossless(store.folder(job) / FRAMES, artefact.shape)
            if frames_digest(generated) != artefact.frames_digest:
                raise JobError(f"{FRAMES} does not decode to the frames it was published with")
            reference = store.reference(case.reference)
            scored = Scored(generated, reference, case, job, artefact)
            scored.wrong_reference = partial(_wrong_reference, store, config, case)
        yield _record(metric, scored, artefact, case, job)


def _wrong_reference(store: Store, config: RunConfig, case: Case) -> tuple[str, Frames] | None:
    """The next case's reference of the same length, round the suite: a derangement, the same for every method."""
    cases = [c for c in config.suite.cases if c.reference.frames == case.reference.frames]
    at = next(n for n, c in enumerate(cases) if c.id == case.id)
    own = case.reference.frames_digest
    others = [c.reference for c in (*cases[at + 1 :], *cases[:at]) if c.reference.frames_digest != own]
    return (others[0].frames_digest, store.reference(others[0])) if others else None


def _record(metric: Metric, scored: Scored | None, artefact: Artefact, case: Case, job: Job) -> MetricRecord:
    subject = scored or Scored(None, None, case, job, artefact)  # type: ignore[arg-type]
    identity = metric.identity()
    key = record_key(canonical_json(identity), metric.timing, artefact, case.reference.frames_digest).hex()
    status: Literal["ok", "undefined", "failed"]
    try:
        found = metric.score(subject)
        if found.value is not None and not abs(found.value) <= LARGEST:
            raise ArithmeticError(
                f"the metric returned {found.value}"
            )  # NaN is no "undefined", whose reason a metric has to give
        plain = lambda v: v.tolist() if hasattr(v, "tolist") else str(v)  # noqa: E731 - arrays and their numbers; the rest as text
        details = json.loads(json.dumps(found.details, default=plain))
        value, status = found.value, "undefined" if found.value is None else "ok"
    except Exception as error:  # noqa: BLE001 - one metric's failure on one clip is a record, not the end of the run
        value, status, details = None, "failed", {"cause": f"{type(error).__name__}: {error}"}
    device, software = machine(artefact) if metric.timing else (None, None)
    return MetricRecord(
        key=key, job_key=job.key, metric=metric.label, identity=identity, status=status,
        value=value, details=details, device=device, software=software,
    )  # fmt: skip


def score_clip(
    label: str, generated: Frames, reference: Frames | None = None, *, prompt: str = "", other: Frames | None = None,
    source: str = "memory",
) -> Value:  # fmt: skip
    """One number for frames in memory, without a run folder.

    Args:
        label: a metric as on the command line, e.g. ``motion_fidelity:tracker=cotracker3``.
        generated: uint8 RGB (T, H, W, 3).
        reference: the clip it is judged against, the same shape; ``generated`` itself when left out.
        prompt: what was asked for.
        other: another case's reference, which the ``_wrong`` controls need.
        source: where the reference comes from; drawn pairs (``drawn:SUITE/NAME``) have a known path.

    Returns:
        The number, or None with the reason in ``details`` where the metric is undefined.

    Raises:
        SpecError: for an unknown metric, one that needs a run (costs), or one without meaning for this clip.
        MissingWeights: when a weight file is not there.

    >>> import numpy as np
    >>> still = np.zeros((5, 64, 64, 3), np.uint8)
    >>> score_clip("vbench:temporal_flickering:backend=native", still).value
    1.0
    """
    reference = generated if reference is None else reference
    metric = build(label)
    if metric.timing:
        raise SpecError(f"{label}: costs are measured while a video is made; use `bench run`.")
    if metric.missing():
        raise MissingWeights(metric.missing())
    digests = {name: frames_digest(f) for name, f in (("own", reference), ("other", other)) if f is not None}
    frames, height, width = reference.shape[:3]
    known = Reference(frames_digest=digests["own"], width=width, height=height, frames=frames, source=source)
    case = Case(id="clip", prompt=prompt, reference=known)
    if not metric.applies(case):
        raise SpecError(f"{label} has no meaning for this clip: it needs {', '.join(metric.needs)}.")
    nowhere: Any = None  # a metric that is no cost reads neither job nor artefact
    scored = Scored(generated, reference, case, nowhere, nowhere)
    if other is not None:
        scored.wrong_reference = lambda: (digests["other"], other)
    return metric.score(scored)

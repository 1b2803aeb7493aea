"""From an artefact and metrics to records.

Frames are decoded once per job, references once per process; features are shared through a cache.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

from pydantic import ValidationError

from fastvmt.artefacts.code_state import edited_metric
from fastvmt.core.content_address import frames_digest
from fastvmt.core.reading import LARGEST
from fastvmt.core.sealed import Shared, sealed
from fastvmt.core.spelling import value_shown
from fastvmt.core.validation import first_problem
from fastvmt.errors import JobError, MissingWeights, SpecError, WrongOutput, is_full
from fastvmt.jobs.run_config import RunConfig
from fastvmt.media.files import Frames, read_lossless
from fastvmt.metrics.copies import COPY, repeated
from fastvmt.model import COPIES, Artefact, Case, Job, MetricRecord, Reference
from fastvmt.plugins.blame import aside, blamed, defined, in_hook, is_ours, words
from fastvmt.plugins.metric import Metric, Scored, Value
from fastvmt.plugins.metric_labels import applies, build
from fastvmt.records.failures import why_failed
from fastvmt.records.identity import identity_of, machine, record_key
from fastvmt.runner.scoring.references import REFERENCES
from fastvmt.store.folder import Store
from fastvmt.store.layout import FRAMES


def wanted_metrics(names: list[str] | tuple[str, ...], case: Case, artefact: Artefact) -> list[Metric]:
    """The metrics that apply: not those without meaning for the case, no timing of an artefact made elsewhere."""
    return [m for m in map(build, names) if applies(m, case) and not (m.timing and artefact.reused_from)]


def score_job(
    store: Store, config: RunConfig, job: Job, names: list[str], enter: Callable[[str], None] = lambda label: None
) -> Iterator[MetricRecord]:
    """Records of one job.

    Args:
        enter: told each metric's label before it begins, so that one that ends the process can be named.

    Raises:
        JobError: when the artefact is missing or its frames are not those it was published with.
    """
    artefact = store.artefact(job, verify=True, bare=True)
    if artefact and not artefact.files:
        raise JobError("there is no video to score: this folder is of a submission that leaves it out.")
    if artefact is None:
        why = store.warnings[-1] if store.warnings else "there is none"
        raise JobError(f"there is no video to score: {why} Give the same command again.")
    case = next(c for c in config.suite.cases if c.id == job.case_id)
    handed = _Handed(Scored(None, None, case, job, sealed(artefact)))  # type: ignore[arg-type]
    marks: dict[str, Any] = {}
    for metric in sorted(wanted_metrics(names, case, artefact), key=lambda m: not m.timing):  # a timing needs no frames
        if not metric.timing and handed.all.generated is None:
            generated = read_lossless(store.folder(job) / FRAMES, artefact.shape)
            if frames_digest(generated) != artefact.frames_digest:
                raise JobError(f"{FRAMES} does not decode to the frames it was published with")
            reference = REFERENCES.of(store, case.reference)
            wrong = partial(_wrong_reference, store, config, case)
            handed.all = replace(handed.all, generated=generated, reference=reference, wrong_reference=wrong)
            marks = _marks(generated, reference, job)
        enter(metric.label)
        yield _record(metric, handed.to(metric), artefact, case, job, marks)


def _marks(generated: Frames, reference: Frames, job: Job) -> dict[str, Any]:
    """What every number of a video says of it: that it is (nearly) the reference, and by how much."""
    share = None if job.method.ceiling else repeated(generated, reference)
    return {} if share is None or share <= COPY else {COPIES: round(share, 3)}


@dataclass
class _Handed:
    """What the metrics of one job get: each the same, whatever those before it did with it."""

    all: Scored
    caches: dict[str, Shared] = field(default_factory=dict)

    def to(self, metric: Metric) -> Scored:
        """Read-only; a plug-in's arrays are its own as well, because torch writes into numpy's in spite of that."""
        ours, found = is_ours(type(metric)), self.all

        def own(frames: Frames) -> Frames:
            return sealed(frames if ours or frames is None else frames.copy())

        def wrong() -> tuple[str, Frames] | None:
            other = found.wrong_reference()
            return other and (other[0], own(other[1]))

        cache = self.caches.setdefault("" if ours else type(metric).__module__, Shared())
        case = found.case
        if case and found.job and found.job.method.ceiling and "known motion" in metric.needs:
            case = case.model_copy(update={"prompt": case.caption})  # it shows what its own words name
        facts = sealed(case), sealed(found.job), copy.copy(found.artefact)
        return Scored(own(found.generated), own(found.reference), *facts, cache, wrong)


def _wrong_reference(store: Store, config: RunConfig, case: Case) -> tuple[str, Frames] | None:
    other = config.suite.other_reference(case)
    return (other.frames_digest, REFERENCES.of(store, other)) if other else None


def _record(metric: Metric, scored: Scored, artefact: Artefact, case: Case, job: Job, marks: dict[str, Any]) -> MetricRecord:
    identity = nameless = '{"metric":' + json.dumps(metric.label) + "}"

    def record(status: Literal["ok", "undefined", "failed"], value: float | None, details: dict[str, Any]) -> MetricRecord:
        device, software = machine(artefact) if metric.timing else (None, None)
        return MetricRecord(
            key=record_key(identity, metric.timing, artefact, case.reference.frames_digest).hex(), job_key=job.key,
            metric=metric.label, identity=json.loads(identity), status=status, value=value, details=details, device=device,
            software=software, code=edited_metric(metric) or None,
        )  # fmt: skip

    try:
        identity = identity_of(metric)
        metric.applies(case)  # for what it raises
        found = measured(metric, scored)
        try:
            return record("undefined" if found.value is None else "ok", found.value, found.details | marks)
        except ValidationError as error:
            identity = nameless
            raise WrongOutput(f"what it returned cannot be stored: {first_problem(error)}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # one metric's failure on one clip is a record, not the end of the run
        if is_full(error):
            raise
        return record("failed", None, why_failed(words(error, type(metric)), error))


def measured(metric: Metric, scored: Scored) -> Value:
    """What a metric says of a clip, with plain details.

    Raises:
        WrongOutput: for something else than a finite number or None in a ``Value``, with file and line of ``score``.
        Exception: whatever the metric raises.
    """
    cls = type(metric)
    with in_hook("score"), aside():
        found = metric.score(scored)
    number: Any = getattr(found, "value", None)
    if hasattr(number, "__float__"):  # a string has none
        with suppress(TypeError, ValueError, OverflowError):
            number = float(number)
    at = f" ({here})" if (here := defined(cls.score)) else ""
    if not isinstance(found, Value) or not isinstance(found.details, dict):
        raise WrongOutput(f"score returned {value_shown(found)}, expected a Value with a dictionary of details{at}")
    if number is not None and not (isinstance(number, float) and abs(number) <= LARGEST):
        said = number if isinstance(number, float) else value_shown(found.value)
        raise WrongOutput(f"score returned {said}, expected a finite number, or None and why there is none{at}")
    plain = lambda v: v.tolist() if hasattr(v, "tolist") else str(v)  # noqa: E731 - arrays and their numbers; the rest as text
    return Value(number, json.loads(json.dumps(found.details, default=plain)))


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
        SpecError: for an unknown metric, one that needs a run (costs), one without meaning for this clip, or one that raises
            or returns no finite number: whose fault it is, with file and line.
        MissingWeights: when a weight file is not there.

    >>> import numpy as np
    >>> still = np.zeros((5, 64, 64, 3), np.uint8)
    >>> score_clip("vbench:temporal_flickering:backend=native", still).value
    1.0
    """
    return scorer(generated, reference, prompt=prompt, other=other, source=source)(label)


def scorer(
    generated: Frames, reference: Frames | None = None, *, prompt: str = "", other: Frames | None = None, source: str = "memory"
) -> Callable[[str], Value]:
    """``score_clip`` of one clip by any label; its metrics share what they compute."""
    reference = generated if reference is None else reference
    digests = {name: frames_digest(f) for name, f in (("own", reference), ("other", other)) if f is not None}
    frames, height, width = reference.shape[:3]
    known = Reference(frames_digest=digests["own"], width=width, height=height, frames=frames, source=source)
    case = Case(id="clip", prompt=prompt, reference=known)
    nowhere: Any = None  # a metric that is no cost reads neither job nor artefact
    scored = Scored(generated, reference, case, nowhere, nowhere)
    if other is not None:
        scored.wrong_reference = lambda: (digests["other"], other)
    handed = _Handed(scored)

    def score(label: str) -> Value:
        metric = build(label)
        if metric.timing:
            raise SpecError(f"{label}: costs are measured while a video is made; use `bench run`.")
        if metric.missing():
            raise MissingWeights(metric.missing())
        if not metric.applies(case):
            raise SpecError(f"{label} has no meaning for this clip: it needs {', '.join(metric.needs)}.")
        with blamed(type(metric), f"Metric '{label}'"):
            return measured(metric, handed.to(metric))

    return score

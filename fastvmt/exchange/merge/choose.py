"""What the merged run holds of every job: one video, its numbers, or a failure. Nothing is averaged, nothing chosen silently.

The rule for a job that came out with other frames in two runs: no video, no number, and a failure of kind ``conflict``, until
the user names the run to believe. The rule for a number that two runs have otherwise for the same frames: no number. Seconds
belong to the run that made the video which is kept, and to no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastvmt.core.content_address import canonical_json
from fastvmt.core.spelling import shown
from fastvmt.errors import NotComparable
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import Artefact, Failure, Job, MetricRecord
from fastvmt.plugins.traits import Traits
from fastvmt.records.identity import Identities, Machine, differing, machine
from fastvmt.store.foreign_run import Source

CONFLICT = "conflict"


@dataclass
class Choice:
    """What goes into the merged run.

    Attributes:
        videos: (job, source, artefact) in the order of jobs.
        records, failures: likewise.
        frames, numbers: conflicts as plain data; ``used`` in them names the run that the user prefers, or is null.
        notes: for under the table.
    """

    videos: list[tuple[Job, Source, Artefact]] = field(default_factory=list)
    records: list[MetricRecord] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    frames: list[dict[str, Any]] = field(default_factory=list)
    numbers: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def undecided(self) -> int:
        """Jobs without a value because runs disagree about their frames."""
        return sum(c["used"] is None for c in self.frames)


def choose(sources: Sequence[Source], config: RunConfig, traits: Traits, prefer: Sequence[str] = ()) -> Choice:
    """Go through the jobs of the united configuration.

    Args:
        sources: sorted; prefer: names of sources to believe where frames differ, the first one that has the video.
        traits: what they say of their plug-ins.

    Raises:
        NotComparable: when records of one metric differ in version, backend or weights.
    """
    found = Choice()
    classes = Counter(machine(a) for s in sources for a in s.artefacts.values() if not a.reused_from)
    identities: dict[str, tuple[str, dict[str, Any]]] = {}
    known = Identities(traits)
    twice = 0
    for job in config.jobs():
        holders = [s for s in sources if job.key in s.artefacts]
        earlier = {name: d for s in sources for name, d in s.disputes.get(job.key, {}).items()}
        if len({s.artefacts[job.key].frames_digest for s in holders} | set(earlier.values())) > 1:
            holders = _settle(job, holders, earlier, prefer, found)
        if not holders:
            found.failures += _failures(job, sources, found)
            continue
        kept = min(holders, key=lambda s: _rank(s.artefacts[job.key], classes))
        twice += len([s for s in holders if not s.artefacts[job.key].reused_from]) > 1
        found.videos.append((job, kept, kept.artefacts[job.key]))
        for metric in _metrics_of(holders, config):
            records = [(s, r) for s in holders if (r := s.records.get((job.key, metric)))]
            if records and known.timing(metric, records[0][1]):
                records = [(s, r) for s, r in records if s is kept]
            if records and not known.timing(metric):
                _same_identity(metric, records, identities)
            found.records += _united(job, metric, records, prefer, found)
    found.notes += list(_notes(found, twice))
    return found


def _metrics_of(holders: Sequence[Source], config: RunConfig) -> list[str]:
    """The run's metrics, then those that were scored beside them."""
    return [*config.metrics, *sorted({m for s in holders for m in s.metrics} - set(config.metrics))]


def _rank(artefact: Artefact, classes: Counter[Machine]) -> tuple[Any, ...]:
    """Made there before taken over, the commonest machine first; then any order, as long as it is always the same."""
    return (bool(artefact.reused_from), -classes[machine(artefact)], artefact.model_dump_json(exclude={"check"}))


def _settle(job: Job, holders: Sequence[Source], earlier: dict[str, str], prefer: Sequence[str], found: Choice) -> list[Source]:
    """Those whose frames count: the preferred run's and all that agree with it; none without one."""
    by_name = {s.name: s for s in holders}
    used = next((name for name in prefer if name in by_name), None)
    digests = {s.name: s.artefacts[job.key].frames_digest for s in holders}
    found.frames.append(_about(job) | {"runs": earlier | digests, "used": used})
    return [s for s in holders if used and digests[s.name] == digests[used]]


def _about(job: Job) -> dict[str, Any]:
    return {"job": job.key, "case": job.case_id, "method": job.method.label, "seed": job.seed}


def _failures(job: Job, sources: Sequence[Source], found: Choice) -> list[Failure]:
    conflict = found.frames[-1] if found.frames else None
    if conflict and conflict["job"] == job.key:
        said = ", ".join(f"{name} {made[:12]}" for name, made in conflict["runs"].items())
        message = f"made with other frames in several runs ({said}); merge again with --prefer RUN to use one of them"
        return [Failure(job_key=job.key, kind=CONFLICT, stage="merge", message=message)]
    return [s.failures[job.key] for s in sources if job.key in s.failures]


def _same_identity(
    metric: str, records: list[tuple[Source, MetricRecord]], known: dict[str, tuple[str, dict[str, Any]]]
) -> None:
    for source, record in records:
        if record.status == "failed":
            continue  # it has no number that could share a mean
        name, before = known.setdefault(metric, (source.name, record.identity))
        if before != record.identity:
            keys = differing(before, record.identity)
            raise NotComparable(
                f"{shown(metric)} was not computed alike in {name} and {source.name}: {', '.join(map(shown, keys))} differ. "
                f"Score one of them again on the other's machine with `bench score RUN --metrics {shown(metric)} --again`."
            )


def _united(
    job: Job, metric: str, records: list[tuple[Source, MetricRecord]], prefer: Sequence[str], found: Choice
) -> list[MetricRecord]:
    """One record, or none where runs disagree; a computation that failed somewhere yields to one that did not."""
    sound = [(s, r) for s, r in records if r.status != "failed"] or records
    if not sound:
        return []
    used: str | None = None
    if len({(r.status, r.value) for _, r in sound}) > 1:
        names = {s.name for s, _ in sound}
        used = next((name for name in prefer if name in names), None)
        values = {s.name: r.value for s, r in sound}
        found.numbers.append(_about(job) | {"metric": metric, "runs": values, "used": used})
        sound = [(s, r) for s, r in sound if s.name == used]
    return [min((r for _, r in sound), key=lambda r: canonical_json(_finite(r)))] if sound else []


def _finite(record: MetricRecord) -> Any:
    """A record as what has one text, whatever a metric put into its details."""
    return [record.key, record.status, record.value, str(sorted(record.details.items(), key=lambda pair: pair[0]))]


def _notes(found: Choice, twice: int) -> Iterator[str]:
    if found.undecided:
        yield (
            f"{found.undecided} videos came out with other frames in several runs; they have no value here and are never "
            "averaged (conflicts.json names them; --prefer RUN uses one run's)."
        )
    if settled := len(found.frames) - found.undecided:
        names = " and ".join(dict.fromkeys(c["used"] for c in found.frames if c["used"]))
        yield f"{settled} videos came out with other frames in several runs; those of {names} stand here (--prefer)."
    if open_numbers := sum(c["used"] is None for c in found.numbers):
        yield (
            f"{open_numbers} numbers differ between runs for the same frames; they are left out (conflicts.json names them; "
            "`bench score` computes them here)."
        )
    if twice:
        yield f"{twice} videos were made in several runs with equal frames; the seconds are those of one of them."

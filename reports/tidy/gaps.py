"""What a frame lacks, and why: seconds of another machine than most of a run's, or of nobody here; and the notes on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from statistics import mean
from typing import Any

from fastvmt.core.spelling import public, shown
from fastvmt.jobs.run_config import RunConfig
from fastvmt.metrics.text.clip_weights import cut_said
from fastvmt.model import Artefact, Case, Job, MethodSpec, MetricRecord
from fastvmt.plugins.metric_labels import name_of
from fastvmt.records.failures import cause_of
from fastvmt.records.identity import machine
from fastvmt.reports.tidy.frame import Count
from fastvmt.store.folder import TO_MAKE, Store

IMPORTED_WHY = "imported: made elsewhere, not timed here"
CEILING_WHY = "the reference itself: nothing was generated"
TAKEN_OVER_WHY = "the video was taken over from another run"
IMPORTED_GROUP = "imported (made elsewhere)"
LOOKS = ("live", "mask", "mask50")
"""Policies of motion metrics that leave out what a tracker does not see."""


Machine = tuple[str, str, str]
"""Device, digest of software and conditions, and the device of the training where that was another one."""


def trained_on(artefact: Artefact) -> str:
    """The device that trained for a video, where it is not the one that made it; ""."""
    prepared = artefact.log.get("prepared")
    device = str(prepared.get("device", "")) if isinstance(prepared, dict) else ""
    return device if device != artefact.device else ""


def timed_aside(artefacts: Mapping[str, Artefact]) -> tuple[dict[str, str], list[str]]:
    """Job key to the reason why its seconds are left out, and a note for under the table.

    A run's videos may come from several machines, by a merge or helpers, or from before and after an update. Seconds of one
    table are of one machine with one software: that with most videos, by name where two have as many. The others' stay in
    ``records.jsonl`` with their device. A video whose training another device did is of no one machine: its seconds, which
    hold those of the training, are left out.
    """
    machines: dict[str, Machine] = {key: (*machine(a), trained_on(a)) for key, a in artefacts.items() if not a.reused_from}
    counts = Counter(machines.values())
    whole = [m for m in counts if not m[2]]
    if len(counts) == len(whole) < 2:
        return {}, []
    main = min(whole or counts, key=lambda m: (-counts[m], m))
    aside = {key: f"timed on {_named(m, main)}" for key, m in machines.items() if m != main or m[2]}
    others = ", ".join(f"{n} on {_named(m, main)}" for m, n in sorted(counts.items()) if m != main or m[2])
    if not whole:
        return aside, [f"no seconds are those of one machine; left out: {others}."]
    return aside, [f"seconds are those of the {counts[main]} videos made on {main[0]} alone; left out: {others}."]


def _named(machine: Machine, main: Machine) -> str:
    if machine[2]:
        return f"{machine[0]} and trained on {machine[2]}"
    return f"{machine[0]} with other software or conditions" if machine[0] == main[0] else machine[0]


def why_untimed(artefact: Artefact | None) -> str:
    """Why a video has no seconds of this run, or ""."""
    if artefact is None or not artefact.reused_from:
        return ""
    return IMPORTED_WHY if artefact.imported else CEILING_WHY if artefact.ceiling else TAKEN_OVER_WHY


def notes_of(store: Store, config: RunConfig, jobs: list[Job], artefacts: dict[str, Artefact]) -> list[str]:
    """What a reader of a run's table has to know: of its videos, of failures, and what the run noted itself."""
    notes = list(store.warnings)
    found = list(artefacts.values())
    if reused := sum(a.taken_over for a in found):
        notes.append(
            f"{reused} videos were taken over from other runs; their seconds are not reported (--no-reuse makes them again)."
        )
    made = [a for a in found if not a.reused_from]
    if busy := [a.busy for a in made if a.busy]:
        notes.append(f"{len(busy)} of {len(made)} videos were made on a busy machine ({busy[0]}); do not trust their seconds.")
    if differ := sum(bool(a.log.get("repeats_differ")) for a in made):
        notes.append(f"{differ} videos came out different when made again; this device is not deterministic here.")
    failures, marked = store.failures(), store.marked()
    for spec in config.methods:
        if again := sum(j.method is spec and j.key in artefacts and marked.get(j.key) == TO_MAKE for j in jobs if marked):
            notes.append(f"{spec.label}: {again} videos are still to be made again (--remake); those of before stand here.")
        codes = {
            str(a.log.get("code") or "") for j in jobs if j.method is spec and (a := artefacts.get(j.key)) and not a.imported
        }
        if len(codes - {""}) > 1:
            notes.append(
                f"{spec.label}: its videos were made by {len(codes - {''})} states of its code under one version number; "
                "raise the version, or give another --out."
            )
        kinds = [failures[j.key].kind for j in jobs if j.method is spec and j.key not in artefacts and j.key in failures]
        notes += [f"{spec.label}: {kinds.count(k)} failed ({k}); `bench why RUN` says more." for k in sorted(set(kinds))]
    shared: dict[tuple[str, str], set[int]] = {}
    clips = {c.id: c.reference.frames_digest for c in config.suite.cases}
    for j in jobs if "time_amortised" in config.metrics else ():
        if (a := artefacts.get(j.key)) and not a.reused_from:
            shared.setdefault((j.method.label, clips[j.case_id]), set()).add(a.shared_by)
    if any(len(numbers) > 1 for numbers in shared.values()):
        notes.append("time_amortised: the run has grown, and videos made before share a reference's preparation among fewer.")
    return [public(note) for note in (*notes, *config.notes)]


def why_unscored(jobs: Iterable[Job], records: Mapping[str, Mapping[str, MetricRecord]]) -> list[str]:
    """A note for each metric that could not be computed of some videos: of how many, of which methods, and why.

    Args:
        records: by job key and metric.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for job in jobs:
        for name, record in records.get(job.key, {}).items():
            if record.status == "failed":
                found.setdefault(name, []).append((job.method.label, public(cause_of(record)) or "nobody knows why"))
    notes = []
    for name, pairs in found.items():
        first, *others = dict.fromkeys(why for _, why in pairs)
        more = f" (and {len(others)} other reasons)" if others else ""
        labels = ", ".join(dict.fromkeys(label for label, _ in pairs))
        notes.append(f"{name} failed on {len(pairs)} videos ({labels}): {first}{more}; `bench why RUN` says more.")
    return notes


def cut_prompts(cases: Mapping[str, Case], jobs: Iterable[Job], records: Mapping[str, Mapping[str, MetricRecord]]) -> list[str]:
    """A note for each metric that did not read some prompts to their end; ``records`` as in ``why_unscored``."""
    found: dict[tuple[str, int], set[str]] = {}
    names: dict[str, bool] = {}  # of a hundred thousand records only those are opened that have a prompt
    for job in jobs:
        for name, record in records.get(job.key, {}).items():
            if name not in names:
                names[name] = name_of(name) == "text_similarity"
            if not names[name]:
                continue
            limit = record.details.get("context_length")
            if record.details.get("truncated") is True and isinstance(limit, int):
                found.setdefault((name, limit), set()).add(cases[job.case_id].prompt)
    return [cut_said(name, len(prompts), limit) for (name, limit), prompts in found.items()]


def tracks_seen(jobs: Iterable[Job], records: Mapping[str, Mapping[str, MetricRecord]]) -> list[str]:
    """A note for each tracker: the share of its tracks that motion numbers stand on, and which numbers take in the rest.

    Args:
        records: by job key and metric; the share is in their ``details``, as ``live``, or as ``invisible`` in older ones.
    """
    shares: dict[str, dict[str, list[float]]] = {}
    guesses: dict[str, dict[str, None]] = {}
    for job in jobs:
        for name, record in records.get(job.key, {}).items():
            if (share := _seen(record.details)) is not None:
                tracker = public(shown(str(record.identity.get("tracker", "?")), 40))
                shares.setdefault(tracker, {}).setdefault(job.method.label, []).append(share)
                if record.identity.get("policy") not in LOOKS:
                    guesses.setdefault(tracker, {})[name] = None
    notes = []
    for tracker, by_method in shares.items():
        whole = mean(x for found in by_method.values() for x in found)
        least, found = min(by_method.items(), key=lambda item: mean(item[1]))
        rest = f"; the rest is counted, too, by {', '.join(guesses[tracker])}" if tracker in guesses else ""
        notes.append(f"tracks of {tracker}: {whole:.0%} are seen (least: {least}, {mean(found):.0%}){rest}.")
    return notes


def _seen(details: Mapping[str, Any]) -> float | None:
    """Mean share of both clips in which a record's tracks are seen; None where it does not say."""
    given: Any = [details["live"]] if "live" in details else details.get("invisible")
    if not (isinstance(given, list) and given and all(isinstance(x, float | int) and 0 <= x <= 1 for x in given)):
        return None
    return mean(given) if "live" in details else 1 - mean(given)


def line_note(spec: MethodSpec) -> str:
    """What stands behind a method's name: ``control``, ``ceiling``, ``imported``, or nothing."""
    if spec.imported:
        return "imported, lossy" if spec.params.get("lossy") else "imported"
    return "ceiling" if spec.ceiling else "control" if spec.control else ""


def said_of_copies(counts: Mapping[str, Count]) -> list[str]:
    """A note for each method of which videos are (nearly) the reference."""
    return [
        f"{label}: {count.copies} of {count.made} videos are (nearly) their reference, frame for frame: they have its motion "
        "for free." + (" The row is not ranked." if 2 * count.copies >= count.made else "")
        for label, count in counts.items()
        if count.copies
    ]

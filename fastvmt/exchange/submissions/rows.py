"""The rows of a submission: the method's and the controls', whole, each number of the video that it stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fastvmt.core.spelling import shown
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import Artefact, Job, MetricRecord
from fastvmt.records.identity import Identities
from fastvmt.reports.gate.baseline import named
from fastvmt.reports.share.submission import Submission, sampled
from fastvmt.reports.tidy import Tidy
from fastvmt.runner.plan.methods import CONTROLS
from fastvmt.store import layout
from fastvmt.store.artefact_files import artefact_of
from fastvmt.store.folder import Store

Videos = dict[str, tuple[Job, Artefact]]
"""By the key of the job."""


def wrong_methods(submission: Submission, config: RunConfig) -> Iterator[str]:
    """Sentences on rows that are lacking, not what they are called, or no business of a submission."""
    specs = {m.label: m for m in config.methods}
    own, name = specs.get(submission.name), shown(submission.name, 120)
    if own is None:
        yield f"'{name}' is the submission's name, and its run has no row of that name."
    elif own.method != submission.method:
        yield f"'{name}' is said to be the method '{shown(submission.method)}', and its run has '{shown(own.method)}' there."
    elif own.control or own.method in CONTROLS:
        yield f"'{name}' is a control, which is no method of its own."
    elif own.label.partition(":")[0] != own.method:
        yield f"'{name}' is another method under a name of its own: its videos were made by '{shown(own.method)}'."
    if not any(m.method == CONTROLS[0] and m.control for m in config.methods):
        yield f"The control '{CONTROLS[0]}' (no transfer) is missing, so nobody can tell what the method adds."
    if others := [m.label for m in config.methods if m.label != submission.name and m.method not in CONTROLS]:
        yield f"It holds other rows beside the method and its controls ({named([shown(o, 80) for o in others])})."


def read_videos(store: Store, config: RunConfig, found: Videos) -> Iterator[str]:
    """Put what is known of each video into ``found``; sentences on what is missing or damaged, and on folders of none."""
    place, names = store.root / layout.ARTEFACTS, set[str]()
    lacking = []
    for job in config.jobs():
        folder = store.folder(job)
        names.add(folder.name)
        try:
            artefact = artefact_of(folder, job, bare=True)
        except (OSError, ValueError) as error:
            yield f"{job.name}: what its video's folder says cannot be used ({shown(str(error).splitlines()[0], 160)})."
            continue
        if artefact is None:
            lacking.append(job.name)
        else:
            found[job.key] = (job, artefact)
    if lacking:
        cases = len({c.id for c in config.suite.cases})
        yield f"{len(lacking)} videos of the {cases} cases are missing ({named([*map(shown, lacking)])})."
    strange = sorted(p.name for p in place.iterdir() if p.name not in names) if place.is_dir() else []
    if strange:
        yield f"{len(strange)} folders of videos belong to no row and case ({named([shown(n, 80) for n in strange])})."


def wrong_videos(submission: Submission, config: RunConfig, videos: Videos) -> Iterator[str]:
    """Sentences on a video that stands twice, is the reference itself, or is in the sample by choice."""
    frames = {key: a.frames_digest for key, (_, a) in videos.items()}
    references = {c.reference.frames_digest for c in config.suite.cases}
    first: dict[str, Job] = {}
    for job, artefact in videos.values():
        if job.method.ceiling:
            continue
        if artefact.frames_digest in references:
            yield f"{job.name}: its frames are those of a reference clip."
        elif (before := first.setdefault(artefact.frames_digest, job)) is not job:
            yield f"{job.name}: its video is that of {before.name}, frame by frame."
    for spec in config.methods:
        jobs = [job for job, _ in videos.values() if job.method.label == spec.label]
        wanted = sampled(jobs, frames, submission.sample)
        if wrong := [j.name for j in jobs if (j.key in wanted) != bool(videos[j.key][1].files)]:
            yield (
                f"'{shown(spec.label, 80)}': the videos in the folder are not the {submission.sample} that its frames' digests "
                f"choose ({named([*map(shown, wrong)])})."
            )


def wrong_records(store: Store, config: RunConfig, videos: Videos, known: Identities) -> Iterator[str]:
    """Sentences on lines that are damaged, stand twice, or are of a video that is not in the submission."""
    clips = {c.id: c.reference.frames_digest for c in config.suite.cases}
    path = store.log(layout.RECORDS)
    records: list[MetricRecord] = list(store.each_record(path))
    yield from (f"{warning}" for warning in store.warnings)
    for (job_key, metric), n in Counter((r.job_key, r.metric) for r in records).items():
        if n > 1:
            yield f"{_of(job_key, videos)}: {shown(metric)} stands {n} times in {path.name}, and only one number can be true."
    for record in records:
        if record.job_key not in videos:
            yield f"A number of {shown(record.metric)} is of a video that is in no row of the submission."
            continue
        job, artefact = videos[record.job_key]
        if (record.status == "ok") != (record.value is not None):
            yield f"{job.name}: {shown(record.metric)} is '{record.status}' and has {'a' if record.value else 'no'} number."
        elif not known.fits(record, artefact, clips[job.case_id]):
            yield f"{job.name}: its number of {shown(record.metric)} was computed of another video than the one that it has."


def _of(job_key: str, videos: Videos) -> str:
    return videos[job_key][0].name if job_key in videos else job_key[:12]


def lacking_numbers(tidy: Tidy) -> Iterator[str]:
    """A sentence where a case has no number in some row, by metric."""
    rows = tidy.frame[tidy.frame["status"].isin(["missing", "failed"])]
    lacking: dict[str, list[str]] = {}
    for row in rows.itertuples():
        lacking.setdefault(str(row.metric), []).append(f"{row.case} {row.label} s{row.seed}")
    for metric, videos in lacking.items():
        yield f"{shown(metric)}: {len(videos)} numbers are missing ({named([*map(shown, videos)])}); a mean has every case."


def wrong_claims(submission: Submission, fresh: Submission, tidy: Tidy) -> Iterator[str]:
    """Sentences on what is claimed and is not what the records give."""
    for metric in dict.fromkeys([*submission.claims, *fresh.claims]):
        claimed, given = submission.claims.get(metric), fresh.claims.get(metric)
        decimals = tidy.metrics[metric].decimals if metric in tidy.metrics else 3
        if claimed is None or given is None:
            said = "it is claimed, and no record gives it" if claimed else "records give it, and it is not claimed"
            yield f"{shown(metric)}: {said}."
        elif claimed.differs(given, decimals):
            yield (
                f"{shown(metric)}: claimed is {claimed.text(decimals)} over {claimed.n} videos, and the records give "
                f"{given.text(decimals)} over {given.n}."
            )
    for name in ("versions", "machine"):
        if getattr(submission, name) != getattr(fresh, name):
            yield f"{name}: what is said is not what the videos' own files say."


def flat(table: object, place: str = "") -> dict[str, object]:
    """Nested tables as one, by path."""
    if not isinstance(table, dict):
        return {place: table}
    return {k: v for name, inner in table.items() for k, v in flat(inner, f"{place}.{name}" if place else str(name)).items()}


def wrong_recipe(written: dict[str, object], given: dict[str, object]) -> Iterator[str]:
    """Sentences on places where ``recipe.toml`` is not what the run gives."""
    said, fresh = flat(written), flat(given)
    other = [k for k in dict.fromkeys([*said, *fresh]) if not _same(said.get(k), fresh.get(k))]
    if other:
        words = [f"{shown(k, 80)} is {shown(said.get(k), 60)} there, {shown(fresh.get(k), 60)} by the run" for k in other]
        yield f"recipe.toml was edited: {named(words)}."


def _same(one: object, two: object) -> bool:
    if isinstance(one, float) and isinstance(two, float):
        return abs(one - two) <= 1e-6 * max(1.0, abs(one), abs(two))  # the last bits of an interval are another machine's
    return one == two

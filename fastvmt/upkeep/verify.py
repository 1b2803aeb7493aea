"""Whether a run folder holds what was stored in it: digests of files and frames, and on demand every score, computed again.

Nothing is changed and nothing is moved. No plug-in is loaded but for scores of a metric that is one.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from fastvmt.core.choices import one_of
from fastvmt.core.content_address import frames_digest
from fastvmt.errors import DamagedFile, JobError
from fastvmt.jobs.run_config import RunConfig
from fastvmt.media.files import read_lossless
from fastvmt.model import Job, MetricRecord, Suite
from fastvmt.records.verified import Verified
from fastvmt.runner.code import open_run
from fastvmt.runner.executors.local import worker_environment
from fastvmt.runner.scoring.score import score_job
from fastvmt.store import layout
from fastvmt.store.artefact_files import artefact_of, file_info, read_meta
from fastvmt.store.folder import Store


def verify(
    folder: Path, row: str = "", scores: bool = False, say: Callable[[str], None] = lambda line: None,
    plugins: Sequence[str] = (),
) -> Verified:  # fmt: skip
    """Look at every video and reference of a run again.

    Args:
        row: only videos of the method with this label.
        scores: compute every record that is there again, and compare.
        say: gets a sentence for what was passed over.
        plugins: files of plug-ins, for scores of their metrics.

    Raises:
        StoreError: when it is no run.
        SpecError: for an unknown row, or a metric whose code is not here or was never given by the user.
    """
    store = Store.open(folder)
    config = store.config()
    if row:
        one_of("--row", row, (m.label for m in config.methods))
    found, whole, bare = Verified(), list[Job](), 0
    sound = references_hold(store, config.suite, found)
    for job in (j for j in config.grid() if not row or j.method.label == row):
        if not store.folder(job).exists():
            continue
        if is_bare(store, job):
            bare += 1
            continue
        found.videos += 1
        if fault := video_fault(store, job):
            found.faults.append(f"{job.name}: {fault}.")
        else:
            found.videos_as_stored += 1
            whole.append(job)
    if scores and sound:
        scored = labels_by_job(store.records().values())
        wanted = dict.fromkeys(name for job in whole for name in scored.get(job.key, ()))
        _, config = open_run(store.root, plugins, tuple(wanted), generate=False)
        score_again(store, config, [(job, scored.get(job.key, [])) for job in whole], found)
    elif scores:
        say("scores are not recomputed, because a reference is not as it was stored")
    if bare:
        say(f"{bare} videos are not in this folder, only what is known of them")
    for warning in store.warnings:
        say(warning)
    return found


def references_hold(store: Store, suite: Suite, found: Verified) -> bool:
    """Whether all references are as they were stored."""
    for digest, known in {c.reference.frames_digest: c.reference for c in suite.cases}.items():
        path = store.reference_path(digest)
        try:
            same = frames_digest(read_lossless(path, known.shape)) == digest
            fault = "" if same else "it decodes to other frames than were stored"
        except (OSError, DamagedFile) as error:
            fault = _why(error)
        found.references += 1
        found.references_as_stored += not fault
        if fault:
            found.faults.append(f"reference {path.name}: {fault}.")
    return found.references == found.references_as_stored


def is_bare(store: Store, job: Job) -> bool:
    """Whether a submission has left the video out, and says what is known of it."""
    with contextlib.suppress(OSError, ValueError):  # whatever is wrong with it is found where the video is looked at
        return not read_meta(store.folder(job)).files
    return False


def video_fault(store: Store, job: Job) -> str:
    """Why a video is not as it was stored, or ""."""
    folder = store.folder(job)
    try:
        if (artefact := artefact_of(folder, job)) is None:
            return "it is no folder"
        for name, info in artefact.files.items():
            if file_info(folder / name) != info:
                return f"{name} has another SHA-256 than when it was written"
        if frames_digest(read_lossless(folder / layout.FRAMES, artefact.shape)) != artefact.frames_digest:
            return f"{layout.FRAMES} does not decode to the frames it was published with"
    except (OSError, ValueError, DamagedFile) as error:
        return _why(error)
    return ""


def _why(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{Path(error.filename or '').name} cannot be read ({error.strerror.lower()})"
    return str(error).splitlines()[0].rstrip(".")


def labels_by_job(records: Iterable[MetricRecord]) -> dict[str, list[str]]:
    """Labels of what was scored, each once, by the key of the job."""
    scored: dict[str, dict[str, None]] = {}
    for record in records:
        scored.setdefault(record.job_key, {})[record.metric] = None
    return {key: list(labels) for key, labels in scored.items()}


def score_again(
    store: Store, config: RunConfig, wanted: Iterable[tuple[Job, Sequence[str]]], found: Verified,
    room: Callable[[str], float] = lambda label: 0.0,
) -> None:  # fmt: skip
    """Compute scores anew and compare them with the records, which stay as they are.

    Args:
        wanted: jobs whose video is sound, each with labels.
        room: by how much a metric's numbers may differ; see ``Verified.compare``.
    """
    before = store.records()
    for job, labels in wanted:
        try:
            with _as_a_worker(config):
                records = list(score_job(store, config, job, list(labels)))
        except JobError as error:
            found.faults.append(f"{job.name}: {_why(error)}.")
            continue
        for record in records:
            found.compare(before.get(record.key), record, job.name, room(record.metric))


@contextlib.contextmanager
def _as_a_worker(config: RunConfig) -> Iterator[None]:
    """As many threads, on which the order of sums depends; what a metric prints is no part of the result."""
    before = dict(os.environ)
    os.environ |= worker_environment(config, False)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ |= before

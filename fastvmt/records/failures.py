"""What failed in a run folder, videos and numbers, each with its reason; and how the record of a number says it."""

from __future__ import annotations

import mmap
import os
import re
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastvmt.core.choices import hint
from fastvmt.errors import SpecError
from fastvmt.jobs.numbering import SHOWN, beginning, key_in
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import MetricRecord
from fastvmt.store.folder import Store
from fastvmt.store.layout import ARTEFACTS, RECORDS

CAUSE, TRACE = "cause", "traceback"
"""Of a failed record's details: one sentence, and the whole traceback."""
_LONGEST = 1 << 14
_JOB = re.compile(rb'"job_key":\s*"([^"]*)"')


def why_failed(cause: str, error: BaseException) -> dict[str, Any]:
    """Details of a failed record."""
    trace = "".join(traceback.format_exception(error))[-_LONGEST:]
    return {CAUSE: cause, TRACE: trace.encode("utf-8", "replace").decode()}


def cause_of(record: MetricRecord) -> str:
    """Why there is no number, in words."""
    return str(record.details.get("why") or record.details.get(CAUSE) or "")


def failed_records(store: Store) -> list[MetricRecord]:
    """The failed ones among the last records of each job and metric. A log that names none is searched, not parsed."""
    jobs = {
        record.job_key.encode() for path in store.logs(RECORDS) if _holds(path, b'"failed"')
        for record in store.each_record(path, only=lambda line: b'"failed"' in line) if record.status == "failed"
    }  # fmt: skip
    if not jobs:
        return []
    records = store.records(lambda line: (found := _JOB.search(line)) is not None and found[1] in jobs)
    last = {(record.job_key, record.metric): record for record in records.values()}
    return [record for record in last.values() if record.status == "failed"]


def _holds(path: Path, words: bytes) -> bool:
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as log:
            return log.find(words) >= 0
    except (OSError, ValueError):  # not there, or empty
        return False


@dataclass(frozen=True)
class Failed:
    """One video that could not be made, or one number of a video.

    Attributes:
        number: counted from 1, in the run's order, videos before numbers; what ``bench status`` and ``bench why`` print.
        job: the job's key.
        metric: whose number; "" for a video.
        stage: where a job was: load, guidance, denoise, decode ...; "score" of a number.
        params: the method's, as they were resolved.
    """

    number: int
    job: str
    case: str
    method: str
    seed: int
    metric: str
    kind: str
    stage: str
    message: str
    traceback: str
    params: dict[str, Any]

    @property
    def name(self) -> str:
        """The job as progress and tables call it, and the metric of a number."""
        return f"{self.case} {self.method} s{self.seed}" + (f": {self.metric}" if self.metric else "")

    @property
    def line(self) -> str:
        said = " ".join(self.message.split())
        return f"{self.number:>3}  {self.job[:SHOWN]}  {self.name}: {said}"


def failures_of(store: Store, config: RunConfig) -> list[Failed]:
    """Everything that failed and has not been made or scored since, in the run's order: videos, then numbers."""
    failures, records = store.failures(), failed_records(store)
    if not failures and not records:
        return []
    place = store.root / ARTEFACTS
    made = {key_in(name) for name in os.listdir(place)} if place.is_dir() else set()  # noqa: PTH208 - 100,000 names
    videos = {key: f for key, f in failures.items() if beginning(key) not in made}
    numbers: dict[str, list[MetricRecord]] = {}
    for record in records:
        if beginning(record.job_key) in made:
            numbers.setdefault(record.job_key, []).append(record)
    grid, found, later = config.grid(), list[dict[str, Any]](), list[dict[str, Any]]()
    for n, key in enumerate(grid.keys()):
        case, seed, spec = grid.parts(n)
        job = {"job": key, "case": case.id, "method": spec.label, "seed": seed, "params": spec.params}
        if failure := videos.get(key):
            said = {"kind": failure.kind, "stage": failure.stage, "message": failure.message, "traceback": failure.traceback}
            found.append({**job, **said, "metric": ""})
        for record in numbers.get(key, ()):
            said = {"kind": "unscored", "stage": "score", "message": cause_of(record) or "no reason was recorded",
                    "traceback": str(record.details.get(TRACE, "")), "metric": record.metric}  # fmt: skip
            later.append({**job, **said})
    return [Failed(number=n, **facts) for n, facts in enumerate((*found, *later), 1)]


def chosen(found: list[Failed], wanted: str, folder: Path) -> list[Failed]:
    """The failures that a word means: a number, the beginning of a job's key, a job's name, a method, a case or a metric.

    Raises:
        SpecError: when it means none, with the nearest there are.
    """
    if wanted.isdecimal() and 0 < int(wanted[:9]) <= len(found) and len(wanted) < 9:
        return [found[int(wanted) - 1]]
    named = [f for f in found if wanted in (f.name, f.name.partition(": ")[0], f.method, f.case, f.metric)]
    if not named and re.fullmatch("[0-9a-f]+", wanted):
        named = [f for f in found if f.job.startswith(wanted)]
    if not named:
        near = hint(wanted, list(dict.fromkeys([f.name for f in found])), no_list=True)
        near = f" {near}" if near else ""
        raise SpecError(f"bench why {folder} {wanted}: nothing that failed is called so.{near} `bench why {folder}` lists all.")
    return named


def as_lines(failed: Failed) -> list[str]:
    """One failure whole: what, why, the method's parameters, and the traceback."""
    what = f"the number of {failed.metric}" if failed.metric else f"the video ({failed.kind} in {failed.stage})"
    lines = [f"{failed.name}: {what} failed", f"job: {failed.job}", f"why: {failed.message}"]
    lines += ["parameters:", *(f"  {k}: {v}" for k, v in failed.params.items())] if failed.params else []
    lines += ["", failed.traceback.rstrip(), ""] if failed.traceback.strip() else []
    return lines

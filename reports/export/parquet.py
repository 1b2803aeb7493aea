"""Frames as Parquet: the numbers of a run, and its videos, one row each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastvmt.errors import SpecError
from fastvmt.model import Artefact, Case, Failure, Job
from fastvmt.reports.tidy.gathering import TEXTS, Tidy
from fastvmt.store.folder import Store

if TYPE_CHECKING:
    import pandas as pd

NUMBERS, VIDEOS = "frame.parquet", "videos.parquet"


@dataclass(frozen=True)
class Video:
    """One job of the runs: its video, or why there is none."""

    job: Job
    case: Case
    run: Store
    artefact: Artefact | None
    failure: Failure | None

    def row(self) -> dict[str, Any]:
        """As plain columns."""
        a, spec, reference = self.artefact, self.job.method, self.case.reference
        return {
            "run": self.run.root.name, "case": self.case.id, "category": self.case.category, "prompt": self.case.prompt,
            "caption": self.case.caption, "label": spec.label, "method": spec.method, "version": spec.version,
            "params": json.dumps(spec.params, sort_keys=True), "control": spec.control, "imported": spec.imported,
            "seed": self.job.seed, "job": self.job.key, "status": "made" if a else "failed" if self.failure else "missing",
            "why": f"{self.failure.kind}: {self.failure.message}" if self.failure else "",
            "frames_digest": a.frames_digest if a else "", "reference_digest": reference.frames_digest,
            "width": reference.width, "height": reference.height, "frames": reference.frames,
            "fps": reference.fps_num / reference.fps_den, "device": a.device if a else "", "reused": bool(a and a.reused_from),
        }  # fmt: skip


def videos_of(tidy: Tidy) -> list[Video]:
    """Every job of the runs once; a run that has the video goes before one that has not."""
    found: dict[str, Video] = {}
    for store in tidy.stores:
        config, failures = store.config(), store.failures()
        cases = {c.id: c for c in config.suite.cases}
        for job in config.jobs():
            before = found.get(job.key)
            if before is None or before.artefact is None:
                artefact = store.artefact(job)
                failure = None if artefact else failures.get(job.key)
                if before is None or artefact:
                    found[job.key] = Video(job, cases[job.case_id], store, artefact, failure)
    return list(found.values())


def video_frame(videos: list[Video]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([v.row() for v in videos])


def plain_numbers(tidy: Tidy) -> pd.DataFrame:
    """The tidy frame with plain text columns, as readers without pandas want them."""
    return tidy.frame.astype(dict.fromkeys(TEXTS, object))


def to_parquet(frame: pd.DataFrame, path: Path, option: str) -> Path:
    """Write one file, whole or not at all.

    Args:
        option: how the user asked for it, for the message.

    Raises:
        SpecError: without pyarrow, with the command that installs it.
    """
    partial = path.with_name(f".part-{path.name}")
    try:
        frame.to_parquet(partial, index=False)
    except ImportError:
        raise SpecError(f"{option} needs pyarrow; install it with: pip install 'fastvmt-bench[parquet]'.") from None
    partial.replace(path)
    return path


def write(tidy: Tidy, out: Path) -> list[Path]:
    """``frame.parquet`` (a row for every number) and ``videos.parquet`` (a row for every video)."""
    return [
        to_parquet(tidy.frame, out / NUMBERS, "--to parquet"),
        to_parquet(video_frame(videos_of(tidy)), out / VIDEOS, "--to parquet"),
    ]

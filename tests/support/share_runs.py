"""A finished run of a small suite of real clips on ``tiny`` whose videos are painted, and a submission of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fastvmt.core.content_address import frames_digest
from fastvmt.core.stages import software
from fastvmt.errors import BenchError
from fastvmt.media.files import Frames, write_lossless, write_viewable
from fastvmt.model import Artefact, Job, MetricRecord
from fastvmt.reports.share import RECIPE, RUN, SUBMISSION
from fastvmt.reports.share import recipe as recipes
from fastvmt.reports.share.submission import claimed, files_in, sha256_of
from fastvmt.reports.tidy import gather
from fastvmt.runner.plan import resolve
from fastvmt.runner.scoring.score import score_job
from fastvmt.runner.settings import Request
from fastvmt.store import layout
from fastvmt.store.artefact_files import file_info
from fastvmt.store.checked_lines import with_check
from fastvmt.store.folder import Store
from support.clips import make
from support.runs import paint

METRICS = ("vbench:temporal_flickering:backend=native", "time")
SIZE = (5, 32, 32)


def make_suite(folder: Path, cases: int = 4) -> Path:
    """Clips with prompts, drawn so that no two are alike."""
    folder.mkdir(parents=True)
    rows = []
    for n in range(cases):
        make(folder / f"clip{n}.mp4", paint(None, f"clip {n}", n, *SIZE))
        rows.append(json.dumps({"clip": f"clip{n}.mp4", "prompt": f"a disc number {n}"}))
    (folder / "prompts.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def make_submittable(folder: Path, methods: Sequence[str] = ("fastvmt", "ditflow"), **request: Any) -> Path:
    """A run as ``bench run`` leaves it, of ``folder/suite``, which is made; its videos are painted, its scores are true."""
    suite = make_suite(folder / "suite")
    asked = Request(
        methods=tuple(methods), suite=str(suite), metrics=METRICS, width=SIZE[2], height=SIZE[1], frames=SIZE[0], steps=2,
        device="cpu", **request,
    )  # fmt: skip
    store = resolve(asked).open_store(folder / "run")
    config = store.config()
    for job in config.jobs():
        case = next(c for c in config.suite.cases if c.id == job.case_id)
        frames = store.reference(case.reference) if job.method.ceiling else paint(case, job.method.label, job.seed, *SIZE)
        put(store, job, frames)
        for record in score_job(store, config, job, list(config.metrics)):
            store.add(record)
    return store.root


def put(store: Store, job: Job, frames: Frames) -> None:
    """A video in its place, sealed, whatever was there."""
    place = store.folder(job)
    place.mkdir(parents=True, exist_ok=True)
    (place / layout.FRAMES).unlink(missing_ok=True)
    write_lossless(place / layout.FRAMES, frames, Fraction(15))
    write_viewable(place / layout.VIDEO, frames, Fraction(15))
    artefact = Artefact(
        key=job.key, frames_digest=frames_digest(frames), width=SIZE[2], height=SIZE[1], frames=SIZE[0], fps_num=15, fps_den=1,
        files={name: file_info(place / name) for name in (layout.FRAMES, layout.VIDEO)}, stages={"denoise": 1.5, "decode": 0.5},
        peak_memory_bytes=10**9, forward_equivalents=10.0, device="a test's device", software=software(), timing_key="7",
        reused_from="reference" if job.method.ceiling else None,
    )  # fmt: skip
    (place / layout.META).write_text(artefact.sealed().model_dump_json())


def redo_digests(folder: Path) -> None:
    """As a cheat would: ``submission.json`` names the files that are there now, with their digests."""
    facts = json.loads((folder / SUBMISSION).read_text())
    facts["files"] = {name: sha256_of(folder / name) for name in files_in(folder)}
    (folder / SUBMISSION).write_text(json.dumps(facts))


def redo(folder: Path) -> None:
    """As a thorough cheat would: claims, recipe and digests are those of the run that is there now, as far as one can be read."""
    row = json.loads((folder / SUBMISSION).read_text())["name"]
    with suppress(BenchError):
        tidy = gather([folder / RUN])
        (folder / RECIPE).write_text(recipes.of(tidy, row).text())
        fresh = claimed(tidy, row, "2026-01-01", "all").model_dump(
            mode="json", include={"claims", "machine", "versions", "method"}
        )
        edit_json(folder / SUBMISSION, lambda facts: facts.update(fresh))
    redo_digests(folder)


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def edit_records(folder: Path, change: Callable[[MetricRecord], MetricRecord | None]) -> None:
    """Each record replaced, or left out, with its check done again."""
    store = Store(folder / RUN)
    kept = [new for record in store.each_record(store.log(layout.RECORDS)) if (new := change(record))]
    store.log(layout.RECORDS).write_text("".join(with_check(r.model_dump_json()) + "\n" for r in kept))


def black() -> Frames:
    return np.zeros((*SIZE, 3), np.uint8)

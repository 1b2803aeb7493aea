"""The cases of a report: for each, its reference, what every method made of it, the numbers, and what is missing and why."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fastvmt.core.spelling import public
from fastvmt.media.files import read_lossless
from fastvmt.model import Case, Failure, Job
from fastvmt.reports.page.atlas import Layout, Unreadable, still_name, tracks_name, write_clip
from fastvmt.reports.page.logs import Chart, charts
from fastvmt.reports.tables.views import lines_of
from fastvmt.reports.tidy import STAGE, WORK, Tidy
from fastvmt.store.folder import Store
from fastvmt.store.layout import FRAMES


@dataclass(frozen=True)
class Number:
    """One metric of one video: ``text`` is printed; ``missing`` when it is a reason and not a number."""

    label: str
    text: str
    unit: str
    missing: bool = False


@dataclass(frozen=True)
class GalleryClip:
    """One place of the gallery.

    Attributes:
        key: short, safe, unique within the case.
        state: ``ok``, ``failed``, ``missing`` or ``unreadable``; why: in words when not ok.
        files: atlases, by name; tracks: its file's name, or "".
    """

    key: str
    label: str
    role: str
    seed: int | None
    state: str
    why: str = ""
    layout: Layout | None = None
    files: tuple[str, ...] = ()
    digest: str = ""
    tracks: str = ""
    numbers: tuple[Number, ...] = ()
    charts: tuple[Chart, ...] = ()

    def data(self, clips: str) -> dict[str, Any]:
        """What the page's script needs; ``clips`` is the address of their folder, as the page sees it."""
        k = self.layout or Layout(0, 0, 0, 0, 0, 0)
        return {
            "key": self.key, "seed": self.seed, "files": [clips + name for name in self.files], "digest": self.digest[:16],
            "tracks": self.tracks and clips + self.tracks,
            "frames": k.frames, "columns": k.columns, "rows": k.rows, "w": k.width, "h": k.height,
        }  # fmt: skip


@dataclass(frozen=True)
class Failed:
    """A job that has no video, and why."""

    case: Case
    page: str
    label: str
    seed: int
    failure: Failure


@dataclass
class CasePage:
    """A case with everything its page shows."""

    case: Case
    page: str
    shown: list[GalleryClip] = field(default_factory=list)
    still: str = ""
    failed: int = 0
    missing: int = 0


def page_name(case_id: str) -> str:
    """A file name for a case that is safe on every system, whatever its id: never the id itself."""
    readable = re.sub(r"[^a-z0-9]+", "-", case_id.lower()).strip("-")[:40] or "case"
    return f"{readable}-{hashlib.sha256(case_id.encode('utf-8', 'replace')).hexdigest()[:10]}.html"


class Gallery:
    """Reads the runs case by case, so that a thousand cases need no more memory than one."""

    def __init__(self, tidy: Tidy, clips: Path, tracks: bool) -> None:
        self.tidy, self.clips, self.tracks = tidy, clips, tracks
        self.failures: list[Failed] = []
        self._found_failures = {id(s): s.failures() for s in tidy.stores}
        self._jobs: dict[str, list[tuple[Store, Job]]] = {case: [] for case in tidy.cases}
        for store in tidy.stores:
            for job in (j for j in store.config().jobs() if not j.method.ceiling):  # shown on top already
                self._jobs[job.case_id].append((store, job))
        self._numbers = self._all_numbers()
        self._places = {line.label: n for n, line in enumerate(lines_of(tidy))}
        self.written = 0

    def _all_numbers(self) -> dict[str, list[Number]]:
        """Numbers by job key, metrics in the run's order."""
        frame = self.tidy.frame
        rows = frame[frame["metric"].isin(list(self.tidy.metrics))][["job", "metric", "value", "status", "why"]]
        found: dict[str, dict[str, Number]] = {}
        for job, label, value, status, why in rows.itertuples(index=False, name=None):
            metric = self.tidy.metrics[label]
            good = status == "ok" and value == value
            text = f"{value:.{metric.decimals}f}" if good else str(why or status)
            unit = metric.unit if good else ""
            found.setdefault(job, {})[label] = Number(label, text, unit, not good)
        return {job: [by[m] for m in self.tidy.metrics if m in by] for job, by in found.items()}

    def page(self, case: Case) -> CasePage:
        """A case's page; its clips are written on the way."""
        made = CasePage(case, page_name(case.id))
        made.shown.append(self._reference(case))
        if made.shown[0].state == "ok":
            made.still = still_name(case.reference.frames_digest)
        best: dict[tuple[str, int], tuple[GalleryClip, Failure | None]] = {}
        for store, job in self._jobs[case.id]:
            at = (job.method.label, job.seed)
            if at not in best or best[at][0].state != "ok":
                key = f"clip-{list(best).index(at) if at in best else len(best)}"
                role = "control" if job.method.control else "method"
                shown = GalleryClip(key, job.method.label, role, job.seed, "missing", "not made yet")
                best[at] = self._job(store, job, shown)
        order = sorted(best, key=lambda at: (self.tidy.seeds.index(at[1]), self._places[at[0]]))
        for label, seed in order:  # methods, then what was imported, then controls, as in the tables
            shown, failure = best[label, seed]
            made.shown.append(shown)
            made.failed += shown.state == "failed"
            made.missing += shown.state in ("missing", "unreadable")
            if failure:
                self.failures.append(Failed(case, made.page, label, seed, failure))
        return made

    def _reference(self, case: Case) -> GalleryClip:
        known = case.reference
        paths = [p for s in self.tidy.stores if (p := s.reference_path(known.frames_digest)).is_file()]
        shown = GalleryClip("reference", "reference", "reference", None, "missing", "the run folder has no frames of it")
        if not paths:
            return shown
        return self._clip(shown, paths[0], known.frames_digest, known.shape, still=True)

    def _job(self, store: Store, job: Job, shown: GalleryClip) -> tuple[GalleryClip, Failure | None]:
        artefact = store.artefact(job)
        if artefact is None:
            failure = self._found_failures[id(store)].get(job.key)
            if failure is None:
                return shown, None
            told = {"message": public(failure.message), "traceback": public(failure.traceback)}
            failure = failure.model_copy(update=told)
            why = f"{failure.kind} in {failure.stage}: {failure.message}"
            return replace(shown, state="failed", why=why), failure
        shown = replace(shown, numbers=tuple(self._numbers.get(job.key, ())), charts=tuple(charts(artefact.log)))
        return self._clip(shown, store.folder(job) / FRAMES, artefact.frames_digest, artefact.shape, still=False), None

    def _clip(self, shown: GalleryClip, path: Path, digest: str, size: tuple[int, int, int], still: bool) -> GalleryClip:
        layout = Layout.of(*size)
        try:
            self.written += write_clip(self.clips, digest, layout, lambda: read_lossless(path, size), self.tracks, still)
        except Unreadable:
            return replace(shown, state="unreadable", why=f"{path.name} cannot be read; make the video again")
        files, tracks = tuple(layout.names(digest)), tracks_name(digest) if self.tracks else ""
        return replace(shown, state="ok", why="", layout=layout, files=files, digest=digest, tracks=tracks)


def missing_numbers(tidy: Tidy) -> list[tuple[str, str, str, str, int]]:
    """Numbers that are not there: metric, method, status, reason, how many."""
    frame = tidy.frame
    rows = frame[(frame["status"] != "ok") & (frame["metric"] != WORK) & ~frame["metric"].astype(str).str.startswith(STAGE)]
    counts = Counter(rows[["metric", "label", "status", "why"]].astype(str).itertuples(index=False, name=None))
    return [(metric, label, status, why, n) for (metric, label, status, why), n in counts.items()]

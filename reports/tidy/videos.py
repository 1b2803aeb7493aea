"""The runs' jobs, each once, with its video or why there is none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fastvmt.core.spelling import public
from fastvmt.model import Artefact, Case, Failure, Job
from fastvmt.reports.tidy.frame import Tidy
from fastvmt.store.folder import Store


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
            "params": public(json.dumps(spec.params, sort_keys=True)), "control": spec.control, "imported": spec.imported,
            "seed": self.job.seed, "job": self.job.key, "status": "made" if a else "failed" if self.failure else "missing",
            "why": public(f"{self.failure.kind}: {self.failure.message}") if self.failure else "",
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
                artefact = store.artefact(job, bare=True)
                failure = None if artefact else failures.get(job.key)
                if before is None or artefact:
                    found[job.key] = Video(job, cases[job.case_id], store, artefact, failure)
    return list(found.values())

"""The merged run on disk. ``config.json`` is written last: without it no command takes the folder for a run.

Killed at any moment, the same command goes on; finished, it changes nothing. ``merge.json``, written first, says which sources
in which state the folder is made of.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastvmt.core.content_address import digest, frames_digest
from fastvmt.core.disk.atomic import bring_file, write_atomic
from fastvmt.core.reading import parse_json
from fastvmt.errors import StoreError
from fastvmt.exchange.merge.choose import Choice
from fastvmt.jobs.run_config import RunConfig
from fastvmt.media.files import read_lossless
from fastvmt.model import Artefact, Failure, Job, MetricRecord, Reference
from fastvmt.store import layout
from fastvmt.store.artefact_files import file_info
from fastvmt.store.checked_lines import with_check
from fastvmt.store.folder import Store
from fastvmt.store.foreign_run import OWN_NOTE, Source

FORMAT = 1
PLAN = layout.MERGE
DAMAGED = "damaged"


def plan_of(sources: Sequence[Source], prefer: Sequence[str], config: RunConfig) -> dict[str, Any]:
    """What the folder is made of; no paths, so that it is the same on every machine."""
    facts: dict[str, Any] = {
        "format": FORMAT, "sources": [{"name": s.name, "digest": s.digest} for s in sources], "prefer": list(prefer),
    }  # fmt: skip
    return facts | {"digest": digest([facts, config.model_dump(mode="json")])}


def begin(out: Path, plan: dict[str, Any]) -> Store | None:
    """The folder, locked and ready to be filled; None when it holds exactly this merge already.

    Raises:
        StoreError: when it holds anything else, or another process is at it.
    """
    try:
        before = parse_json((out / PLAN).read_bytes())
    except (OSError, ValueError):
        before = None
    if layout.is_run(out):
        if before == plan:
            return None
        what = "a merge of other runs, or of the same ones in another state" if before else "a run"
        raise StoreError(f"{out} holds {what}. Give another --out; it may itself be one of the runs that are merged.")
    if out.exists() and (not out.is_dir() or (before is None and any(p.name != layout.LOCK for p in out.iterdir()))):
        raise StoreError(f"{out} is not empty and holds no unfinished merge. Give another --out.")
    layout.make_folders(out)
    store = Store(out)
    store.lock()
    write_atomic(out / PLAN, json.dumps(plan, indent=1, ensure_ascii=False) + "\n")
    store.clear_unfinished()
    return store


def fill(store: Store, choice: Choice, config: RunConfig, sources: Sequence[Source], copy: bool) -> RunConfig | None:
    """Videos, references, logs, conflicts, and last of all the configuration, which is returned.

    Videos whose files do not have the digests they were published with are struck off their run where another run has
    the same frames: the answer is then None, and there is to be chosen again. Else they become failures of kind ``damaged``.
    """
    wanted = {store.folder(job).name for job, _, _ in choice.videos}
    for path in (store.root / layout.ARTEFACTS).iterdir():
        if path.name not in wanted:  # of an earlier, unfinished merge of the same runs in another state
            shutil.rmtree(path)
    damaged: dict[str, Failure] = {}
    struck = False
    for job, source, artefact in choice.videos:
        if store.artefact(job, verify=True) != artefact.sealed():
            shutil.rmtree(store.folder(job), ignore_errors=True)
            if not (why := _bring(store, job, source, artefact, copy)):
                continue
            if any(s is not source and _frames(s, job) == artefact.frames_digest for s in sources):
                del source.artefacts[job.key]
                source.notes.append(f"{why}; another run's is taken")
                struck = True
            else:
                damaged[job.key] = Failure(job_key=job.key, kind=DAMAGED, stage="merge", message=why)
    if struck:
        return None
    said = [*choice.notes, *(n for s in sources for n in s.notes), *_references(store, config, sources)]
    notes = [f"{OWN_NOTE}{sentence}" for sentence in said]
    records = [r for r in choice.records if r.job_key not in damaged]
    _write_rows(layout.log(store.root, layout.RECORDS), records)
    _write_rows(layout.log(store.root, layout.FAILURES), [*choice.failures, *damaged.values()])
    if choice.frames or choice.numbers:
        facts = {"format": FORMAT, "frames": choice.frames, "numbers": choice.numbers}
        write_atomic(store.root / layout.CONFLICTS, json.dumps(facts, indent=1, ensure_ascii=False) + "\n")
    else:
        (store.root / layout.CONFLICTS).unlink(missing_ok=True)
    final = config.model_copy(update={"notes": tuple(dict.fromkeys([*config.notes, *notes]))})
    write_atomic(store.root / layout.CONFIG, final.model_dump_json(indent=1))
    return final


def _frames(source: Source, job: Job) -> str | None:
    """Digest of the frames that a run has of a job, if it has the video."""
    return found.frames_digest if (found := source.artefacts.get(job.key)) else None


def _write_rows(path: Path, rows: Sequence[MetricRecord | Failure]) -> None:
    write_atomic(path, "".join(with_check(row.model_dump_json()) + "\n" for row in rows))


def _bring(store: Store, job: Job, source: Source, artefact: Artefact, copy: bool) -> str:
    """One video into the folder, every file checked where it then lies; else why not."""
    made = store.new_folder()
    for name, info in artefact.files.items():
        try:
            bring_file(source.folders[job.key] / name, made / name, copy)
            found = file_info(made / name)
        except OSError as error:
            shutil.rmtree(made)
            return f"{name} of {source.name} cannot be read ({(error.strerror or 'unknown reason').lower()})"
        if found != info:
            shutil.rmtree(made)
            return f"{name} of {source.name} has another SHA-256 than when it was written"
    store.publish(made, job, artefact)
    return ""


def _references(store: Store, config: RunConfig, sources: Sequence[Source]) -> list[str]:
    """Every reference, decoded and compared with its digest; a sentence for those that no run has whole."""
    missing = []
    for wanted, known in {c.reference.frames_digest: c.reference for c in config.suite.cases}.items():
        place = store.reference_path(wanted)
        if place.exists() and _decodes_to(place, known):
            continue
        partial = place.with_name(f".part-{place.name}")
        for source in sources:
            partial.unlink(missing_ok=True)
            try:
                bring_file(Store(source.root).reference_path(wanted), partial, copy=True)
            except OSError:
                continue
            if _decodes_to(partial, known):
                partial.replace(place)
                break
        else:
            partial.unlink(missing_ok=True)
            missing.append(next(c.id for c in config.suite.cases if c.reference.frames_digest == wanted))
    if not missing:
        return []
    return [
        f"the reference clips of {len(missing)} cases are in none of the runs ({missing[0]} ...); nothing new can be scored "
        "on them."
    ]


def _decodes_to(path: Path, known: Reference) -> bool:
    try:
        return frames_digest(read_lossless(path, known.shape)) == known.frames_digest
    except OSError:
        return False

"""A submission: one row of a run with all its records, the control rows, and a sample of its videos or all.

    submission.json   name, method, created, versions, machine, claims, sample, and the SHA-256 of every other file
    recipe.toml       the row's recipe
    run/              a run folder like any other, which every command reads

A video that the sample leaves out keeps its ``meta.json``, which then names no file: its digests and its costs are known, its
frames are not. Which videos are in the sample follows from the frames of all, so that nobody chooses the pretty ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from fastvmt.core.choices import one_of
from fastvmt.core.content_address import digest
from fastvmt.core.disk.atomic import bring_file, plain_file, write_atomic
from fastvmt.core.disk.held_folder import new_folder
from fastvmt.core.reading import parse_json
from fastvmt.core.spelling import public, shown
from fastvmt.core.validation import first_problem
from fastvmt.errors import SpecError, StoreError
from fastvmt.jobs.run_config import Asked, RunConfig
from fastvmt.model import Artefact, Frozen, Job, Suite
from fastvmt.model.fields import Facts, Hex, Label, Line, Size
from fastvmt.plugins.traits import Traits
from fastvmt.records.identity import Identities
from fastvmt.reports.gate.baseline import named
from fastvmt.reports.share import recipe as recipes
from fastvmt.reports.share.claims import Claim, artefacts_of, claims_of, machine_of, versions_of
from fastvmt.reports.tidy import Tidy, current_records, gather
from fastvmt.runner.plan.methods import CONTROLS
from fastvmt.store import layout
from fastvmt.store.checked_lines import with_check
from fastvmt.store.folder import Store

FORMAT = 1
SUBMISSION, RECIPE, RUN = "submission.json", "recipe.toml", "run"
LARGEST = 64 << 20
"""Bytes of ``submission.json``: a line for each file."""
ALL: Literal["all"] = "all"


class Submission(Frozen):
    """What ``submission.json`` says.

    Attributes:
        name: the row's label; method: its id; created: ISO date.
        claims: by metric; versions, machine: of the videos of the row.
        sample: how many videos of each row are in it.
        files: SHA-256 by path in the folder, of every file but this one.
    """

    format: int = FORMAT
    name: Label
    method: Label
    created: Line = Field(pattern=r"^\d{4}-\d\d-\d\d")
    versions: dict[Line, Line]
    machine: Facts
    claims: dict[Label, Claim]
    sample: Literal["all"] | Size
    files: dict[Label, Hex]


def read(folder: Path) -> Submission:
    """What a submission says of itself; whether it is so is for ``bench verify`` to find.

    Raises:
        StoreError: when it is none.
    """
    path = folder / SUBMISSION
    try:
        with open(path, "rb", opener=plain_file) as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        why = (error.strerror or "unknown reason").lower()
        raise StoreError(f"{path}: it cannot be read ({why}). `bench submit RUN` makes a submission.") from None
    try:
        facts = parse_json(raw) if len(raw) <= LARGEST else None
    except ValueError as error:
        raise StoreError(f"{path}: not valid JSON ({shown(error, 200)}). `bench submit RUN` writes it.") from None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        found = shown(facts.get("format")) if isinstance(facts, dict) else "none"
        raise StoreError(f"{path}: a submission of format {found}; this version reads {FORMAT}.")
    try:
        return Submission.model_validate(facts)
    except ValidationError as error:
        raise StoreError(f"{path}: {shown(first_problem(error), 300)}. `bench submit RUN` writes it anew.") from None


def write(run: Path, row: str, out: Path, sample: Literal["all"] | int = ALL) -> Submission:
    """Make the submission of one row of a run in a new folder, whole or not at all.

    Args:
        row: its label.
        sample: how many videos of each row go into it.

    Raises:
        SpecError: for a row that the run has not, that is a control, or that lacks a video or a number; for a run of a part
            of its suite, without its controls, or merged with open conflicts.
        StoreError: when the run cannot be read, or there is something at ``out``.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StoreError(f"{out} is there already. Give another --out, or remove it.")
    tidy = gather([run])
    _refuse_unfit(tidy, run, row)
    out.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(out.parent, out.name) as made:
        _write_run(tidy, row, made / RUN, sample)
        own = gather([made / RUN])
        write_atomic(made / RECIPE, recipes.of(own, row).text())
        found = claimed(own, row, datetime.now(UTC).date().isoformat(), sample)
        found = found.model_copy(update={"files": {name: sha256_of(made / name) for name in files_in(made)}})
        write_atomic(made / SUBMISSION, json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
        if out.exists():
            out.rmdir()
        made.rename(out)
    return found


def claimed(tidy: Tidy, row: str, created: str, sample: Literal["all"] | int) -> Submission:
    """What ``submission.json`` is to say of the run in its folder, but for the files."""
    made = artefacts_of(tidy, row)
    return Submission(
        name=row, method=tidy.methods[row].method, created=created, versions=versions_of(made), machine=machine_of(made),
        claims=claims_of(tidy, row), sample=sample, files={},
    )  # fmt: skip


def files_in(folder: Path) -> list[str]:
    """Paths of the folder's files but ``submission.json``, links and devices among them."""
    found = (p for p in sorted(folder.rglob("*")) if p.is_symlink() or not p.is_dir())
    return [name for p in found if (name := p.relative_to(folder).as_posix()) != SUBMISSION]


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, read anew."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sampled(jobs: Sequence[Job], frames: dict[str, str], sample: Literal["all"] | int) -> set[str]:
    """Keys of the jobs of one row whose videos are in a sample of so many.

    Args:
        frames: frames digest of every video of the submission, by job key: who changes one changes the sample.
    """
    if sample == ALL:
        return {j.key for j in jobs}
    lot = digest(sorted(frames.items()))
    return {j.key for j in sorted(jobs, key=lambda j: digest([lot, j.key]))[:sample]}


# --- what goes into it ---------------------------------------------------------------------------------------------------


def _refuse_unfit(tidy: Tidy, run: Path, row: str) -> None:
    one_of("--method", row, tidy.methods)
    config, spec = tidy.stores[0].config(), tidy.methods[row]
    if spec.control:
        raise SpecError(f"--method {row} is a control, which goes with every submission. Name the method it is held against.")
    if config.asked and config.asked.some:
        raise SpecError(
            f"{run}: it has a part of the suite '{config.suite.name}' (--limit, --cases), and a submission has every case. "
            "Give the `bench run` command without them, or make a suite of these cases (`bench suite make`)."
        )
    if CONTROLS[0] not in tidy.methods:
        raise SpecError(
            f"{run}: it has no row '{CONTROLS[0]}' (no transfer), and without it nobody can tell what the method adds. Give "
            "the `bench run` command again without --no-controls."
        )
    rows = tidy.frame[tidy.frame["label"].isin([row, *_controls(tidy)]) & tidy.frame["status"].isin(["missing", "failed"])]
    lacking = [f"{r.case} {r.label} seed {r.seed}: {r.metric}" for r in rows.itertuples()]
    if lacking:
        raise SpecError(
            f"{run}: numbers are missing ({named(lacking)}). `bench resume {run}` makes what it can; `bench why` says more."
        )


def _controls(tidy: Tidy) -> list[str]:
    return [label for label, spec in tidy.methods.items() if spec.control]


def _write_run(tidy: Tidy, row: str, out: Path, sample: Literal["all"] | int) -> None:
    (store,) = tidy.stores
    config = _published(store.config(), [*_controls(tidy), row])
    there = {job.key: artefact for job in config.jobs() if (artefact := store.artefact(job, bare=True))}
    frames = {key: artefact.frames_digest for key, artefact in there.items()}
    for name in (layout.ARTEFACTS, layout.REFERENCES):
        (out / name).mkdir(parents=True)
    shown_cases: set[str] = set()
    for label in (m.label for m in config.methods):
        jobs = [j for j in config.jobs() if j.method.label == label]
        chosen = sampled(jobs, frames, sample)
        for job in jobs:
            shown_cases |= {job.case_id} if job.key in chosen else set()
            _bring(store, Store(out), job, there[job.key], job.key in chosen)
    for name in _references(config.suite, shown_cases):
        bring_file(store.reference_path(name), Store(out).reference_path(name), copy=True)
    references = {j.key: j.case_id for j in config.jobs()}
    clips = {c.id: c.reference.frames_digest for c in config.suite.cases}
    known = Identities(tidy.traits)
    records = current_records(store, there, {key: clips[case] for key, case in references.items()}, known)
    lines = (with_check(r.model_dump_json()) + "\n" for r in records)
    write_atomic(layout.log(out, layout.RECORDS), "".join(lines))
    if (traits := _traits(tidy.traits, config)) != Traits():
        write_atomic(out / layout.TRAITS, traits.model_dump_json(indent=1))
    write_atomic(out / layout.CONFIG, config.model_dump_json(indent=1))


def _references(suite: Suite, shown_cases: set[str]) -> Iterator[str]:
    """Digests of the clips that scores of the videos in the sample need: their own, and the wrong ones of control metrics."""
    found: dict[str, None] = {}
    for case in (c for c in suite.cases if c.id in shown_cases):
        other = suite.other_reference(case)
        found |= dict.fromkeys([case.reference.frames_digest, *([other.frames_digest] if other else [])])
    yield from found


def _bring(store: Store, out: Store, job: Job, artefact: Artefact, whole: bool) -> None:
    """One video, or what is known of it."""
    target = out.folder(job)
    target.mkdir()
    for name in artefact.files if whole else ():
        bring_file(store.folder(job) / name, target / name, copy=True)
    kept = artefact if whole else artefact.model_copy(update={"files": {}})
    write_atomic(target / layout.META, kept.sealed().model_dump_json(indent=1))


def _published(config: RunConfig, labels: Sequence[str]) -> RunConfig:
    """The configuration of these rows, without the way to a file on this machine; no job's key changes by it."""
    how = config.asked or Asked(suite=config.suite.name)
    how = how.model_copy(update={"suite": Path(how.suite).name, "root": None, "prompts": None, "command": "run", "words": ()})
    cases = tuple(c.model_copy(update={"reference": c.reference.published()}) for c in config.suite.cases)
    return config.model_copy(update={
        "suite": Suite(name=config.suite.name, cases=cases), "setting": config.setting.published(),
        "methods": tuple(m for m in config.methods if m.label in labels), "plugins": (), "asked": how, "ablates_presets": False,
        "notes": tuple(map(public, config.notes)), "caveat": public(config.caveat), "merged": (),
    })  # fmt: skip


def _traits(traits: Traits, config: RunConfig) -> Traits:
    """What is said of the rows' methods and metrics; of plug-in files their names and digests."""
    used = {m.method for m in config.methods}
    return Traits(
        plugins={Path(place).name: file for place, file in traits.plugins.items()},
        methods={id: facts for id, facts in traits.methods.items() if id in used}, metrics=traits.metrics,
    )  # fmt: skip

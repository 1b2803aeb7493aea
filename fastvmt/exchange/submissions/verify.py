"""All that ``bench verify`` finds of a submission: what does not hold, and what could not be checked on this machine.

Numbers are recomputed from the records by the statistics of every table, scores from the videos of a random sample. That the
method made these videos nobody can see in a folder: ``bench reproduce`` of its recipe shows that.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastvmt.core.screen.status_line import doing
from fastvmt.core.spelling import shown
from fastvmt.errors import BenchError, SpecError, UserError
from fastvmt.exchange.submissions import files, rows
from fastvmt.jobs.run_config import RunConfig
from fastvmt.media.files import fit_frames, read_clip, read_lossless
from fastvmt.metrics.copies import COPY, repeated
from fastvmt.model import Artefact, Case, Job, Reference, Suite
from fastvmt.plugins import registry
from fastvmt.plugins.metric_labels import build
from fastvmt.records.identity import Identities
from fastvmt.records.verified import Verified
from fastvmt.reports.share import RECIPE, RUN, Submission, read
from fastvmt.reports.share import recipe as recipes
from fastvmt.reports.share.agreement import forbidding
from fastvmt.reports.share.submission import claimed
from fastvmt.reports.share.toml import plain
from fastvmt.reports.tidy import gather
from fastvmt.runner.plan import resolve
from fastvmt.runner.plan.methods import CONTROLS
from fastvmt.store import layout
from fastvmt.store.folder import Store
from fastvmt.store.foreign_run import MOST_JOBS
from fastvmt.upkeep.verify import labels_by_job, references_hold, score_again, video_fault

STILL = 16.0
"""Levels by which a re-encoded video that does not move may differ from itself, on average."""
SAMPLE = 8
"""Videos whose scores are computed again, where nothing else is said."""
WHOSE = "the submission"


@dataclass
class Checked:
    """What was found.

    Attributes:
        faults: a sentence for everything that does not hold; unchecked: for what could not be looked at here.
        notes: metrics that cannot be scored here.
        scored: videos and scores that were computed again; seed: which of them.
    """

    submission: Submission
    seed: int
    faults: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    scored: Verified = field(default_factory=Verified)

    @property
    def exit_code(self) -> int:
        """1 where something does not hold, 4 where what was looked at holds and not all could be."""
        return 1 if self.faults else 4 if self.unchecked else 0

    def lines(self) -> list[str]:
        """What was found, a line each."""
        name, n = shown(self.submission.name, 120), len(self.faults)
        holds = "it holds, as far as it could be checked" if self.unchecked else "it holds"
        head = f"{n} thing{'s' * (n > 1)} of it do{'es' * (n == 1)} not hold" if n else holds
        counts = f"{len(self.submission.files)} files, {len(self.submission.claims)} claims"
        looked = f"{counts}; sample {self.seed}: {self.scored.words()}"
        return [
            f"{name}: {head}", f"  looked at: {looked}", *(f"  does not hold: {fault}" for fault in self.faults),
            *(f"  not checked: {what}" for what in self.unchecked), *(f"  note: {note}" for note in self.notes),
        ]  # fmt: skip

    def data(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        facts = {"name": self.submission.name, "holds": not self.faults, "exit_code": self.exit_code, "seed": self.seed}
        return facts | {k: getattr(self, k) for k in ("faults", "unchecked", "notes")} | {"scored": self.scored.data()}


def verify(
    folder: Path, sample: int | None = SAMPLE, seed: int = 0, row: str = "", own: Mapping[str, Any] | None = None
) -> Checked:
    """Look at a submission. Plug-ins are those that the user has loaded himself.

    Args:
        sample: how many videos are scored again; None for all that are there.
        seed: of the choice of them.
        row: choose among the videos of this row alone.
        own: fields of ``Request`` that say where the user's copies of suite and weights lie.

    Raises:
        StoreError: when it is no submission.
    """
    found = Checked(read(folder), seed)
    doing("comparing the digests of files")
    if strange := list(files.strange_files(folder)):  # nothing else of the folder is opened
        found.faults += strange
        return found
    found.faults += files.wrong_files(folder, found.submission)
    try:
        _look(folder, found, sample, row, own or {})
    except (UserError, OSError, RecursionError) as error:
        found.faults.append(f"its run cannot be read: {str(error).splitlines()[0]}")
    except BenchError as error:
        found.faults.append(str(error))
    return found


def _look(folder: Path, found: Checked, sample: int | None, row: str, own: Mapping[str, Any]) -> None:
    submission, faults = found.submission, found.faults
    store = Store.open(folder / RUN)
    config = store.config()
    if len(config.suite.cases) * len(config.methods) * len(config.seeds) > MOST_JOBS:
        faults.append(f"its run plans more than the {MOST_JOBS:,} videos of any submission.")
        return
    faults += rows.wrong_methods(submission, config)
    videos: rows.Videos = {}
    damaged = list(rows.read_videos(store, config, videos))
    faults += [*damaged, *rows.wrong_videos(submission, config, videos)]
    faults += rows.wrong_records(store, config, videos, Identities(store.traits()))
    if damaged or submission.name not in {m.label for m in config.methods}:
        return  # a table of what is left would say nothing
    doing("reckoning what the records give")
    tidy = gather([store.root])
    faults += rows.lacking_numbers(tidy)
    faults += rows.wrong_claims(submission, claimed(tidy, submission.name, submission.created, submission.sample), tidy)
    fresh = recipes.of(tidy, submission.name)
    faults += _wrong_recipe(folder / RECIPE, fresh)
    _known(fresh, config, own, found)
    _score(store, config, videos, found, sample, row)


def _wrong_recipe(path: Path, fresh: recipes.Recipe) -> Iterator[str]:
    try:
        written = recipes.read(path)
    except SpecError as error:
        yield str(error)
        return
    yield from rows.wrong_recipe(*(plain(r.model_dump(mode="json")) for r in (written, fresh)))


def _known(recipe: recipes.Recipe, config: RunConfig, own: Mapping[str, Any], found: Checked) -> None:
    """Resolve on this machine what the submission says it ran: suite, backbone, setting and methods must come out the same."""
    doing("comparing suite and backbone with those of this machine")
    labels = [m.label for m in config.methods if m.method in registry.methods.names() and not m.imported]
    if recipe.method.imported:
        found.notes.append(f"'{shown(recipe.row, 80)}' was made elsewhere: its parameters are claims of its author.")
    elif recipe.row not in labels:
        found.unchecked.append(f"the parameters of '{shown(recipe.row, 80)}': its method is not here (--plugin FILE).")
    whole = {k: v for k, v in recipe.request.items() if k not in ("cases", "limit", "device", "threads")}
    try:
        asked = recipe.model_copy(update={"request": whole}).asked(**own)
        here = resolve(replace(asked, methods=tuple(labels) or CONTROLS[:1], ablates_presets=True)).config
    except BenchError as error:
        found.unchecked.append(f"suite and backbone: {shown(str(error).splitlines()[0], 400)}")
        return
    if here.setting.weights_digest == "unfetched":
        found.unchecked.append(f"backbone '{shown(recipe.setting.called)}': its weights are not on this machine.")
        here = here.model_copy(update={
            "setting": here.setting.model_copy(update={"weights_digest": recipe.setting.weights_digest})
        })  # fmt: skip
    if here.caveat != config.caveat and here.setting.weights_digest != "unfetched":
        found.faults.append(f"its caveat is not the backbone's: '{shown(here.caveat, 200)}' has to be said of every number.")
    for spec in (m for m in config.methods if m.label in labels):
        one = recipe.model_copy(update={"row": spec.label, "method": spec})
        found.faults += [said for said in forbidding(one, here, WHOSE) if said not in found.faults]


def _score(store: Store, config: RunConfig, videos: rows.Videos, found: Checked, sample: int | None, row: str) -> None:
    """Scores of a random sample of the videos that are there, computed again; and that what people see is what was scored."""
    whole = [job for job, artefact in videos.values() if artefact.files and (not row or job.method.label == row)]
    whole.sort(key=lambda job: job.key)
    chosen = whole if sample is None else random.Random(found.seed).sample(whole, min(sample, len(whole)))
    clips = _sound_references(store, config, found) if chosen else set()
    sound = [job for job in chosen if _is_sound(store, config.suite, job, videos[job.key][1], clips, found)]
    can: dict[str, bool] = {}
    scored = labels_by_job(store.records().values())
    for label in dict.fromkeys(label for job in sound for label in scored.get(job.key, ())):
        try:
            why = build(label).missing()
        except SpecError as error:
            why = str(error)
        can[label] = not why
        if why:
            found.notes.append(f"{shown(label, 80)} is not computed again: {why}")
    if sound and not any(can[label] and not build(label).timing for label in can):
        found.unchecked.append("scores: no metric of it can be computed again here.")
    doing(f"computing the scores of {len(sound)} videos again")
    wanted = [(job, [label for label in scored.get(job.key, ()) if can[label]]) for job in sound]
    score_again(store, config, wanted, found.scored, lambda label: 10.0 ** -build(label).decimals)
    found.faults += found.scored.faults


def _sound_references(store: Store, config: RunConfig, found: Checked) -> set[str]:
    """Digests of the reference clips that are there and are what the suite says."""
    known = {store.reference_path(c.reference.frames_digest).name: c.reference for c in config.suite.cases}
    sound = set()
    for path in sorted((store.root / layout.REFERENCES).glob("*")):
        clip, looked = known.get(path.name), Verified()
        if clip is None:
            found.faults.append(f"reference {shown(path.name)}: it is of no case.")
        elif references_hold(store, Suite(name="", cases=_with(config.suite, clip)), looked):
            sound.add(clip.frames_digest)
        found.faults += looked.faults
        found.scored.references += looked.references
        found.scored.references_as_stored += looked.references_as_stored
    return sound


def _with(suite: Suite, clip: Reference) -> tuple[Case, ...]:
    return tuple(c for c in suite.cases if c.reference.frames_digest == clip.frames_digest)[:1]


def _is_sound(store: Store, suite: Suite, job: Job, artefact: Artefact, clips: set[str], found: Checked) -> bool:
    found.scored.videos += 1
    if fault := video_fault(store, job) or _other_viewable(store.folder(job), artefact):
        found.faults.append(f"{job.name}: {fault}.")
        return False
    found.scored.videos_as_stored += 1
    case = next(c for c in suite.cases if c.id == job.case_id)
    other = suite.other_reference(case)
    if {case.reference.frames_digest, *([other.frames_digest] if other else [])} <= clips:
        return True
    found.faults.append(f"{job.name}: a reference clip that its scores need is not there, or not what the suite says.")
    return False


def _other_viewable(folder: Path, artefact: Artefact) -> str:
    """Why the video that people see is not the one that was scored, or ""."""
    if layout.VIDEO not in artefact.files:
        return ""
    scored = read_lossless(folder / layout.FRAMES, artefact.shape)
    try:
        seen = read_clip(folder / layout.VIDEO, layout.VIDEO).frames
    except UserError as error:
        return f"{layout.VIDEO} cannot be decoded ({shown(str(error).splitlines()[0], 120)})"
    if len(seen) == len(scored):
        small = fit_frames(seen, artefact.width, artefact.height, "stretch")
        share = repeated(small, scored)
        if share > COPY if share is not None else np.abs(small.astype(int) - scored).mean() < STILL:
            return ""
    return f"{layout.VIDEO}, which people see, shows something else than {layout.FRAMES}, which was scored"

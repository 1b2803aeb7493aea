"""A run folder: readable by a person, safe to kill, written by one process at a time.

    config.json          what the run is; it grows (fastvmt/jobs/growth.py)
    traits.json          what tables need of its plug-ins, whose code they do not
    events.jsonl         what happened, one line each (written by the runner alone)
    records.jsonl        metric records (runner alone)
    failures.jsonl       failures (runner alone)
    references/          reference frames as the methods see them, lossless
    artefacts/NAME/      frames.mkv (lossless, scored), video.mp4 (for the eye), meta.json (written last)
    cache/               text embeddings and reference latents
    prepared/            weights fitted to a reference by methods that train (``prepared.py``)
    workers/             what the workers printed
    leases/              who works on what just now (fastvmt/runner/crew/leases.py)
    remake/              which videos are to be made or scored again (--remake)

Runners that join with ``bench work`` write logs of their own, ``events/NAME.jsonl``, ``records/NAME.jsonl`` and
``failures/NAME.jsonl``; every log file has one writer, and readers take them all.

An artefact is done when its folder has its final name: it is made under ``.making-…`` and renamed. A torn last line of
a log is dropped and said; any other damage is named.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pydantic import ValidationError

from fastvmt.core.content_address import frames_digest
from fastvmt.core.disk.atomic import append_line, publish_folder, write_atomic
from fastvmt.core.reading import parse_json
from fastvmt.errors import DamagedFile, JobError, StoreError
from fastvmt.jobs.growth import grown, other_neighbours, other_versions
from fastvmt.jobs.numbering import JobGrid, folder_name, label_in, slug
from fastvmt.jobs.run_config import RUN_FORMAT, RunConfig
from fastvmt.model import IMPORTED, Artefact, Failure, Job, MetricRecord, Reference
from fastvmt.plugins.traits import Traits
from fastvmt.store import layout
from fastvmt.store.artefact_files import artefact_of, file_info
from fastvmt.store.checked_lines import rows, with_check
from fastvmt.store.conflicts import Conflicts
from fastvmt.store.index import INDEX, note
from fastvmt.store.lock import hold
from fastvmt.store.plain import check_plain, refuse_shared

if TYPE_CHECKING:
    from fastvmt.media.files import Frames

TO_MAKE, TO_SCORE = "make", "score"
"""What is left to do with a video that is made again."""
AGAIN = "give the `bench run` command again, which stores it anew from its clip."


@dataclass
class Store:
    """One run folder. ``warnings`` collects what was dropped or found damaged while reading."""

    root: Path
    warnings: list[str] = field(default_factory=list)
    writer: str = ""
    """Name of a runner that joined; "" for the one that holds the lock."""
    holder: str = ""
    """Token of the runner (see ``leases``) under which unfinished artefacts are made."""
    news: list[str] = field(default_factory=list)
    """What the user of this command has to know, and no later reader of the run."""
    _lock: IO[str] | None = None

    # --- opening ---------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, root: Path, config: RunConfig, hold: bool = False) -> Store:
        """Open a folder for this configuration, new or with a run that it is added to; see ``jobs.growth``.

        Args:
            hold: lock it before anything in it is read or written; a run in work must not find another configuration.

        Raises:
            StoreError: when the folder holds a run whose meaning this would change, naming what differs, is in use (``hold``),
                or has links in it.
            NotComparable: when presets of one method would share its table.
        """
        check_plain(root)
        store = cls(root)
        layout.make_folders(root)
        if hold:
            store.lock()
        if layout.is_run(root):
            config = store._grow(config)
        write_atomic(root / layout.CONFIG, config.model_dump_json(indent=1))
        return store

    def grown(self, new: RunConfig) -> RunConfig:
        """The folder's configuration with what a command adds to it; nothing is written.

        Raises:
            StoreError, NotComparable: as ``create`` does.
        """
        made = any(not (label_in(n) or "").startswith(IMPORTED) for n in self._names())
        config, differing = grown(self.config(), new, made)
        if differing:
            raise StoreError(
                f"{self.root} holds another run ({'; '.join(differing)}: its own value first). Give the same, or another "
                "--out, or leave --out out."
            )
        return config

    def _names(self) -> set[str]:
        return {p.name for p in (self.root / layout.ARTEFACTS).glob("[!.]*")}

    def _grow(self, new: RunConfig) -> RunConfig:
        """The same, and in ``news`` what of the folder does not stay as it is."""
        before, config, names = self.config(), self.grown(new), self._names()
        for old, now in other_versions(before, config):
            old_names = JobGrid([old], before.suite.cases, before.seeds, before.setting).names()
            count = len({name for _, name in old_names} & names)
            again = f", {count} videos will be made again (`bench gc` removes the old ones)" if count else ""
            self.news.append(f"{old.label}: version {old.version} → {now.version}{again}")
        if stale := other_neighbours(before.suite, config.suite):  # controls are scored against another clip now
            self.mark((j.key for j in config.grid() if j.case_id in stale and self.folder(j).name in names), TO_SCORE)
        return config

    @classmethod
    def open(cls, root: Path) -> Store:
        """Open an existing run folder.

        Raises:
            StoreError: when it is none, or holds links.
        """
        check_plain(root)
        if not layout.is_run(root):
            raise StoreError(f"{root} is not a run folder: it has no config.json. `bench run` makes one.")
        return cls(root)

    def config(self) -> RunConfig:
        path = self.root / layout.CONFIG
        try:
            raw = parse_json(path.read_bytes())
        except ValueError as error:
            raise StoreError(f"{path}: not valid JSON ({error}). Restore it, or start again with another --out.") from None
        if not isinstance(raw, dict):
            raise StoreError(f"{path}: not a run's configuration. Restore it, or start again with another --out.")
        if raw.get("format") != RUN_FORMAT:
            raise StoreError(
                f"{path}: format {raw.get('format')}, this version reads {RUN_FORMAT}. Use the version that wrote it."
            )
        try:
            return RunConfig.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            raise StoreError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None

    def traits(self) -> Traits:
        """What the run says of its plug-ins; nothing where it is of before, or what it says is damaged."""
        path = self.root / layout.TRAITS
        try:
            return Traits.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return Traits()
        except (OSError, ValueError) as error:
            why = f"{path.name}: damaged ({str(error).splitlines()[0]}); what its plug-ins say of themselves is not known."
            self.warnings += [why] if why not in self.warnings else []
            return Traits()

    def keep_traits(self, traits: Traits) -> None:
        """Only for the holder of the lock."""
        write_atomic(self.root / layout.TRAITS, traits.model_dump_json(indent=1))

    def lock(self) -> None:
        """Hold the folder until ``unlock`` or the process's end, however it ends; held already, it stays so.

        Raises:
            StoreError: when another process holds it, or a log is a file of somebody else too.
        """
        if self._lock is None:
            logs = (path for name in (layout.EVENTS, layout.RECORDS, layout.FAILURES) for path in self.logs(name))
            refuse_shared([self.root / layout.LOCK, self.root / INDEX, *logs])
            self._lock = hold(self.root)
            layout.make_folders(self.root)  # what passes a run on may leave out those that are empty, as git does

    def unlock(self) -> None:
        """Let go of the folder; the end of the process does the same."""
        if self._lock:
            self._lock.close()
            self._lock = None

    # --- logs --------------------------------------------------------------------------------------------------------

    def log(self, name: str) -> Path:
        """Our own file of the events, records or failures."""
        return layout.log(self.root, name, self.writer)

    def logs(self, name: str) -> list[Path]:
        """The files of all writers, that of the lock's holder last."""
        return layout.logs(self.root, name)

    def join(self, writer: str) -> None:
        """Write to logs of our own from now on, beside the holder of the lock."""
        for name in (layout.EVENTS, layout.RECORDS, layout.FAILURES):
            (self.root / name).mkdir(exist_ok=True)
        self.writer = writer

    def event(self, kind: str, /, **facts: Any) -> None:
        append_line(self.log(layout.EVENTS), json.dumps({"event": kind, **facts}, ensure_ascii=False))

    def add(self, row: MetricRecord | Failure) -> None:
        name = layout.RECORDS if isinstance(row, MetricRecord) else layout.FAILURES
        append_line(self.log(name), with_check(row.model_dump_json()))
        if isinstance(row, Failure):
            self.event("failed", key=row.job_key, kind=row.kind)

    def records(self, only: Callable[[bytes], bool] | None = None) -> dict[str, MetricRecord]:
        """Metric records by key; a later one replaces an earlier one, a failed one of another writer replaces none.

        Args:
            only: which lines to look at; all without it.
        """
        found: dict[str, MetricRecord] = {}
        for path in self.logs(layout.RECORDS):
            new = {r.key: r for r in self.each_record(path, only=only)}
            found |= {k: r for k, r in new.items() if r.status != "failed" or k not in found}
        return found

    def each_record(
        self, path: Path, size: int | None = None, only: Callable[[bytes], bool] | None = None
    ) -> Iterator[MetricRecord]:
        """Metric records of one log, or of its first ``size`` bytes, one by one; damaged lines are named in ``warnings``."""
        return rows(self.root, path, MetricRecord, self.warnings, size, only)

    def failures(self) -> dict[str, Failure]:
        """The last failure of each job, by job key."""
        return {f.job_key: f for path in self.logs(layout.FAILURES) for f in rows(self.root, path, Failure, self.warnings)}

    # --- artefacts ---------------------------------------------------------------------------------------------------

    def folder(self, job: Job) -> Path:
        return self.root / layout.ARTEFACTS / folder_name(job.case_id, slug(job.method.label), job.seed, job.key)

    def new_folder(self) -> Path:
        path = self.root / layout.ARTEFACTS / f"{layout.MAKING}{self.holder}-{secrets.token_hex(6)}"
        path.mkdir()
        return path

    def publish(self, made: Path, job: Job, artefact: Artefact) -> None:
        """Write ``meta.json`` into a finished folder and give it its final name."""
        write_atomic(made / layout.META, artefact.sealed().model_dump_json(indent=1))
        again = self.left_to_do(job.key)
        if publish_folder(made, self.folder(job), self._free_name(self.folder(job)) if again else None):
            note(self.root, self.folder(job), artefact)
        if again:
            self.mark([job.key], TO_SCORE)

    def artefact(self, job: Job, verify: bool = False, bare: bool = False) -> Artefact | None:
        """The finished artefact of a job, or None. One whose files do not match is moved to ``quarantine/``.

        Args:
            verify: compare every file's SHA-256, not only its size.
            bare: also one of which the facts alone are there (``reports.share.submission``).
        """
        folder = self.folder(job)
        if not folder.exists():
            return None
        try:
            artefact = artefact_of(folder, job, bare=True)
            for name, info in artefact.files.items() if artefact and verify else ():
                if file_info(folder / name) != info:
                    raise ValueError(f"{name} has another SHA-256 than when it was written")
        except (OSError, ValueError) as error:
            self.quarantine(folder, error)
            return None
        return artefact if bare or (artefact and artefact.files) else None

    def adopt(
        self, job: Job, folders: Iterable[Path], fits: Callable[[Artefact], bool] = lambda found: True
    ) -> Artefact | None:
        """Take over the same job's video from one of these artefacts of other runs, every file verified; or None.

        The copy says where it came from, and no seconds are ever reported for it.
        """
        for folder in folders:
            try:
                found = artefact_of(folder, job)  # a neighbour may be a stranger's: its files' names are only names
                if (
                    found is None
                    or not fits(found)
                    or any(file_info(folder / name) != info for name, info in found.files.items())
                ):
                    continue
            except (OSError, ValueError):
                continue
            made = self.new_folder()
            for name in found.files:
                shutil.copyfile(folder / name, made / name)
            origin = found.reused_from or folder.parent.parent.name
            self.publish(made, job, found.model_copy(update={"reused_from": origin}))
            return self.artefact(job)
        return None

    def quarantine(self, folder: Path, why: Exception) -> None:
        """Move a damaged folder to ``quarantine/`` and say so."""
        self.set_aside(folder)
        reason = str(why).splitlines()[0]
        self.warnings.append(f"{folder.name}: damaged ({reason}); moved to quarantine, will be made again.")

    def set_aside(self, folder: Path) -> None:
        """Move what counts no more to ``quarantine/``."""
        shutil.move(folder, self._free_name(folder))

    def _free_name(self, folder: Path) -> Path:
        """In ``quarantine/``."""
        place = self.root / layout.QUARANTINE
        place.mkdir(exist_ok=True)
        return place / f"{folder.name}-{secrets.token_hex(3)}"

    # --- videos that are made again ------------------------------------------------------------------------------------

    def mark(self, keys: Iterable[str], left: str = TO_MAKE) -> None:
        """Have the videos of these jobs made again and scored, or scored alone; whoever works on the folder next does it."""
        place = self.root / layout.REMAKE
        place.mkdir(exist_ok=True)
        for key in keys:
            (place / key).write_text(left)

    def unmark(self, key: str) -> None:
        """A video is scored with all that the run wants, which is the last that was left to do where it was marked."""
        if self.left_to_do(key) == TO_SCORE:
            (self.root / layout.REMAKE / key).unlink(missing_ok=True)

    def left_to_do(self, key: str) -> str:
        """``make`` or ``score`` for a job whose video is marked, else ""."""
        path = self.root / layout.REMAKE / key
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return TO_SCORE if file.read(16) == TO_SCORE.encode() else TO_MAKE  # a torn one says make, which is never wrong

    def marked(self) -> dict[str, str]:
        """What is left to do, by key of the job, where anything is."""
        place = self.root / layout.REMAKE
        return {p.name: left for p in (place.iterdir() if place.is_dir() else ()) if (left := self.left_to_do(p.name))}

    def disputes(self) -> dict[str, dict[str, str]]:
        """Jobs of a merged run whose sources have other frames, while nobody has chosen: key to run to frames digest."""
        try:
            found = Conflicts.model_validate_json((self.root / layout.CONFLICTS).read_bytes())
            return {c.job: c.runs for c in found.frames if c.used is None}
        except FileNotFoundError:
            return {}
        except ValueError:
            raise StoreError(f"{self.root / 'conflicts.json'} is damaged. Merge the runs again into another folder.") from None

    def disputed(self) -> frozenset[str]:
        """Keys of those jobs: a third video would choose between them silently."""
        return frozenset(self.disputes())

    def clear_unfinished(self, lives: Callable[[str], bool] = lambda holder: False) -> None:
        """Remove what killed workers left half-made. Only for the holder of the lock.

        Args:
            lives: whether the runner with this token may still be at work on it.
        """
        for path in (self.root / layout.ARTEFACTS).glob(f"{layout.MAKING}*"):
            if not lives(path.name.split("-")[1]):
                shutil.rmtree(path, ignore_errors=True)

    def reference_path(self, frames_digest: str) -> Path:
        return self.root / layout.REFERENCES / f"{frames_digest[:16]}.mkv"

    def reference(self, known: Reference) -> Frames:
        """A reference's frames, uint8 RGB (T, H, W, 3), compared with their digest.

        Raises:
            JobError: when it is not there or not what was stored; a damaged one is moved to ``quarantine/``.
        """
        from fastvmt.media.files import read_lossless

        path = self.reference_path(known.frames_digest)
        if not path.exists():
            raise JobError(f"the reference {path.name} is not there; {AGAIN}")
        try:
            frames = read_lossless(path, known.shape)
            if frames_digest(frames) != known.frames_digest:
                raise DamagedFile("it decodes to other frames than were stored")
        except DamagedFile as error:
            self.quarantine(path, error)
            raise JobError(f"the reference {path.name} was damaged and is set aside; {AGAIN}") from None
        return frames

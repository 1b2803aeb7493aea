"""What training leaves: weights fitted to one reference, kept in the run folder and used by every job of that reference.

    prepared/KEY/weights.safetensors, meta.json    finished; renamed into place when whole
    prepared/.KEY.checkpoint                       where training was when it last wrote; gone when it is done
    prepared/.KEY.lock                             held by the process that trains

The key covers what training depends on and nothing else: neither target prompt nor guidance, nor steps of sampling, nor the
job's seed (a method that trains has a seed of its own among its parameters). A killed training goes on from its checkpoint
and ends with the same bits.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastvmt.core.atomic import publish_folder, write_atomic
from fastvmt.core.content_address import KEY_FORMAT, digest
from fastvmt.media.files import Frames
from fastvmt.model import Case, FileInfo, Frozen, Job, Reference, Setting
from fastvmt.plugins import registry
from fastvmt.plugins.method import Method
from fastvmt.store import layout
from fastvmt.store.artefact_files import file_info
from fastvmt.store.folder import Store

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, META = "weights.safetensors", layout.META
KEY_LENGTH = 32
"""Hex digits; 128 bits name a folder."""


def prepared_key(job: Job, case: Case, setting: Setting) -> str | None:
    """Content address of what training leaves for this job, 32 hex digits; None for a method that trains nothing."""
    cls: type[Method] = registry.methods.get(job.method.method)
    if not cls.trains or cls.prepare is Method.prepare:
        return None
    return digest(
        {
            "format": KEY_FORMAT,
            "method": [job.method.method, job.method.version, cls.training(job.method.params, case)],
            "reference": case.reference.frames_digest,
            "caption": case.caption,
            "weights": setting.weights_digest,
            "dtype": setting.dtype,
            "size": [setting.width, setting.height, setting.frames],
        }
    )[:KEY_LENGTH]


class Spent(Frozen):
    """What training cost where it ran, over all its parts when it was interrupted; work lost by a kill is not in it."""

    seconds: float = 0.0
    forward_equivalents: float = 0.0
    energy_joules: float | None = None
    peak_memory_bytes: int = 0
    peak_reserved_bytes: int = 0

    def plus(self, other: Spent) -> Spent:
        energies = (self.energy_joules, other.energy_joules)
        return Spent(
            seconds=self.seconds + other.seconds,
            forward_equivalents=self.forward_equivalents + other.forward_equivalents,
            energy_joules=None if None in energies else sum(e for e in energies if e is not None),
            peak_memory_bytes=max(self.peak_memory_bytes, other.peak_memory_bytes),
            peak_reserved_bytes=max(self.peak_reserved_bytes, other.peak_reserved_bytes),
        )


class Meta(Frozen):
    """``meta.json`` of a finished preparation."""

    key: str
    method: str
    spent: Spent
    device: str
    software: dict[str, str]
    files: dict[str, FileInfo]
    log: dict[str, Any] = {}
    """What the method left: steps, loss curve, the text it was trained with, where tracks came from."""


@dataclass(frozen=True)
class Prepared:
    """Weights by name, on the CPU, and their ``meta.json``."""

    tensors: Mapping[str, Tensor]
    meta: Meta


@dataclass
class Checkpoint:
    """The file from which a killed training goes on.

    Attributes:
        path: a single file, replaced atomically.
        spent: what this process has spent since it took over.
        before: what earlier processes had spent when they last wrote.
    """

    path: Path
    spent: Callable[[], Spent]
    before: Spent | None = None

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and facts as they were saved, or None without a usable file."""
        from safetensors import SafetensorError, safe_open

        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                kept = json.loads(file.metadata()["facts"])
                before = Spent.model_validate(kept["spent"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, OSError, ValueError, KeyError, TypeError):
            self.path.unlink(missing_ok=True)  # damaged: training begins anew
            return None
        self.before = before
        return tensors, kept["facts"]

    def save(self, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        from safetensors.torch import save

        kept = json.dumps({"spent": self.total().model_dump(), "facts": facts})
        write_atomic(self.path, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, {"facts": kept}))

    def total(self) -> Spent:
        """What was spent so far, earlier parts included."""
        now = self.spent()
        return now if self.before is None else self.before.plus(now)


@dataclass
class Workspace:
    """What ``Method.prepare`` may use beside the job's context.

    Attributes:
        reference: what is known of the clip.
        frames: function returning its frames, uint8 RGB (T, H, W, 3), at the run's size.
        tick: called with (step, steps).
        checkpoint: None where nothing is kept (tests, sweeps).
        log: what stands in ``meta.json``.
    """

    reference: Reference
    frames: Callable[[], Frames]
    tick: Callable[[int, int], None] = lambda i, n: None
    checkpoint: Checkpoint | None = None
    log: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Shelf:
    """The prepared weights of a run folder."""

    store: Store

    @property
    def root(self) -> Path:
        return self.store.root / layout.PREPARED

    def load(self, key: str, owned: bool = False) -> Prepared | None:
        """A finished preparation, or None where there is none or a damaged one.

        Args:
            owned: we hold the key's lock; a damaged one is then moved to ``quarantine/`` and said.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = self.root / key
        if not folder.exists():
            return None
        try:
            meta = Meta.model_validate_json((folder / META).read_bytes())
            if meta.key != key:
                raise ValueError("another preparation's key")
            if file_info(folder / WEIGHTS) != meta.files[WEIGHTS]:
                raise ValueError(f"{WEIGHTS} has another SHA-256 than when it was written")
            return Prepared(load_file(folder / WEIGHTS), meta)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            if owned:
                self.store.quarantine(folder, error)
            return None

    def get(self, key: str, train: Callable[[Path], Prepared]) -> Prepared:
        """The finished preparation; trained once, by whichever process comes first, while the others wait for it.

        Args:
            train: makes it; gets the place for its checkpoint.
        """
        found = self.load(key)
        if found is not None:
            return found
        with self._locked(key):
            found = self.load(key, owned=True)
            if found is None:
                place = self.root / f".{key}.checkpoint"
                self._publish(key, train(place))
                place.unlink(missing_ok=True)
                found = self.load(key)
        if found is None:
            raise OSError(f"{self.root / key} could not be read back; is the disk sound?")
        return found

    def _publish(self, key: str, made: Prepared) -> None:
        from safetensors.torch import save_file

        folder = self.root / f"{layout.MAKING}{key}-{secrets.token_hex(4)}"
        for stale in self.root.glob(f"{layout.MAKING}{key}-*"):  # of a killed holder of the lock that we hold now
            shutil.rmtree(stale, ignore_errors=True)
        folder.mkdir()
        save_file({k: v.detach().cpu().contiguous() for k, v in made.tensors.items()}, folder / WEIGHTS)
        meta = made.meta.model_copy(update={"files": {WEIGHTS: file_info(folder / WEIGHTS)}})
        write_atomic(folder / META, meta.model_dump_json(indent=1))
        publish_folder(folder, self.root / key)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Wait for the key's lock; the end of the process that holds it frees it, however it ends."""
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.root / f".{key}.lock", "a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

"""What training leaves: weights fitted to one reference, kept in the run folder and used by every job of that reference.

    prepared/KEY/weights.safetensors, meta.json    finished; renamed into place when whole
    prepared/.KEY.checkpoint                       where training was when it last wrote; gone when it is done
    prepared/.KEY.lock                             held by the process that trains

``jobs.prepared_key`` names the folder. A killed training goes on from its checkpoint and ends with the same bits.
"""

from __future__ import annotations

import fcntl
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastvmt.artefacts.code_state import other_code
from fastvmt.core.disk.atomic import own_file, publish_folder, write_atomic
from fastvmt.model import FileInfo, Frozen
from fastvmt.model.fields import FileName, Hex, Label, Line
from fastvmt.plugins.workspace import Spent
from fastvmt.store import layout
from fastvmt.store.artefact_files import file_info
from fastvmt.store.folder import Store

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, META = "weights.safetensors", layout.META


class Meta(Frozen):
    """``meta.json`` of a finished preparation."""

    key: Hex
    method: Label
    spent: Spent
    device: Line
    software: dict[Line, Line]
    files: dict[FileName, FileInfo]
    log: dict[str, Any] = {}
    """What the method left: steps, loss curve, the text it was trained with, where tracks came from."""
    code: str = ""
    """State of the code that trained, where it is a file of the user's."""


@dataclass(frozen=True)
class Prepared:
    """Weights by name, on the CPU, and their ``meta.json``."""

    tensors: Mapping[str, Tensor]
    meta: Meta


@dataclass(frozen=True)
class Shelf:
    """The prepared weights of a run folder."""

    store: Store

    @property
    def root(self) -> Path:
        return self.store.root / layout.PREPARED

    def load(self, key: str, owned: bool = False, code: str = "") -> Prepared | None:
        """A finished preparation, or None where there is none, a damaged one, or one of another state of the code.

        Args:
            owned: we hold the key's lock; what cannot be used is then moved to ``quarantine/`` and said.
            code: as in ``Meta``.
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
            if other_code(meta.code, code):
                raise ValueError("it was trained by code that has changed since")
            if file_info(folder / WEIGHTS) != meta.files[WEIGHTS]:
                raise ValueError(f"{WEIGHTS} has another SHA-256 than when it was written")
            return Prepared(load_file(folder / WEIGHTS), meta)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            if owned:
                self.store.quarantine(folder, error)
            return None

    def get(self, key: str, train: Callable[[Path], Prepared], code: str = "") -> Prepared:
        """The finished preparation; trained once, by whichever process comes first, while the others wait for it.

        Args:
            train: makes it; gets the place for its checkpoint.
            code: as in ``Meta``.
        """
        found = self.load(key, code=code)
        if found is not None:
            return found
        with self._locked(key):
            found = self.load(key, owned=True, code=code)
            if found is None:
                place = self.root / (f".{key}.{code}.checkpoint" if code else f".{key}.checkpoint")
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
        with open(self.root / f".{key}.lock", "a", opener=own_file) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

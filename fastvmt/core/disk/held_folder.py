"""Folders that are filled under a name that nobody reads, and that do not outlive a process that was killed over them."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def new_folder(place: Path, name: str) -> Iterator[Path]:
    """A new folder ``.NAME.<token>.part`` in ``place``, to be renamed when it is whole; it is gone at the end if it was not.

    What killed processes left of that name is removed first. A folder is held by a lock, which ends with its process.

    Raises:
        OSError: when the folder cannot be made.
    """
    place.mkdir(parents=True, exist_ok=True)
    _sweep(place, name)
    made = place / f".{name}.{secrets.token_hex(6)}.part"
    made.mkdir()
    handle = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield made
    finally:
        os.close(handle)
        shutil.rmtree(made, ignore_errors=True)


def _sweep(place: Path, name: str) -> None:
    for path in place.iterdir():
        if not re.fullmatch(rf"\.{re.escape(name)}\.[0-9a-f]+\.part", path.name):
            continue
        with suppress(OSError):  # somebody fills it, or it is no folder, or not ours to remove
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
            finally:
                os.close(handle)

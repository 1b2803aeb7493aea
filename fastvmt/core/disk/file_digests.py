"""SHA-256 of large files, remembered by path, size and time of change, because hashing 80 GB takes minutes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from fastvmt.core.caches import place
from fastvmt.core.disk.atomic import write_atomic
from fastvmt.core.reading import parse_json


def _memory_path() -> Path:
    return place("FASTVMT_CACHE", "~/.cache/fastvmt") / "file-digests.json"


@lru_cache(maxsize=1)
def _read(path: Path, size: int, changed: int) -> dict[str, str]:
    """What was remembered when the file had this size and time: scoring asks several times for every video."""
    return dict(parse_json(path.read_bytes()))


def sha256_of(paths: list[Path]) -> list[str]:
    """SHA-256 (hex) of each file, computed only for files that are new or changed since the last call on this machine.

    Raises:
        OSError: when a file cannot be read; that the memory cannot be written is no error.
    """
    memory_path = _memory_path()
    try:
        stat = memory_path.stat()
        memory = dict(_read(memory_path, stat.st_size, stat.st_mtime_ns))
    except (OSError, ValueError, TypeError):
        memory = {}
    known_before, found = len(memory), []
    for path in paths:
        stat = path.stat()
        mark = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
        if mark not in memory:
            with open(path, "rb") as file:
                memory[mark] = hashlib.file_digest(file, "sha256").hexdigest()
        found.append(memory[mark])
    if len(memory) != known_before:
        try:
            memory_path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(memory_path, json.dumps(memory))
        except OSError:
            pass  # a read-only home costs time, not correctness
    return found


def code_sha256(folder: Path, files: Iterable[Path]) -> str:
    """SHA-256 over names (relative to the folder) and bytes of files of code, in the order given."""
    found = hashlib.sha256()
    for path in files:
        found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()

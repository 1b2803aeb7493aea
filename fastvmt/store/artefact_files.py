"""Files of a video as a stranger's: their names and sizes are checked, nothing is moved."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from pydantic import ValidationError

from fastvmt.core.disk.atomic import plain_file
from fastvmt.core.spelling import shown
from fastvmt.core.validation import first_problem
from fastvmt.model import Artefact, FileInfo, Job
from fastvmt.store import layout

LARGEST_META = 16 << 20
KINDS = (".mkv", ".mp4", ".png", ".json", ".txt", ".safetensors")
"""Files of an artefact that are taken over; anything else has no place there."""


def file_info(path: Path) -> FileInfo:
    with open(path, "rb") as file:
        return FileInfo(bytes=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def read_meta(folder: str | Path) -> Artefact:
    """What ``meta.json`` says of a video.

    Raises:
        ValueError: it is damaged, or too large for what it is.
        OSError: it is not there, or no file of its own.
    """
    with open(f"{folder}/{layout.META}", "rb", buffering=0, opener=plain_file) as file:
        if (size := os.fstat(file.fileno()).st_size) > LARGEST_META:
            raise ValueError(f"{layout.META} has {size} bytes, more than any video's")
        try:
            return Artefact.model_validate_json(file.read())
        except ValidationError as error:
            raise ValueError(first_problem(error)) from None


def artefact_of(folder: Path, job: Job, bare: bool = False) -> Artefact | None:
    """The artefact of a job, its files' names and sizes checked, nothing moved; None where there is none.

    Args:
        bare: also one of which the facts alone are there, as a submission has it of videos that it leaves out.

    Raises:
        ValueError: it is damaged, bare, or names files that are no business of a run folder.
        OSError: a file is not there.
    """
    if not folder.exists():
        return None
    artefact = read_meta(folder)
    if artefact.key != job.key:
        raise ValueError("another job's key")
    if bare and not artefact.files:
        return artefact
    for name, info in artefact.files.items():
        if name == layout.META or Path(name).suffix not in KINDS:
            raise ValueError(f"'{shown(name)}' is no file of a video")
        about = (folder / name).lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_size != info.bytes:
            raise ValueError(f"{name} has {about.st_size} bytes, not {info.bytes}")
    if layout.FRAMES not in artefact.files:
        raise ValueError("no frames.mkv among its files")
    return artefact

"""Data sets on the user's disk: downloaded or taken from a file, checked, unpacked, and complete or not there at all.

A folder ``<root>/<name>`` counts when its ``manifest.json`` is there. Everything before that happens in hidden siblings,
which the next call finds again (the download) or removes (a half unpacked folder).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fastvmt.core.atomic import publish_folder, write_atomic
from fastvmt.errors import UserError
from fastvmt.suites.download import CHUNK, Patience, Report, download, file_name, remove_part
from fastvmt.suites.unpack import Limits, Stored, unpack

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Archive:
    """A file that can be fetched.

    Attributes:
        name: as in ``bench fetch NAME``, and of the folder; url: where it lies; bytes, sha256: what it must be.
        summary: what is inside; licence: on what terms.
        holds: a folder that must be there after unpacking, relative.
    """

    name: str
    url: str
    bytes: int
    sha256: str
    summary: str
    licence: str
    holds: str


def root(to: Path | None = None) -> Path:
    """Where data sets lie: ``to``, or ``$FASTVMT_DATA``, or ``~/.cache/fastvmt/data``."""
    return Path(to or os.environ.get("FASTVMT_DATA") or "~/.cache/fastvmt/data").expanduser().absolute()


def find(archive: Archive, to: Path | None = None) -> Path | None:
    """The archive's folder, if it was fetched to the end. Reads one file.

    Raises:
        UserError: when a folder of that name is something else, or has lost its data since.
    """
    folder = root(to) / archive.name
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        digest = manifest["sha256"]
    except (FileNotFoundError, NotADirectoryError):
        if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
            return None
        raise UserError(f"'{folder}' is there, but not made by `bench fetch`. Move it, or give another --to.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"'{folder / MANIFEST}' cannot be read ({_words(error)}). Remove the folder and run it again."
        ) from None
    if digest != archive.sha256:
        raise UserError(f"'{folder}' holds another version (sha256 {digest}). Remove it, or give another --to.")
    if not (folder / archive.holds).is_dir():
        raise UserError(f"'{folder}' was complete, but has no {archive.holds} any more. Remove the folder and run it again.")
    return folder


def fetch(
    archive: Archive, to: Path | None = None, from_file: Path | None = None, report: Report | None = None,
    patience: Patience | None = None, limits: Limits | None = None,
) -> Path:  # fmt: skip
    """Get an archive and unpack it, unless it is there.

    Args:
        archive: what.
        to: folder in which ``<name>/`` is made; see ``root``.
        from_file: a copy of the archive on this machine, for those without network; it is left as it is.
        report: what is told on the way (standard error); patience: with a slow or failing host.
        limits: how much may come out of it.

    Returns:
        The folder, with ``manifest.json`` in it.

    Raises:
        UserError: when it cannot be had, is not what it should be, or there is no room for it.
    """
    report, place = report or Report(), root(to)
    try:
        if find(archive, to):  # before anything is written: the folder may be one that others share and nobody may change
            report.note(f"{archive.name} is already there, nothing to do: {place / archive.name}")
        else:
            if from_file is not None:
                _check_size(archive, from_file)
            place.mkdir(parents=True, exist_ok=True)
            with _alone(place, archive.name):
                if find(archive, to) is None:  # nobody finished it in between
                    _get(archive, place, from_file, report, patience or Patience(), limits)
        with suppress(OSError):
            remove_part(_part(archive, place))
    except OSError as error:
        raise UserError(_disk_sentence(error, archive, place)) from None
    finally:
        report.end()
    return place / archive.name


def _part(archive: Archive, place: Path) -> Path:
    return place / f".{archive.name}.part"


def _get(
    archive: Archive, place: Path, from_file: Path | None, report: Report, patience: Patience, limits: Limits | None
) -> None:  # fmt: skip
    if from_file is not None:
        try:
            file = open(from_file, "rb")  # noqa: SIM115 - closed below
        except OSError as error:
            raise UserError(f"--from {from_file}: {_words(error)}.") from None
        with file:
            _check_digest(archive, from_file, file, report)
            _unpack(archive, file, place, report, limits)
        return
    part = _part(archive, place)
    _check_room(archive, part)
    download(archive.url, archive.bytes, archive.sha256, part, patience, report)
    with open(part, "rb") as file:
        _unpack(archive, file, place, report, limits)


@contextmanager
def _alone(place: Path, name: str) -> Iterator[None]:
    """Hold the data set's lock; the end of the process lets go of it, however it ends."""
    with open(place / f".{name}.lock", "a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"Another `bench fetch {name}` is at work in '{place}'. Wait for it.") from None
        yield


def _check_size(archive: Archive, path: Path) -> None:
    if not path.is_file():
        raise UserError(f"--from {path}: there is no such file. Get {file_name(archive.url)} from {archive.url}.")
    size = path.stat().st_size
    if size != archive.bytes:
        why = "incomplete download" if size < archive.bytes else "not this archive"
        raise UserError(f"{path.name}: {size:,} bytes, expected {archive.bytes:,}: {why}. Get it again from {archive.url}.")


def _check_digest(archive: Archive, path: Path, file: IO[bytes], report: Report) -> None:
    """The user's file is what it should be; the same open file is unpacked afterwards, so that nothing can come between."""
    digest, have = hashlib.sha256(), 0
    report.begin(f"checking {path.name}", archive.bytes)
    while data := file.read(CHUNK):
        digest.update(data)
        have += len(data)
        report.at(have)
    file.seek(0)
    if digest.hexdigest() != archive.sha256:
        raise UserError(
            f"{path.name}: sha256 is {digest.hexdigest()}, expected {archive.sha256}: damaged, or not this archive. "
            f"Get it again from {archive.url}."
        )


def _check_room(archive: Archive, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    free, need = shutil.disk_usage(part.parent).free, archive.bytes - have
    if free < need:
        raise UserError(f"'{part.parent}' has {free:,} bytes free, {need:,} needed to download. Make room, or give --to.")


def _unpack(archive: Archive, file: IO[bytes], place: Path, report: Report, limits: Limits | None) -> None:
    """Unpack beside the final folder, write the manifest last, and rename the whole."""
    made = place / f".{archive.name}.unpacking"
    shutil.rmtree(made, ignore_errors=True)  # what a killed call left
    try:
        made.mkdir()
        stored = unpack(
            file, file_name(archive.url), made, limits, reserved=(MANIFEST,),
            planned=lambda files, total: report.begin(f"unpacking {total:,} bytes", files, unit="files"), done=report.at,
        )  # fmt: skip
        if not (made / archive.holds).is_dir():
            raise UserError(f"{file_name(archive.url)}: no folder {archive.holds} in it. This is not the data it should be.")
        write_atomic(made / MANIFEST, json.dumps(_manifest(archive, stored), indent=1, ensure_ascii=False) + "\n")
        publish_folder(made, place / archive.name)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _manifest(archive: Archive, stored: dict[str, Stored]) -> dict[str, Any]:
    """Nothing in it depends on when or where it was made: the same archive gives the same manifest."""
    facts = {"schema": 1, "name": archive.name, "url": archive.url, "bytes": archive.bytes, "sha256": archive.sha256}
    files = [{"path": path, "bytes": s.bytes, "sha256": s.sha256} for path, s in sorted(stored.items())]
    return facts | {"licence": archive.licence, "files": files}


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")


def _disk_sentence(error: OSError, archive: Archive, place: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"'{place}' has no room left for {archive.name}. Make room and run it again: what was downloaded is kept."
    return f"'{error.filename or place}' cannot be used for {archive.name}: {_words(error)}. Give another --to."

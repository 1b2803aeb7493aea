"""Data sets on the user's disk: downloaded by pooch or taken from a file, checked, unpacked, and complete or not there at all.

A folder ``<root>/<name>`` counts when its ``manifest.json`` is there; it is renamed into place as a whole. Until then all lies
in ``.<name>.work`` beside it, where the next call goes on. An archive may be hostile: every name is judged before anything is
written, every size while it is read, and only plain files and folders come out.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import struct
import sys
import time
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from fastvmt.core.caches import place
from fastvmt.core.disk.atomic import publish_folder, write_atomic
from fastvmt.core.reading import parse_json
from fastvmt.core.screen.terminal import raw
from fastvmt.errors import UserError

MANIFEST = "manifest.json"
CHUNK = 1 << 16
TIMEOUT, TRIES, PAUSE = 30.0, 5, 1.0
"""Seconds without a byte; tries that may fail in a row; seconds before the second, doubled each time."""
WORTH = 1 << 20
"""A try that brought so many bytes counts as a success: the tries that may fail in a row start anew."""
PASSING = (408, 425, 429)
"""Refusals (beside 5xx) that another try may not meet."""
MEMBERS, TOTAL, RATIO = 100_000, 16 << 30, 200
"""What an archive may hold: members, bytes unpacked, and bytes unpacked for each byte packed."""
SMALL = 1 << 20
"""Bytes below which a member may pack as well as it likes: a list of names does, and can do no harm."""
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The two every tool writes; those of the others can grow a few bytes to many MB in one step, before a limit is seen."""
DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError, FileExistsError, NotADirectoryError,
)  # fmt: skip
"""What reading bytes that are no zip raises at one place or another, and writing two members to one name."""


@dataclass(frozen=True)
class Archive:
    """A zip that can be fetched.

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

    @property
    def file(self) -> str:
        return urlsplit(self.url).path.rsplit("/", 1)[-1] or self.name


def root(to: Path | None = None) -> Path:
    """Where data sets lie: ``to``, or ``$FASTVMT_DATA``, or ``~/.cache/fastvmt/data``."""
    return to.expanduser().absolute() if to else place("FASTVMT_DATA", "~/.cache/fastvmt/data")


def find(archive: Archive, to: Path | None = None) -> Path | None:
    """The archive's folder, if it was fetched to the end. Reads one file.

    Raises:
        UserError: when a folder of that name is something else, or has lost its data since.
    """
    folder = root(to) / archive.name
    try:
        digest = parse_json((folder / MANIFEST).read_bytes())["sha256"]
    except (FileNotFoundError, NotADirectoryError):
        if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
            return None
        raise UserError(f"'{folder}' is there, but not made by `bench fetch`. Move it, or give another --to.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{folder / MANIFEST}' cannot be read ({_words(error)}). Remove it and run it again.") from None
    if digest != archive.sha256:
        raise UserError(f"'{folder}' holds another version (sha256 {digest}). Remove it, or give another --to.")
    if not (folder / archive.holds).is_dir():
        raise UserError(f"'{folder}' was complete, but has no {archive.holds} any more. Remove it and run it again.")
    return folder


def fetch(archive: Archive, to: Path | None = None, from_file: Path | None = None) -> Path:
    """Get an archive and unpack it, unless it is there. Progress goes to standard error.

    Args:
        archive: what.
        to: folder in which ``<name>/`` is made; see ``root``.
        from_file: a copy of the archive on this machine, for those without network; it is left as it is.

    Returns:
        The folder, with ``manifest.json`` in it.

    Raises:
        UserError: when it cannot be had, is not what it should be, or there is no room for it.
    """
    place = root(to)
    work = place / f".{archive.name}.work"
    try:
        if found := find(archive, to):  # before anything is written: the folder may be one that nobody may change
            return found
        if from_file is not None:
            _check(archive, from_file)
        place.mkdir(parents=True, exist_ok=True)
        with _alone(place, archive.name):
            if find(archive, to) is None:  # nobody finished it in between
                work.mkdir(exist_ok=True)
                _publish(archive, from_file or _downloaded(archive, work), work)
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = f"'{place}' has no room left for {archive.name}. Make room and run it again: what was downloaded is kept."
        else:
            where = error.filename or place
            what = f"'{where}' cannot be used for {archive.name}: {_words(error)}. Give another --to."
        raise UserError(what) from None
    return place / archive.name


@contextmanager
def _alone(place: Path, name: str) -> Iterator[None]:
    """Hold the data set's lock; the end of the process lets go of it, however it ends."""
    with open(place / f".{name}.lock", "a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"Another `bench fetch {name}` is at work in '{place}'. Wait for it.") from None
        yield


def _check(archive: Archive, path: Path) -> None:
    """The user's file is the archive."""
    import pooch

    if not path.is_file():
        raise UserError(f"--from {path}: there is no such file. Get {archive.file} from {archive.url}.")
    size, digest = path.stat().st_size, pooch.file_hash(str(path))
    if digest != archive.sha256:
        raise UserError(
            f"{path.name}: {size:,} bytes with sha256 {digest}, expected {archive.bytes:,} with {archive.sha256}: incomplete, "
            f"damaged, or not this archive. Get it again from {archive.url}."
        )


def _publish(archive: Archive, file: Path, work: Path) -> None:
    """Unpack beside the final folder, write the manifest last, and rename the whole."""
    made = work / "unpacked"
    shutil.rmtree(made, ignore_errors=True)  # what a killed call left
    made.mkdir()
    try:
        with open(file, "rb") as opened:
            files = unpack(opened, archive.file, made)
        if not (made / archive.holds).is_dir() or (made / MANIFEST).exists():
            raise UserError(f"{archive.file}: no folder {archive.holds} in it, or a {MANIFEST}: not the data it should be.")
        # Nothing in it depends on when or where it was made: the same archive gives the same manifest.
        facts = {"schema": 1, "name": archive.name, "url": archive.url, "bytes": archive.bytes, "sha256": archive.sha256}
        manifest = facts | {"licence": archive.licence, "files": sorted(files, key=lambda f: f["path"])}
        write_atomic(made / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
        publish_folder(made, work.parent / archive.name)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _check_room(folder: Path, need: int, what: str) -> None:
    if (free := shutil.disk_usage(folder).free) < need:
        raise UserError(f"'{folder}' has {free:,} bytes free, {need:,} needed to {what}. Make room, or give another --to.")


def _words(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error)).rstrip(".") or type(error).__name__


def _bar(what: str, total: int, have: int = 0) -> Any:
    """A line rewritten in place on a terminal, elsewhere one at most every 10 s."""
    from tqdm import tqdm

    every = 0.2 if sys.stderr.isatty() else 10.0
    return tqdm(desc=what, total=total, initial=have, unit="B", unit_scale=True, mininterval=every, file=raw(sys.stderr))


# --- downloading ---------------------------------------------------------------------------------------------------------


def _downloaded(archive: Archive, work: Path) -> Path:
    """The archive in ``work``, its digest checked by pooch, which removes what is something else."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    resuming = _Resuming(archive, work / f"{archive.sha256}.part")  # so that bytes of two archives never meet
    try:
        return Path(pooch.retrieve(archive.url, f"sha256:{archive.sha256}", archive.file, work, downloader=resuming))
    except ValueError as error:
        said = str(error).split(". ")[0]  # names both digests
        raise UserError(
            f"{said}: not the file this version knows, so it was removed. Run it again, and if that gives the same, get "
            f"{archive.file} elsewhere and pass it with --from FILE."
        ) from None


@dataclass(frozen=True)
class _Resuming:
    """What pooch downloads with: goes on after a lost connection, and from what an earlier process left in ``part``."""

    archive: Archive
    part: Path

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        import requests

        size, failed = self.archive.bytes, 0
        _check_room(self.part.parent, size - self._have(), "download")
        with _bar(self.archive.file, size, self._have()) as bar:
            while (before := self._have()) < size:
                reason = "the connection ended early"
                try:
                    self._one_try(url, before, bar)
                except requests.RequestException as error:
                    inner: BaseException = error
                    while inner.__context__:  # down to the system's own words: "Connection refused"
                        inner = inner.__context__
                    reason = _words(inner)
                failed = 1 if self._have() - before >= WORTH else failed + 1
                if self._have() < size:
                    if failed >= TRIES:
                        raise UserError(
                            f"{urlsplit(url).netloc} failed {TRIES} tries in a row at {self._have():,} of {size:,} bytes "
                            f"({reason}). Check the network and run the same command again, which goes on from there, or get "
                            f"{url} on another machine and pass it with --from FILE."
                        )
                    time.sleep(PAUSE * 2 ** (failed - 1))
        os.replace(self.part, output_file)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _one_try(self, url: str, have: int, bar: Any) -> None:
        """Ask for what is missing and append it until all is there or the connection ends."""
        import requests

        size, name = self.archive.bytes, self.archive.file
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            code = answer.status_code
            if code >= 500 or code in PASSING:
                raise requests.HTTPError(f"HTTP {code}")
            start = have if code == 206 else 0
            length = start + int(answer.headers.get("Content-Length", size - start))
            if not answer.ok or length != size:
                what = f"offers {length:,} bytes" if answer.ok else f"answers HTTP {code} ({answer.reason})"
                raise UserError(
                    f"{url} {what}, expected {size:,} bytes: it is not given out there any more. Get {name} elsewhere and pass "
                    "it with --from FILE."
                )
            bar.update(start - bar.n)
            with open(self.part, "ab" if start else "wb") as file:
                for data in answer.iter_content(CHUNK):
                    bar.update(file.write(data[: size - file.tell()]))
                    if file.tell() == size:  # a host may send without end
                        return


# --- unpacking -----------------------------------------------------------------------------------------------------------


def unpack(file: IO[bytes], name: str, into: Path) -> list[dict[str, Any]]:
    """Unpack an open zip into a folder that is new and empty.

    Args:
        file: opened for reading bytes, seekable; name: of the archive, for messages.
        into: exists and is empty. What is in it after an error is for the caller to remove.

    Returns:
        ``path`` (with ``/``), ``bytes`` and ``sha256`` (hex) of every file, in the archive's order.

    Raises:
        UserError: when the archive is damaged, hostile, too large, or no zip.
        OSError: when the disk is full or the folder cannot be written.
    """
    files = []
    try:
        archive = zipfile.ZipFile(file)
        plan = _plan(archive.infolist(), file.seek(0, 2), name)
        total = sum(member.file_size for _, member in plan)
        _check_room(into, total, "unpack")
        with _bar("unpacking", total) as bar:
            for path, member in plan:
                if member.orig_filename.endswith("/"):
                    (into / path).mkdir(parents=True, exist_ok=True)
                else:
                    files.append(_write(archive, member, path, into, bar))
    except DAMAGED as error:
        raise UserError(f"{name}: the archive is damaged, or no zip ({_words(error)}). Get it again.") from None
    return files


def _plan(members: list[zipfile.ZipInfo], size: int, name: str) -> list[tuple[str, zipfile.ZipInfo]]:
    """What to write, after every name and announced size was judged; ``size`` is that of the archive in bytes."""
    plan = []
    for member in members:
        parts = [part for part in member.orig_filename.split("/") if part not in ("", ".")]  # filename ends at the first NUL
        if parts and ("__MACOSX" in parts[:-1] or parts[-1].startswith("._") or parts[-1] in (".DS_Store", "Thumbs.db")):
            continue
        if wrong := _wrong(member, parts):
            raise UserError(f"{name}: the entry {member.orig_filename[:200]!r} {wrong}; nothing of the archive was kept.")
        if parts:
            plan.append(("/".join(parts), member))
    unpacked, packed = sum(m.file_size for m in members), sum(m.compress_size for m in members)
    if len(members) > MEMBERS or unpacked > TOTAL:
        raise UserError(f"{name}: more than {MEMBERS:,} entries or {TOTAL:,} bytes. This is not the data it should be.")
    if packed > size:
        raise UserError(f"{name}: its entries overlap, as those of a zip bomb do; nothing of the archive was kept.")
    return plan


def _wrong(member: zipfile.ZipInfo, parts: list[str]) -> str:
    """What is wrong with a member, or nothing."""
    name, mode = member.orig_filename, stat.S_IFMT(member.external_attr >> 16)
    size, packed = member.file_size, member.compress_size
    reasons = {
        "has an absolute path": name.startswith("/") or any(re.match(r"[A-Za-z]:", part) for part in parts),
        "has a backslash in its path": "\\" in name,
        "has a NUL or another control character in its path": any(unicodedata.category(c) in ("Cc", "Cs") for c in name),
        "leaves the folder": ".." in parts,
        "has a path that is too long": len(name) > 1024 or any(len(part.encode(errors="replace")) > 255 for part in parts),
        "is a link, a device, encrypted, or packed in a way that is not read here": (
            mode not in (0, stat.S_IFREG, stat.S_IFDIR) or member.compress_type not in PACKINGS or member.flag_bits & 1
        ),
        f"unpacks {packed:,} bytes to {size:,}, more than {RATIO} times": size > max(SMALL, packed * RATIO),
    }
    return next((words for words, found in reasons.items() if found), "")


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str, into: Path, bar: Any) -> dict[str, Any]:
    """Copy one member to a new file, no byte more or less than announced; zipfile checks the CRC on the way."""
    (into / path).parent.mkdir(parents=True, exist_ok=True)
    digest, count = hashlib.sha256(), 0
    with archive.open(member) as source, open(into / path, "xb") as file:
        while count <= member.file_size and (data := source.read(CHUNK)):
            count += len(data)
            digest.update(data)
            bar.update(file.write(data))
    if count != member.file_size:
        raise ValueError(f"'{member.orig_filename}' gives {count:,} bytes or more, {member.file_size:,} announced")
    return {"path": path, "bytes": count, "sha256": digest.hexdigest()}

"""Unpacks a zip or tar that may be hostile: every name is judged before anything is written, every size while it is read.

Only plain files and folders below the target come out. A link, a device, a path that leaves the folder, two names that one
disk would take for the same, or more data than announced end it with one sentence.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from fastvmt.errors import UserError

CHUNK = 1 << 18
JUNK = {".DS_Store", "Thumbs.db", "desktop.ini"}
SMALL = 1 << 20
"""Bytes below which a member may pack as well as it likes: a list of names does, and can do no harm."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The two every tool writes; those of the others can grow a few bytes to many MB in one step, before a limit is seen."""
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, struct.error, EOFError, ValueError,
    RuntimeError,
)  # fmt: skip
"""What the readers raise, at one place or another, for bytes that are not what they should be."""


@dataclass(frozen=True)
class Limits:
    """What an archive may hold: members, bytes unpacked, and bytes unpacked for each byte packed."""

    members: int = 100_000
    total: int = 16 << 30
    ratio: int = 200


@dataclass(frozen=True)
class Member:
    """One entry as the archive announces it; ``packed`` is None where a format does not say (tar)."""

    name: str
    size: int
    packed: int | None
    kind: Literal["file", "folder", "other"]
    handle: Any


@dataclass(frozen=True)
class Stored:
    """A file that came out: its size and SHA-256 (hex)."""

    bytes: int
    sha256: str


def unpack(
    file: IO[bytes], name: str, into: Path, limits: Limits | None = None, reserved: Iterable[str] = (),
    planned: Callable[[int, int], None] = lambda files, total: None, done: Callable[[int], None] = lambda files: None,
) -> dict[str, Stored]:  # fmt: skip
    """Unpack an open archive into a folder that is new and empty.

    Args:
        file: opened for reading bytes, seekable; name: of the archive, for messages.
        into: exists and is empty. What is in it after an error is for the caller to remove.
        reserved: names directly in it that the archive must not use.
        planned: told the number of files and their bytes before the first is written; done: told the files written so far.

    Returns:
        Path (with ``/``) to size and digest of every file, in the archive's order.

    Raises:
        UserError: when the archive is damaged, hostile, too large, or of an unknown kind.
        OSError: when the disk is full or the folder cannot be written.
    """
    limits = limits or Limits()
    try:
        with _opened(file, name, limits) as archive:
            plan = _plan(archive, name, limits, reserved)
            files = [(path, member) for path, member in plan if member.kind == "file"]
            total = sum(member.size for _, member in files)
            planned(len(files), total)
            _check_space(into, total)
            for path, member in plan:
                if member.kind == "folder":
                    (into / path).mkdir(parents=True, exist_ok=True)
            stored: dict[str, Stored] = {}
            for path, member in files:
                stored[path] = _write(archive, member, into / path, name)
                done(len(stored))
            return stored
    except (*DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; bz2 and gzip raise it without a number
        words = str(error).rstrip(".") or type(error).__name__
        raise UserError(f"{name}: the archive is damaged ({words}). Get it again.") from None


Archive = zipfile.ZipFile | tarfile.TarFile


class _Bounded:
    """What tarfile reads from: a header that asks for megabytes at once, or a stream without end, is refused."""

    def __init__(self, inner: IO[bytes], name: str, limit: int) -> None:
        self._inner, self._name, self._limit = inner, name, limit

    def read(self, size: int) -> bytes:
        if size > SMALL or self._inner.tell() > self._limit:
            raise UserError(f"{self._name}: it unpacks to more than it may; nothing of it was kept.")
        return self._inner.read(size)

    def seek(self, to: int) -> int:
        if to > self._limit:
            raise UserError(f"{self._name}: it unpacks to more than it may; nothing of it was kept.")
        return self._inner.seek(to)

    def tell(self) -> int:
        return self._inner.tell()


def _opened(file: IO[bytes], name: str, limits: Limits) -> Archive:
    """The archive behind an open file, by its first bytes: a name may say anything."""
    start = file.read(6)
    size = file.seek(0, 2)
    file.seek(0)
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return zipfile.ZipFile(file)
    unpackers: dict[bytes, Callable[[IO[bytes]], Any]] = {
        b"\x1f\x8b": lambda f: gzip.GzipFile(fileobj=f),
        b"BZh": bz2.BZ2File,
        b"\xfd7zXZ": lzma.LZMAFile,
    }
    inner: Any = next((make(file) for magic, make in unpackers.items() if start.startswith(magic)), file)
    # tar says nothing about packed sizes of members, so that the ratio is judged over the whole.
    most = limits.total if inner is file else min(limits.total, max(SMALL, size * limits.ratio))
    try:
        # A header of its own for every member, and the last blocks.
        bounded: Any = _Bounded(inner, name, most + SMALL)
        return tarfile.open(fileobj=bounded, mode="r:")
    except tarfile.ReadError:
        raise UserError(f"{name}: neither a zip nor a tar archive (starts with {start!r}). Get it again.") from None


def _members(archive: Archive) -> Iterator[Member]:
    if isinstance(archive, zipfile.ZipFile):
        for info in archive.infolist():
            mode = stat.S_IFMT(info.external_attr >> 16)
            known = mode in (0, stat.S_IFREG, stat.S_IFDIR) and info.compress_type in METHODS and not info.flag_bits & 1
            # orig_filename, since the other one ends at the first NUL.
            name, size = info.orig_filename, info.file_size
            kind = "folder" if name.endswith("/") else "file"
            yield Member(name, size, info.compress_size, kind if known else "other", info)  # type: ignore[arg-type]
        return
    for entry in archive:
        plain = entry.isreg() and not entry.issparse()
        yield Member(entry.name, entry.size, None, "folder" if entry.isdir() else "file" if plain else "other", entry)


@dataclass
class _Names:
    """Paths taken so far, by what a disk that ignores case and composition of letters would call them."""

    taken: dict[str, tuple[str, bool]] = field(default_factory=dict)

    def take(self, parts: list[str], is_file: bool) -> str:
        """Register a path and its folders; returns what is wrong with it, or nothing."""
        for depth in range(1, len(parts) + 1):
            path, leaf = "/".join(parts[:depth]), is_file and depth == len(parts)
            folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
            before = self.taken.setdefault(folded, (path, leaf))
            if before != (path, leaf):
                return f"is the same as '{before[0]}' on some disks"
            if leaf and before[1] and folded in self._files:
                return "is there twice"
            if leaf:
                self._files.add(folded)
        return ""

    _files: set[str] = field(default_factory=set)


def _plan(archive: Archive, name: str, limits: Limits, reserved: Iterable[str]) -> list[tuple[str, Member]]:
    """What to write, after every name and announced size was judged."""
    plan, names, total, packed = [], _Names(), 0, 0
    for own in reserved:
        names.take([own], True)
    for number, member in enumerate(_members(archive), start=1):
        if number > limits.members:
            raise UserError(f"{name}: more than {limits.members:,} entries. This is not the data it should be.")
        parts, wrong = _parts(member.name)
        if not wrong and _is_junk(parts):
            continue
        if not wrong and member.kind == "other":
            wrong = "is a link, a device, encrypted, or packed in a way that is not read here"
        wrong = wrong or names.take(parts, member.kind == "file")
        total, packed = total + member.size, packed + (member.packed or 0)
        if member.packed is not None and member.size > max(SMALL, member.packed * limits.ratio):
            wrong = wrong or f"unpacks {member.packed:,} bytes to {member.size:,}, more than {limits.ratio} times"
        if wrong:
            raise UserError(f"{name}: the entry {member.name[:200]!r} {wrong}; nothing of the archive was kept.")
        if total > limits.total:
            raise UserError(f"{name}: it unpacks to more than {limits.total:,} bytes. This is not the data it should be.")
        if parts:
            plan.append(("/".join(parts), member))
    if isinstance(archive, zipfile.ZipFile) and archive.fp and packed > archive.fp.seek(0, 2):
        raise UserError(f"{name}: its entries overlap, as those of a zip bomb do; nothing of the archive was kept.")
    return plan


def _parts(name: str) -> tuple[list[str], str]:
    """A member's name as parts below the target, and what is wrong with it, if anything."""
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        return [], "has an absolute path"
    if "\\" in name:
        return [], "has a backslash in its path"
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
        return [], "has a NUL, another control character or broken UTF-8 in its path"
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        return [], "leaves the folder"
    if any(re.match(r"[A-Za-z]:", part) for part in parts):
        return [], "has a drive letter in its path"
    if any(len(part.encode()) > 255 for part in parts) or len(name.encode()) > 1024:
        return [], "has a path that is too long"
    return parts, ""


def _is_junk(parts: list[str]) -> bool:
    last = parts[-1] if parts else ""
    return "__MACOSX" in parts or last in JUNK or last.startswith("._")


def _check_space(into: Path, total: int) -> None:
    free = shutil.disk_usage(into).free
    if free < total:
        raise UserError(f"'{into.parent}' has {free:,} bytes free, {total:,} needed to unpack. Make room and run it again.")


def _write(archive: Archive, member: Member, path: Path, name: str) -> Stored:
    """Copy one member to a new file, no byte more or less than announced; zipfile checks the CRC on the way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source: Any = archive.open(member.handle) if isinstance(archive, zipfile.ZipFile) else archive.extractfile(member.handle)
    digest, count = hashlib.sha256(), 0
    with source, open(path, "xb") as file:
        while data := source.read(CHUNK):
            count += len(data)
            if count > member.size:
                break
            digest.update(data)
            file.write(data)
    if count != member.size:
        found = "more" if count > member.size else f"{count:,}"
        raise UserError(f"{name}: '{member.name}' gives {found} bytes, {member.size:,} announced: damaged. Get it again.")
    return Stored(count, digest.hexdigest())

"""Writes that are whole or absent.

What is covered: a process killed at any instant leaves the old file, the new file, or a ``.part`` that nobody reads.
What is not: power loss on file systems that reorder a rename before the data of a file that was not synced; final
files are therefore synced.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import stat
from pathlib import Path


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Replace ``path`` by ``data``, or leave it as it was.

    Raises:
        OSError: when the disk is full or the folder cannot be written; ``path`` is then untouched.
    """
    raw = data.encode() if isinstance(data, str) else data
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(partial, "xb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def publish_folder(made: Path, final: Path, aside: Path | None = None) -> bool:
    """Rename a finished folder to its final name; an existing one there wins, since equal keys hold equal content.

    Args:
        aside: an existing one is replaced instead, in one step; it goes by way of this free name where the file system knows
            no exchange, and is there until the new one has its place.

    Returns:
        Whether it is the one that was made.
    """
    for path in (*made.rglob("*"), made):
        if not path.is_symlink() and (path.is_file() or path.is_dir()):  # a pipe would be waited for
            _sync(path)
    won = True
    if aside is not None and final.exists():
        if not _exchange(made, final):
            final.rename(aside)
            made.rename(final)
            made = aside
        shutil.rmtree(made)
        _sync(final.parent)
        return won
    try:
        made.rename(final)
    except OSError:
        if not final.exists():
            raise
        shutil.rmtree(made)
        won = False
    _sync(final.parent)
    return won


def _exchange(one: Path, other: Path) -> bool:
    """Each gets the other's name, and nobody ever sees either name free; False where this system or file system cannot."""
    call = getattr(ctypes.CDLL(None), "renameat2", None)
    here, both = -100, 2  # AT_FDCWD and RENAME_EXCHANGE, as Linux numbers them
    return call is not None and call(here, os.fsencode(one), here, os.fsencode(other), both) == 0


def bring_file(origin: Path, target: Path, copy: bool = False) -> None:
    """A hard link where the file system allows one, else a copy; never through a symbolic link.

    Raises:
        OSError: when the file cannot be read, or is a link.
    """
    if not copy:
        try:
            os.link(origin, target, follow_symlinks=False)
            if not target.is_symlink():
                return
            target.unlink()
        except OSError:
            pass  # another file system, or a file of somebody else's
    handle = os.open(origin, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(handle, "rb") as from_file, open(target, "xb") as to_file:
        shutil.copyfileobj(from_file, to_file)


def plain_file(path: str, flags: int, names: int = 1 << 30) -> int:
    """``opener`` of regular files that are reached through no link of their own; a pipe is not waited for.

    Raises:
        OSError: when it is a link, a device or a pipe, or has more than so many names (hard links).
    """
    handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode) or about.st_nlink > names:
        os.close(handle)
        raise OSError(errno.ELOOP, "a device, or a second name of another file", path)
    return handle


def own_file(path: str, flags: int) -> int:
    """``opener`` of files that are written in place: a second name elsewhere would be written to as well."""
    return plain_file(path, flags, names=1)


def touch(path: Path) -> None:
    """An empty file, where nothing is yet; never through a link."""
    with open(path, "ab", opener=own_file):
        pass


def write_all(handle: int, data: bytes) -> None:
    """All of ``data``: a disk that fills up in the middle takes a part without an error, and the next write has it.

    Raises:
        OSError: when not all of it could be written.
    """
    while data:
        data = data[os.write(handle, data) :]


def append_line(path: Path, line: str) -> None:
    """Append one line by one ``write``; the file has one writer. A torn last line is for the reader to drop.

    If the last write was torn, a newline is put first, so that the torn piece stays a line of its own.

    Raises:
        OSError: when not all of it could be written.
    """
    with open(path, "ab+", opener=own_file) as file:
        end = file.seek(0, os.SEEK_END)
        torn = False
        if end:
            file.seek(end - 1)
            torn = file.read(1) != b"\n"
        data = (b"\n" if torn else b"") + line.encode() + b"\n"
        write_all(file.fileno(), data)

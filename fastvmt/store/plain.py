"""A run folder holds files and folders of its own: a link in it would lead what is written or removed elsewhere.

The folder itself may be reached through a link, and so may the folder it lies in.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from fastvmt.core.spelling import shown
from fastvmt.errors import StoreError
from fastvmt.store import layout


def check_plain(root: Path) -> None:
    """Fast enough for 100,000 videos: names are listed, and only what is no plain file or folder is looked at.

    Raises:
        StoreError: for a symbolic link, a device or a pipe in a place that we read or write.
    """
    for entry in _places(root):
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            with suppress(FileNotFoundError):  # a claim that was given back this moment
                refuse_strange(root, Path(entry.path), entry.stat(follow_symlinks=False))


def _places(root: Path) -> Iterator[os.DirEntry[str]]:
    """What we read and write in a run folder; no link is followed.

    Left out is what lies in a video's folder (looked at when the video is), in quarantine (only ever removed) and in the folder
    of submitit, which links its own files.
    """
    top = [e for e in _listed(root) if e.name in layout.FILES or e.name in layout.FOLDERS]
    yield from top
    waiting = [e for e in top if e.name not in (layout.QUARANTINE, layout.SLURM)]
    while waiting:
        folder = waiting.pop()
        if folder.is_dir(follow_symlinks=False):
            yield from (inside := _listed(folder.path))
            waiting += inside if folder.name != layout.ARTEFACTS else []


def _listed(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:  # not there, or not for us to read
        return []


def refuse_shared(paths: Iterable[Path]) -> None:
    """Raises:
    StoreError: for a file with a second name elsewhere (a hard link), where what we append would stand too.
    """
    for path in paths:
        with suppress(FileNotFoundError):
            if path.lstat().st_nlink > 1:
                raise StoreError(
                    f"{path}: this file has a second name (a hard link), and writing would change both. Copy the run folder "
                    "(cp -r) and use the copy."
                )


def refuse_strange(root: Path, path: Path, about: os.stat_result) -> None:
    """
    Raises:
        StoreError: for a symbolic link, a device or a pipe.
    """
    where = shown(path.relative_to(root), 120)
    if stat.S_ISLNK(about.st_mode):
        raise StoreError(
            f"{root}: '{where}' is a symbolic link; a run folder holds none. Put the file or folder itself there, or move the "
            "whole run and link that."
        )
    if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
        raise StoreError(f"{root}: '{where}' is neither a file nor a folder. Take it out.")

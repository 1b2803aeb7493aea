"""A plug-in file that strikes at the n-th write of a process into its run folder.

    FASTVMT_FAULT=WHO:ACTION:N:FOLDER     WHO runner or worker
        count   strike never; leave one character a write in FOLDER/../WHO.count, w where it has a middle
        kill    SIGKILL before the write
        tear    SIGKILL when half of it is on the disk
        full    from this write on the disk is full: it takes half of the write, as a kernel does, and then says ENOSPC

A write is whatever Python does to a file below the folder: opening it for writing, ``os.write``, ``fsync``, renaming, making
and removing. What codecs write in C is not seen here; the small disks of ``disk`` are for that.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import Any

from fastvmt.plugins.metric import Metric

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND
_PATHS = {"os.rename": 1, "os.mkdir": 0, "os.remove": 0, "os.rmdir": 0}


class _Striker:
    """Counts and strikes, once in a run: a mark beside the folder keeps the next process from it."""

    def __init__(self, action: str, at: int, folder: str, who: str) -> None:
        self.action, self.at, self.folder = action, at, folder
        self.beside = os.path.join(os.path.dirname(folder), who)
        self.seen = 0
        self.full = self.busy = False

    def ours(self, path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        text = os.path.abspath(os.fsdecode(path))
        return text.startswith(self.folder + os.sep) and os.sep + "workers" + os.sep not in text

    def strike(self, half: tuple[int, bytes] | None = None) -> int | None:
        """One write is about to happen. ``half``: a handle and the bytes that are meant for it.

        Returns:
            How many of the bytes were taken, where that is all there will be.
        """
        if self.busy:
            return None
        self.seen += 1
        self.busy = True
        try:
            return self._strike(half)
        finally:
            self.busy = False

    def _strike(self, half: tuple[int, bytes] | None) -> int | None:
        if self.action == "count":
            with open(self.beside + ".count", "a") as file:
                file.write("w" if half else "x")
        elif self.full or (self.seen == self.at and self._first()):
            if self.action == "full":
                room, self.full = not self.full, True
                if half and room and len(half[1]) > 1:
                    return _write(half[0], half[1][: len(half[1]) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self.action == "tear" and half:
                _write(half[0], half[1][: len(half[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return None

    def _first(self) -> bool:
        try:
            os.close(os.open(self.beside + ".mark", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and flags & _WRITING and self.ours(path):
                self.strike()
        elif event in _PATHS and self.ours(args[_PATHS[event]]):
            self.strike()

    def on(self, handle: int) -> bool:
        """Whether a handle is that of a file in the folder."""
        try:
            return self.ours(os.readlink(f"/proc/self/fd/{handle}"))
        except OSError:
            return False


_write, _sync = os.write, os.fsync


def _install(striker: _Striker) -> None:
    def write(handle: int, data: bytes) -> int:
        taken = striker.strike((handle, bytes(data))) if striker.on(handle) else None
        return _write(handle, data) if taken is None else taken

    def sync(handle: int) -> None:
        if striker.on(handle):
            striker.strike()
        _sync(handle)

    os.write, os.fsync = write, sync  # type: ignore[assignment]
    sys.addaudithook(striker.audit)


_WHO = "worker" if any("fastvmt.runner.worker" in a or a.endswith("worker.py") for a in sys.orig_argv) else "runner"
if os.environ.get("FASTVMT_FAULT", "").startswith(f"{_WHO}:"):
    _, _ACTION, _AT, _FOLDER = os.environ["FASTVMT_FAULT"].split(":", 3)
    _install(_Striker(_ACTION, int(_AT), _FOLDER, _WHO))


class Unused(Metric):
    """A plug-in file has to register something."""

    id = "unused"


METRICS = {"unused": Unused}

"""Standard output and error that never decide how a command ends: its exit code is a verdict, and somebody waits for it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any


class _Stream(io.FileIO):
    """A reader that went away is no error: what it would have read is dropped. A full disk is one, once."""

    _over = False

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        if self._over:
            return size
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            self._over = True
            return size
        except OSError:
            self._over = True  # else the interpreter would fail on it once more at its end, with a code of its own
            raise


def steady() -> None:
    """Let both streams outlast their readers, and show what they cannot spell as a question mark; closed ones take anything."""
    with contextlib.suppress(OSError):
        while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass  # a closed one's number would go to the next file that is opened, and our words into it
        os.close(handle)
    for name, number in (("stdout", 1), ("stderr", 2)):
        old = getattr(sys, name)
        if old is not None and old is not getattr(sys, f"__{name}__"):
            continue  # somebody holds our words in memory
        raw = io.BufferedWriter(_Stream(number, "w", closefd=False))
        how = {"line_buffering": old.line_buffering, "write_through": old.write_through} if old else {}
        setattr(sys, name, io.TextIOWrapper(raw, encoding=old.encoding if old else "utf-8", errors="replace", **how))

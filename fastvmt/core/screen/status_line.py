"""One line on a terminal that says what is going on, and is gone before anything else is printed there.

``begin`` is the first thing that the command line does, so nothing heavy may be imported here. Elsewhere ``doing`` says what
comes next: it does nothing unless a command on a terminal has begun, so whoever imports the package sees nothing of it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from fastvmt.core.spelling import duration

BAR = 20
"""Characters of a bar."""
_WIPE = "\r\x1b[2K"


class _Line:
    def __init__(self) -> None:
        self.stream: Any = None
        """Where it stands; None while nobody wants it."""
        self.name, self.shown, self.what, self.since = "", False, "", 0.0

    def show(self, text: str) -> None:
        with suppress(OSError, ValueError):  # nobody reads any more
            width = os.get_terminal_size(self.stream.fileno()).columns or 80
            said = "".join(c if c.isprintable() else "?" for c in f"{self.name}: {text} ...")
            self.stream.write(_WIPE + said.encode("ascii", "replace").decode()[: width - 1])
            self.stream.flush()
            self.shown = True

    def wipe(self) -> None:
        if self.shown:
            self.shown = False
            with suppress(OSError, ValueError):
                self.stream.write(_WIPE)
                self.stream.flush()


_line = _Line()


class _After:
    """A stream on which the line is wiped before anything is written."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> Any:
        _line.wipe()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def begin(name: str) -> None:
    """Show the first word at once, where standard error is a terminal that can take a line back.

    Args:
        name: what every line begins with.
    """
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return
    _line.stream, _line.name = sys.stderr, name
    doing("starting")


def watch() -> None:
    """From now on whatever is printed comes in place of the line; called when both streams are those that stay. The
    line itself goes to the stream of ``begin``, whatever stands before the two."""
    if _line.stream is not None:
        for name in ("stdout", "stderr"):
            if (stream := getattr(sys, name)) is not None:
                setattr(sys, name, _After(stream))


def doing(what: str, done: int = 0, total: int = 0) -> None:
    """What comes next and may take a while, e.g. ``reading runs/a``; with ``total`` also how much of it is done, and the time
    that is left, from the time that it took."""
    if _line.stream is None:
        return
    if what != _line.what:
        _line.what, _line.since = what, time.monotonic()
    left = (time.monotonic() - _line.since) / done * (total - done) if done else 0.0
    bar = "#" * (BAR * done // max(1, total))
    said = f" [{bar:-<{BAR}}] {done}/{total}" if total else ""
    _line.show(what + said + (f", about {duration(left)} left" if left else ""))


def wipe() -> None:
    """Take the line away."""
    _line.wipe()


@contextmanager
def left_to_others() -> Iterator[None]:
    """While somebody else draws on the terminal."""
    wipe()
    stream, _line.stream = _line.stream, None
    try:
        yield
    finally:
        _line.stream = stream

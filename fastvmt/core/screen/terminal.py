"""Text on its way to a terminal. Much of it comes from files of others: what would steer the terminal is shown instead.

A command runs under ``watched``: whatever it prints, and whatever is printed for it, goes through one place. Progress bars
write to ``raw``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TextIO

STYLES = {"best": "\x1b[1m", "second": "\x1b[4m", "bold": "\x1b[1m"}
PLAIN = "\x1b[0m"
"""Of our own tables: bold, underlined, and back; none of them hides, moves or says anything."""
_STEERING = re.compile(
    "\x1b\\[[014]m|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
"""Control characters but for tab and newline, marks of direction, what has no width, halves of pairs."""


def visible(text: str, styles: bool = False) -> str:
    r"""Text with its control characters written out, as JSON writes them: what is JSON stays the same JSON.

    Args:
        styles: leave ``STYLES`` as they are.

    >>> visible("a\x1b[2Jb\u202e"), visible("\x1b[1mbest\x1b[0m", styles=True)
    ('a\\u001b[2Jb\\u202e', '\x1b[1mbest\x1b[0m')
    """
    return _STEERING.sub(lambda found: found[0] if styles and len(found[0]) > 1 else json.dumps(found[0])[1:-1], text)


class Visible:
    """A stream for text that shows what would steer a terminal; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(visible(text, self.stream.isatty()))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def watched() -> Iterator[None]:
    """Standard output and error as ``Visible``; where a stream was closed it stays so."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and Visible(stream) for stream in before)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def watching(command: Callable[..., None]) -> Callable[..., None]:
    """A command under ``watched``. Its help, and words about its options, are said before it and keep their colours."""

    @wraps(command)
    def call(*args: Any, **words: Any) -> None:
        with watched():
            command(*args, **words)

    return call


def raw(stream: Any) -> Any:
    """The stream itself, for what moves the cursor: progress bars, which make text of others ``visible`` by themselves."""
    return raw(stream.stream) if isinstance(stream, Visible) else stream

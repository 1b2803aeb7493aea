"""The command line on a terminal of its own: what stands on it, when, and keys pressed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Callable
from pathlib import Path

from support.cli import Said, command

CTRL_C = b"\x03"


def on_terminal(
    *args: str | Path, columns: int = 80, press: Callable[[str], bytes] = lambda seen: b"", seconds: float = 120.0
) -> Said:
    """The command to its end; ``out`` is every byte in order, as text.

    Args:
        press: gets what was printed so far, and gives the keys to press, once.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
        words = command(*args)
        os.execve(words[0], words, environment | {"TERM": "xterm-256color", "PYTHONUTF8": "1"})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    seen, pressed, until = b"", False, time.monotonic() + seconds
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                data = os.read(terminal, 1 << 16)
            except OSError:  # how Linux says that the other end is closed
                break
            seen += data
        if not pressed and (keys := press(seen.decode(errors="replace"))):
            os.write(terminal, keys)
            pressed = True
    os.close(terminal)
    return Said(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode(errors="replace"), "")


def left_standing(text: str) -> list[str]:
    """The lines that a reader still sees: without colours, and without what was wiped."""
    lines = [line.rpartition("\x1b[2K")[2] for line in text.replace("\r\n", "\n").split("\n")]
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip("\r") for line in lines]

"""Whose code may run: the files that the user gave by ``--plugin``, each remembered by place and SHA-256 of its bytes.

The list is the user's own, ``$XDG_CONFIG_HOME/fastvmt/trusted-plugins`` (``~/.config`` without that variable): a JSON line for
each state of each file. What a run folder names runs only when it stands here; nothing in a run folder can add to it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from fastvmt.core.disk.atomic import append_line


def listed() -> Path:
    """The file of what is trusted."""
    home = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(home) if Path(home).is_absolute() else Path("~/.config").expanduser()) / "fastvmt" / "trusted-plugins"


def remember(file: Path, sha256: str) -> None:
    """Trust a file in this state from now on. A home that cannot be written is no reason not to run it now."""
    if (sha256, file) in _pairs():
        return
    with contextlib.suppress(OSError, RuntimeError):
        path = listed()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        append_line(path, json.dumps([sha256, str(file)]))


def places_of(sha256: str) -> list[Path]:
    """Where the user has given a file of these bytes; it may have been edited since.

    A plug-in looks for its card, data and modules beside itself. They are the user's only where he has given the file.
    """
    return [file for digest, file in _pairs() if digest == sha256]


def was_given(file: Path) -> bool:
    """Whether the user has given the file that lies there, in whatever state."""
    return any(place == file for _, place in _pairs())


def _pairs() -> Iterator[tuple[str, Path]]:
    try:
        lines = listed().read_text(errors="replace").splitlines()
    except (OSError, RuntimeError):  # no such file, or nobody's home
        return
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):  # a torn line
            digest, file = json.loads(line)
            yield str(digest), Path(file)

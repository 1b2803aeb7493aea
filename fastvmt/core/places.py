"""Paths as Python gives them: text or a path object, one or several."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

Place = str | os.PathLike[str]
Places = Place | Iterable[Place]


def paths(given: Places) -> list[Path]:
    """
    >>> paths("runs/a") == paths([Path("runs/a")]) == [Path("runs/a")]
    True
    """
    return [Path(one) for one in ([given] if isinstance(given, str | os.PathLike) else given)]


def path_or_none(given: Place | None) -> Path | None:
    return None if given is None else Path(given)

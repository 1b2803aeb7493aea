"""What a check found, and how a failure shows what a hook returned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Checked:
    """Every check that was made on a plug-in.

    Attributes:
        name: the plug-in's.
        held: names of the checks that hold.
        skipped: names of those that do not apply, and why.
    """

    name: str
    held: tuple[str, ...]
    skipped: dict[str, str]

    def __str__(self) -> str:
        why = {reason: [_words(n) for n, r in self.skipped.items() if r == reason] for reason in self.skipped.values()}
        lines = [f"{self.name}: {len(self.held)} checks hold", *(f"  holds: {_words(name)}" for name in self.held)]
        return "\n".join([*lines, *(f"  does not apply: {', '.join(names)} ({reason})" for reason, names in why.items())])


def all_of(name: str, checks: Iterable[Callable[[T], str]], trial: T) -> Checked:
    """Make every check: each returns "" where it holds, or why it does not apply.

    Raises:
        AssertionError: by the first that does not hold.
    """
    found = {check.__name__: check(trial) for check in checks}
    return Checked(name, tuple(k for k, why in found.items() if not why), {k: why for k, why in found.items() if why})


def shown(value: Any) -> str:
    """A returned value for a reader: type, and shape or beginning.

    >>> shown("x" * 99)[:12], shown(None)
    ("str 'xxxxxxx", 'None')
    """
    if value is None:
        return "None"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__} of shape {tuple(value.shape)} and {value.dtype}"
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value[:4]))})"
    return f"{type(value).__name__} {value!r:.60}"


def plain(value: Any) -> str:
    """The value as JSON, names sorted.

    Raises:
        AssertionError: when it is not plain data.
    """
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"not plain data ({error})") from None


def _words(name: str) -> str:
    return name.replace("_", " ")

"""What a check found, and how a failure shows what a hook returned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from fastvmt.errors import SuiteError

T = TypeVar("T")


class DoesNotApply(Exception):
    """Raised by a check that has nothing to check, with the reason."""


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


def all_of(name: str, checks: Iterable[Callable[[T], str | None]], trial: T) -> Checked:
    """Make every check; one that does not apply returns why, or raises ``DoesNotApply``.

    Raises:
        AssertionError: by the first that does not hold.
    """
    found = {}
    for check in checks:
        try:
            found[check.__name__] = check(trial) or ""
        except DoesNotApply as error:
            found[check.__name__] = str(error)
        except SuiteError as error:
            found[check.__name__] = f"its data are not here: {error}"
    return Checked(name, tuple(k for k, why in found.items() if not why), {k: why for k, why in found.items() if why})


def returned(name: str, hook: str, found: Any, holds: bool, wanted: str) -> None:
    """
    Raises:
        AssertionError: unless what a hook returned ``holds``.
    """
    assert holds, f"{name}: {hook} returned {shown(found)}, expected {wanted}"


def need_steady(name: str, first: Any, again: Any, *keys: str) -> None:
    """
    Raises:
        AssertionError: for an identity that is no plain data, lacks one of the keys, or is another the second time.
    """
    returned(name, "identity", first, isinstance(first, dict) and bool(first), "a dictionary that is not empty")
    lacks = sorted(set(keys) - first.keys())
    returned(name, "identity", first, not lacks, f"{' and '.join(lacks)} in it")
    assert plain(first) == plain(again), f"{name}: identity returned {shown(again)} the second time, expected {shown(first)}"


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

"""What a check found, and how a failure shows what a hook returned."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from fastvmt.core.spelling import value_shown
from fastvmt.errors import SuiteError

T = TypeVar("T")
NEAR = 0.8
"""Likeness of two names, as ``difflib`` counts it, from which one is a slip of the other."""


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


def all_spelt(cls: type[Any], contract: type[Any], *but: str) -> None:
    """
    Args:
        but: names of the contract that are near to good names of one's own.

    Raises:
        AssertionError: for a public name of the class's own that is nearly one of the contract's.
    """
    known = [name for name in vars(contract) if not name.startswith("_") and name not in but]
    for name in dir(cls):
        if name.startswith("_") or hasattr(contract, name):
            continue
        near = difflib.get_close_matches(name.strip("_").lower(), known, 1, NEAR)
        said = f"{cls.__name__}.{name} is no part of a {contract.__name__}, and nobody asks for it"
        assert not near, f"{said}; did you mean {near[0]}? If it is your own, call it _{name}."


def returned(name: str, hook: str, found: Any, holds: bool, wanted: str) -> None:
    """
    Raises:
        AssertionError: unless what a hook returned ``holds``.
    """
    assert holds, f"{name}: {hook} returned {value_shown(found)}, expected {wanted}"


def need_steady(name: str, first: Any, again: Any, *keys: str) -> None:
    """
    Raises:
        AssertionError: for an identity that is no plain data, lacks one of the keys, or is another the second time.
    """
    returned(name, "identity", first, isinstance(first, dict) and bool(first), "a dictionary that is not empty")
    lacks = sorted(set(keys) - first.keys())
    returned(name, "identity", first, not lacks, f"{' and '.join(lacks)} in it")
    assert plain(first) == plain(again), (
        f"{name}: identity returned {value_shown(again)} the second time, expected {value_shown(first)}"
    )


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

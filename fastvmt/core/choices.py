"""One sentence for a name that is not among those there are, with the nearest ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from fastvmt.core.spelling import shown
from fastvmt.errors import SpecError

SHOWN = 8
"""So many names are listed in full."""


def hint(given: str, known: Iterable[str], no_list: bool = False) -> str:
    """The names nearest to what was given, and all there are where those are few.

    Args:
        no_list: only the nearest, "" without any: the sentence says itself where all names stand.

    >>> hint("shaps", ["shapes", "folder"]), hint("x", ["crop", "pad"]), hint("shaps", ["shapes"], no_list=True)
    ('Did you mean shapes? There are: shapes, folder.', 'There are: crop, pad.', 'Did you mean shapes?')
    """
    names = list(known)
    near = difflib.get_close_matches(given, names, 3, 0.5)
    said = [f"Did you mean {' or '.join(near)}?"] if near else []
    if not no_list and (len(names) <= SHOWN or not near):
        more = ", ..." if len(names) > SHOWN else ""
        said.append(f"There are: {', '.join(names[:SHOWN]) or 'none'}{more}.")
    return " ".join(said)


def one_of(option: str, given: str, known: Iterable[str]) -> str:
    """What was given, where it is one of the names that an option takes.

    Args:
        option: as it is typed, e.g. ``--fit``.

    Raises:
        SpecError: naming the nearest names.
    """
    names = list(known)
    if given not in names:
        raise SpecError(f"{option} {shown(given)}: there is no such choice. {hint(given, names)}")
    return given

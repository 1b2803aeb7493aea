"""One option: how it is typed and explained, which values it takes, and the sentence for those that it does not.

A value is bounded and checked here alone, for the command line and for Python, so that ``plan`` and ``run`` refuse alike.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastvmt.core import limits
from fastvmt.core.choices import one_of
from fastvmt.core.spelling import shown
from fastvmt.errors import SpecError

MOST_TEXT, MOST_ENTRIES = 4096, 10_000
"""Characters of a text (the longest path that Linux takes), and entries of a list."""


@dataclass(frozen=True)
class Option:
    """How a field is typed and explained.

    Attributes:
        help: one sentence.
        panel: one of ``PANELS``.
        known: the only values it takes, where they are few.
        names: kind of plug-in whose names complete it in a shell: ``methods``, ``metrics``, ``suites`` or ``backbones``.
        between: least and most of a number, or of each number of a list.
        most: characters of a text, or of each text of a list; entries of a list are at most ``MOST_ENTRIES``.
        lines: a text that may have several lines.
        valid, needs: whether a value can be beyond that, and what else is said when it cannot.
        counted: typed from 1; 0 is Python's word for the default.
        flags: as it is typed; the first one is the name in messages.
        kind, typed: type and default on the command line, where lists are text with commas, or an option that is repeated.
        name, default: of the field.
        of, many: the type of its value, or of the entries of a list.
        read: from what was typed to the field's value.
    """

    help: str
    panel: str
    known: tuple[str, ...] = ()
    names: str = ""
    between: tuple[float, float] = (-limits.MOST_WHOLE - 1, limits.MOST_WHOLE)
    most: int = MOST_TEXT
    lines: bool = False
    valid: Callable[[Any], bool] = lambda value: True
    needs: str = ""
    counted: bool = False
    flags: tuple[str, ...] = ()
    kind: Any = None
    typed: Any = None
    name: str = ""
    default: Any = None
    of: Any = str
    many: bool = False
    read: Callable[[Any], Any] = lambda value: value

    @property
    def span(self) -> str:
        """Of numbers: ``1 to 10,000``; "" of anything else."""
        if self.of not in (int, float):
            return ""
        return f"{limits.number(1 if self.counted else self.between[0])} to {limits.number(self.between[1])}"

    @property
    def takes(self) -> str:
        """The range of its values, in words."""
        if self.of is bool:
            return "true or false is needed"
        if self.of in (int, float):
            numbers = {(int, False): "a whole number", (float, False): "a number"}.get((self.of, self.many), "whole numbers")
            said = f"{numbers} from {self.span} {'are' if self.many else 'is'} needed"
        else:
            line = "" if self.lines else "in one line, "
            said = f"text of 1 to {self.most:,} characters is needed, {line}none of them a control"
        return f"{said}, at most {MOST_ENTRIES:,} of it" if self.many else said

    def check(self, value: Any, typed: bool = False) -> None:
        """
        Args:
            typed: on a command line, where what is counted begins with 1.

        Raises:
            SpecError: naming the option, the value, and what it takes.
        """
        parts = value if self.many and isinstance(value, tuple) else (value,)
        fits = isinstance(value, tuple) is self.many and len(parts) <= MOST_ENTRIES and all(map(self._fits, parts))
        if not fits or not self.valid(value) or (typed and self.counted and value < 1):
            said = ",".join(map(_word, parts[:MOST_ENTRIES]))
            raise SpecError(f"{self.flags[0].partition('/')[0]} {shown(said)}: {self.takes}{self.needs and '; '}{self.needs}.")
        if self.known:
            one_of(self.flags[0], value, self.known)

    def _fits(self, part: Any) -> bool:
        if self.of in (int, float):
            kinds = (int,) if self.of is int else (int, float)
            return isinstance(part, kinds) and not isinstance(part, bool) and self.between[0] <= part <= self.between[1]
        if self.of in (str, Path):
            return isinstance(part, str | self.of) and 0 < len(str(part)) <= self.most and limits.plain(str(part), self.lines)
        if self.of is bool:
            return isinstance(part, bool)
        return isinstance(part, tuple) and len(part) == 2 and all(isinstance(p, str) and limits.plain(p) for p in part)

    def value(self, word: Any) -> Any:
        """What was typed as the value that it stands for.

        Raises:
            SpecError: for what is no number where one is needed, or what the option does not take.
        """
        if isinstance(word, str) and self.of in (int, float):
            with contextlib.suppress(ValueError):  # told as any other value that it does not take
                word = limits.read_number(word, self.of)
        self.check(word, typed=True)
        return Path(word) if self.of is Path else word

    def taken(self, value: Any) -> Any:
        """What Python was given, as the field keeps it: paths as text, lists and texts with commas as tuples."""
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if not self.many:
            exact = self.of is int and hasattr(value, "__index__") and not isinstance(value, bool)
            return value.__index__() if exact else value  # numpy's too
        if isinstance(value, str):
            return self.read(value) if self.read in (split, integers) else (value,)
        entries = value.items() if isinstance(value, Mapping) else value if isinstance(value, Iterable) else (value,)
        return tuple(map(Option(self.help, self.panel, of=self.of).taken, entries))


def _word(value: Any) -> str:
    try:
        return str(value)
    except ValueError:  # Python spells no integer of more than some thousand digits
        return "a number of thousands of digits"


def split(text: str) -> tuple[str, ...]:
    """``a, b`` as ("a", "b")."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def integers(text: str) -> tuple[int, ...]:
    """``0, 1`` as (0, 1).

    Raises:
        SpecError: for what is no integer.
    """
    try:
        return tuple(dict.fromkeys(int(limits.read_number(part, int)) for part in split(text)))
    except ValueError:
        raise SpecError(f"--seeds {shown(text)}: comma-separated integers are needed, e.g. 0,1.") from None


def pairs_of(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """``--cpus-per-task=2`` as ("cpus_per_task", "2").

    Raises:
        SpecError: for what has no key or no value.
    """
    halves = [text.partition("=") for text in texts]
    pairs = tuple((key.strip().lstrip("-").replace("-", "_"), value.strip()) for key, _, value in halves)
    if any(not key or not value for key, value in pairs):
        raise SpecError(f"--slurm {shown(' '.join(texts))}: KEY=VALUE is needed, e.g. --slurm partition=gpu.")
    return pairs

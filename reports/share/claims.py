"""What a row claims, and where it was made: the same numbers that its table prints, over the videos of the row alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastvmt.core.choices import one_of
from fastvmt.model import Artefact, Frozen
from fastvmt.model.fields import Count, Number
from fastvmt.reports.tables.view import Cell
from fastvmt.reports.tables.views import LineRequest, build
from fastvmt.reports.tidy import Tidy, videos_of


class Claim(Frozen):
    """A mean over ``n`` videos with its 95 % interval over reference clips; no ends with few clips."""

    mean: Number
    low: Number | None = None
    high: Number | None = None
    n: Count

    def text(self, decimals: int) -> str:
        """``0.812 [0.790, 0.831]``."""
        ends = "" if self.low is None or self.high is None else f" [{self.low:z.{decimals}f}, {self.high:z.{decimals}f}]"
        return f"{self.mean:z.{decimals}f}{ends}"

    def differs(self, other: Claim, decimals: int) -> bool:
        """Whether two would not be printed alike; the last bits of a sum are another machine's."""
        room = 0.5 * 10.0**-decimals
        pairs = [(getattr(self, name), getattr(other, name)) for name in ("mean", "low", "high")]
        return self.n != other.n or any((a is None) != (b is None) or (a is not None and abs(a - b) > room) for a, b in pairs)


def row_of(tidy: Tidy, label: str) -> dict[str, Cell]:
    """The cells of one row by metric, over all of its own videos: other rows' gaps cost it none.

    Raises:
        SpecError: for a label that the runs have not.
    """
    one_of("--row", label, tidy.methods)
    view = build(tidy, "row", "", [LineRequest(label, label)], list(tidy.metrics))
    return {column.key: cell for column, cell in zip(view.columns, view.lines[0].cells, strict=True)}


def claims_of(tidy: Tidy, label: str) -> dict[str, Claim]:
    """What a row has a number for.

    Raises:
        SpecError: as ``row_of``.
    """
    found = row_of(tidy, label).items()
    return {k: Claim(mean=c.value, low=c.low, high=c.high, n=c.n) for k, c in found if c.value is not None}


def artefacts_of(tidy: Tidy, label: str) -> list[Artefact]:
    """The row's videos that are there."""
    return [v.artefact for v in videos_of(tidy) if v.artefact and v.job.method.label == label]


def versions_of(made: Iterable[Artefact]) -> dict[str, str]:
    """Python and packages that made them; of a package in several versions all of them."""
    return _each(a.software.items() for a in made)


def machine_of(made: Iterable[Artefact]) -> dict[str, Any]:
    """The devices that made them, and the conditions that seconds depend on."""
    return _each([("device", a.device), *a.conditions.said().items()] for a in made)


def _each(facts: Iterable[Iterable[tuple[str, Any]]]) -> dict[str, Any]:
    found: dict[str, dict[Any, None]] = {}
    for pairs in facts:
        for name, value in pairs:
            found.setdefault(name, {})[value] = None
    return {k: next(iter(v)) if len(v) == 1 else ", ".join(sorted(map(str, v))) for k, v in sorted(found.items())}

"""A run's comparison as other tools take it: method by method, with the facts that belong to its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastvmt.core.spelling import public
from fastvmt.errors import SpecError
from fastvmt.model import MethodSpec
from fastvmt.reports.tables.grid import clean, sound
from fastvmt.reports.tables.run_table import first_presets
from fastvmt.reports.tables.view import Cell, Column
from fastvmt.reports.tables.views import comparison
from fastvmt.reports.tidy import Tidy

Fact = str | int | float | bool


@dataclass(frozen=True)
class Row:
    """One method of the comparison. ``head``: what people call it; ``cells``: those with a value, each with its column."""

    label: str
    head: str
    spec: MethodSpec
    cells: tuple[tuple[Column, Cell], ...]

    def judged(self) -> Iterator[tuple[Column, Cell]]:
        """The numbers of which one way is better; formats of others know no third."""
        return ((column, cell) for column, cell in self.cells if column.direction != "none")

    def facts(self, tidy: Tidy) -> dict[str, Fact]:
        """Setting, method and parameters, as names and plain values."""
        setting = tidy.setting.model_dump() | {"backbone": tidy.setting.called, "protocol": tidy.setting.terms}
        found: dict[str, Any] = {
            "suite": tidy.suite.name, "cases": len(tidy.cases), "seeds": len(tidy.seeds), "device": tidy.device,
            "table_digest": tidy.digest, "suite_digest": tidy.suite_digest,
            **{f"setting/{k}": v for k, v in setting.items() if isinstance(v, Fact)},
            "method": self.spec.method, "imported": self.spec.imported, "control": self.spec.control,
            **{f"params/{k}": v if isinstance(v, Fact) else str(v) for k, v in self.spec.params.items()},
        }  # fmt: skip
        return {clean(k): clean(public(v))[:500] if isinstance(v, str) else v for k, v in found.items()}


def judged_rows(tidy: Tidy, controls: bool) -> list[Row]:
    """The lines that have a number of which one way is better.

    Raises:
        SpecError: when there is none: an export of nothing would look like one of a run.
    """
    found = [row for row in rows_of(tidy) if any(row.judged()) and (controls or not row.spec.control)]
    if not found:
        who = "no method" if controls else "no method that is not a control"
        raise SpecError(
            f"There is nothing to export: {who} has a number yet. Finish the run with `bench resume`, or `bench score` it."
        )
    return found


def rows_of(tidy: Tidy) -> list[Row]:
    """The comparison's lines, in its order."""
    view = sound(comparison(tidy, first_presets(tidy)))
    return [
        Row(
            line.key, clean(line.head), tidy.methods[line.key],
            tuple((column, cell) for column, cell in zip(view.columns, line.cells, strict=True) if cell.value is not None),
        )
        for line in view.lines
    ]  # fmt: skip

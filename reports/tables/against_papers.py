"""Our numbers beside the published ones: value, value, difference, and whether the comparison holds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from fastvmt.errors import SpecError
from fastvmt.reports.tables.papers import published
from fastvmt.reports.tables.papers.published import Published, PublishedSetting, PublishedValue
from fastvmt.reports.tables.view import Cell, Column, Line, View
from fastvmt.reports.tables.views import LineRequest, build, view_of
from fastvmt.reports.tidy import Tidy

BACKBONES = {"wan2.1": "Wan 2.1", "svd": "Stable Video Diffusion or CogVideoX"}


@dataclass(frozen=True)
class PairedCell:
    """One cell of a published table with ours."""

    table: str
    row: str
    label: str
    metric: str
    ours: Cell
    theirs: PublishedValue

    @property
    def difference(self) -> float | None:
        """Ours minus theirs, in the metric's unit."""
        return None if self.ours.value is None else self.ours.value - self.theirs.value


def tables(wanted: str) -> list[Published]:
    """``paper`` for every published table, or ids separated by commas.

    Raises:
        SpecError: for an unknown id.
    """
    ids = published.names() if wanted == "paper" else [part.strip() for part in wanted.split(",") if part.strip()]
    if not ids:
        raise SpecError("--against is empty; use paper, or ids of published tables separated by commas.")
    return [published.load(id) for id in ids]


def pairs(tidy: Tidy, table: Published) -> list[PairedCell]:
    """Every printed cell for which this run has a line and a metric, in the table's order."""
    found = []
    for row in table.rows:
        label = next((m for m in row.methods if m in tidy.methods), None)
        if label is None:
            continue
        for metric in tidy.metrics:
            value = published.value(table, row.methods[row.methods.index(label)], metric)
            if value is not None:
                cell = build(tidy, "", "", [LineRequest(label, label)], [metric]).lines[0].cells[0]
                found.append(PairedCell(table.id, row.name, label, metric, cell, value))
    return found


def against(tidy: Tidy, table: Published) -> View:
    """A published table with ours beside every cell that has one. Cells without a counterpart stay visible."""
    found = {(b.row, b.theirs.column.name): b for b in reversed(pairs(tidy, table))}
    columns: list[Column] = []
    for column in table.columns:
        digits = max((len(r.printed[table.columns.index(column)].partition(".")[2]) for r in table.rows), default=2)
        columns += [
            Column(f"{column.name}/ours", f"{column.name}: ours", column.unit, column.direction, digits),
            Column(f"{column.name}/paper", "paper", column.unit, column.direction, digits),
            Column(f"{column.name}/difference", "difference", column.unit, "none", digits),
        ]
    lines = []
    for row in table.rows:
        cells: list[Cell] = []
        for column, value in zip(table.columns, row.values, strict=True):
            mine = found.get((row.name, column.name))
            cells += [
                mine.ours if mine else Cell(None, why="–"), Cell(value),
                Cell(mine.difference, why="–") if mine else Cell(None, why="–"),
            ]  # fmt: skip
        label = next((m for m in row.methods if m in tidy.methods), "")
        lines.append(Line(label or row.name, f"{row.name} ({label})" if label else row.name, tuple(cells), row.group))
    legend = "ours with its 95 % interval over reference clips; paper as printed, without interval; difference: ours - paper"
    id, title = f"beside-{table.id}", f"{table.paper}, {table.table}: {table.what}"
    return view_of(tidy, id, title, columns, lines, _notes(tidy, table, list(found.values())), legend)


def _notes(tidy: Tidy, table: Published, found: list[PairedCell]) -> Iterable[str]:
    if not found:
        yield "This run has no method and metric that this table prints (same formula, same kind of features)."
    for column in table.columns:
        if any(b.theirs.column.name == column.name for b in found):
            yield f"{column.name}: comparable {column.comparable}. {column.why}"
        elif column.metrics:
            others = [m for m, metric in tidy.metrics.items() if metric.id in column.metrics]
            reason = f"this run's {', '.join(others)} sees with other networks" if others else "this run has no such metric"
            yield f"{column.name}: not compared, {reason}."
    yield from _setting(tidy, table.setting)
    for name, (count, tau) in rank_agreement(found).items():
        yield f"{name}: over {count} rows our order and the paper's agree with Kendall's tau {tau:.2f}."
    yield from (f"Caveat: {caveat}" for caveat in table.caveats)
    yield from (f"{c.what} {c.note}" for c in table.conflicts)


def _setting(tidy: Tidy, paper: PublishedSetting) -> Iterable[str]:
    s = tidy.setting
    if not s.backbone.startswith(paper.backbone):
        named = BACKBONES.get(paper.backbone, paper.backbone)
        yield f"The paper's backbone is {named}; this run's is {s.called}: no value can be expected to agree."
    sizes = {"width": paper.width, "height": paper.height}
    differing = [f"{k} {getattr(s, k)} (paper {v})" for k, v in sizes.items() if v and getattr(s, k) != v]
    differing += [f"{s.steps} steps (paper {paper.steps})"] if s.steps != paper.steps else []
    if differing:
        yield f"Other setting than the paper's: {', '.join(differing)}."
    if tidy.device == "cpu" and paper.gpu:
        yield f"The paper's seconds are from {paper.gpu}; this run's from a CPU: only ratios can be looked at."


def rank_agreement(found: list[PairedCell]) -> dict[str, tuple[int, float]]:
    """Per printed column: rows that both have, and Kendall's tau between our order and theirs (3 rows or more)."""
    from scipy.stats import kendalltau

    by_column: dict[str, list[PairedCell]] = {}
    for pair in found:
        if pair.ours.value is not None:
            by_column.setdefault(pair.theirs.column.name, []).append(pair)
    result = {}
    for name, group in by_column.items():
        if len(group) > 2:
            tau = float(kendalltau([b.ours.value for b in group], [b.theirs.value for b in group]).statistic)
            if not math.isnan(tau):
                result[name] = (len(group), tau)
    return result

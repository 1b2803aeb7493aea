"""The table that every run ends with: all methods, all metrics, from records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fastvmt.jobs.run_config import RunConfig
from fastvmt.plugins.labels import refuse_mixed_presets
from fastvmt.reports.tables.look import SPEED_UP, Look
from fastvmt.reports.tables.render import html, render
from fastvmt.reports.tables.verdict import verdict
from fastvmt.reports.tables.view import Cell, View
from fastvmt.reports.tables.views import by_category, comparison
from fastvmt.reports.tidy import Tidy, of_stores
from fastvmt.store.folder import Store
from fastvmt.store.layout import ARTEFACTS


@dataclass
class Table:
    """A run's frame with its first view. ``notes`` may grow: what was not scored, say. ``look`` is the view's already."""

    tidy: Tidy
    view: View
    notes: list[str] = field(default_factory=list)
    look: Look = field(default_factory=Look)

    def __str__(self) -> str:
        return as_lines(self)

    def _repr_html_(self) -> str:
        return html(self.noted)

    @property
    def noted(self) -> View:
        """The view with the notes that have come since, first."""
        return replace(self.view, notes=(*self.notes, *self.view.notes))

    def seen(self, look: Look) -> Table:
        """The table as somebody wants it to look.

        Raises:
            SpecError: for a column, row or name that it has not.
        """
        tidy = look.named(self.tidy)
        (view,) = look.of([self.view if tidy is self.tidy else first_table(tidy)])
        return Table(tidy, view, self.notes, look)

    @property
    def digest(self) -> str:
        """Equal numbers and videos have equal digests."""
        return self.tidy.digest

    @property
    def made(self) -> int:
        """Videos there are."""
        return sum(count.made for count in self.tidy.counts.values())

    def unscored(self, metrics: Iterable[str]) -> int:
        """Numbers of these metrics that could not be computed, of videos that are there."""
        rows = self.tidy.frame
        return int(((rows["status"] == "failed") & (rows["frames_digest"] != "") & rows["metric"].isin(list(metrics))).sum())


def build(store: Store, config: RunConfig) -> Table:
    """The table of what is in the store.

    Raises:
        NotComparable: when one method stands in it with two presets, or records differ in identity.
    """
    tidy = of_stores([(store, config)])
    if not config.ablates_presets:
        refuse_mixed_presets(config.methods)
    return Table(tidy, first_table(tidy))


def first_table(tidy: Tidy, labels: Sequence[str] = ()) -> View:
    """The comparison of these methods (``first_presets``), which opens with what it decides."""
    labels = labels or first_presets(tidy)
    return replace(comparison(tidy, labels), verdict=verdict(tidy, labels))


def first_presets(tidy: Tidy, base: str = "") -> list[str]:
    """Labels without those whose preset is not the first one of their method: numbers of two presets share no table.

    Args:
        base: a label whose preset counts as the first one of its method.
    """
    first = {tidy.methods[base].method: tidy.methods[base].preset} if base else {}
    return [label for label, spec in tidy.methods.items() if first.setdefault(spec.method, spec.preset) == spec.preset]


def as_lines(table: Table, picture: Path | None = None, form: str = "md") -> str:
    """The table as text, with where its videos are; ``form`` is Markdown, or ``terminal`` for that one's width."""
    where = [f"picture: {picture}"] if picture else []
    return "\n".join([render(table.noted, form).rstrip(), *where, f"videos: {_videos(table)}"])


def split_lines(table: Table, form: str = "md") -> str:
    """The table once for every category of cases."""
    views = by_category(table.tidy, first_presets(table.tidy))
    return "\n\n".join(render(view, form).rstrip() for view in table.look.of([table.view, *views])[1:])


def _videos(table: Table) -> Path:
    return table.tidy.stores[0].root / ARTEFACTS


def as_data(table: Table) -> dict[str, Any]:
    """The table as plain data, for ``--json``: a row for each method in the run's order."""
    tidy, view = table.tidy, table.view
    rows = []
    for label, spec in tidy.methods.items():
        if label not in {line.key for line in view.lines}:
            continue
        count, cells = tidy.counts[label], view.line(label).cells
        by_key = dict(zip((c.key for c in view.columns), cells, strict=True))
        speed_up = by_key.pop(SPEED_UP, None)
        rows.append({
            "method": label, "name": view.line(label).head, "control": spec.control,
            "made": count.made, "planned": count.planned, "failed": count.failed,
            "metrics": {m: _cell(cell, tidy, label, m) for m, cell in by_key.items()},
            "speed_up": vars(speed_up) if speed_up and speed_up.value is not None else None,
        })  # fmt: skip
    return {
        "verdict": list(view.verdict), "title": tidy.title, "protocol": tidy.setting.terms,
        "budget": tidy.setting.budget,
        "rows": rows, "identities": tidy.identities, "notes": [*view.notes, *table.notes],
        "videos": str(_videos(table)), "suite_digest": tidy.suite_digest, "digest": tidy.digest,
    }  # fmt: skip


def _cell(cell: Cell, tidy: Tidy, label: str, metric: str) -> dict[str, Any]:
    rows = tidy.of(metric)
    found = Counter(rows[rows["label"] == label]["status"])
    return vars(cell) | {"mean": cell.value, "undefined": found["undefined"], "failed": found["failed"]}

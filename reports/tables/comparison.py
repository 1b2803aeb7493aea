"""What ``fastvmt.compare`` returns: a comparison as data, whose text is one view of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastvmt.reports.tables import compare
from fastvmt.reports.tables.grid import sound
from fastvmt.reports.tables.render import as_json, html, render
from fastvmt.reports.tables.run_table import first_presets
from fastvmt.reports.tables.verdict import verdict
from fastvmt.reports.tables.view import View
from fastvmt.reports.tidy import Tidy


@dataclass(frozen=True)
class Comparison:
    """One method against every other.

    Attributes:
        base: its label.
        views: what there is of differences with tests (``versus-...``), seconds (``ratios-...``) and mean ranks (``ranks``).
        form: of ``str()`` and ``print``: terminal, md, csv, tex, html or json.
    """

    base: str
    views: tuple[View, ...]
    form: str = "terminal"

    def data(self) -> dict[str, Any]:
        """Plain data, for JSON: every view by its id."""
        return {view.id: sound(view).data() for view in self.views}

    def text(self, form: str = "terminal") -> str:
        """In one of ``render.FORMATS``."""
        return as_json(self.views) if form == "json" else "\n\n".join(render(view, form).rstrip() for view in self.views)

    def __str__(self) -> str:
        return self.text(self.form)

    def _repr_html_(self) -> str:
        return "\n".join(map(html, self.views))


def of(tidy: Tidy, base: str = "", metrics: Sequence[str] = (), form: str = "terminal") -> Comparison:
    """The comparison of a run; see ``fastvmt.compare``."""
    base = compare.base_of(tidy, base)
    labels = first_presets(tidy, base)
    tests = replace(compare.versus(tidy, base, metrics), verdict=verdict(tidy, labels))
    found = tests, compare.ratios(tidy, base), compare.ranks(tidy, metrics, labels)
    return Comparison(base, tuple(view for view in found if view.columns and view.lines), form)

"""What ``fastvmt.compare`` returns: a comparison as data, whose text is one view of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastvmt.reports.tables import compare
from fastvmt.reports.tables.grid import sound
from fastvmt.reports.tables.render import as_json, html, render
from fastvmt.reports.tables.run_table import first_presets
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
        if form == "json":
            return as_json(self.views)
        shown = self.views if form == "csv" else map(_main, self.views)
        return "\n\n".join(render(view, form).rstrip() for view in shown)

    def __str__(self) -> str:
        return self.text(self.form)

    def _repr_html_(self) -> str:
        return "\n".join(html(_main(view)) for view in self.views)


def _main(view: View) -> View:
    """What people see first; CSV and JSON have it all."""
    return view.of(view.main) if view.main else view


def of(tidy: Tidy, base: str = "", metrics: Sequence[str] = (), form: str = "terminal") -> Comparison:
    """The comparison of a run; see ``fastvmt.compare``."""
    base = compare.base_of(tidy, base)
    labels = first_presets(tidy, base)
    found = compare.versus(tidy, base, metrics), compare.ratios(tidy, base), compare.ranks(tidy, metrics, labels)
    return Comparison(base, tuple(view for view in found if view.columns and view.lines), form)

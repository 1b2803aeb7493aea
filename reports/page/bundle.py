"""Everything a report holds, written to one folder: the frame, every table in every form, figures, and the page.

report/
  index.html, cases/, clips/ ...    the page (opens from disk)
  tables/ID.md|csv|tex|html|json    every view
  tables.tex                        all of them as one document that compiles
  figures/NAME.png|svg|pdf
  frame.csv, frame.parquet          the tidy frame, on request
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fastvmt.core.choices import hint, one_of
from fastvmt.core.disk.atomic import write_atomic
from fastvmt.core.screen.status_line import doing
from fastvmt.core.spelling import csv_cell
from fastvmt.errors import NotComparable, SpecError
from fastvmt.reports.export.parquet import to_parquet
from fastvmt.reports.frontier.standing import frontier_of
from fastvmt.reports.tables import ablation, against_papers, compare, views
from fastvmt.reports.tables.look import Look
from fastvmt.reports.tables.run_table import first_presets, first_table
from fastvmt.reports.tables.view import View
from fastvmt.reports.tidy import Tidy, no_collection

if TYPE_CHECKING:
    import pandas as pd

    from fastvmt.reports.figures.style import Picture

FRAMES = ("csv", "parquet")
FILES = ("md", "csv", "tex", "html", "json")


@dataclass(frozen=True)
class ReportContents:
    """What of a report is wanted.

    Attributes:
        against: ``paper``, ids of published tables, or "" for none.
        tables: ids or beginnings of ids of views; empty for all.
        formats: of tables; frame: ``csv``, ``parquet`` or none.
        page, figures: false to leave them out; ``figures`` may name those that are wanted.
        look: of the tables; its names hold for figures and page, too.
    """

    against: str = ""
    tables: tuple[str, ...] = ()
    formats: tuple[str, ...] = FILES
    frame: tuple[str, ...] = ()
    page: bool = True
    figures: bool | tuple[str, ...] = True
    tracks: bool = True
    look: Look = field(default_factory=Look)

    def __post_init__(self) -> None:
        for option, given, known in (("--formats", self.formats, FILES), ("--frame", self.frame, FRAMES)):
            for word in given:
                one_of(option, word, known)
        if self.against:
            against_papers.tables(self.against)


@no_collection()
def tables_of(tidy: Tidy, wanted: Sequence[str] = (), against: str = "") -> list[View]:
    """Every view of a run, or those whose id begins with one of the words wanted.

    Raises:
        SpecError: when a word fits no view.
    """
    doing("reckoning intervals and tests")
    labels, main, frontier = first_presets(tidy), ablation.compared(tidy), frontier_of(tidy)
    found = [first_table(tidy, main), *([frontier.view] if frontier else []), *ablation.all_of(tidy),
             *views.by_category(tidy, main), views.stages(tidy, labels), views.cost(tidy, labels)]  # fmt: skip
    with contextlib.suppress(NotComparable):  # a single method: nothing stands against it
        found += [compare.versus(tidy, labels=main), compare.ratios(tidy), compare.ranks(tidy, labels=main)]
    found += [against_papers.against(tidy, table) for table in (against_papers.tables(against) if against else ())]
    found = [view for view in found if view.lines and view.columns]
    for word in wanted:
        if not any(view.id.startswith(word) for view in found):
            raise SpecError(f"--tables {word}: this run has no such table. {hint(word, (v.id for v in found))}")
    return [v for v in found if not wanted or any(v.id.startswith(word) for word in wanted)]


def write(tidy: Tidy, out: Path, contents: ReportContents, say: Callable[[str], None] = lambda line: None) -> list[Path]:
    """Write what is wanted and return the files a reader opens first; ``say`` gets what could not be drawn."""
    from fastvmt.reports.tables import latex, render

    tidy = contents.look.named(tidy)
    shown = contents.look.of(tables_of(tidy, contents.tables, contents.against))
    out.mkdir(parents=True, exist_ok=True)
    for view in shown:
        render.write(view, out / "tables", contents.formats)
    found = []
    if "tex" in contents.formats:
        write_atomic(out / "tables.tex", latex.document(shown))
        found.append(out / "tables.tex")
    found += write_frame(tidy, out, contents.frame)
    pictures: list[Picture] = []
    if contents.figures:
        from fastvmt.reports.figures.pictures import draw_all

        only = contents.figures if isinstance(contents.figures, tuple) else ()
        pictures = draw_all(tidy, out / "figures", say, only)
        found += [p.path for p in pictures if p.name in only]
    if contents.page:
        from fastvmt.reports.page.write import write_report

        found.insert(0, write_report(tidy, shown, out, pictures, tracks=contents.tracks))
    return found


def write_frame(tidy: Tidy, out: Path, formats: Iterable[str]) -> list[Path]:
    """The tidy frame as ``frame.csv`` or ``frame.parquet``.

    Raises:
        SpecError: for another form, or Parquet without pyarrow.
    """
    found = []
    for form in formats:
        path = out / f"frame.{form}"
        if form == "csv":
            write_atomic(path, _harmless(tidy.frame).to_csv(index=False))
        else:
            to_parquet(tidy.frame, path, "--frame parquet")
        found.append(path)
    return found


def _harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with texts that no spreadsheet computes; each word of a column is looked at once."""
    texts = [name for name in frame.columns if frame[name].dtype.kind not in "biuf"]
    return frame.assign(**{n: frame[n].astype(object).map({w: csv_cell(str(w)) for w in frame[n].unique()}) for n in texts})

"""``bench table``, ``report``, ``compare`` and ``meta``: from records to tables, figures and pages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastvmt.cli.options import LOOK, Asked, By, Json, Run, load_plugins, note, number, place, table_form, takes, tell
from fastvmt.core.choices import one_of
from fastvmt.errors import SpecError
from fastvmt.runner.option import split

if TYPE_CHECKING:
    from fastvmt.reports.tables.run_table import Table

Runs = Annotated[list[Path], typer.Argument(help="Run folder; several of one suite and setting are read as one.")]
Against = Annotated[str, typer.Option(help="paper, or ids of published tables: ours, theirs, the difference, and why.")]
Tables = Annotated[str, typer.Option(help="Ids of tables or their beginnings, comma-separated; all when empty.")]
Formats = Annotated[str, typer.Option(help="Of the table files: md,csv,tex,html,json.")]
Frame = Annotated[str, typer.Option(help="Also write the tidy frame: csv, parquet or both.")]
ReportOut = Annotated[Path | None, place("Report folder; RUN/report by default.")]
Page = Annotated[bool, typer.Option(help="Write the page with the gallery.")]
Figures = Annotated[bool, typer.Option(help="Draw the figures.")]
Tracks = Annotated[bool, typer.Option(help="Track points for the gallery's overlay.")]
Print = Annotated[str, typer.Option("--print", help="Print these tables as: terminal, md, csv, tex, html or json.")]
Base = Annotated[str, typer.Option(help="Method to compare with; the first one that is no control by default.")]
CLIPS = 4
"""Of each category, where nothing else is said."""
Judged = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[RUN...]", help="Run folders whose records to judge by; without any, degraded drawn clips."),
]  # fmt: skip


@takes("as_json", *LOOK)
def table(asked: Asked, folder: Run, by: By = "") -> None:
    """Print the table of a run folder."""
    from fastvmt import api
    from fastvmt.store.layout import SHEET

    check_by(by)
    sheet = folder / SHEET
    show(api.table(folder), sheet if sheet.exists() else None, asked, by)


def check_by(by: str) -> None:
    """
    Raises:
        SpecError: for another split than by category.
    """
    if by:
        one_of("--by", by, ["category"])


def show(table: Table, sheet: Path | None, asked: Asked, by: str = "", more: dict[str, Any] | None = None) -> None:
    """Print a run's table, and split where that was asked for; as JSON with ``more`` facts."""
    from fastvmt.reports.tables.run_table import as_data, as_lines, split_lines

    form, table = table_form(), table.seen(asked.look)
    text = as_lines(table, sheet, form) + (f"\n\n{split_lines(table, form)}" if by else "")
    tell(asked.as_json, as_data(table) | (more or {}), text)


@takes(*LOOK)
def report(
    asked: Asked, runs: Runs, against: Against = "", tables: Tables = "", formats: Formats = "md,csv,tex,html,json",
    frame: Frame = "", out: ReportOut = None, page: Page = True, figures: Figures = True, tracks: Tracks = True,
    print_as: Print = "",
) -> None:  # fmt: skip
    """Write the report of a run: page with gallery, tables in every form, figures. With --print, tables go to the terminal."""
    from fastvmt import api

    if print_as:
        print(api.print_tables(runs, split(tables), against, print_as, asked.look))
        return
    found = api.report(runs, out, against=against, tables=split(tables), formats=split(formats), frame=split(frame), page=page,
                       figures=figures, tracks=tracks, look=asked.look, say=say)  # fmt: skip
    for path in found:
        print(path)


def say(line: str) -> None:
    note(f"note: {line}")


@takes("as_json", *LOOK)
def compare(
    asked: Asked, runs: Runs, base: Base = "",
    metrics: Annotated[str, typer.Option(help="Comma-separated labels; all that have a direction when empty.")] = "",
) -> None:  # fmt: skip
    """One method against every other: paired differences with intervals, tests, effect sizes, win/tie/loss, and mean ranks."""
    from fastvmt import api

    found = api.compare(runs, base, split(metrics), look=asked.look)
    tell(asked.as_json, found.data(), found)


def drift(
    one: Annotated[Path, typer.Argument(help="Run folder.")],
    two: Annotated[Path, typer.Argument(help="Run folder of the same cases and seeds with another profile.")],
    metrics: Annotated[str, typer.Option(help="Comma-separated labels; all when empty.")] = "",
    as_json: Json = False,
) -> None:
    """What a profile (--attention, --compile, --cache, --cfg-interval) changes: pixels, seconds, and every metric, paired."""
    from fastvmt.reports.drift import drift as found_in

    found = found_in(one, two, split(metrics))
    tell(as_json, found.data(), found.text(table_form()))


@takes("plugins", "as_json", *LOOK)
def meta(
    asked: Asked, runs: Judged = None,
    clips: Annotated[int | None, number("--clips", f"Drawn clips of each category ({CLIPS}).", 1, 8)] = None,
    metrics: Annotated[
        str, typer.Option(help="Comma-separated labels or patterns; all of motion, by every tracker that is here, when empty.")
    ] = "",
    print_as: Print = "",
) -> None:  # fmt: skip
    """Which metric agrees with truth: rank correlation of every metric of motion with the known motion of drawn clips.

    Without a run it is asked about clips made worse by a known amount; with one about the videos of all its methods.
    """
    from fastvmt.reports.meta import ratings, toys
    from fastvmt.reports.meta.view import as_views
    from fastvmt.reports.tables.grid import sound
    from fastvmt.reports.tables.render import FORMATS, as_json, render
    from fastvmt.reports.tidy import gather

    if print_as:
        one_of("--print", print_as, FORMATS)
    if runs and (clips is not None or asked.plugins):
        raise SpecError(
            f"--{'plugin' if clips is None else 'clips'} is for drawn clips; a run folder is judged by its own records."
        )
    load_plugins(asked.plugins)
    if runs:
        tidy = asked.look.named(gather(runs))
        found = ratings.of_runs(tidy, split(metrics))
        views = as_views(found, "Which metric agrees with the known motion", tidy.title, tidy.names, tidy.digest)
    else:
        found = toys.of_toys(clips or CLIPS, split(metrics))
        setting = f"{toys.SUITE}, {len(found.truth)} reference clips, {toys.FRAMES} frames, {len(found.rated)} versions of each"
        views = as_views(found, "Which metric agrees with the known motion", setting, asked.look.names.metrics)
    shown = asked.look.of(views)
    text = as_json(shown) if print_as == "json" else "\n\n".join(render(v, print_as or table_form()).rstrip() for v in shown)
    tell(asked.as_json, {view.id: sound(view).data() for view in shown}, text)
    if found.failed:
        raise typer.Exit(3)

"""``bench report``, ``compare``, ``ablate`` and ``paper``: from records to tables, figures and pages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fastvmt.cli.options import Json, options_of, request, split, takes_run_options
from fastvmt.cli.outcome import finish
from fastvmt.errors import SpecError

Runs = Annotated[list[Path], typer.Argument(help="Run folder; several of one suite and setting are read as one.")]
Against = Annotated[str, typer.Option(help="paper, or ids of published tables: ours, theirs, the difference, and why.")]
Tables = Annotated[str, typer.Option(help="Ids of tables or their beginnings, comma-separated; all when empty.")]
Formats = Annotated[str, typer.Option(help="Of the table files: md,csv,tex,html,json.")]
Frame = Annotated[str, typer.Option(help="Also write the tidy frame: csv, parquet or both.")]
ReportOut = Annotated[Path | None, typer.Option(help="Report folder; RUN/report by default.")]
Page = Annotated[bool, typer.Option(help="Write the page with the gallery.")]
Figures = Annotated[bool, typer.Option(help="Draw the figures.")]
Tracks = Annotated[bool, typer.Option(help="Track points for the gallery's overlay.")]
Print = Annotated[str, typer.Option("--print", help="Print these tables as: terminal, md, csv, tex, html or json.")]
Base = Annotated[str, typer.Option(help="Method to compare with; the first one that is no control by default.")]
Factors = Annotated[str, typer.Option(help="Comma-separated factors; all the method declares when empty.")]
Pairs = Annotated[str, typer.Option(help="Pairs of factors, e.g. window+reuse,window+loss.")]
With = Annotated[str, typer.Option("--with", help="Methods to run beside it, or all.")]
Ladder = Annotated[bool, typer.Option(help="Also run the forms from which the speed-up is decomposed.")]
SHOWN = ("comparison", "ablation", "savings")
"""Tables that an ablation prints; the rest is in its report."""


def report(
    runs: Runs, against: Against = "", tables: Tables = "", formats: Formats = "md,csv,tex,html,json", frame: Frame = "",
    out: ReportOut = None, page: Page = True, figures: Figures = True, tracks: Tracks = True, print_as: Print = "",
) -> None:  # fmt: skip
    """Write the report of a run: page with gallery, tables in every form, figures. With --print, tables go to the terminal."""
    from fastvmt import api

    if print_as:
        print(api.print_tables(runs, split(tables), against, print_as))
        return
    found = api.report(runs, out, against=against, tables=split(tables), formats=split(formats), frame=split(frame), page=page,
                       figures=figures, tracks=tracks, say=_say)  # fmt: skip
    for path in found:
        print(path)


def _say(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


def compare(
    runs: Runs, base: Base = "",
    metrics: Annotated[str, typer.Option(help="Comma-separated labels; all that have a direction when empty.")] = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """One method against every other: paired differences with intervals, tests, effect sizes, win/tie/loss, and mean ranks."""
    from fastvmt import api

    print(api.compare(runs, base, split(metrics), "json" if as_json else "terminal"))


@takes_run_options
def ablate(
    values: dict[str, Any], method: Annotated[str, typer.Argument(help="Method label, e.g. fastvmt.")], factors: Factors = "",
    pairs: Pairs = "", beside: With = "", ladder: Ladder = True, against: Against = "",
) -> None:  # fmt: skip
    """Run a method, then each of its factors changed alone; write the ablation tables and figures into RUN/report."""
    _ablate(values, method, split(factors), split(pairs), split(beside), ladder, against)


@takes_run_options
def paper(values: dict[str, Any], against: Against = "paper") -> None:
    """Run what the paper's tables and figures need (all methods, FastVMT's ablations), and write them beside the paper's."""
    _ablate(values, "fastvmt", (), (), ("all",), True, against)


def _ablate(
    values: dict[str, Any], method: str, factors: tuple[str, ...], pairs: tuple[str, ...], beside: tuple[str, ...],
    ladder: bool, against: str,
) -> None:  # fmt: skip
    from fastvmt import api
    from fastvmt.plugins import registry
    from fastvmt.runner import ablate as ablations

    for plugin in values["plugin"] or ():
        registry.load_plugin(plugin)
    wanted = ablations.expand(method, factors, pairs, ladder)
    labels = tuple(dict.fromkeys([*beside, *wanted.labels]))
    if ":" in method and any(":" not in label and label == method for label in beside):
        raise SpecError(f"--with {method}: it is the base of the ablation already; leave it out.")
    asked = request(labels, values, optional=wanted.optional, ablates_presets=wanted.presets)

    def after(folder: Path) -> None:
        if api.probe(folder) is None:
            _say("the probe of the backbone's blocks is left out: its weights or its device are not on this machine.")
        for path in api.report([folder], None, against=against, page=False, say=_say):
            print(path, file=sys.stderr if values["as_json"] else sys.stdout)

    found = api.run(asked, values["out"], options_of(values))
    finish(found, values["as_json"], after=after, text=lambda: api.print_tables([found.folder], SHOWN, form="md"))

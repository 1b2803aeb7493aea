"""``bench run``, ``resume``, ``work``, ``score``, ``ablate``, ``frontier``, ``paper``: make videos, numbers, a table."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastvmt.cli.options import HOW, LOOK, OWN, RUN, Asked, By, Run, load_plugins, note, table_form, takes, tell
from fastvmt.cli.report import Against, check_by, say, show
from fastvmt.errors import SpecError
from fastvmt.runner.option import split

if TYPE_CHECKING:
    from fastvmt.api import Result

Factors = Annotated[str, typer.Option(help="Comma-separated factors; all the method declares when empty.")]
Pairs = Annotated[str, typer.Option(help="Pairs of factors, e.g. window+reuse,window+loss.")]
With = Annotated[str, typer.Option("--with", help="Methods to run beside it, or all.")]
Ladder = Annotated[bool, typer.Option(help="Also run the forms from which the speed-up is decomposed.")]
Over = Annotated[
    list[str],
    typer.Option(
        help="Parameters whose values make the grid: names for values around the method's own (inner,interval,guided), or "
        "inner=2,4,10; may be repeated."
    ),
]
SHOWN = ("comparison", "ablation", "savings")
"""Tables that an ablation prints; the rest is in its report."""


@takes(*RUN)
def run(asked: Asked, by: By = "") -> None:
    """Plan, generate what is missing, score, print the table. The same command resumes."""
    from fastvmt import api

    check_by(by)
    finish(api.run(asked.request(), asked.out, asked.options()), asked, by)


@takes(*HOW, "plugins")
def resume(asked: Asked, folder: Run) -> None:
    """Go on with a run folder."""
    from fastvmt import api

    finish(api.resume(folder, asked.options(), asked.plugins), asked)


@takes("workers", "timeout", "fail_fast", "plugins", "as_json")
def work(asked: Asked, folder: Run) -> None:
    """Help with a run folder, beside whoever else works on it, from any machine that sees it; each job is done once."""
    from fastvmt import api
    from fastvmt.runner.command import go_on

    outcome = api.work(folder, asked.options(), asked.plugins)
    failed = f"{outcome.failed} failed" + (f", {outcome.unscored} numbers failed" if outcome.unscored else "")
    said = f"Nothing is left to do: {outcome.made} made meanwhile, {failed}. Table: {go_on(folder)}"
    tell(asked.as_json, {"folder": folder, "outcome": vars(outcome)}, said)
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


@takes("metrics", "workers", "plugins", "keep_old", "as_json", *LOOK)
def score(
    asked: Asked, folder: Run,
    again: Annotated[bool, typer.Option("--again", help="Compute even what is already recorded.")] = False,
) -> None:  # fmt: skip
    """Score a run folder, without generating."""
    from fastvmt import api

    finish(api.score(folder, split(asked.words["metrics"]), asked.options(), again, asked.plugins), asked)


def finish(
    result: Result, asked: Asked, by: str = "", after: Callable[[Path], None] | None = None,
    text: Callable[[], str] | None = None, more: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Print the table, or ``text``'s, and leave with the run's exit code.

    Args:
        after: gets the folder of a run that ended; more: facts beside the table's, as JSON.
    """
    from fastvmt.runner.command import go_on

    outcome = result.outcome
    if outcome.interrupted and not result.table.made and not asked.as_json:
        note(f"Interrupted before the first video; nothing is made yet. Go on with: {go_on(result.folder, asked.options())}")
        raise typer.Exit(130)
    if asked.as_json or text is None:
        show(result.table, result.sheet, asked, by, {"folder": str(result.folder), "outcome": vars(outcome)} | (more or {}))
    else:
        print(text())
    if outcome.interrupted:
        note(f"Interrupted; what was finished is kept. Go on with: {go_on(result.folder, asked.options())}")
        raise typer.Exit(130)
    if after is not None:
        after(result.folder)
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


@takes(*OWN)
def ablate(
    asked: Asked, method: Annotated[str, typer.Argument(help="Method label, e.g. fastvmt.")], factors: Factors = "",
    pairs: Pairs = "", beside: With = "", ladder: Ladder = True, against: Against = "",
) -> None:  # fmt: skip
    """Run a method, then each of its factors changed alone; write the ablation tables and figures into RUN/report."""
    _ablate(asked, method, split(factors), split(pairs), split(beside), ladder, against)


@takes(*OWN)
def frontier(
    asked: Asked, method: Annotated[str, typer.Argument(help="Method label, e.g. fastvmt.")], over: Over, beside: With = "all"
) -> None:
    """Run a method over a grid of its parameters, draw motion against cost, and say which rows are dominated."""
    from fastvmt import api
    from fastvmt.reports.figures.pictures import FRONTIER
    from fastvmt.reports.frontier.standing import frontier_of
    from fastvmt.reports.tables.grid import sound
    from fastvmt.runner.plan.grid import grid

    load_plugins(asked.words["plugins"])
    wanted = grid(method, over, asked.request())
    labels = tuple(dict.fromkeys([*split(beside), *wanted.labels]))
    command = ("frontier", method, *(word for each in over for word in ("--over", each)))
    found = api.run(asked.request(methods=labels, optional=wanted.optional, command=command), asked.out, asked.options())
    if not (drawn := frontier_of(found.table.tidy)):
        say("there is no frontier: fewer than three rows have a score of motion and a cost.")
        return finish(found, asked)
    one = ("frontier",)
    finish(
        found, asked, after=partial(_report, asked, tables=one, figures=FRONTIER), more={"frontier": sound(drawn.view).data()},
        text=partial(api.print_tables, [found.folder], one, form=table_form(), look=asked.look),
    )  # fmt: skip


@takes(*OWN)
def paper(asked: Asked, against: Against = "paper") -> None:
    """Run what the paper's tables and figures need (all methods, FastVMT's ablations), and write them beside the paper's."""
    _ablate(asked, "fastvmt", (), (), ("all",), True, against)


def _ablate(
    asked: Asked, method: str, factors: tuple[str, ...], pairs: tuple[str, ...], beside: tuple[str, ...],
    ladder: bool, against: str,
) -> None:  # fmt: skip
    from fastvmt import api
    from fastvmt.runner import ablate as ablations

    load_plugins(asked.words["plugins"])
    wanted = ablations.expand(method, factors, pairs, ladder)
    labels = tuple(dict.fromkeys([*beside, *wanted.labels]))
    if ":" in method and any(":" not in label and label == method for label in beside):
        raise SpecError(f"--with {method}: it is the base of the ablation already; leave it out.")
    command = ["ablate", method]
    for option, words in (("--factors", factors), ("--pairs", pairs)):
        command += [option, ",".join(words)] if words else []
    command += [] if ladder else ["--no-ladder"]
    request = asked.request(
        methods=labels, optional=wanted.optional, ablates_presets=wanted.presets, command=tuple(command)
    )  # fmt: skip

    def after(folder: Path) -> None:
        if api.probe(folder) is None:
            say("the probe of the backbone's blocks is left out: its weights or its device are not on this machine.")
        _report(asked, folder, against=against)

    found = api.run(request, asked.out, asked.options())
    shown = partial(api.print_tables, [found.folder], SHOWN, form=table_form(), look=asked.look)
    finish(found, asked, after=after, text=shown)


def _report(asked: Asked, folder: Path, **contents: Any) -> None:
    """Write tables and figures into the run's report, and say where."""
    from fastvmt import api

    for path in api.report([folder], None, page=False, look=asked.look, say=say, **contents):
        print(path, file=sys.stderr if asked.as_json else sys.stdout)

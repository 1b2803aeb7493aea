"""``bench run``, ``resume``, ``work`` and ``score``: make videos and numbers, and print the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastvmt.cli.options import HOW, RUN, Asked, By, Run, note, takes, tell
from fastvmt.cli.report import check_by, show
from fastvmt.runner.settings import split

if TYPE_CHECKING:
    from fastvmt.api import Result


@takes(*RUN)
def run(asked: Asked, by: By = "") -> None:
    """Plan, generate what is missing, score, print the table. The same command resumes."""
    from fastvmt import api

    check_by(by)
    finish(api.run(asked.request(), asked.out, asked.options()), asked.as_json, by)


@takes(*HOW)
def resume(asked: Asked, folder: Run) -> None:
    """Go on with a run folder."""
    from fastvmt import api

    finish(api.resume(folder, asked.options()), asked.as_json)


@takes("workers", "timeout", "fail_fast", "as_json")
def work(asked: Asked, folder: Run) -> None:
    """Help with a run folder, beside whoever else works on it, from any machine that sees it; each job is done once."""
    from fastvmt import api
    from fastvmt.runner.status import go_on

    outcome = api.work(folder, asked.options())
    said = f"Nothing is left to do: {outcome.made} made meanwhile, {outcome.failed} failed. Table: {go_on(folder)}"
    tell(asked.as_json, {"folder": folder, "outcome": vars(outcome)}, said)
    if outcome.interrupted or outcome.failed:
        raise typer.Exit(130 if outcome.interrupted else 3)


@takes("metrics", "workers", "as_json")
def score(
    asked: Asked, folder: Run,
    again: Annotated[bool, typer.Option("--again", help="Compute even what is already recorded.")] = False,
) -> None:  # fmt: skip
    """Score a run folder, without generating."""
    from fastvmt import api

    finish(api.score(folder, split(asked.words["metrics"]), asked.options(), again), asked.as_json)


def finish(
    result: Result, as_json: bool, by: str = "", after: Callable[[Path], None] | None = None,
    text: Callable[[], str] | None = None,
) -> None:  # fmt: skip
    """Print the table, or ``text``'s, and leave with the run's exit code; ``after`` gets the folder of a run that ended."""
    from fastvmt.runner.status import go_on

    outcome = result.outcome
    if as_json or text is None:
        show(result.table, result.sheet, as_json, by, {"folder": str(result.folder), "outcome": vars(outcome)})
    else:
        print(text())
    if outcome.interrupted:
        note(f"Interrupted; what was finished is kept. Go on with: {go_on(result.folder)}")
        raise typer.Exit(130)
    if after is not None:
        after(result.folder)
    if outcome.failed:
        raise typer.Exit(3)

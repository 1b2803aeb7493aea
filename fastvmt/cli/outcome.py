"""How a run's command ends: its table, what came of it, its exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fastvmt.errors import SpecError

if TYPE_CHECKING:
    from fastvmt.api import Result


def check_by(by: str) -> None:
    """Refuse another split than by category.

    Raises:
        SpecError: naming what there is.
    """
    if by not in ("", "category"):
        raise SpecError(f"--by {by}: a table can be split by category only.")


def print_split(folder: Path, by: str) -> None:
    """The split table, where one was asked for."""
    from fastvmt import api

    if by:
        print("\n" + api.by_category(folder))


def finish(
    result: Result, as_json: bool, by: str = "", after: Callable[[Path], None] | None = None,
    text: Callable[[], str] | None = None,
) -> None:  # fmt: skip
    """Print the table, or ``text``'s, and leave with the run's exit code; ``after`` gets the folder of a run that ended."""
    from fastvmt.reports.tables.run_table import as_data, as_lines
    from fastvmt.runner.status import go_on

    outcome = result.outcome
    if as_json:
        print(json.dumps(as_data(result.table) | {"folder": str(result.folder), "outcome": vars(outcome)}, ensure_ascii=False))
    else:
        print(as_lines(result.table, result.sheet) if text is None else text())
        print_split(result.folder, by)
    if outcome.interrupted:
        print(f"Interrupted; what was finished is kept. Go on with: {go_on(result.folder)}", file=sys.stderr)
        raise typer.Exit(130)
    if after is not None:
        after(result.folder)
    if outcome.failed:
        raise typer.Exit(3)

"""``bench verify``: does a run folder hold what was stored in it?"""

from __future__ import annotations

from typing import Annotated

import typer

from fastvmt.cli.options import Asked, Run, note, takes, tell


@takes("plugins", "as_json")
def verify(
    asked: Asked, folder: Run,
    row: Annotated[str, typer.Option(help="Only the videos of this row of the table, e.g. fastvmt.")] = "",
    scores: Annotated[bool, typer.Option("--scores", help="Compute every score again, too.")] = False,
) -> None:  # fmt: skip
    """Compute the digests of all files and frames again, and with --scores all numbers; exit code 3 when one differs."""
    from fastvmt.upkeep.verify import verify as look

    found = look(folder, row, scores, note, asked.plugins)
    tell(asked.as_json, {"folder": folder} | found.data(), "\n".join([f"{folder}: {found.words()}", *found.faults]))
    if found.faults:
        raise typer.Exit(3)

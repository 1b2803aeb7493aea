"""``bench submit``: one row of a run as a folder that a stranger can check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastvmt.cli.options import Json, Run, place, tell
from fastvmt.core import limits
from fastvmt.errors import SpecError


def submit(
    folder: Run,
    method: Annotated[str, typer.Option(help="Label of the row, as the table has it.")],
    out: Annotated[Path, place("New folder of the submission.")],
    videos: Annotated[str, typer.Option(help="How many videos of each row go into it: a number, or all.")] = "all",
    as_json: Json = False,
) -> None:
    """Put one row of a run into a folder for others: recipe, records, control rows, videos, machine, digests of all files."""
    from fastvmt.reports.share import write

    made = write(folder, method, out, "all" if videos == "all" else _number(videos))
    said = f"{out}: {made.name}, {len(made.claims)} claims, {len(made.files)} files; `bench verify {out}` checks it."
    tell(as_json, {"folder": str(out)} | made.model_dump(mode="json"), said)


def _number(text: str) -> int:
    try:
        found = int(limits.read_number(text, int))
    except ValueError:
        found = 0
    if not 1 <= found <= 10**9:
        raise SpecError(f"--videos {text}: a number from 1, or all, is needed.")
    return found

"""``bench why``: what is behind the failures of a run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from fastvmt.cli.options import Json, Run, tell

What = Annotated[
    str,
    typer.Argument(metavar="[JOB]", help="A number of the list, the beginning of a job's key, its name, a method or a metric."),
]


def why(folder: Run, job: What = "", as_json: Json = False) -> None:
    """Say why videos or numbers of a run failed: a line each; of a single one traceback, parameters and command."""
    from fastvmt.records import failures

    found = failures.failures_in(folder)
    if job:
        found = failures.chosen(found, job, folder)
    rows = [{"name": f.name} | vars(f) | {"again": again(folder, f.metric)} for f in found]
    if len(found) == 1:
        lines = [*failures.as_lines(found[0]), f"try it again: {rows[0]['again']}"]
    else:
        lines = [f.line for f in found] or [f"{folder}: nothing has failed."]
        lines += [f"more of one: {shlex.join(['bench', 'why', str(folder)])} NUMBER"] if found else []
    tell(as_json, rows, "\n".join(lines))


def again(folder: Path, metric: str) -> str:
    """The command that tries a failure again: a number of this metric alone, a video with all else that is missing."""
    from fastvmt.runner.status import go_on

    return shlex.join(["bench", "score", str(folder), "--metrics", metric]) if metric else go_on(folder)

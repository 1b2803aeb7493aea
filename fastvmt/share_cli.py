"""``bench merge``, ``export`` and ``import``: runs of several people as one, out to other tools, and others' videos in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fastvmt.options import Json, Plugin

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of one suite and setting.")]
Prefer = Annotated[
    list[str] | None, typer.Option(help="Run to believe where a job has other frames in several; may be repeated, best first.")
]


def merge(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="The merged run's folder.")],
    prefer: Prefer = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy videos; by default they are hard links where possible.")] = False,
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Unite runs of several machines and people into one run folder. The same command resumes.

    The same job with other frames in two runs has no value until --prefer names one; exit code 3 while there is such a job.
    """
    from fastvmt import api
    from fastvmt.merging.merge import merge as unite
    from fastvmt.reports.table import as_data, as_lines

    found = unite(runs, out, prefer=prefer or (), plugins=tuple(plugin or ()), copy=copy)
    table = api.table(out)
    if as_json:
        facts: dict[str, Any] = {
            "folder": str(out), "merged": list(found.sources), "new": found.new, "videos": found.videos,
            "failures": found.failures, "conflicts": {"frames": list(found.frames), "numbers": list(found.numbers)},
        }  # fmt: skip
        print(json.dumps(as_data(table) | facts, ensure_ascii=False))
    else:
        print(as_lines(table))
        for line in found.lines():
            print(line, file=sys.stderr)
    if found.undecided or found.damaged:
        raise typer.Exit(3)

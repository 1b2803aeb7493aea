"""``bench fetch``: data sets that are not ours to give out, brought to the user's own disk."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fastvmt.cli.options import Json

Name = Annotated[str, typer.Argument(help="Data set, e.g. davis2017.")]
To = Annotated[
    Path | None,
    typer.Option("--to", help="Folder in which NAME/ is made; by default $FASTVMT_DATA or ~/.cache/fastvmt/data."),
]
From = Annotated[Path | None, typer.Option("--from", help="A copy of the archive on this machine; nothing is downloaded.")]


def fetch(name: Name, to: To = None, from_file: From = None, as_json: Json = False) -> None:
    """Download a data set, check it and unpack it. The same command goes on after an interruption."""
    from fastvmt.plugins import registry
    from fastvmt.suites import data_sets

    archive: data_sets.Archive = registry.archives.get(name)
    there = data_sets.find(archive, to)
    if there:
        print(f"{archive.name} is already there, nothing to do.", file=sys.stderr)
    else:
        print(f"{archive.name}: {archive.summary} ({archive.bytes / 1e6:,.0f} MB). {archive.licence}", file=sys.stderr)
    try:
        folder = data_sets.fetch(archive, to, from_file)
    except KeyboardInterrupt:
        print("Interrupted; what has arrived is kept, and the same command goes on from there.", file=sys.stderr)
        raise typer.Exit(130) from None
    if as_json:
        files = json.loads((folder / data_sets.MANIFEST).read_bytes())["files"]
        facts = {"name": name, "folder": str(folder), "already_there": bool(there), "files": len(files)}
        facts |= {"bytes": sum(f["bytes"] for f in files), "sha256": archive.sha256, "licence": archive.licence}
        print(json.dumps(facts, ensure_ascii=False))
    else:
        print(folder)

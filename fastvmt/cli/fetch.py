"""``bench fetch`` and ``bench env``: data sets, and packages that fit no other, brought to the user's own disk."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fastvmt.cli.options import Json

env = typer.Typer(no_args_is_help=True, help="Environments of their own for packages whose pins fit no other, e.g. vbench.")

Name = Annotated[str, typer.Argument(help="Data set, e.g. davis2017.")]
To = Annotated[
    Path | None,
    typer.Option("--to", help="Folder in which NAME/ is made; by default $FASTVMT_DATA or ~/.cache/fastvmt/data."),
]
Environment = Annotated[str, typer.Argument(help="Environment, e.g. vbench.")]
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


@env.command()
def create(name: Environment, as_json: Json = False) -> None:
    """Make an environment once (uv is needed); one that is there is left as it is."""
    from fastvmt.plugins import environments

    made = environments.create(environments.recipe(name), lambda line: print(line, file=sys.stderr))
    if as_json:
        facts = {"name": name, "python": str(made.python), "size_bytes": made.size_bytes, "seconds": made.seconds}
        print(json.dumps(facts))
    else:
        print(f"{made.folder} ({len(made.packages)} packages, {made.size_bytes / 1e9:.1f} GB, made in {made.seconds:.0f} s)")


@env.command()
def where(name: Environment) -> None:
    """Print the path of an environment's Python."""
    from fastvmt.plugins import environments

    environments.recipe(name)
    print(environments.require(name).python)


@env.command()
def status(as_json: Json = False) -> None:
    """Say which environments there are."""
    from fastvmt.plugins import environments, registry

    rows = []
    for name in registry.environments.names():
        found = environments.find(name)
        rows.append({"name": name, "there": found is not None, "folder": str(environments.root() / name)})
        if not as_json:
            how = f"{len(found.packages)} packages, {found.size_bytes / 1e9:.1f} GB" if found else "not made"
            print(f"{name}: {how} ({rows[-1]['folder']})")
    if as_json:
        print(json.dumps(rows))

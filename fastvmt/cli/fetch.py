"""``bench fetch`` and ``bench env``: data sets, and packages that fit no other, brought to the user's own disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fastvmt.cli.options import Json, note, tell

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
        note(f"{archive.name} is already there, nothing to do.")
    else:
        note(f"{archive.name}: {archive.summary} ({archive.bytes / 1e6:,.0f} MB). {archive.licence}")
    try:
        folder = data_sets.fetch(archive, to, from_file)
    except KeyboardInterrupt:
        note("Interrupted; what has arrived is kept, and the same command goes on from there.")
        raise typer.Exit(130) from None
    files = json.loads((folder / data_sets.MANIFEST).read_bytes())["files"]
    facts = {"name": name, "folder": folder, "already_there": bool(there), "files": len(files)}
    facts |= {"bytes": sum(f["bytes"] for f in files), "sha256": archive.sha256, "licence": archive.licence}
    tell(as_json, facts, folder)


@env.command()
def create(name: Environment, as_json: Json = False) -> None:
    """Make an environment once (uv is needed); one that is there is left as it is."""
    from fastvmt.plugins import environments

    made = environments.create(environments.recipe(name), note)
    facts = {"name": name, "python": made.python, "size_bytes": made.size_bytes, "seconds": made.seconds}
    size = f"{len(made.packages)} packages, {made.size_bytes / 1e9:.1f} GB, made in {made.seconds:.0f} s"
    tell(as_json, facts, f"{made.folder} ({size})")


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

    rows, lines = [], []
    for name in registry.environments.names():
        found, folder = environments.find(name), environments.root() / name
        how = f"{len(found.packages)} packages, {found.size_bytes / 1e9:.1f} GB" if found else "not made"
        rows.append({"name": name, "there": found is not None, "folder": folder})
        lines.append(f"{name}: {how} ({folder})")
    tell(as_json, rows, "\n".join(lines))

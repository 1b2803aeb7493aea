"""``bench env``: Python environments of their own, for packages that fit no other."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from fastvmt.cli.options import Json

app = typer.Typer(no_args_is_help=True, help="Environments of their own for packages whose pins fit no other, e.g. vbench.")

Name = Annotated[str, typer.Argument(help="Environment, e.g. vbench.")]


@app.command()
def create(name: Name, as_json: Json = False) -> None:
    """Make an environment once (uv is needed); one that is there is left as it is."""
    from fastvmt.plugins import environments

    made = environments.create(environments.recipe(name), lambda line: print(line, file=sys.stderr))
    if as_json:
        facts = {"name": name, "python": str(made.python), "size_bytes": made.size_bytes, "seconds": made.seconds}
        print(json.dumps(facts))
    else:
        print(f"{made.folder} ({len(made.packages)} packages, {made.size_bytes / 1e9:.1f} GB, made in {made.seconds:.0f} s)")


@app.command()
def where(name: Name) -> None:
    """Print the path of an environment's Python."""
    from fastvmt.plugins import environments

    environments.recipe(name)
    print(environments.require(name).python)


@app.command()
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

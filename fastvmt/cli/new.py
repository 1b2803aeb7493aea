"""``bench new``: a plug-in's file, which runs as it is."""

from __future__ import annotations

import keyword
import re
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from fastvmt.core.disk.atomic import write_atomic
from fastvmt.errors import SpecError, UserError

KINDS = {
    "method": "--methods {name},none --metrics trajectory,motion_fidelity",
    "metric": "--methods fastvmt,none --limit 2 --metrics {name}",
    "tracker": "--methods fastvmt,none --limit 2 --metrics motion_fidelity:tracker={name}",
    "suite": "--suite {name} --methods fastvmt,none",
}
"""What can be begun, and how `bench run` uses it."""
TEMPLATES = Path(__file__).parent.parent / "plugins" / "templates"


def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="method, metric, tracker or suite.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name: lower-case letters, digits and _.")],
) -> None:
    """Begin a plug-in: write NAME.py, which runs as it is, passes its check and says in comments what goes where."""
    file = write(kind, name, Path())
    print(f"{file} is written. It runs as it is:\n\n  python {file}    # check it")
    print(f"  bench run {KINDS[kind].format(name=name)} --plugin {file}")


def write(kind: str, name: str, folder: Path) -> Path:
    """The file of a new plug-in.

    Raises:
        SpecError: for an unknown kind, or a name that is no identifier, taken by another plug-in or by a Python module.
        UserError: when the file is there.
    """
    from fastvmt.plugins import registry

    if kind not in KINDS:
        raise SpecError(f"bench new {kind}: there is nothing to begin of that kind; use {', '.join(KINDS)}.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise SpecError(f"bench new {kind} {name}: a name has lower-case letters, digits and _, and begins with a letter.")
    file = folder / f"{name}.py"
    if file.exists():
        raise UserError(f"bench new: {file} is there already; choose another name, or move it away.")
    taken = "a Python module" if find_spec(name) else f"a {kind}" if name in getattr(registry, f"{kind}s").names() else ""
    if taken:  # a file of a module's name in the folder where Python starts would stand in its place
        raise SpecError(f"bench new {kind} {name}: {taken} has that name; choose another.")
    words = {"name": name, "Class": "".join(part.capitalize() for part in name.split("_"))}
    text = Template((TEMPLATES / f"{kind}.py.txt").read_text("utf-8")).substitute(words)
    write_atomic(file, text)
    return file

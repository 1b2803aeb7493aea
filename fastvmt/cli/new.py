"""``bench new``: a plug-in's file, or a package for one, which runs as it is."""

from __future__ import annotations

import keyword
import re
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from fastvmt.core.disk.atomic import write_atomic
from fastvmt.core.disk.held_folder import new_folder
from fastvmt.core.version import __version__
from fastvmt.errors import SpecError, UserError

KINDS = {
    "method": "--methods {name},none --metrics trajectory,motion_fidelity",
    "metric": "--methods fastvmt,none --limit 2 --metrics {name}",
    "tracker": "--methods fastvmt,none --limit 2 --metrics motion_fidelity:tracker={name}",
    "suite": "--suite {name} --methods fastvmt,none",
    "plugin": "--methods {name},none --metrics trajectory,motion_fidelity",
}
"""What can be begun, and how `bench run` uses it."""
PACKAGE = {
    "pyproject.toml": "plugin/pyproject.toml", "README.md": "plugin/README.md", ".gitignore": "plugin/gitignore",
    ".github/workflows/tests.yml": "plugin/tests.yml", "src/{name}.py": "method.py", "tests/test_{name}.py": "plugin/test.py",
}  # fmt: skip
"""Files of a package with one method, each with its template."""
TEMPLATES = Path(__file__).parent.parent / "plugins" / "templates"


def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="method, metric, tracker or suite; plugin for a package.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name: lower-case letters, digits and _.")],
) -> None:
    """Begin a plug-in: write NAME.py, which runs as it is, passes its check and says in comments what goes where.

    KIND plugin writes the folder NAME instead: a method as an installable package with tests and a workflow for them.
    """
    made = write(kind, name, Path())
    check = f"pip install -e '{made}[test]' && pytest {made}" if kind == "plugin" else f"python {made}"
    print(f"{made} is written. It runs as it is:\n\n  {check}    # check it")
    print(f"  bench run {KINDS[kind].format(name=name)}" + ("" if kind == "plugin" else f" --plugin {made}"))


def write(kind: str, name: str, folder: Path) -> Path:
    """The file of a new plug-in, or the folder of a new package.

    Raises:
        SpecError: for an unknown kind, or a name that is no identifier, taken by another plug-in or by a Python module.
        UserError: when the file is there.
    """
    from fastvmt.plugins import registry

    if kind not in KINDS:
        raise SpecError(f"bench new {kind}: there is nothing to begin of that kind; use {', '.join(KINDS)}.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise SpecError(f"bench new {kind} {name}: a name has lower-case letters, digits and _, and begins with a letter.")
    made = folder / (name if kind == "plugin" else f"{name}.py")
    if made.exists():
        raise UserError(f"bench new: {made} is there already; choose another name, or move it away.")
    what = "method" if kind == "plugin" else kind
    taken = "a Python module" if find_spec(name) else f"a {what}" if name in getattr(registry, f"{what}s").names() else ""
    if taken:  # a file of a module's name in the folder where Python starts would stand in its place
        raise SpecError(f"bench new {kind} {name}: {taken} has that name; choose another.")
    if kind != "plugin":
        write_atomic(made, _filled(f"{kind}.py", name))
        return made
    with new_folder(folder, name) as part:
        for place, template in PACKAGE.items():
            (part / place.format(name=name)).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(part / place.format(name=name), _filled(template, name))
        part.rename(made)
    return made


def _filled(template: str, name: str) -> str:
    words = {"name": name, "Class": "".join(part.capitalize() for part in name.split("_")), "dist": name.replace("_", "-")}
    return Template((TEMPLATES / f"{template}.txt").read_text("utf-8")).substitute(words, version=__version__)

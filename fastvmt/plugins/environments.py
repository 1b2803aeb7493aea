"""Python environments of their own, for packages whose pins fit no other environment.

Made once by ``bench env create NAME`` with uv, then called as ``<folder>/bin/python``. A folder counts only when its
marker is there, and the marker is written last, into a folder that is renamed to its final name when it is whole.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastvmt.core.caches import place
from fastvmt.core.disk.atomic import write_atomic
from fastvmt.core.disk.held_folder import new_folder
from fastvmt.core.reading import parse_json
from fastvmt.errors import SpecError, UserError
from fastvmt.plugins import registry

MARKER = "fastvmt-environment.json"
LEAKS = (
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "UV_CONSTRAINT",
    "UV_OVERRIDE",
    "UV_PROJECT_ENVIRONMENT",
    "UV_SYSTEM_PYTHON",
)


@dataclass(frozen=True)
class Recipe:
    """How an environment is made.

    Attributes:
        name: as in ``bench env create NAME``.
        python: version, e.g. ``3.11``.
        requirements: what to install; constraints: file with the version of everything that comes with it.
        imports: modules that must import before the environment counts as made.
        size: what it takes on the disk, in words.
    """

    name: str
    python: str
    requirements: tuple[str, ...]
    constraints: Path
    imports: tuple[str, ...]
    size: str


@dataclass(frozen=True)
class Environment:
    """One that is there: its folder, and name to version of everything in it."""

    folder: Path
    packages: dict[str, str]
    size_bytes: int
    seconds: float

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"


def root() -> Path:
    """Where environments lie: ``$FASTVMT_ENVS``, or ``~/.cache/fastvmt/envs``."""
    return place("FASTVMT_ENVS", "~/.cache/fastvmt/envs")


def recipe(name: str) -> Recipe:
    """The registered recipe of that name.

    Raises:
        SpecError: when there is none.
    """
    found: Recipe = registry.environments.get(name)
    return found


def find(name: str) -> Environment | None:
    """The environment, if it was made to the end and its Python is still there. Reads one small file."""
    folder = root() / name
    try:
        facts = parse_json((folder / MARKER).read_bytes())
        found = Environment(folder, dict(facts["packages"]), int(facts["size_bytes"]), float(facts["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.python.exists() else None


def require(name: str) -> Environment:
    """The environment.

    Raises:
        UserError: when it was not made, with the command that makes it.
    """
    found = find(name)
    if found is None:
        raise UserError(f"There is no environment '{name}' in {root()}: make it once with `bench env create {name}`.")
    return found


def create(plan: Recipe, say: Callable[[str], None] = lambda line: None) -> Environment:
    """Make an environment, or return the one that is there.

    Args:
        plan: what to make.
        say: is told each step.

    Raises:
        SpecError: when uv is not there.
        UserError: when the folder cannot be written, or installation or the check of imports fails; nothing is left behind.
    """
    there = find(plan.name)
    if there:
        return there
    uv = _uv()
    final = root() / plan.name
    began = time.monotonic()
    try:
        with new_folder(root(), plan.name) as made:
            _fill(plan, uv, made, began, say)
            _settle(plan.name, made, final)
    except OSError as error:
        raise UserError(f"The environment '{plan.name}' cannot be written to {root()}: {error.strerror or error}.") from None
    return require(plan.name)


def _fill(plan: Recipe, uv: str, made: Path, began: float, say: Callable[[str], None]) -> None:
    python = made / "bin" / "python"
    say(f"making {root() / plan.name} with Python {plan.python}")
    _call("make", plan, [uv, "venv", "--quiet", "--python", plan.python, str(made)])
    say(f"installing {', '.join(plan.requirements)} ({plan.size})")
    where = ["--python", str(python)]
    _call(
        "fill", plan,
        [uv, "pip", "install", "--quiet", *where, "--constraint", str(plan.constraints), *plan.requirements],
    )  # fmt: skip
    say(f"importing {', '.join(plan.imports)}")
    _call("check", plan, [str(python), "-c", f"import {', '.join(plan.imports)}"])
    frozen = _call("list", plan, [uv, "pip", "freeze", "--quiet", *where])
    packages = dict(line.split("==", 1) for line in frozen.splitlines() if "==" in line)
    size = sum(p.lstat().st_size for p in made.rglob("*"))
    facts: dict[str, Any] = {"name": plan.name, "requirements": list(plan.requirements), "packages": packages}
    facts |= {"size_bytes": size, "seconds": round(time.monotonic() - began, 1)}
    write_atomic(made / MARKER, json.dumps(facts, indent=1) + "\n")


def _settle(name: str, made: Path, final: Path) -> None:
    """Give a whole environment its final name; one that somebody else finished meanwhile wins, a torn one is removed."""
    if final.exists() and find(name) is None:
        shutil.rmtree(final)
    try:
        made.rename(final)
    except OSError:
        if find(name) is None:
            raise


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = shutil.which("uv") or (str(beside) if beside.is_file() else None)
    if found is None:
        raise SpecError("uv is needed to make an environment and is not installed here: get it with `pip install uv`.")
    return found


def _call(step: str, plan: Recipe, command: list[str]) -> str:
    """Run one step; its output is shown only as the end of the sentence that says why it failed."""
    # The caller's environment, constraints and project (uv reads the folder it is called in) must not leak into the new one.
    env = {k: v for k, v in os.environ.items() if k not in LEAKS} | {"PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=root(), check=False)
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        words = " ".join(lines[-4:])[-400:] or f"exit code {done.returncode}"
        raise UserError(f"The environment '{plan.name}' could not be made (step: {step}): {words.rstrip('.')}.")
    return done.stdout

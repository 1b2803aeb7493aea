"""The command line as a user types it: exit code and words, in this process or in one of its own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fastvmt.errors import SuiteError, UserError
from fastvmt.plugins import registry
from fastvmt.plugins.environments import MARKER
from support.places import SUPPORT


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "fastvmt.cli", *map(str, args)]


def start(*args: str | Path, **how: Any) -> subprocess.Popen[str]:
    """The command in a process of its own; what it says is dropped unless ``how`` keeps it."""
    return subprocess.Popen(command(*args), text=True, **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | how)


def spawn(*args: str | Path, env: dict[str, str] | None = None, under: Sequence[str] = (), **how: Any) -> Said:
    """The command in a process of its own, to its end: for tests of what a process does.

    ``env`` is added to this process's; ``under`` is the launcher before it, `uv run` for one.
    """
    how = {"timeout": 300} | how
    done = subprocess.run([*under, *command(*args)], capture_output=True, text=True, env=os.environ | (env or {}), **how)
    assert "Traceback" not in done.stderr, done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


def bench(*args: str | Path, cwd: Path | None = None) -> Said:
    """The command in this process, which spares it the seconds of its imports; plug-ins that it loads are forgotten again."""
    from fastvmt.cli import program

    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.chdir(cwd or "."), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), same_plugins():
        try:
            program.guarded(lambda: _program()([str(a) for a in args], prog_name="bench"))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    assert "Traceback" not in err.getvalue(), err.getvalue()
    return Said(code, out.getvalue(), err.getvalue())


@cache
def _program() -> Any:
    """All commands with their options, which are put together once and not for each call."""
    from typer.main import get_command

    from fastvmt.cli import program

    return get_command(program.app)


@contextlib.contextmanager
def same_plugins() -> Iterator[None]:
    """Whatever is registered inside is forgotten at the end."""
    found = [each for each in vars(registry).values() if isinstance(each, registry.Registry)]
    before = [(dict(each._found), dict(each._entries)) for each in found]
    try:
        yield
    finally:
        for each, (objects, entries) in zip(found, before, strict=True):
            each._found, each._scanned = objects, bool(entries)
            each._entries = entries


def refusal(call: Callable[[], object], kind: type[Exception] = SuiteError) -> str:
    """What is said when ``call`` is refused."""
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def make_fake_environment(folder: Path) -> None:
    """An environment that counts as made, whose Python runs the stub of VBench's worker."""
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{SUPPORT / "vbench_stub.py"}" "$2"\n')
    python.chmod(0o755)
    facts = {"packages": {"vbench": "0.1.5", "torch": "1"}, "size_bytes": 7, "seconds": 1.0}
    (folder / MARKER).write_text(json.dumps(facts))


def refused_in_a_line(call: Callable[[], Any]) -> str:
    """The sentence, which is one line and no traceback."""
    with pytest.raises(UserError) as caught:
        call()
    assert caught.value.__cause__ is None and "\n" not in str(caught.value)
    return str(caught.value)

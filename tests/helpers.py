"""Running the command line as a user does: a real process, its exit code, its words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fastvmt.errors import SuiteError
from fastvmt.plugins.environments import MARKER


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


ENV = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}


def command(*args: str | Path) -> list[str]:
    return [sys.executable, "-m", "fastvmt.cli", *map(str, args)]


def bench(*args: str | Path, cwd: Path | None = None) -> Said:
    done = subprocess.run(command(*args), capture_output=True, text=True, cwd=cwd, env=ENV, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


def refusal(call: Callable[[], object], kind: type[Exception] = SuiteError) -> str:
    """What is said when ``call`` is refused."""
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def make_fake_environment(folder: Path) -> None:
    """An environment that counts as made, whose Python runs the stub of VBench's worker."""
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("vbench_stub.py")}" "$2"\n')
    python.chmod(0o755)
    facts = {"packages": {"vbench": "0.1.5", "torch": "1"}, "size_bytes": 7, "seconds": 1.0}
    (folder / MARKER).write_text(json.dumps(facts))

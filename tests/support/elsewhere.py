"""Runs whose workers are elsewhere: a Ray cluster of two nodes, drivers as processes, and what of them lives."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

from fastvmt.runner.crew.leases import _identity
from support.cli import Said, start
from support.places import SUPPORT

OWN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0",
       "RAY_raylet_start_wait_time_s": "180"}  # fmt: skip
"""A cluster that nobody else on this machine may use."""


class Nodes:
    """A two-node Ray cluster in a process of its own."""

    def __init__(self, place: Path) -> None:
        for _ in range(3):  # Ray gives a node 30 s to start, which a busy machine may not
            with open(place / "said", "w") as log:
                self.process = subprocess.Popen(
                    [sys.executable, str(SUPPORT / "ray_nodes.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                    text=True, env=os.environ | OWN,
                )  # fmt: skip
            self.address = self.line()
            if self.address:
                return
            self.process.communicate(timeout=180)
        raise AssertionError((place / "said").read_text()[-2000:])

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def kill_one(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.line() == "killed"

    def close(self) -> None:
        self.process.communicate(timeout=180)


def resume(run: Path, *more: str) -> subprocess.Popen[str]:
    kept = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": os.environ | OWN}
    return start("resume", run, "--no-reuse", "--json", *more, **kept)


def said(process: subprocess.Popen[str]) -> Said:
    out, err = process.communicate(timeout=240)
    assert "Traceback" not in err, err
    return Said(process.returncode, out, err)


def workers_of(run: Path) -> dict[int, int]:
    """Worker processes of a run folder, each with its parent."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            argv = (path / "cmdline").read_bytes().split(b"\0")
            if b"fastvmt.runner.worker" in argv and str(run.resolve()).encode() in argv:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
                if fields[0] not in "ZX":
                    found[int(path.name)] = int(fields[1])
    return found


def digest_of(outcome: Said) -> Any:
    assert outcome.code == 0, outcome.err
    return outcome.data["digest"], outcome.data["rows"]


def foreign(root: Path, token: str = "f" * 16, beat: int = 0) -> None:
    """A holder on another machine."""
    (root / "leases" / "holders").mkdir(parents=True, exist_ok=True)
    facts = _identity() | {"host": "elsewhere", "boot": "other"}
    (root / "leases" / "holders" / token).write_text(json.dumps(facts) + f"\n{beat:012d}\n")

"""What the gate's tests share: its commands, run folders whose numbers are chosen, and runs by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fastvmt.cli import gate
from fastvmt.core.content_address import digest
from fastvmt.errors import BenchError
from fastvmt.model import Case
from fastvmt.reports.gate.baseline import Measured, MethodFacts, MetricFacts, Video
from support.runs import make_run, make_setting, share

SCORE, SECONDS = "motion_fidelity", "time"


NO_GITHUB: dict[str, str | None] = {"GITHUB_ACTIONS": None, "GITHUB_STEP_SUMMARY": None}


def bench(*args: str | Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and everything said, as the command line would end."""
    app = typer.Typer()
    app.command()(gate.check)
    app.add_typer(gate.baseline, name="baseline")
    done = CliRunner().invoke(app, [str(a) for a in args], env=NO_GITHUB | (env or {}))
    if isinstance(done.exception, BenchError):
        return done.exception.exit_code, str(done.exception)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


Change = Callable[[str, str, str, int], float]


def nothing(metric: str, case: str, label: str, seed: int) -> float:
    return 0.0


def run_folder(folder: Path, change: Change = nothing, cases: int = 8, **more: Any) -> Path:
    """A run whose numbers are the same each time but for ``change``; made on the CPU."""

    def values(metric: str, case: Case, label: str, seed: int) -> float | None:
        level = (
            {"none": 0.1, "ditflow": 0.75}.get(label, 0.8)
            if metric != SECONDS
            else {"none": 2.0, "ditflow": 20.0}.get(label, 6.0)
        )
        spread = 0.1 if metric != SECONDS else 1.0
        found = level + spread * (share(metric, case.id, label) - 0.5) + change(metric, case.id, label, seed)
        return None if np.isnan(found) else found

    settings = {"methods": ("none", "fastvmt", "ditflow"), "metrics": (SCORE, SECONDS), "videos": False}
    make_run(folder, cases, values=values, **(settings | more))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"device": "cpu"}))
    return folder


def toml(folder: Path, text: str) -> Path:
    path = folder / "gate.toml"
    path.write_text(text)
    return path


def only(change: float | Callable[[str, int], float], metric: str = SCORE, method: str = "fastvmt") -> Change:
    amount = change if callable(change) else lambda case, seed: change
    return lambda m, case, label, seed: amount(case, seed) if (m, label) == (metric, method) else 0.0


def rows_of(said: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(r["metric"], r["method"]): r for r in json.loads(said)["rows"]}


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("stored")
    code, said = bench("baseline", "write", run_folder(place / "before"), "--out", place / "b.json")
    assert code == 0 and "24 videos of 3 methods and 8 cases, 2 metrics" in said
    return place / "b.json"


def measured(
    values: list[float], clips: list[str] | None = None, direction: Any = "up", method: str = "m", metric: str = "score"
) -> Measured:
    """A run of one method and metric, by hand; a clip for each case unless said otherwise."""
    names = [f"c{n:03d}" for n in range(len(values))]
    return Measured(
        title="by hand", suite="s", suite_digest="d", setting=make_setting(), device="cpu",
        references=dict(zip(names, clips or names, strict=True)),
        metrics={metric: MetricFacts(identity={"version": 1}, direction=direction, timing=False)},
        methods={method: MethodFacts(identity={"params": {"block": 4}}, preset="paper")},
        videos=tuple(
            Video(method=method, case=c, seed=0, frames_digest=digest([c, v]), values={metric: v}) for c, v in zip(names, values, strict=True)
        ),
    )  # fmt: skip

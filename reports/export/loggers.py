"""A run in the files of W&B (offline), MLflow (file store) and trackio (local), each where its package is installed.

Every method is one run there: its parameters and the setting as configuration, the cells of the comparison as numbers, with
the ends of the interval and n beside them. Nothing is sent anywhere.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastvmt.errors import SpecError
from fastvmt.jobs.numbering import slug
from fastvmt.reports.export.rows import Fact, rows_of
from fastvmt.reports.tables.grid import clean
from fastvmt.reports.tables.render import markdown
from fastvmt.reports.tables.run_table import first_table
from fastvmt.reports.tidy import Tidy

PACKAGES = {"wandb": "wandb", "mlflow": "mlflow-skinny", "trackio": "trackio"}
"""Module to what pip installs."""
QUIET = {
    "WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false", "WANDB_CONSOLE": "off",
    "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1",
    "MLFLOW_ALLOW_FILE_STORE": "true",
}  # fmt: skip
"""What keeps these packages from calling home or asking for a login."""


@dataclass(frozen=True)
class Entry:
    """One method as these tools see it."""

    label: str
    config: dict[str, Fact]
    numbers: dict[str, float]


def entries(tidy: Tidy) -> list[Entry]:
    """The comparison's lines; a cell without a value has no number."""
    found = []
    for row in rows_of(tidy):
        numbers: dict[str, float] = {}
        for column, cell in row.cells:
            facts = {"mean": cell.value, "low": cell.low, "high": cell.high, "n": cell.n}
            name = clean(column.key).replace("/", "_")  # the kind first: 'time' alone is a reserved word in trackio
            numbers |= {f"{k}/{name}": float(v) for k, v in facts.items() if v is not None}
        found.append(Entry(clean(row.label), row.facts(tidy), numbers))
    return found


def write(tidy: Tidy, out: Path, to: str) -> list[Path]:
    """Write the run into ``out`` with one of the packages.

    Raises:
        SpecError: when it is not installed, with the command that installs it; or when it fails, with what it said.
    """
    with _environment(QUIET | {"TRACKIO_DIR": str(out), "WANDB_DIR": str(out)}):
        try:
            module = importlib.import_module(to)
        except ImportError:
            raise SpecError(f"--to {to} needs the package {to}; install it with: pip install {PACKAGES[to]}.") from None
        try:
            with redirect_stdout(sys.stderr):  # they greet
                WRITERS[to](module, tidy, out)
        except Exception as error:
            said = str(error).strip().splitlines() or [""]
            raise SpecError(f"--to {to}: {to} could not write it ({type(error).__name__}: {said[0][:200]}).") from error
    return [out]


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _wandb(wandb: Any, tidy: Tidy, out: Path) -> None:
    for entry in entries(tidy):
        run = wandb.init(project=_project(tidy), name=entry.label, config=entry.config, dir=str(out), mode="offline")
        run.log(entry.numbers)
        run.finish()


def _mlflow(mlflow: Any, tidy: Tidy, out: Path) -> None:
    mlflow.set_tracking_uri(out.resolve().as_uri())
    mlflow.set_experiment(_project(tidy))
    table = markdown(first_table(tidy))
    for entry in entries(tidy):
        with mlflow.start_run(run_name=entry.label):
            mlflow.log_params({_mlflow_name(k): v for k, v in entry.config.items()})
            mlflow.log_metrics({_mlflow_name(k): v for k, v in entry.numbers.items()})
            mlflow.log_text(table, "table.md")


def _mlflow_name(name: str) -> str:
    """MLflow takes letters, digits and a few signs.

    >>> _mlflow_name("n/motion_fidelity@smm-script")
    'n/motion_fidelity_smm-script'
    """
    return re.sub(r"[^\w\-. /]", "_", name)


def _trackio(trackio: Any, tidy: Tidy, out: Path) -> None:
    for entry in entries(tidy):
        trackio.init(project=_project(tidy), name=entry.label, config=entry.config)
        trackio.log(entry.numbers)
        trackio.finish()


def _project(tidy: Tidy) -> str:
    return slug(f"fastvmt-{tidy.suite.name}")


WRITERS: dict[str, Callable[[Any, Tidy, Path], None]] = {"wandb": _wandb, "mlflow": _mlflow, "trackio": _trackio}

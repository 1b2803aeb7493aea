"""``bench why``: what is behind the failures of a run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastvmt.cli.options import Json, Run, tell

if TYPE_CHECKING:
    from fastvmt.jobs.run_config import RunConfig
    from fastvmt.records.failures import Failed

What = Annotated[
    str,
    typer.Argument(metavar="[JOB]", help="A number of the list, the beginning of a job's key, its name, a method or a metric."),
]


def why(folder: Run, job: What = "", as_json: Json = False) -> None:
    """Say why videos or numbers of a run failed: a line each; of a single one traceback, parameters and command."""
    from fastvmt.records import failures
    from fastvmt.store.folder import Store

    store = Store.open(folder)
    config = store.config()
    found = failures.failures_of(store, config)
    if job:
        found = failures.chosen(found, job, folder)
    rows = [{"name": f.name} | vars(f) | {"again": again(f, config, folder)} for f in found]
    if len(found) == 1:
        lines = [*failures.as_lines(found[0]), f"try it again: {rows[0]['again']}"]
    else:
        lines = [f.line for f in found] or [f"{folder}: nothing has failed."]
        lines += [f"more of one: {shlex.join(['bench', 'why', str(folder)])} NUMBER"] if found else []
    tell(as_json, rows, "\n".join(lines))


def again(failed: Failed, config: RunConfig, folder: Path) -> str:
    """The command that tries a failure again: one number, or one video; all that is missing where no command says less."""
    from fastvmt.plugins.metric_labels import in_full
    from fastvmt.runner.command import go_on
    from fastvmt.runner.plan.command import for_one_job, own_metrics

    if failed.metric:
        return shlex.join(["bench", "score", str(folder), "--metrics", in_full(failed.metric, own_metrics(config))])
    return for_one_job(config, folder, failed.case, failed.method, failed.seed) or go_on(folder)

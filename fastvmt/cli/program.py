"""The command line: ``bench`` and ``fastvmt-bench``. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

from fastvmt.cli import env, fetch, gate, plan, report, share, study, suite, upkeep
from fastvmt.cli.options import (  # fmt: skip
    Address,
    By,
    ExecutorName,
    FailFast,
    Json,
    Methods,
    Metrics,
    Plugin,
    Reuse,
    Run,
    Slurm,
    Timeout,
    Verify,
    Wait,
    Workers,
    options_of,
    request,
    run_options,
    split,
    takes_run_options,
)
from fastvmt.cli.outcome import check_by, finish, print_split
from fastvmt.core.lazy import load_when_used
from fastvmt.errors import FULL, BenchError, StoreError, is_full
from fastvmt.store.layout import SHEET

DEFECT = 70
"""Exit code of an error that nobody foresaw, as sysexits.h has it."""

app = typer.Typer(
    name="bench", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Benchmark of video motion transfer: plan, generate, score, tabulate; the same command resumes.",
)  # fmt: skip
app.add_typer(env.app, name="env")
app.add_typer(suite.app, name="suite")
app.add_typer(study.app, name="study")
app.add_typer(gate.baseline, name="baseline")
app.command()(fetch.fetch)
app.command()(gate.check)
for command in (plan.plan, upkeep.status, upkeep.gc, upkeep.doctor):
    app.command()(command)
for command in (report.report, report.compare, report.ablate, report.paper):
    app.command()(command)
app.command()(share.merge)
app.command()(share.export)
app.command("import")(takes_run_options(share.import_, share.WITHOUT))


@app.command()
@takes_run_options
def run(values: dict[str, Any], methods: Methods = "fastvmt,ditflow", by: By = "") -> None:
    """Plan, generate what is missing, score, print the table. The same command resumes."""
    from fastvmt import api

    check_by(by)
    found = api.run(request(split(methods), values), values["out"], options_of(values))
    finish(found, values["as_json"], by)


@app.command()
def resume(
    folder: Run, workers: Workers = None, timeout: Timeout = 0.0, fail_fast: FailFast = False, reuse: Reuse = True,
    as_json: Json = False, executor: ExecutorName = "local", address: Address = "", slurm: Slurm = None, wait: Wait = True,
    verify: Verify = False,
) -> None:  # fmt: skip
    """Go on with a run folder."""
    from fastvmt import api

    options = run_options(workers, timeout, fail_fast, as_json, reuse, executor, address, slurm, wait, verify=verify)
    finish(api.resume(folder, options), as_json)


@app.command()
def work(
    folder: Run, workers: Workers = None, timeout: Timeout = 0.0, fail_fast: FailFast = False, as_json: Json = False
) -> None:
    """Help with a run folder, beside whoever else works on it, from any machine that sees it; each job is done once."""
    from fastvmt import api
    from fastvmt.runner.status import go_on

    outcome = api.work(folder, run_options(workers, timeout, fail_fast, as_json))
    if as_json:
        print(json.dumps({"folder": str(folder), "outcome": vars(outcome)}))
    else:
        print(f"Nothing is left to do: {outcome.made} made meanwhile, {outcome.failed} failed. Table: {go_on(folder)}")
    if outcome.interrupted or outcome.failed:
        raise typer.Exit(130 if outcome.interrupted else 3)


@app.command()
def score(
    folder: Run, metrics: Metrics = "", workers: Workers = None, as_json: Json = False,
    again: Annotated[bool, typer.Option("--again", help="Compute even what is already recorded.")] = False,
) -> None:  # fmt: skip
    """Score a run folder, without generating."""
    from fastvmt import api

    finish(api.score(folder, split(metrics), run_options(workers, 0.0, False, as_json), again), as_json)


@app.command()
def table(folder: Run, by: By = "", as_json: Json = False) -> None:
    """Print the table of a run folder."""
    from fastvmt import api
    from fastvmt.reports.tables.run_table import as_data, as_lines

    check_by(by)
    found = api.table(folder)
    sheet = folder / SHEET
    print(json.dumps(as_data(found), ensure_ascii=False) if as_json else as_lines(found, sheet if sheet.exists() else None))
    if not as_json:
        print_split(folder, by)


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="methods, metrics, suites or backbones.")],
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """List what is registered."""
    from fastvmt.plugins import registry
    from fastvmt.plugins.listing import listing

    for path in plugin or ():
        registry.load_plugin(path)
    rows = listing(kind)
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    width = max(len(r["name"]) for r in rows)
    for row in rows:
        origin = "" if row["origin"] == "built in" else f" [{row['origin']}]"
        print(f"{row['name']:<{width}}  {row['summary']}{origin}")


@app.command()
def describe(
    name: Annotated[str, typer.Argument(help="A method, metric, suite or backbone.")],
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Say what a name stands for: source, parameters, defaults."""
    from fastvmt import api
    from fastvmt.plugins import registry

    for path in plugin or ():
        registry.load_plugin(path)
    facts = api.describe(name)
    if as_json:
        print(json.dumps(facts, default=str, ensure_ascii=False))
        return
    for key, value in facts.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for inner, what in value.items():
                print(f"  {inner}:{_listed(what)}" if isinstance(what, list) else f"  {inner}: {what}")
        else:
            print(f"{key}: {value}")


def _listed(items: list[Any]) -> str:
    return "".join(f"\n    - {item}" for item in items)


def main() -> None:
    """Entry point: errors raised on purpose end in one sentence and their exit code."""
    load_when_used("torch")
    guarded(app)


def guarded(call: Callable[[], Any]) -> None:
    """Every end with its own exit code. 1 is the gate's "worse" alone: neither a defect nor a closed pipe may look like it."""
    try:
        call()
    except SystemExit as end:
        if end.code == 1 and type(sys.stdout).__name__.endswith("PacifyFlushWrapper"):  # typer's for a reader that went away
            raise SystemExit(0) from None
        raise
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        raise SystemExit(0) from None
    except OSError as error:
        if is_full(error):
            said = FULL
        elif error.filename:
            said = f"{error.filename}: {(error.strerror or 'cannot be used').lower()}. See to it, or give another place."
        else:
            _defect()
        print(f"bench: {said}", file=sys.stderr)
        raise SystemExit(StoreError.exit_code) from None
    except Exception:  # noqa: BLE001 - the last resort of a program
        _defect()


def _defect() -> NoReturn:
    """An error that nobody foresaw: the whole traceback, for a report, and sysexits' code for it."""
    traceback.print_exc()
    print("bench: this is an error in fastvmt-bench; please report the lines above. Nothing stored is lost.", file=sys.stderr)
    raise SystemExit(DEFECT) from None

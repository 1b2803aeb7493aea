"""The command line: ``bench`` and ``fastvmt-bench``. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer

from fastvmt.cli import fetch, gate, listing, new, plan, report, run, share, study, suite, upkeep
from fastvmt.core import status_line
from fastvmt.core.lazy import load_when_used
from fastvmt.errors import FULL, BenchError, StoreError, is_full

INTERRUPTED = 130
DEFECT = 70
"""Exit code of an error that nobody foresaw, as sysexits.h has it."""

app = typer.Typer(
    name="bench", no_args_is_help=True, pretty_exceptions_enable=False,
)  # fmt: skip
for command in (
    run.run, plan.plan, run.resume, run.work, run.score, report.table, report.report, report.compare, run.ablate,
    run.paper, gate.check, share.merge, share.import_, share.export, listing.list_, listing.describe, upkeep.status,
    upkeep.gc, upkeep.doctor, fetch.fetch, new.new,
):  # fmt: skip
    app.command(command.__name__.rstrip("_"))(command)
for name, group in {"suite": suite.app, "study": study.app, "baseline": gate.baseline, "env": fetch.env}.items():
    app.add_typer(group, name=name)


def _say_version(wanted: bool) -> None:
    if wanted:
        from fastvmt import __version__

        print(f"fastvmt-bench {__version__}")
        raise typer.Exit


@app.callback()
def bench(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Benchmark of video motion transfer: plan, generate, score, tabulate; the same command resumes."""


def main() -> None:
    """Entry point: errors raised on purpose end in one sentence and their exit code."""
    load_when_used("torch")
    status_line.watch()
    guarded(_on_a_terminal)


def _on_a_terminal() -> None:
    """The program, whose one line of what it does is gone at the end, and who says so when it was interrupted."""
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED and end.__context__ and isinstance(end.__context__.__cause__, KeyboardInterrupt):
            print("bench: interrupted; what was finished is kept. Give the same command again to go on.", file=sys.stderr)
        raise
    finally:
        status_line.wipe()


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

"""The command line: ``bench`` and ``fastvmt-bench``. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from fastvmt.cli import fetch, gate, listing, new, plan, report, run, study, suite, upkeep, why
from fastvmt.cli.share import leaderboard, recipes, runs, submissions
from fastvmt.core.lazy import load_when_used
from fastvmt.core.screen import status_line
from fastvmt.core.screen.streams import steady
from fastvmt.core.screen.terminal import visible, watching
from fastvmt.errors import FULL, BenchError, SpecError, StoreError, UserError, is_full

INTERRUPTED = 130
DEFECT = 70
"""Exit code of an error that nobody foresaw, as sysexits.h has it."""


class Program(TyperGroup):
    """All commands; also as they were typed before an option took a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        found: list[str] = []
        for word, then in zip(args, [*args[1:], "-"], strict=True):
            found += {"--no-offload": ["--offload", "text"], "--offload": [word, "vae"] if then[:1] == "-" else [word]}.get(
                word, [word]
            )
        return super().parse_args(ctx, found)


app = typer.Typer(
    name="bench", cls=Program, no_args_is_help=True, pretty_exceptions_enable=False,
)  # fmt: skip
for command in (
    run.run, plan.plan, run.resume, run.work, run.score, report.table, report.report, report.compare, report.drift, report.meta,
    run.ablate, run.frontier, run.paper, gate.check, runs.merge, runs.import_, runs.export, recipes.recipe,
    recipes.reproduce, submissions.submit, leaderboard.leaderboard, listing.list_,
    listing.describe, upkeep.status, upkeep.verify, why.why, upkeep.gc, upkeep.doctor, fetch.fetch, new.new,
):  # fmt: skip
    app.command(command.__name__.rstrip("_"))(watching(command))
for name, group in {"suite": suite.app, "study": study.app, "baseline": gate.baseline, "env": fetch.env}.items():
    for info in group.registered_commands:
        info.callback = watching(info.callback) if info.callback else None
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
    steady()
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
        try:
            _plugins_blamed(call)
        except SystemExit as end:
            if end.code == 1 and isinstance(end.__context__, OSError | typer.Abort):  # typer's end for a pipe, and for EOFError
                raise end.__context__.__cause__ or end.__context__ from None
            try:
                sys.stdout.flush()
            except OSError:
                if not end.code:  # words that nobody got are no success; after a verdict they change nothing
                    raise
            raise
    except SystemExit:
        raise
    except BenchError as error:
        _say(error)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except OSError as error:
        if is_full(error):
            said = FULL
        elif error.filename:
            said = f"{error.filename}: {(error.strerror or 'cannot be used').lower()}. See to it, or give another place."
        elif isinstance(error, BrokenPipeError):
            said = "what this wrote to was closed by its reader. Give the same command again."
        else:
            _defect()
        _say(said)
        raise SystemExit(StoreError.exit_code) from None
    except MemoryError:
        _say("this needs more memory than there is. Give fewer or smaller clips, or a machine that has more.")
        raise SystemExit(UserError.exit_code) from None
    except BaseException:  # noqa: BLE001 - the last resort of a program; Python's own would be 1
        _defect()


def _plugins_blamed(call: Callable[[], Any]) -> None:
    """What a plug-in's own lines raise, wherever nobody expected it, SystemExit included, is the plug-in's fault.

    Raises:
        SpecError: saying so.
    """
    try:
        call()
    except (BenchError, KeyboardInterrupt):
        raise
    except BaseException as error:
        registry = sys.modules.get("fastvmt.plugins.registry")  # without it no plug-in is there
        if registry and (fault := registry.at_fault(error)):
            raise SpecError(fault) from error
        raise


def _say(said: object) -> None:
    print(f"bench: {visible(str(said))}", file=sys.stderr)


def _defect() -> NoReturn:
    """An error that nobody foresaw: the whole traceback, for a report, and sysexits' code for it."""
    print(visible(traceback.format_exc()), end="", file=sys.stderr)
    _say("this is an error in fastvmt-bench; please report the lines above. Nothing stored is lost.")
    raise SystemExit(DEFECT) from None

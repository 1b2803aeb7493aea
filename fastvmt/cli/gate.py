"""``bench check`` and ``bench baseline``: is a run worse than a stored one?"""

from __future__ import annotations

import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastvmt.cli.options import Json, Runs, note, place, tell

if TYPE_CHECKING:
    from fastvmt.reports.gate.baseline import Measured
    from fastvmt.reports.gate.tolerances import Tolerances
    from fastvmt.reports.gate.verdicts import GateResult

baseline = typer.Typer(no_args_is_help=True)


@baseline.callback(help="Store what a run measured, for `bench check`.")
def _baseline() -> None: ...  # else typer would leave out the name of the only command


@baseline.command()
def write(
    runs: Runs,
    out: Annotated[Path, place("The baseline's file (JSON).")],
    allow_failures: Annotated[bool, typer.Option("--allow-failures", help="Store a run with gaps; they are named.")] = False,
) -> None:
    """Store every value of a run by method, case and seed."""
    from fastvmt.errors import StoreError
    from fastvmt.reports.gate import baseline as baselines

    measured, names = _measured(runs), ", ".join(map(str, runs))
    gaps = measured.incomplete()
    if gaps and not allow_failures:
        raise StoreError(
            f"{names}: {len(gaps)} videos or numbers are not there ({baselines.named(gaps)}), and a baseline with gaps "
            "cannot show later ones. Finish the run with `bench resume`, or give --allow-failures."
        )
    if not any(v.frames_digest for v in measured.videos):
        raise StoreError(f"{names}: there is no video in it, so nothing could be compared with it. Run it first.")
    baselines.write(out, measured)
    if gaps:
        note(f"warning: stored without {len(gaps)} videos or numbers: {baselines.named(gaps)}")
    cases = len({v.case for v in measured.videos})
    print(
        f"{out}: {len(measured.videos)} videos of {len(measured.methods)} methods and {cases} cases, "
        f"{len(measured.metrics)} metrics, {out.stat().st_size / 1000:.0f} kB"
    )


def check(
    runs: Runs,
    baseline: Annotated[Path | None, typer.Option(help="Made by `bench baseline write`; without it only floors hold.")] = None,
    tolerances: Annotated[Path | None, typer.Option(help="TOML of what may be lost; see docs/reference/gate.md.")] = None,
    junit: Annotated[Path | None, place("Write JUnit XML here.", "--junit")] = None,
    summary: Annotated[Path | None, place("Write every verdict here, as Markdown.", "--summary")] = None,
    comment: Annotated[Path | None, place("Write a pull request's comment here, as Markdown.", "--comment")] = None,
    github: Annotated[
        bool, typer.Option("--github", help="Print annotations; on by itself where GITHUB_ACTIONS=true.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail on what is too noisy to tell or could not be compared, too.")
    ] = False,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Print the gate's own false-alarm rate (A/A) instead.")
    ] = False,
    power: Annotated[
        bool, typer.Option("--power", help="Print the smallest drop that the gate finds 9 times of 10 instead, check by check.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare a run with a baseline. Exit code 1: worse; 4: nothing was compared, or something is missing."""
    from fastvmt.errors import NotComparable
    from fastvmt.reports.gate import baseline as baselines
    from fastvmt.reports.gate import check as gate
    from fastvmt.reports.gate import tolerances as files
    from fastvmt.reports.tables.run_table import first_presets
    from fastvmt.reports.tables.verdict import verdict
    from fastvmt.reports.tidy import gather

    # The small files first: a wrong key is said before a large run is read.
    allowed = files.read(tolerances) if tolerances else files.Tolerances()
    base = baselines.read(baseline) if baseline else None
    if base is None and tolerances is None:
        raise NotComparable("bench check: give --baseline FILE, or --tolerances FILE with floors; nothing was compared.")
    tidy = gather(runs)
    run = baselines.of(tidy)
    if calibrate:
        _calibrate(run, base, allowed, as_json)
        return
    outcome = replace(gate.check(run, base, allowed), run_says=verdict(tidy, first_presets(tidy)))
    if power:
        _power(outcome, strict, as_json)
        return
    _write(outcome, strict, {"junit": junit, "summary": summary, "comment": comment})
    _print(outcome, strict, as_json, github or os.environ.get("GITHUB_ACTIONS") == "true")
    if code := outcome.exit_code(strict):
        raise typer.Exit(code)


def _measured(runs: list[Path]) -> Measured:
    from fastvmt.reports.gate import baseline as baselines
    from fastvmt.reports.tidy import gather

    return baselines.of(gather(runs))


def _write(outcome: GateResult, strict: bool, wanted: dict[str, Path | None]) -> None:
    """The files asked for, and the step summary where GitHub names a file for it."""
    from fastvmt.core.disk.atomic import write_atomic
    from fastvmt.errors import StoreError
    from fastvmt.reports.gate import junit as forms

    for option, path in wanted.items():
        if path:
            try:
                write_atomic(path, getattr(forms, option)(outcome, strict))
            except OSError as error:
                raise StoreError(f"--{option} {path}: the file cannot be written ({error.strerror}).") from None
    if step := os.environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with open(step, "a", encoding="utf-8") as file:
                file.write(forms.summary(outcome, strict) + "\n")
        except OSError as error:
            note(f"warning: GITHUB_STEP_SUMMARY {step} cannot be written ({error.strerror})")


def _number(amount: float | None) -> float | None:
    return amount if amount is not None and math.isfinite(amount) else None


def _power(outcome: GateResult, strict: bool, as_json: bool) -> None:
    from fastvmt.errors import NotComparable
    from fastvmt.reports.gate import power
    from fastvmt.reports.gate.sentence import headline

    found, whole = power.powers(outcome, strict)
    if not found:
        raise NotComparable(f"bench check --power: {headline(outcome, strict)}")
    rows = [vars(p) | {"drop": _number(p.drop), "alarms": vars(p.alarms)} for p in found]
    tell(as_json, {"power": rows, "whole": vars(whole)}, "\n".join(power.as_lines(found, whole, strict)))


def _print(outcome: GateResult, strict: bool, as_json: bool, github: bool) -> None:
    from fastvmt.reports.gate import junit as forms
    from fastvmt.reports.gate.power import drop_of
    from fastvmt.reports.gate.sentence import headline

    rows = [{k: v for k, v in vars(r).items() if k != "gains"} | {"finds": _number(drop_of(r, strict))} for r in outcome.rows]
    facts = {"exit_code": outcome.exit_code(strict), "headline": headline(outcome, strict), "refused": outcome.refused}
    facts |= {"title": outcome.title, "rows": rows, "notes": outcome.notes, "run_says": outcome.run_says}
    tell(as_json, facts, "\n".join(forms.as_lines(outcome, strict)))
    for line in forms.github(outcome, strict) if github else ():
        # Beside JSON the commands go where they do not spoil it; GitHub reads both streams.
        print(line, file=sys.stderr if as_json else sys.stdout)


def _calibrate(run: Measured, base: Measured | None, allowed: Tolerances, as_json: bool) -> None:
    from fastvmt.errors import NotComparable
    from fastvmt.reports.gate import calibrate

    found = calibrate.calibrate(run, base, allowed)
    if found is None:
        raise NotComparable(
            "bench check --calibrate: there is no noise to judge by (the videos are identical, one clip alone, or nothing is "
            "comparable). Give a run made on another machine or version, or one with two or more seeds."
        )
    rates = [vars(r) | {"rate": vars(r.rate)} for r in found.rates]
    tell(as_json, {"rates": rates, "whole": vars(found.whole)}, "\n".join(calibrate.as_lines(found)))

"""``bench study``: ask people. ``make`` writes a blind questionnaire, ``import`` reads the answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from fastvmt.cli.options import Json
from fastvmt.core.spelling import mib

app = typer.Typer(no_args_is_help=True, help="Ask people: write a blind questionnaire, read the answers.")

NAMED = 10
"""Cases left out that are named one by one; the key file holds all."""


@app.command()
def make(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    out: Annotated[Path, typer.Option(help="New folder of the questionnaire; the key is written beside it.")],
    methods: Annotated[str, typer.Option(help="Comma-separated labels of the run; by default all but its controls.")] = "",
    cases: Annotated[int, typer.Option(help="Questions; each is one case.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the choice of cases.")] = 0,
    raters: Annotated[int, typer.Option(help="Rater codes to hand out; 0: raters choose their own.")] = 0,
    as_json: Json = False,
) -> None:
    """Write a blind, shuffled questionnaire page with the videos of a run, and the key to its answers."""
    from fastvmt.reports.study import make as study

    labels = tuple(part.strip() for part in methods.split(",") if part.strip())
    made = study.make(run, out, study.StudyDesign(labels, cases, seed, raters), lambda line: print(line, file=sys.stderr))
    for warning in made.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    key, asked = made.key, len(made.key.questions)
    if as_json:
        facts = {"folder": str(made.folder), "key": str(made.key_file), "study": key.study, "bytes": made.bytes}
        told = {"questions": asked, "methods": key.methods, "raters": key.raters, "left_out": made.left_out}
        print(json.dumps(facts | told, ensure_ascii=False))
        return
    print(
        f"{asked} question{'s' * (asked != 1)} about {len(key.methods)} methods ({', '.join(key.methods)}), {mib(made.bytes)}"
    )
    if asked < cases:
        print(f"fewer than the {cases} wished for: no more cases have a video of every method")
    for line in _left_out(made.left_out):
        print(line)
    print(f"for raters: {made.folder / 'index.html'} (hand out the whole folder)")
    print(f"for you:    {made.key_file} (says which clip is whose; keep it from raters)")
    if key.raters:
        print(f"codes, one a rater: {' '.join(key.raters)}")


def _left_out(cases: dict[str, str]) -> list[str]:
    lacking = {case: why for case, why in cases.items() if why != "not picked"}
    lines = [f"left out: {case} ({why})" for case, why in list(lacking.items())[:NAMED]]
    if len(lacking) > NAMED:
        lines.append(f"left out: {len(lacking) - NAMED} more that lack a video; the key names them")
    if len(cases) > len(lacking):
        lines.append(f"not picked: {len(cases) - len(lacking)} cases that have every video; the key names them")
    return lines


@app.command("import")
def import_(
    answers: Annotated[list[Path], typer.Argument(metavar="ANSWERS...", help="Answer files, or folders of them.")],
    key: Annotated[Path, typer.Option(help="The study-key.json that was written beside the questionnaire.")],
    strict: Annotated[bool, typer.Option("--strict", help="Leave out every rater there is a warning about.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write every rank as a CSV file, one a line.")] = None,
    as_json: Json = False,
) -> None:
    """Check the answers of raters, and print mean ranks with intervals and agreement."""
    from fastvmt.reports.study import answers as study_answers
    from fastvmt.reports.study import key as study_key
    from fastvmt.reports.study import ranks as study_ranks

    opened = study_key.read_key(key)
    collected = study_answers.collect(answers, opened, key, strict)
    result = study_ranks.results(collected, opened)
    if out:
        study_ranks.write_csv(out, collected, opened)
    if as_json:
        print(json.dumps(study_ranks.as_data(result, collected, opened), ensure_ascii=False, allow_nan=False))
        return
    for warning in collected.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(study_ranks.as_lines(result, collected, opened))

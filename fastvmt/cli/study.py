"""``bench study``: ask people. ``make`` writes a blind questionnaire, ``import`` reads the answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastvmt.cli.options import Json, note, number, place, tell
from fastvmt.core.limits import MOST_WHOLE
from fastvmt.core.spelling import mib
from fastvmt.errors import NotComparable, SpecError
from fastvmt.runner.option import split

if TYPE_CHECKING:
    from fastvmt.reports.study.key import Key
    from fastvmt.reports.tidy import Tidy

app = typer.Typer(no_args_is_help=True, help="Ask people: write a blind questionnaire, read the answers.")

NAMED = 10
"""Cases left out that are named one by one; the key file holds all."""


@app.command()
def make(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")],
    out: Annotated[Path, place("New folder of the questionnaire; the key is written beside it.")],
    methods: Annotated[str, typer.Option(help="Comma-separated labels of the run; by default all but its controls.")] = "",
    cases: Annotated[int, number("--cases", "Questions; each is one case.", 1, 10_000)] = 8,
    seed: Annotated[int, number("--seed", "Of the choice of cases.", -MOST_WHOLE, MOST_WHOLE)] = 0,
    raters: Annotated[int, number("--raters", "Rater codes to hand out; 0: raters choose their own.", 0, 10_000)] = 0,
    pairs: Annotated[int, number("--pairs", "Ask so many pairs of videos instead, checks apart; 0: none.", 0, 10_000)] = 0,
    as_json: Json = False,
) -> None:
    """Write a blind, shuffled questionnaire page with the videos of a run, and the key to its answers."""
    from fastvmt.reports.study import make as study

    made = study.make(run, out, study.StudyDesign(split(methods), cases, seed, raters, pairs), note)
    for warning in made.warnings:
        note(f"warning: {warning}")
    key, asked = made.key, len(made.key.questions)
    facts = {
        "folder": made.folder, "key": made.key_file, "study": key.study, "bytes": made.bytes, "questions": asked,
        "methods": key.methods, "raters": key.raters, "left_out": made.left_out,
    }  # fmt: skip
    about = f"{len(key.methods)} methods ({', '.join(key.methods)})"
    lines = [f"{asked} question{'s' * (asked != 1)} about {about}, {mib(made.bytes)}"]
    checks = sum(q.check is not None for q in key.questions.values())
    if pairs:
        lines[0] += f"; {checks} of them are checks with a known answer"
    if pairs and asked - checks < pairs:
        lines.append(f"fewer than the {pairs} pairs wished for: every pair was taken on every case")
    elif asked < cases and not pairs:
        lines.append(f"fewer than the {cases} wished for: no more cases have a video of every method")
    lines += _left_out(made.left_out)
    lines.append(f"for raters: {made.folder / 'index.html'} (hand out the whole folder)")
    lines.append(f"for you:    {made.key_file} (says which clip is whose; keep it from raters)")
    if key.raters:
        lines.append(f"codes, one a rater: {' '.join(key.raters)}")
    tell(as_json, facts, "\n".join(lines))


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
    out: Annotated[Path | None, place("Also write every rank as a CSV file, one a line.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Run folder whose metrics are held against what people said in pairs (Kendall's tau).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the answers of raters, and print mean ranks, or strengths of pairs, with intervals and agreement."""
    from fastvmt.reports.study import answers as study_answers
    from fastvmt.reports.study import arena as study_arena
    from fastvmt.reports.study import key as study_key
    from fastvmt.reports.study import ranks as study_ranks

    opened = study_key.read_key(key)
    collected = study_answers.collect(answers, opened, key, strict)
    if out:
        study_ranks.write_csv(out, collected, opened)
    for warning in () if as_json else collected.warnings:
        note(f"warning: {warning}")
    if opened.pairs:
        arena = study_arena.results(collected, opened, _numbers(against, opened))
        tell(as_json, study_arena.as_data(arena, collected, opened), study_arena.as_lines(arena, collected, opened))
        return
    if against:
        raise SpecError("--against: people's ranks are held against metrics in a study of pairs (`bench study make --pairs`).")
    result = study_ranks.results(collected, opened)
    tell(as_json, study_ranks.as_data(result, collected, opened), study_ranks.as_lines(result, collected, opened))


def _numbers(run: Path | None, key: Key) -> Tidy | None:
    """What a run measured, where one is given.

    Raises:
        NotComparable: for a run of another suite than people saw.
    """
    if run is None:
        return None
    from fastvmt.reports.tidy import gather

    found = gather([run])
    if found.suite.digest() != key.suite_digest:
        raise NotComparable(f"--against {run}: a run of suite {found.suite.name}, and people saw another one ({key.suite}).")
    return found

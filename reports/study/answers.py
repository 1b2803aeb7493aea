"""``bench study import``: answer files of raters, checked against the key, to mean ranks with intervals and agreement.

A file that cannot be what the page wrote is an error, and all errors are told together. What the page can write but
should be looked at is a named warning; ``--strict`` leaves those raters out:

    incomplete     some questions lack a ranking; the complete ones are used
    same-rater     two files of one rater that differ; the first by name is used
    fast           most questions took less than one play of the clip and a second for each ranking
    checks         more than a quarter of the pairs with a known answer are wrong; left out always
    constant       every ranking has the same order on the screen, e.g. always 1 to k from left to right
    unknown-rater  a code that was not handed out (only where codes were)

A question counts only when all three rankings of it are complete, so that the mean ranks of k methods always sum to
k(k+1)/2.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field, StrictInt, ValidationError

from fastvmt.core.reading import parse_json
from fastvmt.core.spelling import mib, shown
from fastvmt.core.validation import first_problem
from fastvmt.errors import UserError
from fastvmt.model import Frozen
from fastvmt.model.fields import Amount, Hex, Line
from fastvmt.reports.study.key import ANSWERS_FORMAT, CRITERIA, Key

MOST_BYTES = 8 * 2**20
SECONDS_A_RANKING = 1.0
CHECKS, CHECKS_MISSED = "checks", 0.25
"""Name of the warning, and the part of the pairs with a known answer that a rater may miss."""
BY_CHANCE = 20
"""A rater is constant only where that many different orders were possible."""


class Answer(Frozen):
    """One question: the order on the screen, and clip -> rank for each criterion."""

    question: Line
    order: tuple[Line, ...]
    seconds: Amount
    ranks: dict[Line, dict[Line, StrictInt]]

    def complete(self) -> bool:
        return all(len(self.ranks.get(c, {})) == len(self.order) for c in CRITERIA)


class AnswerFile(Frozen):
    """What the page offers for download."""

    format: Line
    study: Hex
    rater: str = Field(pattern=r"^[a-z0-9_-]{2,32}$")
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Warned:
    """``rater`` is empty where nobody is to be left out for it."""

    name: str
    rater: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


@dataclass
class Collected:
    """Complete answers of each rater by question, and what was remarkable."""

    raters: dict[str, dict[str, Answer]]
    warnings: list[Warned]
    left_out: dict[str, list[str]] = field(default_factory=dict)
    files: int = 0

    def answers(self) -> int:
        return sum(len(a) for a in self.raters.values())


# --- reading ---------------------------------------------------------------------------------------------------------


def collect(paths: list[Path], key: Key, key_file: Path, strict: bool = False) -> Collected:
    """Read and check all answers.

    Raises:
        UserError: every file that cannot be used, one line each; or when no complete answer is left.
    """
    files = list(_files(paths, key_file))
    read: list[tuple[str, AnswerFile]] = []
    problems: list[str] = []
    for path in files:
        name = shown(path, 200)
        try:
            read.append((name, _read(path, key)))
        except UserError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise UserError("\n".join(problems))
    found = Collected({}, [], files=len(files))
    for name, file in _one_each(read, found):
        found.warnings += _warnings(name, file, key)
        found.raters[file.rater] = {a.question: a for a in file.answers if a.complete()}
    absent = [code for code in key.raters if code not in found.raters]
    if absent:
        found.warnings.append(Warned("missing-rater", "", f"no answers of {len(absent)} codes: {' '.join(absent[:20])}"))
    for warned in found.warnings:
        if warned.rater and (strict or warned.name == CHECKS or not found.raters[warned.rater]):
            found.left_out.setdefault(warned.rater, []).append(warned.name)
    for rater in found.left_out:
        del found.raters[rater]
    if not found.raters:
        why = "; ".join(f"{r}: {', '.join(names)}" for r, names in list(found.left_out.items())[:10])
        raise UserError(f"No rater is left ({why}); collect more answers{', or leave --strict out' if strict else ''}.")
    return found


def _files(paths: list[Path], key_file: Path) -> Iterator[Path]:
    """The files named, and the .json files of the folders named, each once; the key is none of them."""
    seen = {key_file.resolve()}
    for path in paths:
        inside = sorted(path.glob("*.json")) if path.is_dir() else [path]
        for file in inside:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file
    if len(seen) == 1:
        where = ", ".join(shown(p, 200) for p in paths)
        raise UserError(f"{where}: no answer files; raters download them as answers-<code>.json.")


def _read(path: Path, key: Key) -> AnswerFile:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise UserError(f"{mib(size)} is no answer file; ask the rater for the file the page offered.")
        raw = parse_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise UserError(f"is not valid JSON ({error}); ask the rater for the file the page offered.") from None
    if not isinstance(raw, dict) or "format" not in raw:
        raise UserError("is no answer file: it names no format; ask the rater for the file the page offered.")
    if raw["format"] != ANSWERS_FORMAT:
        raise UserError(f"format {shown(raw['format'])!r}, this version reads {ANSWERS_FORMAT}.")
    if raw.get("study") != key.study:
        other = shown(str(raw.get("study"))[:12])
        raise UserError(
            f"answers another study ({other}…, not {key.study[:12]}…); give the key that was written with its page."
        )
    try:
        file = AnswerFile.model_validate(raw)
    except ValidationError as error:
        raise UserError(f"{shown(first_problem(error), 160)}.") from None
    _check(file, key)
    return file


def _check(file: AnswerFile, key: Key) -> None:
    """That every token is one of the study's and every ranking can be part of a permutation."""
    twice = [q for q, n in Counter(a.question for a in file.answers).items() if n > 1]
    if twice:
        raise UserError(f"question {shown(twice[0])} is answered twice.")
    for answer in file.answers:
        question = key.questions.get(answer.question)
        where = f"question {shown(answer.question)}"
        if question is None:
            raise UserError(f"{where} is not in this study.")
        if sorted(answer.order) != sorted(question.clips):
            raise UserError(f"{where}: its order is not that of its {len(question.clips)} clips, each once.")
        for name, ranks in answer.ranks.items():
            if name not in CRITERIA:
                raise UserError(f"{where}: {shown(name)!r} is no criterion of this study.")
            strange = [t for t in ranks if t not in question.clips]
            if strange:
                raise UserError(f"{where}, {name}: {shown(strange[0])!r} is no clip of it.")
            k = len(question.clips)
            for rank, times in Counter(ranks.values()).items():
                if not 1 <= rank <= k or (times > 1 and not key.pairs):
                    what = "is given twice" if times > 1 else "cannot be"
                    raise UserError(f"{where}, {name}: rank {shown(rank, 12)} {what}; the ranks are 1 to {k}, each once.")


def _one_each(read: list[tuple[str, AnswerFile]], found: Collected) -> Iterator[tuple[str, AnswerFile]]:
    """One file for each rater: the first by name."""
    kept: dict[str, tuple[str, AnswerFile]] = {}
    for name, file in sorted(read, key=lambda pair: pair[0]):
        if file.rater not in kept:
            kept[file.rater] = (name, file)
            continue
        first, other = kept[file.rater]
        if other == file:
            found.warnings.append(Warned("same-rater", "", f"{name} repeats {first}; counted once."))
        else:
            text = f"{first} and {name} are both of rater {file.rater} and differ; the first is used."
            found.warnings.append(Warned("same-rater", file.rater, text))
    yield from kept.values()


def _warnings(name: str, file: AnswerFile, key: Key) -> Iterator[Warned]:
    who = f"rater {file.rater} ({name})"
    complete = [a for a in file.answers if a.complete()]
    if len(complete) < len(key.questions):
        text = f"{who} ranked {len(complete)} of {len(key.questions)} questions completely; only those count."
        yield Warned("incomplete", file.rater, text)
    fast = [a for a in complete if a.seconds < key.questions[a.question].seconds + SECONDS_A_RANKING * len(CRITERIA)]
    if len(fast) * 2 > len(complete):
        least = f"one play and {SECONDS_A_RANKING * len(CRITERIA):g} s"
        text = f"{who} took less than {least} for {len(fast)} of {len(complete)} questions."
        yield Warned("fast", file.rater, text)
    checks = [a for a in complete if key.questions[a.question].check]
    wrong = [a for a in checks if a.ranks["motion"][key.questions[a.question].check or ""] >= max(a.ranks["motion"].values())]
    if len(wrong) > CHECKS_MISSED * len(checks):
        text = f"{who} chose wrongly in {len(wrong)} of {len(checks)} pairs with a known answer; left out."
        yield Warned(CHECKS, file.rater, text)
    shapes = {tuple(a.ranks[c][t] for t in a.order) for a in complete for c in CRITERIA}
    # By three criteria that agree, a rater has one choice a question.
    possible = math.factorial(2 if key.pairs else min(len(key.methods), 10)) ** min(len(complete) - 1, 9) if complete else 1
    if len(shapes) == 1 and possible >= BY_CHANCE:
        text = f"{who} gave the ranks {' '.join(map(str, shapes.pop()))} from left to right in every ranking."
        yield Warned("constant", file.rater, text)
    if key.raters and file.rater not in key.raters:
        yield Warned("unknown-rater", file.rater, f"{who}: this code was not handed out.")

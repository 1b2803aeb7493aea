"""A folder of submissions, read one by one: each is a frame with one method's row and its controls, or the sentence why it is not.

    DIR/NAME/submission.json    who, what, when
    DIR/NAME/recipe.toml        how the row is made again
    DIR/NAME/run/               a run folder

All of it is somebody else's: it is data, and a submission that cannot be used costs the others nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastvmt.core.reading import parse_json
from fastvmt.core.screen.status_line import doing
from fastvmt.core.spelling import public, shown
from fastvmt.errors import BenchError, SpecError, UserError
from fastvmt.reports.tidy import Tidy, gather

LARGEST = 4 << 20
"""Bytes of a submission's JSON or recipe."""


@dataclass(frozen=True)
class Submission:
    """One submission.

    Attributes:
        folder: its name in the folder of submissions.
        label: of its method; "" where it does not say.
        created: when it was made, in UTC; the beginning of time where it does not say.
        recipe: the text that makes the row again, or "".
        tidy: its run; None where it is not shown, and ``why`` says why.
    """

    folder: str
    label: str = ""
    created: datetime = datetime.min.replace(tzinfo=UTC)
    recipe: str = ""
    tidy: Tidy | None = None
    why: str = ""

    @property
    def date(self) -> str:
        """``2026-11-29``, or ""."""
        return self.created.date().isoformat() if self.created.year > 1 else ""

    @property
    def order(self) -> tuple[datetime, str]:
        """Earlier ones first."""
        return self.created, self.folder


def read_all(folder: Path, besides: Path) -> list[Submission]:
    """Every submission of a folder, the earliest first: each of its folders is one, but for hidden ones.

    Args:
        besides: a folder that is none, wherever it lies.

    Raises:
        UserError: when there is none.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder. Give the folder that holds the submissions, one folder each.")
    found = sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "." and p.resolve() != besides.resolve())
    if not found:
        raise UserError(f"{folder} holds no submissions. `bench submit RUN --method X --out {folder}/NAME` makes one.")
    made = []
    for n, path in enumerate(found):
        doing("reading submissions", n, len(found))
        made.append(read(path))
    return sorted(made, key=lambda s: s.order)


def read(folder: Path) -> Submission:
    """One submission; nothing that is wrong with it is raised."""
    found = Submission(folder.name)
    try:
        facts = _facts(folder)
        label = str(facts.get("name", ""))
        found = Submission(folder.name, label, _time(facts.get("created")))
        recipe = _text(folder / "recipe.toml").decode("utf-8", "replace")
        tidy = gather([folder / "run"])
        if why := _unfit(tidy, label):
            raise SpecError(why)
    except BenchError as error:
        return Submission(found.folder, found.label, found.created, why=_said(error, folder))
    return Submission(folder.name, label, found.created, recipe, tidy)


def _facts(folder: Path) -> dict[str, Any]:
    try:
        facts = parse_json(_text(folder / "submission.json"))
    except ValueError as error:
        raise SpecError(f"submission.json is not valid JSON ({error})") from None
    if not isinstance(facts, dict) or facts.get("format") != 1 or not isinstance(facts.get("name"), str):
        raise SpecError("submission.json is not one of a submission: it has no format 1 and name")
    return facts


def _text(path: Path) -> bytes:
    """
    Raises:
        SpecError: where there is no such file, or one too large to be it.
    """
    if path.is_symlink() or not path.is_file():
        raise SpecError(f"it has no {path.name}")
    with open(path, "rb") as file:
        raw = file.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise SpecError(f"its {path.name} has more than {LARGEST:,} bytes")
    return raw


def _time(value: Any) -> datetime:
    """
    Raises:
        SpecError: for what is no date, or one to come: it would stand for the latest for ever.
    """
    try:
        found = datetime.fromisoformat(value)
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise SpecError(f"created: {shown(value)} is no date") from None
    if found > datetime.now(UTC):
        raise SpecError(f"created: {shown(value)} is still to come")
    return found


def _unfit(tidy: Tidy, label: str) -> str:
    """Why a row can stand on no board, or ""."""
    if label not in tidy.methods:
        return f"its run has no method {shown(label)}"
    if tidy.methods[label].control:
        return f"{shown(label)} is a control, and controls are not ranked"
    if tidy.copies(label):
        return "its videos are (nearly) the reference itself: a copy gets its motion for free"
    return "" if tidy.counts[label].made else "it has no video"


def _said(error: BenchError, folder: Path) -> str:
    """The sentence, without where the folder lies on this machine."""
    text = public(str(error).replace(f"{folder}/", "").replace(str(folder), folder.name)).strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."

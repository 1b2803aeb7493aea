"""A folder of submissions: each is a frame with one method's row and its controls, or the sentence why it is not shown.

Their format is ``share.submission``'s: DIR/NAME has submission.json, recipe.toml and run/.

All of it is somebody else's: it is data, and a submission that cannot be used costs the others nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from fastvmt.core.screen.status_line import doing
from fastvmt.core.spelling import public, shown
from fastvmt.errors import BenchError, SpecError, UserError
from fastvmt.model import MethodSpec
from fastvmt.reports import share
from fastvmt.reports.share import recipe as recipes
from fastvmt.reports.tidy import Tidy, gather

ROUNDING = 1e-6
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, eq=False, kw_only=True)
class Submission:
    """What every one has.

    Attributes:
        folder: its name in the folder of submissions.
        label: of its method; "" where it does not say.
        created: in UTC; the beginning of time where it does not say.
    """

    folder: str
    label: str = ""
    created: datetime = NEVER

    @property
    def date(self) -> str:
        """``2026-11-29``, or ""."""
        return self.created.date().isoformat() if self.created > NEVER else ""

    @property
    def order(self) -> tuple[datetime, str]:
        """Earlier ones first."""
        return self.created, self.folder


@dataclass(frozen=True, eq=False, kw_only=True)
class Refused(Submission):
    """One that is shown with the sentence why, in place of its numbers."""

    why: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Entry(Submission):
    """One that may stand on a board: its run, and the recipe of its row."""

    recipe: share.Recipe
    tidy: Tidy

    @property
    def spec(self) -> MethodSpec:
        return self.tidy.methods[self.label]

    def refused(self, why: str) -> Refused:
        return Refused(folder=self.folder, label=self.label, created=self.created, why=why)


Check = Callable[[Path], Sequence[str]]
"""Of a submission's folder: a sentence for everything that does not hold, as ``bench verify`` says it."""


def read_all(folder: Path, besides: Path, check: Check) -> list[Entry | Refused]:
    """Every submission of a folder, the earliest first: each of its folders is one, but for hidden ones.

    Args:
        besides: a folder that is none, wherever it lies.
        check: what none may fail.

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
        made.append(read(path, check))
    return sorted(made, key=lambda s: s.order)


def read(folder: Path, check: Check) -> Entry | Refused:
    """One submission; nothing that is wrong with it is raised."""
    found = Submission(folder=folder.name)
    try:
        said = share.read(folder)
        found = replace(found, label=said.name, created=_time(said.created))
        if faults := check(folder):
            more = f" And {len(faults) - 1} more; `bench verify` says all." if len(faults) > 1 else ""
            raise SpecError(f"{faults[0]}{more}")
        tidy = gather([folder / share.RUN])
        if tidy.copies(said.name):
            raise SpecError("its videos are (nearly) the reference itself: a copy gets its motion for free")
        _refuse_impossible(tidy)
        recipe = recipes.read(folder / share.RECIPE)
    except (BenchError, OSError, RecursionError) as error:
        return Refused(**vars(found), why=_said(error, folder))
    return Entry(**vars(found), recipe=recipe, tidy=tidy)


def _refuse_impossible(tidy: Tidy) -> None:
    """
    Raises:
        SpecError: for a number that its metric cannot give, whatever the video.
    """
    for label, metric in tidy.metrics.items():
        low, high = metric.range
        values = tidy.of(label)["value"]
        wrong = values[(values < low - ROUNDING) | (values > high + ROUNDING)]
        if len(wrong):
            raise SpecError(f"{shown(label, 80)}: {wrong.iloc[0]:g} is no such number; it lies between {low:g} and {high:g}")


def _time(value: str) -> datetime:
    """
    Raises:
        SpecError: for what is no date, or one to come: it would stand for the latest for ever.
    """
    try:
        found = datetime.fromisoformat(value)
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise SpecError(f"created: {shown(value)} is no date") from None
    if found > datetime.now(UTC):
        raise SpecError(f"created: {shown(value)} is still to come")
    return found


def _said(error: Exception, folder: Path) -> str:
    """The sentence, without where the folder lies on this machine."""
    text = public(str(error).replace(f"{folder}/", "").replace(str(folder), folder.name)).strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."

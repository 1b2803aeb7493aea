"""Whether a row that was made again agrees with its recipe, cell by cell, and why not.

A cell agrees where the new mean lies in the recipe's interval, or prints like the recipe's mean. Costs (seconds, memory,
energy) belong to the machine that paid them and are shown beside each other, not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fastvmt.core.spelling import shown
from fastvmt.errors import SpecError
from fastvmt.jobs.growth import method_differences, setting_differences
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model import MethodSpec, Suite
from fastvmt.plugins.metric_labels import build
from fastvmt.records.identity import differing
from fastvmt.reports.share.claims import Claim, artefacts_of, machine_of, row_of, versions_of
from fastvmt.reports.share.recipe import MetricFacts, Recipe, SuiteFacts
from fastvmt.reports.share.toml import plain
from fastvmt.reports.tidy import Tidy

NAMED = 3
State = Literal["agrees", "disagrees", "apart", "cost"]
"""``apart``: could not be compared."""
WORDS = {"agrees": "agrees", "disagrees": "DISAGREES", "apart": "not compared", "cost": "a cost, not judged"}


@dataclass(frozen=True)
class Cell:
    """One number of the recipe, and the one that was made here; ``why`` it does not agree."""

    metric: str
    state: State
    theirs: Claim
    ours: Claim | None
    decimals: int
    why: str = ""

    def line(self) -> str:
        ours = self.ours.text(self.decimals) if self.ours else "–"
        said = f"{WORDS[self.state]}{self.why and ': '}{self.why}"
        return f"{shown(self.metric, 120)}: {self.theirs.text(self.decimals)} in the recipe, {ours} here; {said}"

    def data(self) -> dict[str, Any]:
        return vars(self) | {"theirs": vars(self.theirs), "ours": vars(self.ours) if self.ours else None}


@dataclass(frozen=True)
class Agreement:
    """All cells of a row; ``others`` are versions and devices that differ."""

    row: str
    cells: tuple[Cell, ...]
    others: tuple[str, ...]

    def count(self, state: State) -> int:
        return sum(cell.state == state for cell in self.cells)

    @property
    def exit_code(self) -> int:
        """1 where a cell disagrees, 4 where one, or all, could not be compared."""
        if self.count("disagrees"):
            return 1
        return 4 if self.count("apart") or not self.count("agrees") else 0

    def headline(self) -> str:
        judged = len(self.cells) - self.count("cost")
        found = f"{shown(self.row, 120)}: {self.count('agrees')} of {judged} numbers agree with the recipe"
        return "; ".join([found, *(f"{words}: {n}" for state, words in _REST if (n := self.count(state)))])

    def lines(self) -> list[str]:
        """The headline, a line for each cell, and what else differs."""
        return [self.headline(), *(f"  {cell.line()}" for cell in self.cells), *self.others]

    def data(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        facts = {"row": self.row, "exit_code": self.exit_code, "headline": self.headline(), "differing": list(self.others)}
        return facts | {"cells": [cell.data() for cell in self.cells]}


_REST: tuple[tuple[State, str], ...] = (
    ("disagrees", "disagree"), ("apart", "not compared"), ("cost", "costs, not judged"),
)  # fmt: skip


def scorable(recipe: Recipe) -> tuple[list[str], dict[str, str]]:
    """Labels of the recipe's metrics that can be scored here, and why others cannot."""
    found, lacking = [], dict[str, str]()
    for label in recipe.cells:
        try:
            sentence = build(label).missing()
        except SpecError as error:
            sentence = str(error)
        if sentence:
            lacking[label] = sentence
        else:
            found.append(label)
    return found, lacking


def forbidding(recipe: Recipe, config: RunConfig, whose: str = "the recipe") -> list[str]:
    """Sentences on what makes the numbers of a run here those of something else than the recipe's: suite, backbone, setting,
    method. None where they may be compared.

    Args:
        config: as the recipe's request is resolved on this machine; a method that is not here is not looked at.
        whose: how the sentences call the recipe's side.
    """
    found = list(_suites(recipe.suite, config.suite, whose))
    theirs, ours = recipe.setting, config.setting
    if theirs.weights_digest != ours.weights_digest:
        found.append(
            f"backbone '{shown(theirs.called)}': its weights have the digest {theirs.weights_digest[:12]} in {whose} and "
            f"{ours.weights_digest[:12]} here."
        )
    same = theirs.model_copy(update={"weights_digest": ours.weights_digest, "backbone": ours.backbone})
    found += [f"setting: {said} ({whose}'s first)." for said in setting_differences(same, ours)]
    for spec in (m for m in config.methods if m.label == recipe.row):
        found += [f"method '{shown(recipe.row)}': {said} ({whose}'s first)." for said in _methods(recipe.method, spec)]
    return found


def _methods(theirs: MethodSpec, ours: MethodSpec) -> Iterator[str]:
    sides = [m.model_copy(update={"params": plain(m.params)}) for m in (theirs, ours)]
    yield from method_differences(sides[0], sides[1])
    for name in ("preset", "control"):
        if (one := getattr(theirs, name)) != (two := getattr(ours, name)):
            yield f"{name} {shown(one)} and {shown(two)}"


def _suites(theirs: SuiteFacts, suite: Suite, whose: str) -> Iterator[str]:
    ours, cases = {c.id: c.digest() for c in suite.cases}, theirs.cases
    name = f"suite '{shown(theirs.name)}'"
    if lacking := [c for c in ours if c not in cases]:
        yield f"{name}: {len(lacking)} of its {len(ours)} cases are not in {whose} ({_named(lacking)})."
    if strange := [c for c in cases if c not in ours]:
        yield f"{name}: {len(strange)} cases of {whose} are not in it here ({_named(strange)})."
    if other := [c for c, what in cases.items() if c in ours and ours[c] != what]:
        yield f"{name}: {len(other)} cases have other frames or texts here than in {whose} ({_named(other)})."
    same = Suite(name=theirs.name, cases=suite.cases)  # a copy may have another name
    if not (lacking or strange or other) and list(cases) == list(ours) and theirs.digest != same.digest():
        yield f"{name}: its cases have other categories here than in {whose}."


def _named(names: list[str]) -> str:
    return ", ".join(shown(n) for n in names[:NAMED]) + (" ..." if len(names) > NAMED else "")


def agreement(recipe: Recipe, tidy: Tidy, lacking: Mapping[str, str]) -> Agreement:
    """The recipe's cells beside those of the run that was made from it.

    Args:
        lacking: why metrics could not be scored here, by label.
    """
    made = artefacts_of(tidy, recipe.row)
    sides = ((recipe.versions, versions_of(made)), (recipe.machine, machine_of(made)))
    others = [
        f"{shown(name)}: {shown(theirs.get(name, 'none'))} in the recipe, {shown(ours.get(name, 'none'))} here"
        for theirs, ours in sides
        for name in differing(theirs, ours)
    ]
    files = {Path(place).name: file.sha256 for place, file in tidy.traits.plugins.items()}
    others += [
        f"plug-in {shown(name)}: {sha256[:12]} in the recipe, {files.get(name, 'none')[:12]} here (SHA-256)"
        for name, sha256 in recipe.plugins.items() if files.get(name) != sha256 and sha256 not in files.values()
    ]  # fmt: skip
    cells = row_of(tidy, recipe.row)
    found = []
    for label, theirs in recipe.cells.items():
        facts, cell = recipe.metrics.get(label), cells.get(label)
        ours = Claim(mean=cell.value, low=cell.low, high=cell.high, n=cell.n) if cell and cell.value is not None else None
        decimals = facts.decimals if facts else 3
        if said := lacking.get(label) or _apart(facts, tidy.own_identities.get(label), theirs, ours):
            found.append(Cell(label, "apart", theirs, ours, decimals, said))
        elif ours is None or (facts and facts.timing):
            found.append(Cell(label, "cost", theirs, ours, decimals))
        else:
            found.append(_judged(label, theirs, ours, decimals, bool(others)))
    return Agreement(recipe.row, tuple(found), tuple(others))


def _apart(facts: MetricFacts | None, identity: Mapping[str, Any] | None, theirs: Claim, ours: Claim | None) -> str:
    """Why two numbers of a metric are no pair, or ""."""
    if facts is None:
        return "the recipe does not say what the metric is"
    if facts.timing:
        return ""
    if ours is None or identity is None:
        return "there is no number of it here"
    if names := differing(facts.identity, plain(identity)):
        said = [f"{shown(n)} {shown(facts.identity.get(n))} in the recipe and {shown(identity.get(n))} here" for n in names]
        return f"another version of the metric ({'; '.join(said)})"
    return "" if theirs.n == ours.n else f"it stands on {theirs.n} videos in the recipe and {ours.n} here"


def _judged(label: str, theirs: Claim, ours: Claim, decimals: int, others: bool) -> Cell:
    inside = theirs.low is not None and theirs.high is not None and theirs.low <= ours.mean <= theirs.high
    if inside or abs(theirs.mean - ours.mean) <= 0.5 * 10.0**-decimals:
        return Cell(label, "agrees", theirs, ours, decimals)
    why = "versions or machine differ" if others else "just another number, with the same versions"
    return Cell(label, "disagrees", theirs, ours, decimals, why)

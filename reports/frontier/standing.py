"""The frontier of a run: its rows by what they cost and how well they follow the motion, and which of them are dominated.

Rows are looked at from the cheapest on. A row is *dominated* where one that costs no more is better: a higher mean, and told
apart by the paired test of all rows together (``tables.shared_cases.apart``). It is *like* one on the frontier that costs no
more where it cannot be told from it. All others are on the frontier: each is better than all the cheaper ones there. Costs are
means of forward-equivalents, which every machine counts alike, and of seconds. Controls are shown and not judged; of them no
transfer alone is a row to be better than.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from fastvmt.reports.tables.run_table import first_presets
from fastvmt.reports.tables.shared_cases import is_ceiling
from fastvmt.reports.tables.verdict import Scores, motion_score
from fastvmt.reports.tables.view import View
from fastvmt.reports.tables.views import CONTROLS, LineRequest, build, metrics_of
from fastvmt.reports.tidy import WORK, Tidy

ON, LIKE, DOMINATED = "on the frontier", "not told from a row there that costs no more", "dominated"
NOT_JUDGED = "without a score, a cost, or videos of its own"
FEWEST = 3
"""Rows with a cost and a score of motion below which there is no frontier to speak of."""
SECONDS = "seconds"
COSTS = {WORK: "forward-equivalents"}
"""What costs are called; any other is a time."""


@dataclass(frozen=True)
class Standing:
    """Where a row stands by one cost: ``ON``, ``LIKE`` or ``DOMINATED``, and the row that this is because of."""

    state: str
    by: str = ""


@dataclass(frozen=True)
class Frontier:
    """Rows of a run by motion and cost; false where it has too few of them.

    Attributes:
        tidy: the run.
        motion: the label of the score of motion, or "".
    """

    tidy: Tidy
    motion: str

    def __bool__(self) -> bool:
        there = [k for k in self.judged if k in self.scores.means and any(k in cost.means for cost in self.costs.values())]
        return len(there) >= FEWEST

    @cached_property
    def rows(self) -> tuple[str, ...]:
        """Every row but ceilings: of the first preset of its method, since two presets share no table."""
        return tuple(k for k in first_presets(self.tidy) if not is_ceiling(self.tidy, k)) if self.motion else ()

    @cached_property
    def judged(self) -> tuple[str, ...]:
        """Rows that can be dominated: no controls, and nothing that copies the reference."""
        return tuple(k for k in self.rows if not self.tidy.methods[k].control and not self.tidy.copies(k))

    @cached_property
    def scores(self) -> Scores:
        return Scores(self.tidy, self.motion, self.rows)

    @cached_property
    def costs(self) -> dict[str, Scores]:
        """By label of the cost, those that some row has."""
        found = {label: Scores(self.tidy, label, self.rows) for label in (WORK, *metrics_of(self.tidy, ("time",)))}
        return {label: cost for label, cost in found.items() if cost.means}

    @cached_property
    def standings(self) -> dict[str, dict[str, Standing]]:
        """By label of the cost, then of the row: every judged row with that cost and a score."""
        return {label: self._standings(cost) for label, cost in self.costs.items()}

    def _standings(self, cost: Scores) -> dict[str, Standing]:
        best = list(self.scores.means)
        floor = [k for k in best if self.tidy.methods[k].method == "none"]
        there = [k for k in best if k in cost.means and (k in self.judged or k in floor)]
        found: dict[str, Standing] = {}
        for n, row in enumerate(order := sorted(there, key=lambda k: cost.means[k])):  # of equal costs the best one first
            no_more = sorted(order[:n], key=best.index)
            better = [k for k in no_more if self.scores.better(k, row)]
            like = [k for k in no_more if found[k].state == ON and not self.scores.gaps[k, row].apart]
            found[row] = Standing(DOMINATED, better[0]) if better else Standing(LIKE, like[0]) if like else Standing(ON)
        return {k: standing for k, standing in found.items() if k in self.judged}

    def says(self, cost: str) -> str:
        """How many rows are dominated by this cost, and which are on the frontier; or that clips are too few to say."""
        if not self.scores.enough:
            return f"{self.scores.over} are too few to say which rows are dominated."
        standings = self.standings[cost]
        of = {state: [k for k, s in standings.items() if s.state == state] for state in (ON, DOMINATED, LIKE)}
        said = f"By {COSTS.get(cost, SECONDS)}, of {len(standings)} rows {len(of[DOMINATED]) or 'none'} "
        said += f"{'are' if len(of[DOMINATED]) > 1 else 'is'} dominated (another one costs no more and is better in "
        said += f"{self.scores.name}, {self.scores.over})"
        said += f" and {len(of[LIKE])} cannot be told from one on the frontier that costs no more" if of[LIKE] else ""
        return f"{said}; on the frontier: {self.scores.names(of[ON])}." if of[ON] else f"{said}; none is on the frontier."

    def _verdict(self) -> tuple[str, ...]:
        """The sentence of each cost; of the others only where they say something else."""
        first, *others = self.costs
        states = {cost: {k: s.state for k, s in found.items()} for cost, found in self.standings.items()}
        same = [cost for cost in others if states[cost] == states[first] or not self.scores.enough]
        also = f"; by {COSTS.get(same[0], SECONDS)} the same." if same and self.scores.enough else "."
        return (self.says(first).removesuffix(".") + also, *(self.says(cost) for cost in others if cost not in same))

    @cached_property
    def view(self) -> View:
        """The rows in groups by how they stand in the first of the costs, the cheapest first."""
        (first, standings), cost = next(iter(self.standings.items())), next(iter(self.costs.values()))
        groups: dict[str, list[LineRequest]] = {k: [] for k in (ON, LIKE, DOMINATED, NOT_JUDGED, CONTROLS)}
        for row in sorted(self.rows, key=lambda k: cost.means.get(k, float("inf"))):
            unjudged = Standing(CONTROLS if self.tidy.methods[row].control else NOT_JUDGED)
            standing = standings.get(row, unjudged)
            by = self.scores.names([standing.by]) if standing.by else ""
            note = f"{'≈' if standing.state == LIKE else 'by'} {by}" if by else ""
            groups[standing.state].append(LineRequest(row, row, standing.state, note, row in self.judged))
        lines = [line for group in groups.values() for line in group]
        view = build(self.tidy, "frontier", "Motion against cost", lines, [*self.costs, self.motion])
        told = (
            f"groups are by {COSTS.get(first, SECONDS)}; behind a row stands the one that costs no more and is better (by), or "
        )
        told += "that it cannot be told from (≈)."
        return replace(view, verdict=self._verdict(), notes=(told, *view.notes))


def frontier_of(tidy: Tidy) -> Frontier:
    """The frontier of a run, by the first of its scores of motion."""
    return Frontier(tidy, motion_score(tidy))

"""The cases that a report opens with: where the leading method gains most over no transfer, a typical one, and its worst."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastvmt.reports.tables import ablation
from fastvmt.reports.tables.headings import display
from fastvmt.reports.tables.verdict import motion_score
from fastvmt.reports.tables.views import build, lines_of
from fastvmt.reports.tidy import Tidy

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 3
METHODS = 2
"""Methods shown beside reference and no transfer; a case's own page has all."""


@dataclass(frozen=True)
class Telling:
    """A case, the seed shown, the methods shown, and which case it is, in words; ``why`` says why it was chosen."""

    case: str
    seed: int
    labels: tuple[str, ...]
    title: str
    why: str = ""


def telling(tidy: Tidy) -> list[Telling]:
    """At most three cases, chosen by the score of motion of the method that leads; without such a score the first three."""
    metric = motion_score(tidy)
    lines = build(tidy, "", "", lines_of(tidy, ablation.compared(tidy)), [metric] if metric else []).lines
    worth = -1 if metric and tidy.metrics[metric].direction == "down" else 1
    scored = [line for line in lines if metric and line.ranked and line.cells[0].value is not None]
    scored.sort(key=lambda line: -worth * (line.cells[0].value or 0.0))
    ranked = [line.key for line in scored] or [line.key for line in lines if line.ranked]
    floor = next((line.key for line in lines if tidy.methods[line.key].method == "none"), "")
    shown = (*([floor] if floor else []), *ranked[:METHODS])
    if not scored:
        return [Telling(case, tidy.seeds[0], shown, case) for case in list(tidy.cases)[:SHOWN]]
    return _chosen(worth * tidy.wide(metric), ranked[0], floor, shown, display(ranked[0], tidy))


def _chosen(scores: pd.DataFrame, leader: str, floor: str, shown: tuple[str, ...], name: str) -> list[Telling]:
    """The leader's clips with the largest gain over no transfer, the lowest score, and the score nearest to the median."""
    own = scores[leader].dropna()
    gain = (own - scores[floor]).dropna() if floor in scores else own
    over = " over no transfer" if floor in scores and len(gain) else ""
    wanted = [
        ("Best", f"where {name} gains most{over}", -gain if len(gain) else -own),
        ("Worst", f"where {name} scores lowest", own),
        ("Typical", f"nearest to the median score of {name}", (own - own.median()).abs()),
    ]
    found: list[Telling] = []
    for title, why, order in wanted:
        for _, case, seed in order.sort_values(kind="stable").index:
            if case not in [t.case for t in found]:
                found.append(Telling(str(case), int(seed), shown, title, why))
                break
    return sorted(found, key=lambda t: ("Best", "Typical", "Worst").index(t.title))

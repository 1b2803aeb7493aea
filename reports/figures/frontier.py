"""The frontier as a picture: the score of motion against a cost, every row a point."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastvmt.errors import UserError
from fastvmt.reports.figures.draw import MEANING, skyline
from fastvmt.reports.figures.style import (
    COLUMN,
    GREY,
    HUES,
    INK,
    MARKERS,
    PALETTE,
    Drawn,
    bar_of,
    colours,
    counted,
    new_figure,
    number,
    plain,
    seconds_axis,
    styled,
)  # fmt: skip
from fastvmt.reports.frontier.standing import COSTS, DOMINATED, ON, SECONDS, Frontier, Standing
from fastvmt.reports.tables.headings import display, heading
from fastvmt.reports.tables.view import Cell
from fastvmt.reports.tidy import Tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NUMBERED = 9
"""Changed rows on the frontier that get a number, and their names below; the table has the rest."""
PANEL, LINE = 2.2, 0.155
"""Heights of the panel and of a line of the legends, in inches."""
FAINT = 0.3
SEPARATES = re.compile(r":(?![0-9.])")
"""Between the changes of a label; a colon before a number belongs to a value."""
MEANS = (
    "solid: on the frontier, hollow: not told from a cheaper one there,\n"
    "faint: dominated, grey: control; small: not as by default"
)


@dataclass(frozen=True)
class Row:
    """What is drawn of a row: its cost and score, how it stands, and the colour and sign of its method."""

    label: str
    cost: Cell
    score: Cell
    state: str
    colour: str
    sign: str
    control: bool
    changed: bool


@styled
def frontier(found: Frontier, cost: str) -> Drawn:
    """The score of motion against one cost; names of methods above, of changed rows on the frontier below.

    Args:
        cost: a label of ``found.costs``.

    Raises:
        UserError: where no row has that cost.
    """
    rows = _rows(found, cost) if cost in found.costs else []
    if not rows:
        raise UserError(f"no row has a score of motion and {COSTS.get(cost, SECONDS)}")
    tidy, score = found.tidy, heading(found.motion, found.tidy)
    on = [r.label for r in rows if r.changed and r.state == ON][:MOST_NUMBERED]
    named = [r for r in rows if not r.changed]
    figure = new_figure(COLUMN, PANEL + LINE * (-(-len(named) // 2) + len(on) + MEANS.count("\n") + 2))
    axes = figure.subplots()
    direction = tidy.metrics[found.motion].direction
    _points(axes, rows, on)
    best = skyline([{"cost": r.cost.value, "quality": r.score.value} for r in rows], direction, "cost")
    axes.plot([p["cost"] for p in best], [p["quality"] for p in best], color=INK, linewidth=0.8, linestyle=":", zorder=1)
    axes.margins(0.08)
    seconds_axis(axes)
    axes.set_xlabel(f"{COSTS.get(cost, SECONDS)} per video (log, less is better)")
    axes.set_ylabel(plain(score) + MEANING.get(direction, ""), parse_math=False)
    _legends(figure, tidy, named, on)
    said = "; ".join(
        f"{plain(display(r.label, tidy))} {number(r.score.value or 0.0)} for {number(r.cost.value or 0.0)}" for r in rows
    )
    caption = (
        f"{found.says(cost)} {counted([r.score.n for r in rows])} videos a row. Bars: 95 % interval. Dotted: nothing has a "
        "higher mean for less."
    )
    return Drawn(figure, f"Scatter plot of {plain(score)} against {COSTS.get(cost, SECONDS)} per video. {said}.", caption)


def _rows(found: Frontier, cost: str) -> list[Row]:
    """Those with this cost and a score."""
    methods, places, view = found.tidy.methods, colours(found.tidy.methods), found.view
    own = [k for k in found.rows if k == methods[k].method or methods[k].method not in found.rows]
    rows = []
    for line in view.lines:
        base = line.key if line.key in own else methods[line.key].method
        colour = GREY if methods[base].control else PALETTE[places[base] % HUES]
        sign = MARKERS[own.index(base) % len(MARKERS)]
        standing = found.standings[cost].get(line.key, Standing(""))
        cells = view.cell(line.key, cost), view.cell(line.key, found.motion)
        if cells[0].value and cells[1].value is not None:
            rows.append(Row(line.key, *cells, standing.state, colour, sign, methods[base].control, line.key not in own))
    return rows


def _points(axes: Axes, rows: Sequence[Row], on: Sequence[str]) -> None:
    axes.grid(True)
    for r in rows:
        x, y = float(r.cost.value or 0.0), float(r.score.value or 0.0)
        axes.errorbar(
            x, y, yerr=bar_of(y, r.score.low, r.score.high), xerr=bar_of(x, r.cost.low, r.cost.high),
            fmt=r.sign, color=r.colour, markersize=3.5 if r.changed else 5.5, elinewidth=0.7, capsize=1.5,
            markerfacecolor=r.colour if r.state in (ON, DOMINATED) else "white", alpha=FAINT if r.state == DOMINATED else 1,
            zorder=4 if r.state == ON else 3,
        )  # fmt: skip
        if r.label in on:
            axes.annotate(f"{on.index(r.label) + 1}", (x, y), (-3, 2), textcoords="offset points", ha="right", zorder=5)
        if r.label == "none":
            axes.axhline(y, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)


def _legends(figure: Figure, tidy: Tidy, named: Sequence[Row], on: Sequence[str]) -> None:
    """Above the panels the methods with their signs; below what is numbered, and what the looks of a point mean."""
    from matplotlib.lines import Line2D

    signs = [
        Line2D([], [], linestyle="", marker=r.sign, color=r.colour, markerfacecolor="white" if r.control else r.colour)
        for r in named
    ]
    names = [plain(display(r.label, tidy), 28) for r in named]
    figure.legend(signs, names, loc="outside upper center", ncols=2, columnspacing=1, handletextpad=0.2, markerscale=0.8)
    bases = [tidy.methods[k].method for k in on]
    changed = [
        f"{n}  {plain(display(base, tidy), 16)}, {plain(SEPARATES.sub(', ', k.removeprefix(base + ':')), 50)}"
        for n, (k, base) in enumerate(zip(on, bases, strict=True), 1)
    ]
    nothing = [Line2D([], [], linestyle="") for _ in on]
    below = figure.legend(
        nothing, changed, title=MEANS, loc="outside lower left", handlelength=0, handletextpad=0, alignment="left",
        title_fontsize=6.5, labelspacing=0.2,
    )  # fmt: skip
    below.get_title().set_color(GREY)

"""Figures of results: quality against time, ablation bars, time by stage. Plain data in, a ``Drawn`` out.

The figures of what happens inside a method are in ``inner_steps.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastvmt.errors import UserError
from fastvmt.reports.figures.style import (
    COLUMN,
    GREY,
    HUES,
    INK,
    MARKERS,
    PAGE,
    PALETTE,
    Drawn,
    bar_of,
    counted,
    finite,
    new_figure,
    number,
    plain,
    seconds_axis,
    styled,
)  # fmt: skip

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ARROWS = {"up": " ↑", "down": " ↓"}
MEANING = {"up": " (higher is better)", "down": " (lower is better)"}
STAGES = ("text", "encode", "reference", "guidance", "denoise", "decode", "write")
STAGE_COLOURS = dict(zip(STAGES, ("#000000", "#CC79A7", "#56B4E9", "#0072B2", "#E69F00", "#009E73", "#D55E00"), strict=True))

Values = Sequence[float | None]
Metric = tuple[str, str, Values, Values, Values]


@styled
def quality_time(points: Sequence[Mapping[str, Any]], quality_name: str, direction: str = "up") -> Drawn:
    """One point per method: seconds (logarithmic) against quality, a bar for each interval, a line through the frontier.

    Args:
        points: ``label``, ``seconds``, ``quality``, their ``_low`` and ``_high`` (None draws no bar), ``control``, ``n``;
            ``colour``, a place in the palette; ``floor``, true for no transfer, whose quality is drawn as a level.
        quality_name: of the vertical axis.
        direction: ``up``, ``down`` or ``none``.

    Raises:
        UserError: when no point has both a time and a quality.
    """
    drawable = [p for p in points if (finite(p.get("seconds")) or 0) > 0 and finite(p.get("quality")) is not None]
    if not drawable:
        raise UserError(f"No method has both a time and a value of {plain(quality_name)}: there is nothing to draw.")
    figure = new_figure(COLUMN, 2.5 + 0.08 * len(drawable))
    axes = figure.subplots()
    axes.grid(True)
    for index, p in enumerate(drawable):
        x, y, control = float(p["seconds"]), float(p["quality"]), bool(p.get("control"))
        colour = GREY if control else PALETTE[p.get("colour", index) % HUES]
        axes.errorbar(
            x, y,
            yerr=bar_of(y, p.get("quality_low"), p.get("quality_high")),
            xerr=bar_of(x, p.get("seconds_low"), p.get("seconds_high")),
            fmt=MARKERS[index % len(MARKERS)], color=colour, markersize=5, elinewidth=0.9, capsize=2,
            markerfacecolor="white" if control else colour, label=plain(p["label"], 32),
        )  # fmt: skip
        if p.get("floor"):
            axes.axhline(y, color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
            axes.annotate("no transfer", (1, y), (-2, 2), ("axes fraction", "data"), "offset points", ha="right", color=GREY)
    best = skyline(drawable, direction)
    axes.plot([p["seconds"] for p in best], [p["quality"] for p in best], color=INK, linewidth=0.8, linestyle=":", zorder=1)
    axes.margins(0.18)
    seconds_axis(axes)
    axes.set_xlabel("seconds per video (logarithmic, less is better)")
    axes.set_ylabel(plain(quality_name) + MEANING.get(direction, ""), parse_math=False)
    figure.legend(loc="outside lower center", ncols=2)
    left = [plain(p["label"]) for p in points if p not in drawable]
    said = "; ".join(f"{plain(p['label'])} {number(p['quality'])} in {number(p['seconds'])} s" for p in drawable)
    caption = (
        f"{plain(quality_name)} against seconds per video; {counted([p.get('n') for p in drawable])} videos a method. Bars: "
        "95 % interval. Hollow grey points are controls."
        + (" Dotted: nothing is both faster and better." if len(best) > 1 else "")
        + (f" Not drawn, since a value is missing: {', '.join(left)}." if left else "")
    )
    return Drawn(figure, f"Scatter plot of {plain(quality_name)} against seconds per video. {said}.", caption)


def skyline(points: Sequence[Mapping[str, Any]], direction: str, cost: str = "seconds") -> list[Mapping[str, Any]]:
    """The points than which none is both cheaper and better, the cheapest first; none where no direction is better."""
    found: list[Mapping[str, Any]] = []
    sign = {"up": 1, "down": -1}.get(direction, 0)
    for p in sorted(points, key=lambda p: (p[cost], -sign * p["quality"])) if sign else ():
        if not found or sign * p["quality"] > sign * found[-1]["quality"]:
            found.append(p)
    return found


@styled
def ablation_bars(rows: Sequence[str], metrics: Sequence[Metric], n: int | None = None, base: int = 0) -> Drawn:
    """A panel per metric, a bar per row, the base's value as a dashed line through all.

    Bars start at 0. Where the rows differ by less than a seventh of the largest value, bars would look equal: dots on a cut
    axis are drawn instead.

    Args:
        rows: labels.
        metrics: (head, ``up`` / ``down`` / ``none``, values, lows, highs), one number or None per row each.
        n: videos per row.
        base: index of the row the others are changes of.

    Raises:
        UserError: without rows, without any value, or when lengths differ.
    """
    for head, _, *columns in metrics:
        if any(len(c) != len(rows) for c in columns):
            raise UserError(
                f"Figure of ablations: {plain(head)} does not have one value, low and high for each of {len(rows)} rows."
            )
    shown = [m for m in metrics if any(finite(v) is not None for v in m[2])]
    if not rows or not shown:
        raise UserError("No row of the ablation has a value: there is nothing to draw.")
    across = min(4, len(shown))
    down = -(-len(shown) // across)
    figure = new_figure(max(COLUMN, min(PAGE, 1.6 + 1.55 * across)), down * (0.65 + 0.2 * len(rows)))
    grid = figure.subplots(down, across, sharey=True, squeeze=False)
    cut = [_ablation_panel(axes, rows, metric, base) for axes, metric in zip(grid.flat, shown, strict=False)]
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    missing = [plain(h) for h, *_ in metrics if h not in [s[0] for s in shown]]
    caption = (
        f"{counted([n])} videos a row. Whiskers: 95 % interval. Dark: {plain(rows[base])}, whose value is the dashed line."
        + (" Dots: the axis does not start at 0." if any(cut) else "")
        + (f" Without any value: {', '.join(missing)}." if missing else "")
    )
    said = "; ".join(
        f"{plain(h)}: " + ", ".join(f"{plain(r)} {_said(x)}" for r, x in zip(rows, values, strict=True))
        for h, _, values, *_ in shown
    )
    return Drawn(figure, f"Bars of {len(shown)} metrics for {len(rows)} rows. {said}.", caption)


def _said(raw: object) -> str:
    value = finite(raw)
    return "missing" if value is None else number(value)


def _ablation_panel(axes: Axes, rows: Sequence[str], metric: Metric, base: int) -> bool:
    """Draw one metric; true when its axis was cut."""
    head, direction, values, lows, highs = metric
    known = [v for v in map(finite, values) if v is not None]
    cut = min(known) > 0 and max(known) - min(known) < max(known) / 7
    for place, (raw, low, high) in enumerate(zip(values, lows, highs, strict=True)):
        value, colour = finite(raw), PALETTE[0] if place == base else "#9FC3DA"
        if value is None:
            axes.text(0.02, place, "missing", transform=axes.get_yaxis_transform(), va="center", fontsize=6, color=GREY)
            continue
        if not cut:
            axes.barh(place, value, 0.68, color=colour)
        mark = "o" if cut else ""
        axes.errorbar(
            value, place, xerr=bar_of(value, low, high), fmt=mark, color=colour if cut else INK,
            markersize=4.5, elinewidth=0.8, capsize=1.8,
        )  # fmt: skip
    if (centre := finite(values[base])) is not None:
        axes.axvline(centre, color=PALETTE[0], linewidth=0.8, linestyle=(0, (3, 2)), zorder=0)
    axes.set_title(plain(head, 24) + ARROWS.get(direction, ""), parse_math=False)
    axes.set_yticks(range(len(rows)), [plain(r, 30) for r in rows], parse_math=False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.locator_params(axis="x", nbins=4)
    axes.grid(True, axis="x")
    axes.tick_params(axis="y", length=0)
    if cut:
        axes.margins(x=0.15)
    return bool(cut)


@styled
def stage_bars(rows: Mapping[str, Mapping[str, float]], n: int | None = None) -> Drawn:
    """One bar per method, its stages one behind the other, the sum at its end.

    Args:
        rows: label to seconds by stage; a stage that a method lacks counts as 0.
        n: videos per method.

    Raises:
        UserError: when no row has any time.
    """
    sums = {label: sum(finite(v) or 0 for v in stages.values()) for label, stages in rows.items()}
    if not any(sums.values()):
        raise UserError("No method has times by stage: there is nothing to draw.")
    found = {s for stages in rows.values() for s, v in stages.items() if finite(v)}
    names = [s for s in STAGES if s in found] + sorted(found - set(STAGES))
    spare = iter(["#999999", "#F0E442", "#555555"] * len(names))
    figure = new_figure(PAGE * 0.75, 0.75 + 0.24 * len(rows))
    axes = figure.subplots()
    starts = [0.0] * len(rows)
    for name in names:
        lengths = [finite(stages.get(name)) or 0.0 for stages in rows.values()]
        colour = STAGE_COLOURS.get(name) or next(spare)
        axes.barh(range(len(rows)), lengths, 0.7, starts, color=colour, edgecolor="white", linewidth=0.5, label=plain(name, 16))
        starts = [a + b for a, b in zip(starts, lengths, strict=True)]
    for place, total in enumerate(sums.values()):
        axes.text(total, place, f" {number(total)} s" if total else " no times", va="center", fontsize=7)
    axes.set_yticks(range(len(rows)), [plain(r, 36) for r in rows], parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, max(sums.values()) * 1.12)
    axes.set_xlabel("mean seconds per video")
    axes.grid(True, axis="x")
    figure.legend(loc="outside upper center", ncols=min(7, len(names)), handlelength=1, columnspacing=1.2)
    said = "; ".join(
        f"{plain(label)}: " + ", ".join(f"{plain(s)} {number(v)} s" for s in names if (v := finite(stages.get(s))))
        for label, stages in rows.items()
    )
    caption = (
        f"Time by stage: mean seconds per video, {counted([n])} videos a method. "
        "The number behind a bar is the sum of its parts."
    )
    return Drawn(figure, f"Stacked bars of seconds by stage. {said}.", caption)

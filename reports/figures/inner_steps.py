"""Figures of what happens inside a method: gradients and paths of the inner steps, correspondence by block."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastvmt.errors import UserError
from fastvmt.reports.figures.style import COLUMN, GREY, INK, PAGE, PALETTE, Drawn, counted, new_figure, number, plain, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]
Gradients = Mapping[str, Mapping[str, Any]]
Paths = Mapping[int, Sequence[Sequence[float]]]


# --- gradients (the paper's Figure 2b) ------------------------------------------------------------------------------


def cosines_by_lag(logs: Sequence[Gradients]) -> dict[int, list[float]]:
    """For k inner steps apart: one mean cosine per video and guided step."""
    found: dict[int, list[float]] = defaultdict(list)
    for log in logs:
        for entry in log.values():
            own: dict[int, list[float]] = defaultdict(list)
            for (a, i), (b, j) in itertools.combinations(enumerate(entry["at"]), 2):
                own[j - i].append(float(entry["cosine"][a][b]))
            for lag, values in own.items():
                found[lag].append(float(np.mean(values)))
    return dict(sorted(found.items()))


def gradient_axes(entry: Mapping[str, Any]) -> tuple[Array, Array]:
    """Exact PCA of one guided step's gradients from their Gram matrix: coordinates (n, 2) and share of variance (2,).

    The unit of the coordinates is the length of the mean gradient.
    """
    norms = np.array(entry["norm"], float)
    gram = np.array(entry["cosine"], float) * np.outer(norms, norms)
    centre = np.eye(len(gram)) - 1 / len(gram)
    values, vectors = np.linalg.eigh(centre @ gram @ centre)
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1]
    coordinates = vectors[:, :2] * np.sqrt(values[:2])
    coordinates *= np.where(coordinates[0] > 0, -1.0, 1.0)  # the first gradient left and below, whatever the solver chose
    mean = np.sqrt(max(gram.mean(), 1e-300))
    return coordinates / mean, values[:2] / max(values.sum(), 1e-300)


@styled
def gradient_similarity(logs: Sequence[Gradients]) -> Drawn:
    """How alike the gradients of one guided step are: cosine by distance in inner steps, and one video's in their PCA plane.

    Args:
        logs: the ``gradients`` part of each video's log.

    Raises:
        UserError: when no guided step has two gradients.
    """
    lags = cosines_by_lag(logs)
    if not lags:
        raise UserError(
            "No guided step logged two gradients: there is nothing to compare. Run a method with inner steps that computes "
            "more than one, such as fastvmt:no-step-skip."
        )
    entries = [(name, entry) for log in logs for name, entry in log.items()]
    step, entry = max(entries, key=lambda item: len(item[1]["at"]))  # the first of those with the most gradients
    figure = new_figure(PAGE, 2.7)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    k = list(lags)
    low, high = np.array([np.quantile(values, (0.1, 0.9)) for values in lags.values()]).T
    mean = [float(np.mean(values)) for values in lags.values()]
    left.fill_between(k, low, high, color=PALETTE[0], alpha=0.2, linewidth=0)
    left.plot(k, mean, "o-", color=PALETTE[0], markersize=3.5)
    left.axhline(0, color=GREY, linewidth=0.6)
    left.set(xlabel="inner steps apart", ylabel="cosine of two gradients", ylim=(min(-0.05, float(low.min()) - 0.05), 1.03))
    left.xaxis.get_major_locator().set_params(integer=True)
    left.grid(True)
    coordinates, share = gradient_axes(entry)
    _trace(right, coordinates, [f"{j + 1}" for j in entry["at"]])
    right.set_xlabel(f"axis 1 ({share[0]:.0%} of the variance)")
    right.set_ylabel(f"axis 2 ({share[1]:.0%})")
    caption = (
        f"Left: mean cosine of two fresh gradients of one guided step, by how many inner steps lie between them; "
        f"{counted([len(logs)])} videos, {len(entries)} guided steps; band: their 10th to 90th percentile. "
        f"Right: PCA of the {len(entry['at'])} gradients of one video in guided step {plain(step)}, from light to "
        "dark and numbered by inner step; "
        "1 is the length of their mean, so a small extent means nearly equal gradients."
    )
    said = ", ".join(f"{lag} apart {v:.2f}" for lag, v in zip(k, mean, strict=True))
    return Drawn(
        figure, f"Mean cosine of gradients by inner steps apart: {said}. Beside it, one video's gradients by PCA.", caption
    )


def _trace(axes: Axes, points: Array, names: Sequence[str]) -> None:
    """Points joined in order, from light to dark, with their numbers."""
    axes.plot(points[:, 0], points[:, 1], color=GREY, linewidth=0.8, zorder=1)
    axes.scatter(
        points[:, 0], points[:, 1], c=np.arange(len(points)), cmap="cividis_r", s=26, edgecolor=INK, linewidth=0.4, zorder=2
    )
    room, last = 0.05 * float(np.ptp(points, axis=0).max()), None
    for point, name in zip(points, names, strict=True):
        if last is None or np.linalg.norm(point - last) > room:  # where points crowd, only some of the numbers
            axes.annotate(name, tuple(point), (4, 3), textcoords="offset points", fontsize=6)
            last = point
    axes.set_aspect("equal", "datalim")
    axes.margins(0.12)
    axes.grid(True)


# --- paths under growing skip (the paper's Figure 3) ----------------------------------------------------------------


def end_distance(paths: Paths) -> dict[int, float]:
    """Distance of each path's end from that of interval 1, over the length of interval 1's path.

    Raises:
        UserError: without interval 1, or when paths differ in length.
    """
    if 1 not in paths or len(paths) < 2:
        raise UserError("Paths under growing skip need interval 1 and at least one other; run also fastvmt:interval=1.")
    if len({np.shape(p) for p in paths.values()}) != 1 or not len(paths[1]):
        raise UserError(
            "Paths under growing skip differ in their number of inner steps: use runs that differ in interval alone."
        )
    plainest = np.array(paths[1], float)
    length = float(np.linalg.norm(np.diff(plainest, axis=0, prepend=0), axis=1).sum())
    return {k: float(np.linalg.norm(np.array(p)[-1] - plainest[-1])) / max(length, 1e-300) for k, p in sorted(paths.items())}


@styled
def skip_paths(paths: Paths, more: Sequence[Paths] = ()) -> Drawn:
    """Where the inner steps take one latent for different intervals of fresh gradients, and how far apart they end.

    Args:
        paths: interval to ``path.sketch`` of runs that start from the same latent (same case, seed, backbone).
        more: the same for other videos; they join the right panel.

    Raises:
        UserError: without interval 1, or when paths cannot be compared.
    """
    ends = [end_distance(p) for p in (paths, *more)]
    intervals = sorted(paths)
    figure = new_figure(PAGE, 2.7)
    left, right = figure.subplots(1, 2, width_ratios=(1.4, 1))
    share = _path_panel(left, paths)
    left.set(xlabel=f"axis 1 ({share[0]:.0%} of the variance)", ylabel=f"axis 2 ({share[1]:.0%})")
    left.legend(title="fresh gradient every", title_fontsize=7, loc="best", handlelength=1.5)
    shown = [k for k in intervals if k > 1]
    for place, k in enumerate(shown):
        own = [e[k] for e in ends if k in e]
        right.bar(place, float(np.mean(own)), 0.6, color=PALETTE[intervals.index(k) % 7])
        if len(own) > 1:
            right.plot(np.linspace(place - 0.15, place + 0.15, len(own)), own, ".", color=INK, markersize=3)
    right.set_xticks(range(len(shown)), [str(k) for k in shown])
    right.set(xlabel="fresh gradient every ... inner steps", ylabel="end's distance from interval 1\n(its path's length = 1)")
    right.grid(True, axis="y")
    caption = (
        "Left: the latent during the first guided step of one video, by PCA of its sketches, one mark an inner step, all from "
        f"the same start (square). Right: how far each path ends from interval 1's; {counted([len(ends)])} videos; bar: mean"
        + (", dots: videos" if len(ends) > 1 else "")
        + ". Distances come from 64-number sketches: each is within about 9 % (one standard deviation) of the exact one."
    )
    means = {k: float(np.mean([e[k] for e in ends if k in e])) for k in shown}
    said = ", ".join(f"interval {k} {number(v)}" for k, v in means.items())
    names = ", ".join(map(str, intervals))
    alt = f"Paths of the inner steps for intervals {names}; their ends' distance from interval 1's: {said}."
    return Drawn(figure, alt, caption)


def _path_panel(axes: Axes, paths: Paths) -> Array:
    """Draw the paths in the plane of their two largest axes; returns the shares of variance."""
    whole = {k: np.vstack([np.zeros(np.shape(p)[1]), np.array(p, float)]) for k, p in sorted(paths.items())}
    stacked = np.vstack(list(whole.values()))
    centre = stacked.mean(0)
    _, sizes, axis = np.linalg.svd(stacked - centre, full_matrices=False)
    plane = axis[:2].T * np.where(whole[1][-1] @ axis[:2].T < 0, -1.0, 1.0)  # paths run to the right and up
    for order, (k, points) in enumerate(whole.items()):
        flat = (points - centre) @ plane
        marker, colour = "osD^vPX"[order % 7], PALETTE[order % 7]
        name = "step" if k == 1 else f"{k} steps"
        axes.plot(flat[:, 0], flat[:, 1], "-" if k == 1 else "--", color=colour, linewidth=1.6 if k == 1 else 1.0, zorder=2)
        axes.plot(flat[1:, 0], flat[1:, 1], marker, color=colour, markersize=3, label=name, zorder=3)
        axes.plot(*flat[-1], marker, color=colour, markersize=6.5, markeredgecolor=INK, markeredgewidth=0.6, zorder=4)
    axes.plot(*(-centre @ plane), "s", color=INK, markersize=6, zorder=5)
    axes.set_aspect("equal", "datalim")
    axes.grid(True)
    shares: Array = (sizes**2 / (sizes**2).sum())[:2]
    return shares


# --- correspondence by block (the paper's Figure 9) -----------------------------------------------------------------


@styled
def correspondence(levels: Sequence[float], forms: Sequence[str], share: Sequence[Sequence[Sequence[float]]]) -> Drawn:
    """Share of moving tokens whose best key lies where they really went: by block, a line per noise level, a panel per form.

    Args:
        levels, forms, share: as ``bench doctor --json`` prints them; ``share[form][block][level]``.

    Raises:
        UserError: when the sizes disagree or nothing is there.
    """
    table = np.array(share, float)
    if table.ndim != 3 or table.shape[::2] != (len(forms), len(levels)) or not table.size:
        raise UserError(f"Correspondence has {len(forms)} forms and {len(levels)} levels, but shares of shape {table.shape}.")
    from matplotlib import colormaps

    across = min(2, len(forms))
    down = -(-len(forms) // across)
    figure = new_figure(PAGE if across > 1 else COLUMN * 1.25, 0.4 + 1.75 * down)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    colours = colormaps["cividis"](np.linspace(0, 0.92, len(levels)))
    for axes, form, values in zip(grid.flat, forms, table, strict=False):
        for n, level in enumerate(levels):
            axes.plot(values[:, n], "osD^vPX"[n % 7] + "-", color=colours[n], markersize=3, label=f"{level:g}")
        axes.set_title(plain(form), parse_math=False)
        axes.grid(True)
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in grid.flat[len(forms) :]:
        axes.set_axis_off()
    grid[0, 0].set_ylim(0, min(1.02, max(0.1, float(table.max()) * 1.1)))
    figure.supxlabel("block", fontsize=8)
    figure.supylabel("share of tokens at their true place", fontsize=8)
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, title="noise level", title_fontsize=7, loc="outside right upper")
    best = [divmod(int(v.argmax()), len(levels)) for v in table]
    said = "; ".join(
        f"{plain(f)}: highest {t[b]:.2f} at block {b[0]}, noise level {levels[b[1]]:g}"
        for f, t, b in zip(forms, table, best, strict=True)
    )
    caption = "Share of moving tokens whose best-matching key lies at their true place, by transformer block and noise level."
    return Drawn(figure, f"Lines of correspondence by block. {said}.", caption)

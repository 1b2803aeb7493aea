"""Published scores of trajectories against loops that follow their definitions word by word."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from support.clips import scored

from fastvmt.datasets.drawn.suites import clip
from fastvmt.metrics.motion.ftd import DIAGONAL, FTD, FTDScript, frechet
from fastvmt.metrics.motion.gridded import grid_points
from fastvmt.metrics.motion.ivebench import MotionFidelityIVEBench
from fastvmt.plugins.metric_labels import build
from fastvmt.plugins.tracker import Tracks

Array = Any


def tracks(seed: int, points: int = 6, frames: int = 7, hidden: float = 0.3) -> Tracks:
    """Paths that wander, their first points seen, some later ones hidden."""
    rng = np.random.default_rng(seed)
    visible = rng.random((points, frames)) > hidden
    visible[:, 0] = True
    return Tracks(0.5 + rng.normal(0, 0.1, (points, frames, 2)).cumsum(1), visible)


def frechet_by_recursion(p: Array, q: Array) -> float:
    @cache
    def reach(i: int, j: int) -> float:
        here = math.dist(p[i], q[j])
        before = [reach(a, b) for a, b in ((i - 1, j), (i, j - 1), (i - 1, j - 1)) if a >= 0 and b >= 0]
        return max(here, min(before)) if before else here

    return reach(len(p) - 1, len(q) - 1)


def fill_by_loops(points: Array, visible: Array) -> tuple[Array, set[int]]:
    """The script's own procedure on arrays (rows, columns, 2) and (rows, columns), whichever they are."""
    points, dropped = points.copy(), set()
    rows, columns = visible.shape
    for t in range(1, columns):
        seen = [i for i in range(rows) if visible[i, t]]
        for i in range(rows):
            if not seen:
                points[i, t] = points[i, t - 1]
            elif not visible[i, t]:
                points[i, t] = points[min(seen, key=lambda k: math.dist(points[i, t - 1], points[k, t])), t]
    for i in range(rows):
        hidden = [t for t in range(columns) if not visible[i, t]]
        if hidden and hidden[0] + 1 < columns and not visible[i, hidden[0] + 1 :].any():
            dropped.add(i)
    return points, dropped


def ftd_by_loops(g: Tracks, r: Tracks, exchanged: bool) -> float:
    kept, gone = [], set()
    for side in (g, r):
        if exchanged:
            points, lost = fill_by_loops(side.points.swapaxes(0, 1), side.visible.T)
            points = points.swapaxes(0, 1)
        else:
            points, lost = fill_by_loops(side.points, side.visible)
        kept.append(points)
        gone |= lost
    found = [frechet_by_recursion(kept[0][i], kept[1][i]) for i in range(len(g.points)) if i not in gone]
    return math.sqrt(sum(f * f for f in found) / len(found))


@pytest.mark.parametrize("seed", range(6))
def test_ftd_and_the_scripts_form_are_those_of_plain_loops(seed: int) -> None:
    g, r = tracks(seed), tracks(100 + seed)
    assert FTD().distance(g, r).value == pytest.approx(ftd_by_loops(g, r, exchanged=False), abs=1e-12)
    assert FTDScript().distance(g, r).value == pytest.approx(ftd_by_loops(g, r, exchanged=True), abs=1e-12)


def test_both_forms_agree_where_every_point_is_seen_and_a_lost_one_is_left_out() -> None:
    g, r = tracks(0, hidden=0), tracks(1, hidden=0)
    assert FTD().distance(g, r) == FTDScript().distance(g, r)
    g.visible[2, 3:] = False
    assert FTD().distance(g, r).details["compared"] == 5
    g.visible[:, 1:] = False
    assert FTD().distance(g, r).value == DIAGONAL and FTD().distance(r, g).value is None


def test_a_frechet_distance_waits_for_the_slower_one_and_never_goes_back() -> None:
    line = np.stack([np.arange(5.0), np.zeros(5)], -1)[None]
    slow = np.concatenate([line[:, :1], line[:, :1], line], 1)
    assert frechet(line, slow)[0] == 0 and frechet(line, line[:, ::-1])[0] == 4


def ivebench_by_loops(g: Tracks, r: Tracks) -> float:
    frames = min(g.points.shape[1], r.points.shape[1])

    def stretch(side: Tracks) -> list[Array]:
        found = []
        for points, visible in zip(side.points, side.visible, strict=True):
            own = points[visible]
            if len(own) < 2:
                continue
            out = []
            for t in range(frames):
                at = t / (frames - 1) * (len(own) - 1)
                low = min(int(at), len(own) - 2)
                out.append(own[low] + (at - low) * (own[low + 1] - own[low]))
            found.append(np.array(out))
        return found

    def alike(a: Array, b: Array) -> float:
        spans = [math.hypot(*(p.max(0) - p.min(0))) for p in (a, b)]
        scale = sum(spans) / 2 if sum(spans) / 2 >= 1e-6 else 1.0
        total = 0.0
        for t in range(frames):
            k = max(t, 1)
            speed = math.dist(a[k] - a[k - 1], b[k] - b[k - 1]) / scale
            total += 0.7 / (1 + math.dist(a[t], b[t]) / scale) + 0.3 / (1 + speed)
        return total / frames

    a, b = stretch(g), stretch(r)
    table = [[alike(p, q) for q in b] for p in a]
    few, many = (a, b) if len(a) <= len(b) else (b, a)
    best: list[float] = []
    for order in itertools.permutations(range(len(many)), len(few)):
        pairs = [table[i][j] if len(a) <= len(b) else table[j][i] for i, j in enumerate(order)]
        best = max(best, pairs, key=sum)
    kept = [value for value in best if value > 0.3]
    return sum(kept) / len(kept) if kept else 0.0


@pytest.mark.parametrize(("seed", "points", "frames"), [(0, 4, 7), (1, 5, 9), (2, 3, 6)])
def test_ivebenchs_form_is_that_of_plain_loops(seed: int, points: int, frames: int) -> None:
    g, r = tracks(seed, 4, 7, 0.5), tracks(50 + seed, points, frames, 0.5)
    found = MotionFidelityIVEBench().compare(g, r, 64)
    assert found.value == pytest.approx(ivebench_by_loops(g, r), abs=1e-12)


def test_what_the_generated_clip_lacks_is_no_number_to_gain_by() -> None:
    g, r = tracks(0), tracks(1)
    g.visible[:, 1:] = False
    assert MotionFidelityIVEBench().compare(g, r, 64).value == 0
    assert MotionFidelityIVEBench().compare(r, g, 64).value is None


def test_the_grid_is_cotrackers_and_the_same_for_both_clips() -> None:
    grid = grid_points(50, 480, 832)
    assert len(grid) == 2500 and grid[1, 1] == grid[0, 1] and grid[0].tolist() == [8 * 831 / 511, 8 * 479 / 383]
    frames = clip("single-object-100")[0][::8]
    other = clip("single-object-101")[0][::8]
    for label, count in (("motion_fidelity@ivebench", 100), ("ftd", 100), ("ftd@ropecraft-script", 100)):
        metric = build(label)
        assert len(metric.generated(scored(frames, other)).points) == count  # type: ignore[attr-defined]
        assert metric.identity()["grid"] == 10 and metric.score(scored(frames, other)).value is not None
    det = build("motion_fidelity@det")
    assert det.identity()["grid"] == 50 and "distance_part" not in det.identity()
    g = det.generated(scored(frames, other))  # type: ignore[attr-defined]
    assert g.points.shape[0] == 2500 and g.points[:, 0].max() < 1

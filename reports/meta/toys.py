"""Metrics of motion asked about drawn clips made worse by a known amount; no run and no model is needed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from fastvmt.core.screen.status_line import doing
from fastvmt.datasets.drawn.degraded import RIGHT, degraded
from fastvmt.datasets.drawn.scene import Scene, draw
from fastvmt.datasets.drawn.shapes import CATEGORIES, Pair, suite_pairs
from fastvmt.errors import BenchError
from fastvmt.metrics.motion.agreement import agreement
from fastvmt.metrics.motion.movers import known
from fastvmt.plugins.metric import Value
from fastvmt.reports.meta.ratings import Ratings, chosen, sign_of
from fastvmt.runner.scoring.score import scorer

SUITE, FRAMES = "shapes-64", 33
MOST_CLIPS = 8
"""Of a category: the suite has no more of most."""
Faults = dict[str, list[str]]
"""Why there is no number, by the metric's label."""


def of_toys(clips: int, asked: Iterable[str] = ()) -> Ratings:
    """What metrics say of degraded clips, beside what is known of them.

    Args:
        clips: reference clips of each category, 1 to ``MOST_CLIPS``.
        asked: see ``ratings.chosen``.

    Raises:
        SpecError, MissingWeights: as ``ratings.chosen`` does.
    """
    metrics, notes = chosen(asked)
    drawn = [pair for category in CATEGORIES for pair in _pairs(category)[:clips]]
    kinds: dict[str, str] = {}
    seconds: dict[str, list[float]] = {label: [] for label in metrics}
    faults: Faults = {}
    truths: list[dict[str, float]] = []
    numbers: list[dict[str, dict[str, float]]] = []
    for n, (pair, other) in enumerate(drawn):
        doing(f"asking {len(metrics)} metrics about {pair.name}, {n + 1} of {len(drawn)} clips")
        judge = partial(scorer, reference=draw(pair.reference), other=draw(other.reference), prompt=pair.target,
                        source=f"drawn:{SUITE}/{pair.name}")  # fmt: skip
        truths.append({})
        numbers.append({})
        for toy in degraded(pair, other):
            kinds.setdefault(toy.name, toy.kind)
            truths[n][toy.name] = known_agreement(toy.scene, pair.reference)
            score = judge(toy.frames)
            numbers[n][toy.name] = {label: _number(score, label, faults) for label in metrics}
            if toy.kind == RIGHT and n % clips == 0:  # the first of a category; the reference's tracks are known by now
                for label in metrics:
                    seconds[label].append(_seconds(judge(toy.frames), label))
    nothing = dict.fromkeys(metrics, np.nan)
    return Ratings(
        tuple(kinds), tuple(kinds.values()), tuple(pair.category for pair, _ in drawn),
        np.array([[of.get(name, np.nan) for name in kinds] for of in truths]).round(2),
        {label: sign_of(metric) * np.array([[of.get(name, nothing)[label] for name in kinds] for of in numbers])
         for label, metric in metrics.items()},
        metrics, {label: statistics.median(each) for label, each in seconds.items()},
        {label: (said[0], len(said)) for label, said in faults.items()}, tuple(notes),
    )  # fmt: skip


def known_agreement(scene: Scene | None, reference: Scene) -> float:
    """How far two drawn motions agree, subject by subject in their order, -1 to 1; 0 where there is no scene to move."""
    if scene is None:
        return 0.0
    shown, wanted = (known(each, reference.width, reference.height)[0] for each in (scene, reference))
    found = agreement(shown, wanted, reference.width)
    return found.in_order if found else np.nan


def _pairs(category: str) -> list[tuple[Pair, Pair]]:
    """Pairs of a category, each with the next one, whose path is the wrong one."""
    found = [pair for pair in suite_pairs(SUITE, FRAMES) if pair.category == category]
    return list(zip(found, found[1:] + found[:1], strict=True))


def _number(score: Callable[[str], Value], label: str, faults: Faults) -> float:
    try:
        value = score(label).value
    except BenchError as error:
        faults.setdefault(label, []).append(str(error))
        return np.nan
    return np.nan if value is None else value


def _seconds(score: Callable[[str], Value], label: str) -> float:
    began = time.perf_counter()
    _number(score, label, {})
    return time.perf_counter() - began

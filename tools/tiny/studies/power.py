"""How many clips tell two methods apart by the trajectory score, on drawn pairs of the ``tune`` stream and never on a suite.

    python -m tools.tiny.studies.power --pairs 8 --first 60 --trials power.jsonl fastvmt none ditflow

Generates the pairs of every category under every label and prints, for the first label against each other one, the mean
paired difference and its spread by category; then, for suites of so many clips and several mixes of categories, the smallest
difference that a paired test over all clips finds 9 times of 10. ``--trials`` keeps every score, and a second call makes what
is missing.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from fastvmt.datasets.drawn.shapes import CATEGORIES
from fastvmt.plugins import labels as specs
from fastvmt.reports.statistics import ALPHA, fewest_clips
from fastvmt.reports.statistics.power import power_of

from ..sweep import Trial, run_trial

POWER = 0.9
SIZES = (8, 12, 16, 24, 32, 64)
MIXES: dict[str, dict[str, float]] = {
    "single_object": {"single_object": 1},
    "shapes (8 : 4 : 2 : 2)": {"single_object": 8, "multiple_objects": 4, "camera": 2, "complex": 2},
    "all alike": dict.fromkeys(CATEGORIES, 1),
    "shapes-64 (40 : 8 : 8 : 8)": {"single_object": 40, "multiple_objects": 8, "camera": 8, "complex": 8},
}
Scores = dict[tuple[str, str, int], float]
"""By label, category and number of the tuning pair."""


def mean_and_spread(differences: Mapping[str, NDArray[np.float64]], mix: Mapping[str, float]) -> tuple[float, float]:
    """Of a paired difference over clips of such a mix: what categories differ by is spread as well.

    >>> mean_and_spread({"camera": np.array([0.0, 2.0]), "complex": np.array([3.0, 3.0])}, {"camera": 1, "complex": 1})
    (2.0, 1.4142135623730951)
    """
    share = np.array(list(mix.values()), float) / sum(mix.values())
    mean = np.array([differences[name].mean() for name in mix])
    within = np.array([differences[name].var(ddof=1) for name in mix])
    centre = float(share @ mean)
    return centre, float(np.sqrt(share @ (within + (mean - centre) ** 2)))


def smallest(spread: float, clips: int, tests: int = 1) -> float:
    """The smallest mean difference that a paired two-sided t-test finds with ``POWER``; infinite for too few clips.

    Args:
        spread: standard deviation of one clip's difference.
        tests: pairs of methods that are tested together.
    """
    if clips < fewest_clips():
        return float("inf")
    size = np.array([clips])
    return float(brentq(lambda d: power_of(d, size, ALPHA / tests)[0] - POWER, 0, 30) * spread)


def table(scores: Scores, labels: list[str], tests: int) -> Iterable[str]:
    """The two printed tables for every label after the first."""
    base = labels[0]
    for other in labels[1:]:
        paired: dict[str, NDArray[np.float64]] = {}
        yield f"\n{base} - {other}, trajectory\n\n| category | pairs | mean | spread |\n|---|---|---|---|"
        for name in CATEGORIES:
            both = [n for (label, c, n) in scores if (label, c) == (base, name) and (other, name, n) in scores]
            paired[name] = np.array([scores[base, name, n] - scores[other, name, n] for n in sorted(both)])
            yield f"| {name} | {len(both)} | {paired[name].mean():+.3f} | {paired[name].std(ddof=1):.3f} |"
        sizes = " | ".join(f"{n} clips" for n in SIZES)
        yield f"\nsmallest difference found {POWER:.0%} of the time, {tests} pairs of methods tested together\n"
        yield f"| mix | mean | {sizes} |\n{'|---' * (len(SIZES) + 2)}|"
        for called, mix in MIXES.items():
            mean, spread = mean_and_spread(paired, mix)
            cells = " | ".join(f"{smallest(spread, n, tests):.3f}" for n in SIZES)
            yield f"| {called} | {mean:+.3f} | {cells} |"


def known(path: Path | None) -> Scores:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path and path.exists() else []
    return {(label, category, number): score for label, category, number, score in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", nargs="*", help="the first is compared with each other one; fastvmt none ditflow")
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--pairs", type=int, default=8, help="of each category, two at least")
    parser.add_argument("--first", type=int, default=60, help="number of the first tuning pair")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rows", type=int, default=4, help="methods and controls of the table whose pairs are tested together")
    parser.add_argument("--trials", type=Path, help="file of scores, a line each; for one set of weights and steps")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    if args.pairs < 2 or args.rows < 2:
        parser.error("--pairs and --rows: two at least are needed.")
    labels = args.labels or ["fastvmt", "none", "ditflow"]
    for label in labels:
        specs.parse(label)
    numbers = range(args.first, args.first + args.pairs)
    wanted = [(label, name, n) for n in numbers for name in CATEGORIES for label in labels]
    scores = known(args.trials)
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        waiting: dict[tuple[str, str, int], Future[Trial]] = {
            (label, name, n): pool.submit(run_trial, args.backbone, label, n, args.steps, None, name)
            for label, name, n in wanted
            if (label, name, n) not in scores
        }
        for key, trial in waiting.items():
            scores[key] = trial.result().score
            if args.trials:
                with args.trials.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([*key, scores[key]]) + "\n")
    print(f"{args.pairs} tuning pairs of each category from number {args.first}, backbone {args.backbone}")
    print("\n".join(table(scores, labels, args.rows * (args.rows - 1) // 2)))


if __name__ == "__main__":
    main()

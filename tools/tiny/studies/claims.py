"""What is claimed of one method against others, on drawn pairs of the ``heldout`` stream that no parameter was chosen on.

    python -m tools.tiny.studies.claims --steps 10 --trials held.jsonl flowstep flowstep:two fastvmt ditflow none

Generates every pair under every label and seed, and prints a table of means by category, then the paired differences of the
first labels against each other one with 95 % intervals: trajectory, text similarity, and the share of right shapes. Seeds of a
pair are averaged first, so that a pair counts once. ``--trials`` keeps every number, and a second call makes what is missing.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastvmt.datasets.drawn.shapes import CATEGORIES, STREAMS
from fastvmt.plugins import labels as specs
from fastvmt.reports.statistics.intervals import mean_interval

from ..sweep import Trial, run_trial

FIRST = 500
"""Number of the first pair; the training run looked at lower ones."""
PAIRS = {"single_object": 40, "multiple_objects": 7, "complex": 7, "camera": 7}
SEEDS = 2
Key = tuple[str, int, str, int, int]
"""Label, steps, category, number, seed."""
Trials = dict[Key, Trial]


def keys(labels: Sequence[str], steps: int, pairs: dict[str, int], first: int, seeds: int) -> list[Key]:
    """Every job, pair by pair, so that a run cut short has whole pairs."""
    most = max(pairs.values())
    numbers = [(first + n, name) for n in range(most) for name in CATEGORIES if n < pairs[name]]
    return [(label, steps, name, n, seed) for seed in range(seeds) for n, name in numbers for label in labels]


def read(path: Path | None) -> Trials:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path and path.exists() else []
    return {tuple(row["key"]): Trial(**row["trial"]) for row in rows}


def make(wanted: Iterable[Key], trials: Trials, backbone: str, stream: str, path: Path | None, workers: int) -> None:
    """Generate what ``trials`` lacks, and append each result to ``path`` as it comes."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = {
            pool.submit(run_trial, backbone, label, n, steps, None, name, stream, seed): (label, steps, name, n, seed)
            for label, steps, name, n, seed in wanted
            if (label, steps, name, n, seed) not in trials
        }
        for done in as_completed(waiting):
            key, trial = waiting[done], done.result()
            trials[key] = trial
            if path:
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, "trial": asdict(trial)}) + "\n")


def by_pair(trials: Trials, label: str, steps: int, names: Iterable[str], field: str) -> dict[tuple[str, int], float]:
    """Mean over seeds of one number, by category and pair."""
    found: dict[tuple[str, int], list[float]] = {}
    for (other, count, name, number, _), trial in trials.items():
        if (other, count) == (label, steps) and name in names:
            found.setdefault((name, number), []).append(float(getattr(trial, field)))
    return {pair: float(np.mean(values)) for pair, values in found.items()}


def difference(
    trials: Trials, a: str, b: str, steps: int, names: Sequence[str], field: str
) -> tuple[float, float, float, int] | None:
    """Mean of a - b over the pairs that both have, its 95 % interval, and how many pairs; None for fewer than two."""
    first, second = (by_pair(trials, label, steps, names, field) for label in (a, b))
    common = sorted(first.keys() & second.keys())
    values: NDArray[np.float64] = np.array([first[pair] - second[pair] for pair in common])
    if len(values) < 2:
        return None
    found = mean_interval(values)
    return found.value, found.low, found.high, found.n


def _mean(values: Collection[float]) -> str:
    found = list(values)
    return f"{np.mean(found):.3f} ± {np.std(found, ddof=1) / len(found) ** 0.5:.3f}" if len(found) > 1 else "–"


def means(trials: Trials, labels: Sequence[str], steps: int) -> Iterator[str]:
    yield f"| label | all | {' | '.join(CATEGORIES)} | text | shape | forwards | s |\n" + "|---" * (len(CATEGORIES) + 6) + "|"
    for label in labels:
        kinds = (CATEGORIES, *((name,) for name in CATEGORIES))
        cells = [_mean(by_pair(trials, label, steps, names, "score").values()) for names in kinds]
        for field, digits in (("text", 4), ("shape", 3), ("forwards", 1), ("seconds", 2)):
            cells.append(f"{np.mean(list(by_pair(trials, label, steps, CATEGORIES, field).values())):.{digits}f}")
        yield f"| {label} | {' | '.join(cells)} |"


def claims(trials: Trials, ours: Sequence[str], others: Sequence[str], steps: int) -> Iterator[str]:
    yield "| difference | pairs | trajectory | several, complex, camera | text similarity | shapes |\n" + "|---" * 6 + "|"
    rest = tuple(c for c in CATEGORIES if c != "single_object")
    for a in ours:
        for b in others:
            cells = [
                difference(trials, a, b, steps, names, field)
                for names, field in ((CATEGORIES, "score"), (rest, "score"), (CATEGORIES, "text"), (CATEGORIES, "shape"))
            ]
            said = " | ".join(f"{c[0]:+.3f} [{c[1]:+.3f}, {c[2]:+.3f}]" if c else "–" for c in cells)
            yield f"| {a} - {b} | {cells[0][3] if cells[0] else 0} | {said} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", nargs="+", help="those of --ours first are compared with each other one")
    parser.add_argument("--ours", type=int, default=2, help="how many of the labels are compared with the rest")
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--single", type=int, default=PAIRS["single_object"], help="pairs with one moving object")
    parser.add_argument("--others", type=int, default=PAIRS["camera"], help="pairs of each other category")
    parser.add_argument("--stream", default="heldout", choices=STREAMS, help="tune, to choose what heldout is to judge")
    parser.add_argument("--first", type=int, default=FIRST, help="number of the first pair")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--trials", type=Path, help="file of results, a line each; for one set of weights")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    for label in args.labels:
        specs.parse(label)
    pairs = {name: args.single if name == "single_object" else args.others for name in CATEGORIES}
    trials, wanted = read(args.trials), keys(args.labels, args.steps, pairs, args.first, args.seeds)
    make(wanted, trials, args.backbone, args.stream, args.trials, args.workers)
    there = {key: trials[key] for key in wanted}
    print(f"{sum(pairs.values())} pairs of {args.stream} from {args.first}, {args.seeds} seeds, {args.steps} steps\n")
    print("\n".join(means(there, args.labels, args.steps)))
    print("\n95 % intervals of the paired differences\n")
    print("\n".join(claims(there, args.labels[: args.ours], args.labels[args.ours :], args.steps)))


if __name__ == "__main__":
    main()

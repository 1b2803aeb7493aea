"""How often a 95 % interval holds the true mean, by number of clips: ``python benchmarks/coverage.py [--draws 2000]``.

Normal and skewed (exponential) values; a number far below 0.95 says that so few clips cannot carry a claim.
"""

from __future__ import annotations

import argparse

import numpy as np

from fastvmt.reports.statistics import mean_intervals

CLIPS = (3, 4, 5, 8, 15, 30, 50)


def covered(values: np.ndarray, truth: float) -> float:  # type: ignore[type-arg]
    """Share of columns whose interval holds the truth; values are (clips, draws)."""
    return float(np.mean([i.low <= truth <= i.high for i in mean_intervals(values)]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    rng = np.random.default_rng(0)
    print("| clips | normal | skewed |\n|---|---|---|")
    for clips in CLIPS:
        normal = covered(rng.normal(size=(clips, draws)), 0.0)
        skewed = covered(rng.exponential(size=(clips, draws)), 1.0)
        print(f"| {clips} | {normal:.2f} | {skewed:.2f} |")


if __name__ == "__main__":
    main()

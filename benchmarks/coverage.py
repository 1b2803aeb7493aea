"""How often a 95 % interval holds the true mean, by number of clips: ``python benchmarks/coverage.py [--draws 2000]``.

Normal and skewed (exponential) values; a number far below 0.95 says that so few clips cannot carry a claim. Then how often
any two of eight equal methods are told apart, which should be 0.05 at most (a tenth of the draws).
"""

from __future__ import annotations

import argparse

import numpy as np

from fastvmt.reports.statistics import gaps, mean_intervals

CLIPS = (3, 4, 5, 8, 15, 30, 50)


def covered(values: np.ndarray, truth: float) -> float:  # type: ignore[type-arg]
    """Share of columns whose interval holds the truth; values are (clips, draws)."""
    return float(np.mean([i.low <= truth <= i.high for i in mean_intervals(values)]))


def false_difference(values: np.ndarray) -> float:  # type: ignore[type-arg]
    """Share of columns (draws, clips, methods) in which any two methods are told apart."""
    return float(np.mean([any(gap.apart for gap in gaps(column).values()) for column in values]))


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
    print("\n| clips | normal | skewed |\n|---|---|---|")
    rng = np.random.default_rng(1)
    for clips in (6, 8, 16, 24):
        shape = (max(1, draws // 10), clips, 8)
        normal, skewed = false_difference(rng.normal(size=shape)), false_difference(rng.exponential(size=shape))
        print(f"| {clips} | {normal:.3f} | {skewed:.3f} |")


if __name__ == "__main__":
    main()

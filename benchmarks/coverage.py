"""How often a 95 % interval holds the true mean, by number of clips: ``python benchmarks/coverage.py [--draws 2000]``.

Normal and skewed (exponential) values; a number far below 0.95 says that so few clips cannot carry a claim. Then shares: the
bootstrap that other means have, beside the interval that tables print, with one video a clip and with four that resemble each
other. Then how often any two of eight equal methods are told apart, which should be 0.05 at most (a tenth of the draws); and
two whose differences have a mean of zero and are skewed, which is what the test does not allow for.
"""

from __future__ import annotations

import argparse

import numpy as np

from fastvmt.reports.statistics import Scale, gaps, mean_intervals

CLIPS = (3, 4, 5, 8, 15, 30, 50)
SHARE = Scale(0.0, 1.0, share=True)
ALIKE = 0.5
"""Correlation of two videos of one clip."""


def covered(values: np.ndarray, truth: float, scale: Scale | None = None, each: int = 1) -> float:  # type: ignore[type-arg]
    """Share of columns whose interval holds the truth; values are (clips, draws)."""
    found = mean_intervals(values, scale=scale, each=each)
    return float(np.mean([i.low - 1e-12 <= truth <= i.high + 1e-12 for i in found]))


def false_difference(values: np.ndarray) -> float:  # type: ignore[type-arg]
    """Share of columns (draws, clips, methods) in which any two methods are told apart."""
    return float(np.mean([any(gap.apart for gap in gaps(column).values()) for column in values]))


def shares(rng: np.random.Generator, draws: int) -> None:
    """Prints how often the intervals of a share hold it."""
    heads = ("share", "clips", "bootstrap", "printed", "bootstrap, 4 videos a clip", "printed, 4 videos a clip")
    print(f"\n| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for share in (0.5, 0.8, 0.95):
        for clips in (8, 24):
            one = rng.binomial(1, share, (clips, draws)).astype(float)
            own = rng.beta(share * (1 / ALIKE - 1), (1 - share) * (1 / ALIKE - 1), (clips, draws))
            four = rng.binomial(4, own) / 4
            found = (covered(v, share, s, e) for v, e in ((one, 1), (four, 4)) for s in (None, SHARE))
            print(f"| {share} | {clips} | {' | '.join(f'{v:.2f}' for v in found)} |")


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
    shares(np.random.default_rng(2), draws)
    print("\n| clips | normal | skewed | two, skewed differences |\n|---|---|---|---|")
    rng, lopsided = np.random.default_rng(1), np.random.default_rng(4)
    for clips in (6, 8, 16, 24):
        shape = (max(1, draws // 10), clips, 8)
        normal, skewed = false_difference(rng.normal(size=shape)), false_difference(rng.exponential(size=shape))
        differences = np.zeros((draws, clips, 2))
        differences[..., 0] = lopsided.exponential(size=(draws, clips)) - 1
        print(f"| {clips} | {normal:.3f} | {skewed:.3f} | {false_difference(differences):.3f} |")


if __name__ == "__main__":
    main()

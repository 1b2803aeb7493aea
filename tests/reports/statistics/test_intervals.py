"""What the intervals and tests must hold to: hand-counted numbers, clusters, gaps, and what is refused."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

from fastvmt.reports.statistics import mean_ranks
from fastvmt.reports.statistics.intervals import (
    Difference,
    Interval,
    mean_interval,
    mean_intervals,
    paired_difference,
    paired_ratio,
    resampler,
)


def against(a: list[float], **how: Any) -> Difference:
    return paired_difference(a, [0.0] * len(a), **how)


# --- numbers counted by hand --------------------------------------------------------------------------------------------


def test_sign_flips_counted_by_hand() -> None:
    # Only all plus and all minus are as far from 0: 2 of 32.
    assert against([1, 2, 3, 4, 5]).p == pytest.approx(2 / 32)
    # The sum is 9 of at most 11: nothing flipped, or either 1 alone flipped; as many below.
    assert against([1, 2, 3, 4, -1]).p == pytest.approx(6 / 32)
    values = [0.3, -1.2, 2.5, 0.9, 1.7, -0.4]
    sums = [abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in product((1, -1), repeat=6)]
    assert against(values).p == pytest.approx(np.mean([s >= abs(sum(values)) - 1e-9 for s in sums]))


def test_effect_sizes_counted_by_hand() -> None:
    found = against([1, 2, 3, 4, -1])
    assert found.value == pytest.approx(1.8)
    assert found.effect == pytest.approx(1.8 / math.sqrt(14.8 / 4))
    # Ranks of the sizes are 1.5, 3, 4, 5 against 1.5.
    assert found.rank_biserial == pytest.approx(12 / 15)
    assert against([1, 2, 3, 4, 5]).wilcoxon_p == pytest.approx(2 / 32)


def test_wins_follow_the_direction_and_the_tolerance() -> None:
    a, b = [1.0, 2.0, 3.0, 4.0], [1.5, 2.05, 3.0, 1.0]
    up, down = paired_difference(a, b, better="up", ties=0.1), paired_difference(a, b, better="down", ties=0.1)
    assert (up.wins, up.ties, up.losses) == (1, 2, 1)
    assert (down.wins, down.ties, down.losses) == (1, 2, 1)
    assert (paired_difference(a, b).wins, paired_difference(a, b, better="down").wins) == (1, 2)
    assert up.value == down.value == pytest.approx((-0.5 - 0.05 + 3) / 4)


def test_the_bootstrap_of_three_is_a_binomial() -> None:
    # The mean of (0, 0, 3) redrawn is 0, 1, 2, 3 with chances 8, 12, 6, 1 of 27: 3 is above 96.3 % and 0 below 29.6 %.
    assert mean_interval([0, 3, 0]) == Interval(1.0, 0.0, pytest.approx(3.0), 3)
    means = resampler(3) @ np.array([0, 0, 3], np.float32)
    assert np.bincount(means.round().astype(int)) / 10_000 == pytest.approx(np.array([8, 12, 6, 1]) / 27, abs=0.02)


def test_geometric_mean_of_ratios() -> None:
    found = paired_ratio([2.0, 8.0, 4.0], [1.0, 1.0, 1.0])
    # With three clips the interval is as wide as what they can be resampled to: all of one clip.
    assert (found.value, found.low, found.high, found.n) == (pytest.approx(4), pytest.approx(2), pytest.approx(8), 3)
    # Two seeds of one clip count once: the ratios are 2 and 8, not 2, 8, 8.
    assert paired_ratio([2.0, 8.0, 8.0], [1.0] * 3, clusters=["x", "y", "y"]).value == pytest.approx(4)


def test_ranks_with_ties() -> None:
    found = mean_ranks([[9, 9, 1], [3, 2, 1], [5, 5, 5]])
    assert found.ranks == pytest.approx([(1.5 + 1 + 2) / 3, (1.5 + 2 + 2) / 3, (3 + 3 + 2) / 3])


def test_ranks_of_full_agreement_and_of_none() -> None:
    agreed = np.tile([1.0, 2.0, 3.0], (4, 1))
    assert mean_ranks(agreed, "down").ranks.tolist() == [1, 2, 3]
    assert mean_ranks(agreed, "up").ranks.tolist() == [3, 2, 1]
    assert mean_ranks(agreed).p == pytest.approx(math.exp(-4))  # chi-squared of 8 with 2 degrees of freedom
    same = mean_ranks(np.ones((4, 3)))
    assert (same.ranks.tolist(), same.p) == ([2, 2, 2], 1.0)
    two = mean_ranks(agreed[:, :2])
    assert math.isnan(two.p)


# --- clusters -----------------------------------------------------------------------------------------------------------


def test_seeds_of_one_clip_are_one_observation() -> None:
    a, clips = [1.0, 1.0, 1.0, 1.0, -1.0], ["x", "x", "x", "x", "y"]
    found = paired_difference(a, [0.0] * 5, clusters=clips)
    assert (found.value, found.n, found.clusters, found.p) == (0.0, 5, 2, 1.0)
    assert (found.wins, found.losses) == (4, 1)
    assert repr(mean_interval(a, clips)) == repr(Interval(0.0, float("nan"), float("nan"), 5))  # five values, two clips
    repeated = paired_difference(np.repeat([1.0, 2, 3, 4, 5], 20), np.zeros(100), clusters=np.repeat(np.arange(5), 20))
    assert repeated.p == pytest.approx(2 / 32)


def test_one_cluster_has_no_interval() -> None:
    found = paired_difference([2.0, 3.0], [1.0, 1.0], clusters=["x", "x"])
    assert (found.value, found.p, found.wilcoxon_p, found.clusters) == (1.5, 1.0, 1.0, 1)
    assert all(math.isnan(v) for v in (found.low, found.high, found.effect))
    ratio = paired_ratio([4.0], [2.0])
    assert ratio.value == pytest.approx(2)
    assert math.isnan(ratio.low)
    assert math.isnan(ratio.high)


def test_no_difference_is_no_effect() -> None:
    found = paired_difference([1.0, 2.0, 3.0] * 6, [1.0, 2.0, 3.0] * 6)
    assert (found.value, found.low, found.high, found.p, found.wilcoxon_p) == (0, 0, 0, 1, 1)
    assert (found.effect, found.rank_biserial, found.ties) == (0, 0, 18)
    # A constant difference has no standard deviation, and no d_z that rounding would make up.
    constant = against([0.1] * 10)
    assert math.isnan(constant.effect)
    assert constant.low == pytest.approx(0.1, abs=1e-12)
    assert constant.p == pytest.approx(2 / 1024)


# --- columns with gaps --------------------------------------------------------------------------------------------------


def test_each_column_uses_its_own_clusters() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(5, 1, (40, 5))
    table[::2, 1] = np.nan
    table[1:, 2] = np.nan
    table[:, 3] = np.nan
    full, half, one, none, last = mean_intervals(table)
    for found, values in ((full, table[:, 0]), (half, table[1::2, 1]), (last, table[:, 4])):
        alone = mean_interval(values)
        # Single precision depends in its last digits on how many columns are multiplied together.
        assert (found.value, found.low, found.high) == pytest.approx((alone.value, alone.low, alone.high), rel=1e-6)
        assert found.n == alone.n == len(values)
    assert (one.value, one.n) == (table[0, 2], 1)
    assert math.isnan(one.low)
    assert math.isnan(none.value)
    assert none.n == 0


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [math.inf, 1.0], [[1.0, 2.0]], [None, 1.0]])
def test_values_that_are_no_numbers_are_refused(bad: Any) -> None:
    for call in (mean_interval, lambda v: paired_difference(v, v), lambda v: paired_ratio(v, v)):
        with pytest.raises(ValueError, match="finite|at least one"):
            call(bad)


def test_sides_must_pair() -> None:
    with pytest.raises(ValueError, match="one length, not 2 and 1"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="one label per value"):
        mean_interval([1.0, 2.0], ["x"])
    with pytest.raises(ValueError, match="positive"):
        paired_ratio([1.0, 0.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="up or down"):
        paired_difference([1.0], [1.0], better="sideways")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        paired_difference([1.0], [1.0], ties=-1.0)

"""What the intervals and tests must hold to for any numbers: symmetries, coverage, agreement with scipy, false alarms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from fastvmt.reports.statistics import intervals
from fastvmt.reports.statistics.intervals import (
    FEWEST,
    Interval,
    bounds,
    false_alarm_rate,
    mean_interval,
    paired_difference,
    resampler,
    tail,
    weight_blocks,
)

few = settings(max_examples=15, deadline=None)
# Eighths add and average without rounding, so that symmetries hold to the last bit.
eighths = st.integers(-800, 800).map(lambda k: k / 8)
pairs = st.lists(st.tuples(eighths, eighths), min_size=FEWEST, max_size=18)


# --- symmetries ---------------------------------------------------------------------------------------------------------


@few
@given(pairs)
@example([(-2.0, 0.0), (1.0, 0.0), (1.0, 0.0)])  # lopsided with a mean of zero
def test_swapping_the_sides_mirrors_the_result(drawn: list[tuple[float, float]]) -> None:
    a, b = zip(*drawn, strict=True)
    one, other = paired_difference(a, b), paired_difference(b, a)
    assert (other.value, other.p, other.wilcoxon_p) == pytest.approx((-one.value, one.p, one.wilcoxon_p))
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-9)
    assert (other.wins, other.ties, other.losses) == (one.losses, one.ties, one.wins)
    assert one.wins + one.ties + one.losses == one.n == len(a)
    assert (other.effect, other.rank_biserial) == pytest.approx((-one.effect, -one.rank_biserial), nan_ok=True)


@few
@given(pairs, st.randoms(use_true_random=False))
def test_the_order_of_the_cases_changes_nothing(drawn: list[tuple[float, float]], random: Any) -> None:
    rows = [(*pair, f"clip {i % 7}") for i, pair in enumerate(drawn)]
    other = random.sample(rows, len(rows))
    results = []
    for given_rows in (rows, other):
        a, b, clips = zip(*given_rows, strict=True)
        results.append((paired_difference(a, b), paired_difference(a, b, clips), mean_interval(a, clips)))
    assert repr(results[0]) == repr(results[1])


@few
@given(st.lists(st.floats(-1e6, 1e6), min_size=FEWEST, max_size=30))
def test_the_interval_holds_the_mean(values: list[float]) -> None:
    found = mean_interval(values)
    room = 1e-6 * (max(values) - min(values)) + 1e-9
    assert min(values) - room <= found.low <= found.value <= found.high <= max(values) + room


# --- agreement with scipy, and with the truth ---------------------------------------------------------------------------


@pytest.mark.parametrize("clusters", [6, 30, 200])
def test_the_bootstrap_agrees_with_scipys(clusters: int) -> None:
    values = np.random.default_rng(clusters).gamma(2.0, 3.0, clusters) + 1000.0
    theirs = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=10_000,
        method="percentile",
        batch=1000,
        random_state=np.random.default_rng(1),
        confidence_level=1 - 2 * tail(clusters),
    ).confidence_interval
    found = mean_interval(values)
    # Monte-Carlo error of a 2.5 % quantile of 10,000 draws is about 0.03 standard errors; two of them, four deviations.
    error = values.std(ddof=1) / math.sqrt(clusters)
    assert (found.low, found.high) == pytest.approx(
        (theirs.low, theirs.high), abs=0.3 * error
    )  # the quantile of few clusters lies further out, where draws are rarer


@pytest.mark.parametrize("clusters", [14, 40])
def test_drawn_sign_flips_agree_with_scipys_permutations(clusters: int) -> None:
    values = np.random.default_rng(clusters).normal(0.3, 1.0, clusters)
    theirs = stats.permutation_test(
        (values,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**14,
        random_state=np.random.default_rng(1),
    ).pvalue
    found = paired_difference(values, np.zeros(clusters))
    assert 0.01 < theirs < 0.6
    assert found.p == pytest.approx(theirs, abs=0.025)
    assert paired_difference(values, np.zeros(clusters)) == found


def test_intervals_cover_the_truth() -> None:
    draws = np.random.default_rng(11).normal(7.0, 2.0, (50, 300))
    _, low, high, _ = bounds(draws)
    assert 0.92 <= ((low <= 7.0) & (high >= 7.0)).mean() <= 0.97


def test_many_clusters_are_drawn_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, values = resampler(500, seed=5), np.random.default_rng(0).normal(size=500)
    found = mean_interval(values, seed=5)
    monkeypatch.setattr(intervals, "MOST_WEIGHTS", 1_234_567)
    blocks = list(weight_blocks(500, seed=5))
    assert len(blocks) == 5
    assert max(block.size for block in blocks) <= 1_234_567
    assert np.array_equal(np.concatenate(blocks), whole)
    again = mean_interval(values, seed=5)
    assert (again.low, again.high) == pytest.approx((found.low, found.high), rel=1e-4)
    with pytest.raises(ValueError, match="weight_blocks"):
        resampler(501, seed=5)


# --- false alarms -------------------------------------------------------------------------------------------------------


def differs(low: np.ndarray, high: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    return (low > tolerance) | (high < -tolerance)


def worse(low: np.ndarray, high: np.ndarray, tolerance: np.ndarray) -> np.ndarray:
    return high < -tolerance


def test_a_five_percent_rule_fires_in_five_percent() -> None:
    values = np.random.default_rng(2).normal(0, 1, 100)
    found = false_alarm_rate(values, differs)
    assert 0.035 < found.value < 0.07
    assert found.low < 0.055 < found.high
    assert 0.012 < false_alarm_rate(values, worse).value < 0.04
    assert false_alarm_rate(values, differs) == found


def test_wilsons_interval_of_the_share() -> None:
    never = false_alarm_rate(np.arange(1.0, 9.0), differs, tolerance=100.0, rounds=100)
    # z squared over n plus z squared, by hand.
    assert never == Interval(0.0, 0.0, pytest.approx(1.959964**2 / (100 + 1.959964**2)), 100)
    assert false_alarm_rate(np.arange(1.0, 9.0), lambda low, high, _: low <= high, rounds=100).value == 1.0

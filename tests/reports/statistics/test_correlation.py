"""Rank correlation: scipy's numbers where nothing is missing, and what a missing one costs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fastvmt.reports.statistics.correlation import rho, somers_d, tau_b


def test_the_coefficients_are_scipys_with_and_without_ties() -> None:
    rng = np.random.default_rng(0)
    values, truth = (rng.integers(0, most, (40, 12)).astype(float) for most in (100, 5))
    assert tau_b(values, truth) == pytest.approx([stats.kendalltau(a, b).statistic for a, b in zip(values, truth, strict=True)])
    assert somers_d(values, truth) == pytest.approx([stats.somersd(b, a).statistic for a, b in zip(values, truth, strict=True)])
    assert rho(values, truth) == pytest.approx([stats.spearmanr(a, b).statistic for a, b in zip(values, truth, strict=True)])


@pytest.mark.parametrize("coefficient", [tau_b, rho, somers_d])
def test_what_is_missing_decides_nothing_and_is_no_gain(coefficient: object) -> None:
    nan = float("nan")
    truth = np.array([[1.0, 2, 3, 4, 5]] * 4)
    whole, wrong, gap, constant = coefficient(  # type: ignore[operator]
        np.array([[1.0, 2, 3, 4, 5], [5, 4, 3, 2, 1], [1, 2, nan, 4, 5], [7, 7, 7, nan, 7]]), truth
    )
    assert whole == 1 and wrong == -1 and 0 < gap < 1 and constant == 0


@pytest.mark.parametrize("coefficient", [tau_b, rho, somers_d])
def test_pairs_whose_truth_nobody_knows_are_left_out(coefficient: object) -> None:
    nan = float("nan")
    known, nothing = coefficient(  # type: ignore[operator]
        np.array([[1.0, 9, 2, 3], [1, 2, 3, 4]]), np.array([[1.0, nan, 2, 3], [2, 2, nan, 2]])
    )
    assert known == 1 and np.isnan(nothing)

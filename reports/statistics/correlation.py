"""Rank correlation of rows with a truth, where numbers may be missing: Kendall's tau-b, Spearman's rho, Somers' D.

The first two are Daniels' coefficient, sum(a_ij b_ij) / sqrt(sum(a_ij^2) sum(b_ij^2)) over pairs i < j, where a_ij is the sign
of a difference (tau-b) or the difference of ranks (rho). A missing number ties with all others: it decides nothing, and the
pairs that it leaves undecided count against the row. A pair whose truth is missing is left out.
"""

from __future__ import annotations

import numpy as np

from fastvmt.reports.statistics.paired import Floats


def tau_b(values: Floats, truth: Floats) -> Floats:
    """Kendall's tau-b of each row.

    Args:
        values: (rows, n), NaN where there is none; truth: (rows, n), NaN where nobody knows.

    Returns:
        (rows,) -1 to 1; 0 where the values decide nothing, NaN where the truth does not.

    >>> tau_b(np.array([[1.0, 2, 3, 4], [1, 1, 1, 1]]), np.array([[1.0, 2, 4, 3], [1, 2, 3, 4]])).round(3).tolist()
    [0.667, 0.0]
    """
    return _daniels(np.sign(_differences(values)), np.sign(_differences(truth)))


def rho(values: Floats, truth: Floats) -> Floats:
    """Spearman's rho of each row; as ``tau_b``."""
    from scipy import stats

    known = np.where(np.isfinite(truth), values, np.nan)
    return _daniels(*(_differences(stats.rankdata(side, axis=1, nan_policy="omit")) for side in (known, truth)))


def somers_d(values: Floats, truth: Floats) -> Floats:
    """Of the pairs whose truth differs, those in the right order less those in the wrong one: what is equal may be told apart.

    Arguments and result as of ``tau_b``.
    """
    said, wanted = np.nan_to_num(np.sign(_differences(values))), np.nan_to_num(np.sign(_differences(truth)))
    pairs = np.abs(wanted).sum(1)
    return np.divide((said * wanted).sum(1), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def _differences(values: Floats) -> Floats:
    """(rows, pairs) first less second of every pair, NaN where one is missing."""
    first, second = np.triu_indices(values.shape[1], 1)
    return values[:, first] - values[:, second]


def _daniels(values: Floats, truth: Floats) -> Floats:
    values = np.where(np.isfinite(truth), np.nan_to_num(values), 0.0)
    truth = np.nan_to_num(truth)
    asked, said = (np.square(side).sum(1) for side in (truth, values))
    together = (values * truth).sum(1)
    size = np.sqrt(asked * said)
    return np.where(asked == 0, np.nan, np.divide(together, size, out=np.zeros_like(size), where=size > 0))

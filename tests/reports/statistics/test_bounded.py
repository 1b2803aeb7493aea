"""Shares and bounded scores: intervals that chance cannot make too narrow, and rules that they keep to."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fastvmt.reports.statistics import Scale, gaps, mean_interval
from fastvmt.reports.statistics.bounded import share_ends, unseen

SHARE, SCORE = Scale(0.0, 1.0, share=True), Scale(-1.0, 1.0)


@pytest.mark.parametrize("seen", range(9))
def test_a_share_of_clips_has_clopper_and_pearsons_interval(seen: int) -> None:
    found = mean_interval([1.0] * seen + [0.0] * (8 - seen), scale=SHARE)
    theirs = stats.binomtest(seen, 8).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_videos_of_one_clip_count_for_what_they_add() -> None:
    clips = np.repeat(np.arange(8), 4)
    alike = mean_interval(np.repeat([1.0, 1, 1, 1, 1, 1, 0, 0], 4), clips, scale=SHARE)
    one = mean_interval([1.0, 1, 1, 1, 1, 1, 0, 0], scale=SHARE)
    assert (alike.low, alike.high) == (one.low, one.high)  # four seeds that always agree are one
    apart = mean_interval(np.tile([1.0, 1, 1, 0], 8), clips, scale=SHARE)
    each = stats.binomtest(24, 32).proportion_ci(0.95, method="exact")
    none = mean_interval(np.repeat([1.0, 0.0], 16), clips, scale=SHARE)
    assert apart.high - apart.low > each.high - each.low  # no spread between clips is luck, and gives no more than all videos
    assert none.high - none.low > 2 * (each.high - each.low)
    assert mean_interval([1.0] * 32, clips, scale=SHARE).low == pytest.approx(1 - unseen(8))  # 32 of 32 of 8 clips


@pytest.mark.parametrize("level", [1.0, -1.0, 0.25])
def test_equal_scores_leave_room_up_to_the_ends_of_their_range(level: float) -> None:
    found, share = mean_interval(np.full(8, level) + 1e-12 * np.arange(-7, 1) * level, scale=SCORE), unseen(8)
    assert (found.low, found.high) == pytest.approx((level - share * (level + 1), level + share * (1 - level)), abs=1e-9)
    assert mean_interval(np.full(8, 57.0), scale=SCORE).low == 57.0  # the range was not meant: nothing is made of it
    assert np.isnan(mean_interval([level] * 2, scale=SCORE).low)


def test_a_spread_keeps_the_bootstraps_interval() -> None:
    values = np.random.default_rng(0).uniform(0.2, 0.9, 12)
    assert mean_interval(values, scale=SCORE) == mean_interval(values)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.8])
@pytest.mark.parametrize("alike", [0.01, 0.5, 0.99])
def test_shares_are_covered_however_alike_the_videos_of_a_clip_are(share: float, alike: float) -> None:
    rng, clips, seeds, draws = np.random.default_rng(3), 8, 4, 400
    own = rng.beta(share * (1 / alike - 1), (1 - share) * (1 / alike - 1), (draws, clips))
    means = rng.binomial(seeds, own) / seeds
    ends = np.array([share_ends(row, clips * seeds) for row in means])
    assert ((ends[:, 0] <= share) & (share <= ends[:, 1])).mean() >= 0.93


def test_equal_differences_are_certain_only_of_one_video() -> None:
    same, score = np.ones((8, 2)), np.random.default_rng(1).uniform(0, 1, 8)
    varied = np.round(score)
    tie = gaps(same, scale=SHARE)[0, 1]
    assert (tie.value, tie.low, tie.high, tie.p) == (0.0, pytest.approx(-unseen(8)), pytest.approx(unseen(8)), 1.0)
    assert gaps(np.stack([varied, varied], 1), scale=SHARE)[0, 1].high > 0.3  # shares agree by chance
    assert gaps(np.stack([score, score], 1), scale=SCORE)[0, 1].high == 0.0  # scores do not
    assert gaps(np.ones((8, 2)), scale=SCORE)[0, 1].high > 0.3  # but where they are at their end
    for clips, methods in ((6, 2), (8, 5)):
        table = np.zeros((clips, methods))
        table[:, 0] = 1.0
        found = gaps(table, scale=SHARE)
        assert all((gap.low <= 0 <= gap.high) == (gap.p >= 0.05) for gap in found.values())
        assert found[0, 1].low < 1.0 == found[0, 1].high and found[1, 0].high == -found[0, 1].low

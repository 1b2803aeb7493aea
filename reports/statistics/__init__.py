"""How sure are we: intervals over reference clips, paired tests, ranks."""

from fastvmt.reports.statistics.bounded import LEVEL, Scale
from fastvmt.reports.statistics.intervals import (
    Interval,
    cluster_means,
    false_alarm_rate,
    mean_interval,
    mean_intervals,
    paired_difference,
    paired_ratio,
    share_of,
)  # fmt: skip
from fastvmt.reports.statistics.paired import Better, lopsided, mean_ranks
from fastvmt.reports.statistics.power import MOST_CLIPS, clips_needed
from fastvmt.reports.statistics.together import ALPHA, Gap, fewest_clips, gaps, smallest_p

__all__ = [
    "ALPHA", "LEVEL", "MOST_CLIPS", "Better", "Gap", "Interval", "Scale", "clips_needed", "cluster_means",
    "false_alarm_rate",
    "fewest_clips", "gaps", "lopsided", "mean_interval", "mean_intervals", "mean_ranks", "paired_difference", "paired_ratio",
    "share_of", "smallest_p",
]  # fmt: skip

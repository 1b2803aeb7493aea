"""What do runs hold? One frame: a row for every video and number, and a row for every number that is missing, with the reason.

    from fastvmt.reports.tidy import gather
    found = gather([Path("runs/a")])
    found.frame    # pandas, long form: COLUMNS
    found.wide("time")    # cases and seeds down, methods across

Every table, figure and page is a view of this frame. Several run folders may be gathered into one where suite, setting and
the identity of every metric agree; anything else is refused with the reason.
"""

from fastvmt.reports.tidy.frame import COLUMNS, FORMULA, STAGE, TEXTS, WORK, Tidy
from fastvmt.reports.tidy.rows import current_records
from fastvmt.reports.tidy.runs import gather, no_collection, of_stores
from fastvmt.reports.tidy.videos import Video, videos_of

__all__ = [
    "COLUMNS", "FORMULA", "STAGE", "TEXTS", "WORK", "Tidy", "Video", "current_records", "gather", "no_collection", "of_stores",
    "videos_of",
]  # fmt: skip

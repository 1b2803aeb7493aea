"""One tidy frame per run: a row for every video and number, and a row for every number that is missing."""

from fastvmt.reports.tidy.gathering import Tidy, gather

__all__ = ["Tidy", "gather"]

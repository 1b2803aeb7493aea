"""What does a profile change? Two runs of the same cases and seeds, one sped up: pixels, every metric, seconds."""

from fastvmt.reports.drift.views import Drift, drift

__all__ = ["Drift", "drift"]

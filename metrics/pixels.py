"""Metrics of the pixels alone: no network, no weights."""

from __future__ import annotations

from fastvmt.metrics.formulas import motion_smoothness

from fastvmt.metric import Metric, Scored, Value


class SmoothnessByBlend(Metric):
    """VBench's motion smoothness with the mean of two frames in place of AMT-S: another number, hence another id.

    The same as ``vbench:motion_smoothness:backend=tiny-shapes``.
    """

    id = "motion_smoothness@blend"
    summary = "motion smoothness with blended midpoints (VBench's formula, not its network)"
    source = "formula: VBench 0.1.5"
    range = (0.0, 1.0)
    decimals = 4
    backend = "blend"

    def score(self, scored: Scored) -> Value:
        return Value(motion_smoothness(scored.generated))

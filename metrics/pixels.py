"""Metrics of the pixels alone: no network, no weights."""

from __future__ import annotations

from fastvmt.metrics.formulas import motion_smoothness, temporal_flickering

from fastvmt.metric import Metric, Scored, Value


class TemporalFlickering(Metric):
    """VBench's temporal flickering, per video: 0 to 1, 1 for a frozen clip; read it beside a measure of motion.

    Source: VBench 0.1.5, ``temporal_flickering``; the same number, as it needs no network.
    """

    id = "vbench:temporal_flickering"
    summary = "VBench temporal flickering: 1 - mean absolute change between frames"
    source = "VBench 0.1.5"
    range = (0.0, 1.0)
    decimals = 4
    backend = "pixels"

    def score(self, scored: Scored) -> Value:
        return Value(temporal_flickering(scored.generated))


class SmoothnessByBlend(Metric):
    """VBench's motion smoothness with the mean of two frames in place of AMT-S: another number, hence another id."""

    id = "motion_smoothness@blend"
    summary = "motion smoothness with blended midpoints (VBench's formula, not its network)"
    source = "formula: VBench 0.1.5"
    range = (0.0, 1.0)
    decimals = 4
    backend = "blend"

    def score(self, scored: Scored) -> Value:
        return Value(motion_smoothness(scored.generated))

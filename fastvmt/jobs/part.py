"""Which videos of a run a command makes, where it names fewer than the run has."""

from __future__ import annotations

from typing import NamedTuple


class Part(NamedTuple):
    """Method labels, case ids and seeds; every video of them is meant. Nothing heavy is imported for it."""

    labels: frozenset[str]
    cases: frozenset[str]
    seeds: frozenset[int]

    def holds(self, label: str, case: str, seed: int) -> bool:
        """Whether a video is one of them."""
        return label in self.labels and case in self.cases and seed in self.seeds

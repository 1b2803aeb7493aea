"""Seconds that must not stand in the column: of another machine than most of a run's, or of nobody here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from fastvmt.keys import digest
from fastvmt.model import Artefact, MethodSpec

IMPORTED_WHY = "imported: made elsewhere, not timed here"
TAKEN_OVER_WHY = "the video was taken over from another run"
IMPORTED_GROUP = "imported (made elsewhere)"


def timed_aside(artefacts: Mapping[str, Artefact]) -> tuple[dict[str, str], list[str]]:
    """Job key to the reason why its seconds are left out, and a note for under the table.

    A run's videos may come from several machines, by a merge or helpers, or from before and after an update. Seconds of one
    table are of one machine with one software: that with most videos, by name where two have as many. The others' stay in
    ``records.jsonl`` with their device.
    """
    made = {key: a for key, a in artefacts.items() if not a.reused_from}
    machines = {key: (a.device, digest(a.software)[:8]) for key, a in made.items()}
    counts = Counter(machines.values())
    if len(counts) < 2:
        return {}, []
    main = min(counts, key=lambda m: (-counts[m], m))
    aside = {key: f"timed on {_named(m, main)}" for key, m in machines.items() if m != main}
    others = ", ".join(f"{n} on {_named(m, main)}" for m, n in sorted(counts.items()) if m != main)
    return aside, [f"seconds are those of the {counts[main]} videos made on {main[0]} alone; left out: {others}."]


def _named(machine: tuple[str, str], main: tuple[str, str]) -> str:
    return f"{machine[0]} with other software" if machine[0] == main[0] else machine[0]


def line_note(spec: MethodSpec) -> str:
    """What stands behind a method's name: ``control``, ``imported``, or nothing."""
    if spec.imported:
        return "imported, lossy" if spec.params.get("lossy") else "imported"
    return "control" if spec.control else ""

"""What papers printed: their tables as data, and what each number may be held against.

    from fastvmt.reports.tables import published
    found = published.value("fastvmt-table2", "ditflow", "time")
    found.printed, found.column.comparable    # '626.83', 'in rank only'

One TOML file per table beside this file. Numbers are the paper's, as printed; sentences are ours. A published number is
never averaged with ours: ``comparable`` says whether it may stand beside one, and ``why``.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from fastvmt.core.choices import hint
from fastvmt.errors import SpecError
from fastvmt.model import Frozen

FOLDER = Path(__file__).resolve().parent
FOREIGN_FEATURES = "tiny-shapes"
"""A metric with this value of a parameter sees with other networks: no published number belongs beside it."""


class PublishedColumn(Frozen):
    """One column: its printed name, unit and scale, direction, and our metrics it corresponds to.

    Attributes:
        metrics: names of our metrics, the nearest first; empty when we have none.
        comparable: what our number and the printed one may be compared in.
        why: one sentence for ``comparable``.
    """

    name: str
    unit: str
    scale: str
    direction: Literal["up", "down"]
    metrics: tuple[str, ...]
    comparable: Literal["no", "in rank only", "yes"]
    why: str


class PublishedRow(Frozen):
    """One row, cells in the order of the columns.

    Attributes:
        methods: our method labels for it, the most exact first.
        printed: cells as printed, trailing zeros kept; ``values`` are the same as numbers.
        marked: names of the columns whose cell the paper marks as best or second.
    """

    name: str
    methods: tuple[str, ...]
    values: tuple[float, ...]
    printed: tuple[str, ...]
    marked: tuple[str, ...] = ()
    group: str = ""
    cited: str = ""
    note: str = ""


class Passage(Frozen):
    """What one place of the paper says; only numbers and words that stand there."""

    place: str
    text: str


class Conflict(Frozen):
    """Places of one paper that disagree, and our note on them."""

    what: str
    said: tuple[Passage, ...]
    note: str


class PublishedSetting(Frozen):
    """How a table's videos were made, for a note where a run's differ; 0 and "" where it is not stated.

    Attributes:
        backbone: what the name of its backbones begins with.
        width, height: px.
        gpu: that the seconds are of.
    """

    backbone: str = "wan2.1"
    width: int = 832
    height: int = 480
    steps: int = 50
    gpu: str = "an NVIDIA A100-80GB"


class Published(Frozen):
    """One published table. ``unclear`` is what the paper does not say, ``caveats`` what a reader has to know."""

    id: str
    paper: str
    table: str
    place: str
    what: str
    columns: tuple[PublishedColumn, ...] = Field(alias="column")
    rows: tuple[PublishedRow, ...] = Field(alias="row")
    unclear: tuple[str, ...]
    caveats: tuple[str, ...]
    conflicts: tuple[Conflict, ...] = Field((), alias="conflict")
    groups: tuple[str, ...] = ()
    protocol: tuple[str, ...] = ()
    setting: PublishedSetting = PublishedSetting()


class PublishedValue(Frozen):
    """One cell with all that has to be said beside it."""

    value: float
    printed: str
    row: str
    column: PublishedColumn
    source: str
    """``arXiv 2602.05551, Table 2``."""
    note: str = ""


def names() -> list[str]:
    """Ids of all published tables, sorted."""
    return sorted(p.stem for p in FOLDER.glob("*.toml"))


@cache
def load(id: str) -> Published:
    """The published table of that id.

    Raises:
        SpecError: for an unknown id, with the nearest ones.
    """
    known = names()
    if id not in known:  # looked up, never joined to a path: an id cannot leave the folder
        raise SpecError(f"No published table is called '{id}'. {hint(id, known)}")
    return Published.model_validate(tomllib.loads((FOLDER / f"{id}.toml").read_text(encoding="utf-8")))


def value(table: str | Published, method_label: str, metric_label: str) -> PublishedValue | None:
    """The printed number for one of our methods and metrics; None where the table has none.

    Parameters behind a metric's name (tracker, CLIP, device) do not matter here: what the paper took is not stated, and
    ``comparable`` says so. Metrics with the drawn world's own networks (``clip=tiny-shapes``) get None.

    Raises:
        SpecError: for an unknown table.
    """
    found = load(table) if isinstance(table, str) else table
    name, *changes = _metric_parts(metric_label)
    if any(change.endswith(f"={FOREIGN_FEATURES}") for change in changes):
        return None
    for row in found.rows:
        if method_label not in row.methods:
            continue
        for column, number, printed in zip(found.columns, row.values, row.printed, strict=True):
            if name in column.metrics:
                source = f"{found.paper}, {found.table}"
                return PublishedValue(value=number, printed=printed, row=row.name, column=column, source=source, note=row.note)
    return None


def _metric_parts(label: str) -> list[str]:
    """Name and ``key=value`` parts; a name may hold colons (``vbench:aesthetic_quality``)."""
    parts = label.strip().split(":")
    first = next((i for i, part in enumerate(parts) if "=" in part), len(parts))
    return [":".join(parts[:first]), *parts[first:]]

"""What papers printed: their tables as data, and what each number may be held against.

    from fastvmt.reports.tables import published
    found = published.value("fastvmt-table2", "ditflow", "time")
    found.printed, found.comparable    # '626.83', 'in rank only'

One TOML file per table in ``papers/``. Numbers are the paper's, as printed; sentences are ours. A published number is
never averaged with ours: ``comparable`` says whether it may stand beside one, and ``why``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fastvmt.core.choices import hint
from fastvmt.errors import SpecError

FOLDER = Path(__file__).resolve().parent / "papers"
COMPARABLE = ("no", "in rank only", "yes")
DIRECTIONS = ("up", "down")
FOREIGN_FEATURES = "tiny-shapes"
"""A metric with this value of a parameter sees with other networks: no published number belongs beside it."""


@dataclass(frozen=True)
class Column:
    """One column: its printed name, unit and scale, direction, and our metrics it corresponds to.

    Attributes:
        metrics: names of our metrics, the nearest first; empty when we have none.
        comparable: ``no``, ``in rank only`` or ``yes``: what our number and the printed one may be compared in.
        why: one sentence for ``comparable``.
    """

    name: str
    unit: str
    scale: str
    direction: str
    metrics: tuple[str, ...]
    comparable: str
    why: str


@dataclass(frozen=True)
class PublishedRow:
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


@dataclass(frozen=True)
class Said:
    """What one place of the paper says; only numbers and words that stand there."""

    place: str
    text: str


@dataclass(frozen=True)
class Conflict:
    """Places of one paper that disagree, and our note on them."""

    what: str
    said: tuple[Said, ...]
    note: str


@dataclass(frozen=True)
class Published:
    """One published table. ``unclear`` is what the paper does not say, ``caveats`` what a reader has to know."""

    id: str
    paper: str
    table: str
    place: str
    what: str
    columns: tuple[Column, ...]
    rows: tuple[PublishedRow, ...]
    unclear: tuple[str, ...]
    caveats: tuple[str, ...]
    conflicts: tuple[Conflict, ...]
    groups: tuple[str, ...] = ()
    protocol: tuple[str, ...] = ()


@dataclass(frozen=True)
class PublishedValue:
    """One cell with all that has to be said beside it."""

    value: float
    printed: str
    row: str
    column: Column
    paper: str
    table: str
    note: str = ""

    @property
    def comparable(self) -> str:
        return self.column.comparable

    @property
    def source(self) -> str:
        """``arXiv 2602.05551, Table 2``."""
        return f"{self.paper}, {self.table}"


def names() -> list[str]:
    """Ids of all published tables, sorted."""
    return sorted(p.stem for p in FOLDER.glob("*.toml"))


@cache
def load(id: str) -> Published:
    """The published table of that id.

    Raises:
        SpecError: for an unknown id (with the nearest ones) or a file that is damaged.
    """
    known = names()
    if id not in known:  # looked up, never joined to a path: an id cannot leave the folder
        raise SpecError(f"No published table is called '{id}'. {hint(id, known)}")
    path = FOLDER / f"{id}.toml"
    try:
        found = _table(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: it is not valid TOML ({error}); install the package again.") from error
    except (KeyError, TypeError) as error:
        raise SpecError(f"{path}: a key is missing or unknown ({error}); install the package again.") from error
    problem = _problem(found, id)
    if problem:
        raise SpecError(f"{path}: {problem}; install the package again.")
    return found


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
                return PublishedValue(number, printed, row.name, column, found.paper, found.table, row.note)
    return None


def _metric_parts(label: str) -> list[str]:
    """Name and ``key=value`` parts; a name may hold colons (``vbench:aesthetic_quality``)."""
    parts = label.strip().split(":")
    first = next((i for i, part in enumerate(parts) if "=" in part), len(parts))
    return [":".join(parts[:first]), *parts[first:]]


def _strings(raw: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Lists under these keys as tuples, everything else as it is."""
    return {k: tuple(v) if k in keys else v for k, v in raw.items()}


def _table(raw: dict[str, Any]) -> Published:
    columns = tuple(Column(**_strings(c, "metrics")) for c in raw.pop("column"))
    rows = tuple(PublishedRow(**_strings(r, "methods", "values", "printed", "marked")) for r in raw.pop("row"))
    conflicts = tuple(Conflict(c["what"], tuple(Said(**s) for s in c["said"]), c["note"]) for c in raw.pop("conflict", []))
    texts = _strings(raw, "groups", "protocol", "unclear", "caveats")
    return Published(columns=columns, rows=rows, conflicts=conflicts, **texts)


def _problem(found: Published, id: str) -> str:
    """The first thing that does not fit together, or nothing."""
    if found.id != id:
        return f"its id is '{found.id}'"
    for column in found.columns:
        if column.comparable not in COMPARABLE:
            return f"column '{column.name}': comparable is '{column.comparable}', not one of {', '.join(COMPARABLE)}"
        if column.direction not in DIRECTIONS:
            return f"column '{column.name}': direction is '{column.direction}', not one of {', '.join(DIRECTIONS)}"
    for row in found.rows:
        if not len(found.columns) == len(row.values) == len(row.printed):
            counts = f"{len(row.values)} values and {len(row.printed)} texts for {len(found.columns)} columns"
            return f"row '{row.name}' has {counts}"
        for number, printed in zip(row.values, row.printed, strict=True):
            if float(printed) != number:
                return f"row '{row.name}': value {number} is not what is printed, {printed}"
        if row.group and row.group not in found.groups:
            return f"row '{row.name}': the table has no group '{row.group}'"
        if extra := set(row.marked) - {c.name for c in found.columns}:
            return f"row '{row.name}': no column is called '{sorted(extra)[0]}'"
    return ""

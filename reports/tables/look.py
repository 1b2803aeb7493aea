"""Which columns and rows of tables people see, and what they call them: ``--columns``, ``--rows`` and ``--names``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationError

from fastvmt.core.choices import hint
from fastvmt.core.limits import plain
from fastvmt.core.reading import parse_json, parse_toml
from fastvmt.core.spelling import shown
from fastvmt.core.validation import first_problem
from fastvmt.errors import SpecError
from fastvmt.model import Frozen
from fastvmt.plugins import labels, metric_labels
from fastvmt.plugins.metric_labels import name_of
from fastvmt.plugins.registry import BUILTIN
from fastvmt.reports.tables.view import View
from fastvmt.reports.tidy import Tidy

SPEED_UP = "speed_up"
MOTION_FIDELITY = ("motion_fidelity_tracked", "motion_fidelity", "motion_fidelity_moving")
QUALITY = (("trajectory",), MOTION_FIDELITY, ("text_similarity",), ("temporal_consistency",))
COST = (("time",), (SPEED_UP,), ("forwards",))
"""Metrics that tables of the field have, each the first of these ids that a run has; what else it scored stands between."""
MOST_MAIN = 8
"""Columns that a table shows at first; the eighth is for what a plug-in brings."""
ALL = "all"
LARGEST = 1 << 20
MOST_NAME = 60
"""Bytes of a file of names, and characters of a name."""


def main_columns(tidy: Tidy, keys: Sequence[str]) -> tuple[str, ...]:
    """Of a table's columns those that people see first, in their order; controls of metrics are not among them."""
    there = {key: metric for key in keys if (metric := tidy.metrics.get(key))}
    foreign = [key for key, metric in there.items() if metric.id not in BUILTIN["metrics"]]
    ids = {key: metric.id for key, metric in there.items() if metric.direction != "none" or key in foreign}
    ids |= {key: key for key in keys if key == SPEED_UP}

    def first(names: Iterable[str]) -> list[str]:
        return next((found for name in names if (found := [key for key, id in ids.items() if id == name])), [])

    quality, cost = ([key for names in kind for key in first(names)] for kind in (QUALITY, COST))
    others = [key for key in ids if key not in (*quality, *cost)]
    others.sort(key=lambda key: (key not in foreign, there[key].timing))
    room = max(sum(key in foreign for key in others), MOST_MAIN - 1 - len(quality) - len(cost))
    return (*[*quality, *others[:room]][: MOST_MAIN - len(cost)], *cost)


def _one_line(text: str) -> str:
    if not text.strip() or not plain(text):
        raise ValueError("a name in one line is needed")
    return text


Name = Annotated[str, Field(max_length=MOST_NAME), AfterValidator(_one_line)]


class Names(Frozen):
    """Display names by label; a metric's id names it whatever was changed in it."""

    methods: dict[str, Name] = {}
    metrics: dict[str, Name] = {}


@dataclass(frozen=True)
class Look:
    """How tables are to look.

    Attributes:
        columns: keys, heads or patterns of them; ``all`` for every column, interval and note; empty for the main ones.
        rows: methods by label, name or pattern; empty for all.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    names: Names = field(default_factory=Names)

    def named(self, tidy: Tidy) -> Tidy:
        """The frame whose tables, figures and pages have the given names.

        Raises:
            SpecError: for a name of what neither the run has nor anybody here knows.
        """
        has = {"methods": [*tidy.methods], "metrics": [*tidy.metrics, *map(name_of, tidy.metrics), SPEED_UP]}
        for kind, given in (("methods", self.names.methods), ("metrics", self.names.metrics)):
            for label in given:
                if label not in has[kind] and not _known(kind, label):
                    raise SpecError(
                        f"--names: {kind}.{shown(label)}: there is no such one. {hint(label, dict.fromkeys(has[kind]))}"
                    )
        return replace(tidy, names=self.names.methods | self.names.metrics) if self.names != Names() else tidy

    def of(self, views: Sequence[View]) -> list[View]:
        """The views with the columns and rows that are wanted; one that has none of them stays as it is.

        Raises:
            SpecError: for a column or row that no view has, with the nearest ones.
        """
        heads: list[list[tuple[str, ...]]]
        if ALL in self.columns:
            views = [replace(view, whole=True) for view in views]
        elif self.columns:
            heads = [[(c.key, name_of(c.key), c.head) for c in view.columns] for view in views]
            views = [
                replace(view.of(keys), main=tuple(keys)) if keys else view
                for view, keys in zip(views, _chosen("--columns", "column", self.columns, heads), strict=True)
            ]
        if self.rows:
            heads = [[(line.key, line.head) for line in view.lines] for view in views]
            views = [_with_rows(v, k) for v, k in zip(views, _chosen("--rows", "row", self.rows, heads), strict=True)]
        return list(views)


def _chosen(option: str, what: str, words: Sequence[str], heads: Sequence[Sequence[tuple[str, ...]]]) -> list[list[str]]:
    """For each view the keys that fit, in the order of the words; ``heads`` has each key with what else it is called."""
    found: list[list[str]] = [[] for _ in heads]
    for word in words:
        fits = [[names[0] for names in view if any(fnmatchcase(n.lower(), word.lower()) for n in names)] for view in heads]
        if not any(fits):
            known = dict.fromkeys(name for view in heads for names in view for name in names)
            raise SpecError(f"{option} {shown(word)}: there is no such {what}. {hint(word, known)}")
        found = [list(dict.fromkeys([*keys, *more])) for keys, more in zip(found, fits, strict=True)]
    return found


def _with_rows(view: View, keys: Sequence[str]) -> View:
    """Some rows of a view, with a note on those that its marks and means are over all the same."""
    kept = tuple(line for line in view.lines if line.key in keys)
    if not kept or len(kept) == len(view.lines):
        return view
    gone = ", ".join(dict.fromkeys(line.head for line in view.lines if line.key not in keys))
    return replace(view, lines=kept, notes=(f"Not shown: {gone}; marks and common videos are over these, too.", *view.notes))


def _known(kind: str, label: str) -> bool:
    """Whether anybody here knows a method or metric of that label, which another run may have."""
    with suppress(SpecError):
        return bool(labels.parse(label) if kind == "methods" else metric_labels.build(label))
    return False


def read_names(path: Path) -> Names:
    """A file of display names, TOML, or JSON by its ending.

    Raises:
        SpecError: naming file and place.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise SpecError(f"--names {path}: a file of names has at most {LARGEST:,} bytes.")
        return Names.model_validate((parse_json if path.suffix.lower() == ".json" else parse_toml)(raw))
    except OSError as error:
        raise SpecError(f"--names {path}: the file cannot be read ({(error.strerror or 'no file').lower()}).") from None
    except ValidationError as error:
        raise SpecError(f"--names {path}: {first_problem(error)}. It has tables [methods] and [metrics] of names.") from None
    except ValueError as error:
        raise SpecError(f"--names {path}: {error}.") from None

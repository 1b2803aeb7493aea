"""``motion_fidelity:tracker=cotracker3`` and ``vbench:*``: what a metric label or pattern stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from fastvmt.core.choices import hint
from fastvmt.core.spelling import shown
from fastvmt.errors import MissingWeights, SpecError
from fastvmt.model import Case
from fastvmt.plugins import registry
from fastvmt.plugins.blame import blamed, guard, need
from fastvmt.plugins.labels import in_words
from fastvmt.plugins.metric import Metric

Labels = tuple[str, ...]


def _parts(label: str) -> tuple[str, dict[str, str]]:
    """Name and changes. A name may hold colons (``vbench:aesthetic_quality``), a value too (``clip=local-dir:/x``)."""
    name, *changes = re.split(r":(?=[a-z_]+=)", label.strip())
    return name, dict(c.partition("=")[::2] for c in changes)


def name_of(label: str) -> str:
    """The registered name in a label."""
    return _parts(label)[0]


def build(label: str) -> Metric:
    """The metric behind a label.

    >>> build("motion_fidelity").label
    'motion_fidelity'

    Raises:
        SpecError: for an unknown name (with the nearest ones), parameter or value.
    """
    name, changes = _parts(label)
    cls: type[Metric] = registry.metrics.get(name)
    fields = cls.Params.model_fields
    if unknown := next((key for key in changes if key not in fields), None):
        raise SpecError(f"Metric '{name}' has no parameter '{shown(unknown)}'. {hint(unknown, fields)}")
    whose = f"Metric '{shown(label)}'"
    with blamed(cls, f"{whose}, when it is made"), in_words(whose, cls.Params):
        metric = cls(cls.Params.model_validate(changes))
        own = metric.label
    same = isinstance(own, str) and _parts(own)[0] == name
    need(cls, f"{whose}: label", own, same, "the id with what was changed")
    return guard(metric, whose, "missing", "identity", "applies")


def applies(metric: Metric, case: Case) -> bool:
    """Whether a metric has a meaning for a case. One that cannot say so has: its record says why there is no number."""
    try:
        return metric.applies(case)
    except SpecError:
        return True


def expand(pattern: str) -> Labels:
    """Labels of every registered metric that a pattern matches; changes behind it go to those that know them.

    Raises:
        SpecError: when nothing matches.
    """
    name, changes = _parts(pattern)
    found = []
    for candidate in registry.metrics.names():
        if fnmatchcase(candidate, name) and changes.keys() <= registry.metrics.get(candidate).Params.model_fields.keys():
            found.append(":".join([candidate, *(f"{k}={v}" for k, v in changes.items())]))
    if not found:
        raise SpecError(f"No metric matches '{shown(pattern)}'. `bench list metrics` shows all.")
    return tuple(found)


def choose(asked: Iterable[str], default: Iterable[str]) -> tuple[Labels, Labels]:
    """Labels to score, and one sentence for each that cannot be.

    What the user asked for by its full name must be there; what a pattern or the default list brings in is left out
    when its weights are not on this machine, and said.

    Raises:
        SpecError: for an unknown name, parameter or pattern.
        MissingWeights: for a metric named in full whose weights are missing.
    """
    asked = tuple(asked)
    labels: dict[str, None] = {}
    notes: dict[str, None] = {}
    for pattern in asked or tuple(default):
        several = "*" in pattern or "?" in pattern
        for label in expand(pattern) if several else (pattern,):
            metric = build(label)
            sentence = metric.missing()
            if not sentence:
                labels[metric.label] = None
            elif asked and not several:
                raise MissingWeights(f"{metric.label}: {sentence}")
            else:
                notes[f"{metric.label} is not scored: {sentence}"] = None
    return tuple(labels), tuple(notes)

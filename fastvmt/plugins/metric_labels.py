"""``motion_fidelity:tracker=cotracker3`` and ``vbench:*``: what a metric label or pattern stands for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from fastvmt.backbones import card as cards
from fastvmt.core.choices import hint
from fastvmt.core.content_address import canonical_json
from fastvmt.core.spelling import shown
from fastvmt.errors import BenchError, MissingWeights, SpecError
from fastvmt.model import Case
from fastvmt.plugins import registry
from fastvmt.plugins.blame import blamed, defined, guard, need
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


def of_backbone(name: str) -> Labels:
    """What a backbone's card scores when nothing else is said; none where its card is not on this machine."""
    try:
        return tuple(cards.load(name).defaults["metrics"])
    except BenchError:
        return ()


def resolved(label: str, own: Iterable[str]) -> str:
    """What a bare name stands for beside a list: the list's first label of that name. Any other label is itself.

    >>> own = ["trajectory", "text_similarity:clip=tiny-shapes"]
    >>> resolved("text_similarity", own), resolved("trajectory", own), resolved("text_similarity:clip=x", own)
    ('text_similarity:clip=tiny-shapes', 'trajectory', 'text_similarity:clip=x')
    """
    name, changes = _parts(label)
    if changes:
        return label
    near = [known for known in own if fnmatchcase(name, name_of(known))]
    found = [one for known in near for one in (expand(known) if _several(known) else (known,)) if name_of(one) == name]
    return label if label in found or not found else found[0]


def in_full(label: str, own: Iterable[str]) -> str:
    """A label as it is typed where ``resolved`` would take its bare name for another one: with the values that differ.

    >>> in_full("text_similarity", ["text_similarity:clip=tiny-shapes"])
    'text_similarity:clip=ViT-B-32-quickgelu/openai'
    """
    if (other := resolved(label, own)) == label:
        return label
    name, changes = _parts(other)
    fields = registry.metrics.get(name).Params.model_fields
    return ":".join([name, *(f"{key}={fields[key].default}" for key in changes)])


def listed(asked: Iterable[str], default: Iterable[str]) -> tuple[Labels, Labels]:
    """What stands in the list by default, and what was named: ``+name`` adds to the default, anything else replaces it.

    Raises:
        SpecError: where some names have a ``+`` and others have none, or a ``+`` has no name.
    """
    asked = tuple(asked)
    added = tuple(name.strip()[1:].strip() for name in asked if name.strip().startswith("+"))
    if added and (len(added) < len(asked) or not all(added)):
        raise SpecError(
            f"--metrics {shown(','.join(asked))}: write + before every name (+a,+b) to add to the default list, or before none "
            "(a,b) to score these alone."
        )
    return (tuple(default) if added or not asked else ()), added or asked


def choose(asked: Iterable[str], default: Iterable[str], own: Iterable[str] = ()) -> tuple[Labels, Labels]:
    """Labels to score, and one sentence for each that cannot be.

    What the user asked for by its full name must be there; what a pattern or the default list brings in is left out
    when its weights are not on this machine, and said.

    Args:
        asked: names, labels and patterns; see ``listed``.
        default: what is scored when nothing is asked.
        own: what bare names stand for; see ``resolved``.

    Raises:
        SpecError: for an unknown name, parameter or pattern.
        MissingWeights: for a metric named in full whose weights are missing.
    """
    by_default, named = listed(asked, default)
    labels: dict[str, None] = {}
    notes: dict[str, None] = {}
    for pattern, by_user in [*((p, False) for p in by_default), *((p, True) for p in named)]:
        for label in expand(pattern) if _several(pattern) else (pattern,):
            metric = build(resolved(label, own) if by_user else label)
            sentence = metric.missing()
            if not sentence:
                labels[metric.label] = None
            elif by_user and not _several(pattern):
                raise MissingWeights(f"{metric.label}: {sentence}")
            else:
                notes[f"{metric.label} is not scored: {sentence}"] = None
    _need_apart(labels)
    return tuple(labels), tuple(notes)


def _need_apart(labels: Iterable[str]) -> None:
    """
    Raises:
        SpecError: for two labels of one metric with one identity, so that each would find the other's records.
    """
    of_name: dict[str, list[str]] = {}
    for label in labels:
        of_name.setdefault(name_of(label), []).append(label)
    for same in of_name.values():
        said: dict[str, str] = {}
        for metric in map(build, same if len(same) > 1 else ()):
            other = said.setdefault(canonical_json(metric.identity()), metric.label)
            if other != metric.label:
                raise SpecError(
                    f"Metrics '{other}' and '{metric.label}' have one identity, by which records are kept: their "
                    f"identity() must name what differs ({defined(type(metric)) or type(metric).__name__})."
                )


def _several(pattern: str) -> bool:
    return "*" in pattern or "?" in pattern

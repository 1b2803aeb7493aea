"""Metrics and methods as people say them, at the head of columns and rows.

    heading("motion_fidelity")    # "Motion fid."
    display("fastvmt")            # "FastVMT"

What the reader of a run gave by ``--names`` goes before all (``Tidy.names``). A metric may declare its own ``heading``, and a
method has the title of its card; any other is made from its id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from fastvmt.core.spelling import shown
from fastvmt.errors import SpecError
from fastvmt.plugins import labels
from fastvmt.plugins.card import card_of
from fastvmt.plugins.method import Method
from fastvmt.plugins.metric_labels import name_of
from fastvmt.plugins.traits import Traits

if TYPE_CHECKING:
    from fastvmt.reports.tidy import Tidy

POLICY = frozenset({"guided", "grid", "begin"})
"""Words that say when and from where, which a protocol decides or the plan says."""
SHORT = {"fidelity": "fid.", "similarity": "sim.", "temporal": "temp.", "consistency": "cons."}
"""Words as the field's tables shorten them."""


def heading(label: str, tidy: Tidy | None = None) -> str:
    """A metric's heading; where two metrics of a run have the same, with what was changed in it behind.

    >>> heading("text_similarity:clip=tiny-shapes"), heading("trajectory_wrong"), heading("forwards")
    ('Text sim.', 'Trajectory wrong', 'FE')
    """
    own = _of_metric(label, tidy)
    if tidy is None or label in tidy.names:
        return tidy.names[label] if tidy else own
    shared = any(other != label and _of_metric(other, tidy) == own for other in tidy.metrics)
    changed = changes(label) if shared else ""
    return tidy.names.get(name_of(label), own) + (f" ({changed})" if changed else "")


def changes(label: str) -> str:
    """What was changed in a metric, as it is typed: ``clip=tiny-shapes``; or ""."""
    return label.removeprefix(name_of(label)).removeprefix(":").replace(":", ", ")


def _of_metric(label: str, tidy: Tidy | None = None) -> str:
    metric = tidy.metrics.get(label) if tidy else None
    return (metric or Traits().metric(label)).heading or _said(name_of(label))


def _said(name: str) -> str:
    words = " ".join(SHORT.get(word, word) for word in re.split("[_ ]+", name.removeprefix("vbench:")))
    return words[:1].upper() + words[1:]


def display(label: str, tidy: Tidy | None = None) -> str:
    """A method's name; what was changed in it stands behind as it is typed.

    >>> display("fastvmt"), display("ditflow:inner=10"), display("none")
    ('FastVMT', 'DiTFlow:inner=10', 'No transfer')
    """
    if tidy and label in tidy.names:
        return tidy.names[label]
    id, colon, rest = label.partition(":")
    if tidy and label in tidy.methods and tidy.methods[label].method != id:  # somebody's own name for what is imported
        return label
    return _title((tidy.traits if tidy else Traits()).method(id), id) + colon + rest


def _title(cls: type[Method], id: str) -> str:
    title = cls.card.get("title") if isinstance(cls.card, Mapping) else _of_card(cast(Any, cls))
    return shown(re.sub(r" *\(.*\)$", "", title)) if isinstance(title, str) and title else id


@cache
def _of_card(cls: Any) -> str:
    with suppress(SpecError):  # a damaged card: its numbers are still here
        if card := card_of(cls):
            return str(card.title)
    return ""


def other_forms(tidy: Tidy, rows: Iterable[str]) -> list[str]:
    """``FastVMT with heads=mean_logits, by the backbone's card (...)``: one note for all methods of these rows, or none."""
    found: dict[str, str] = {}
    for label in rows:
        spec = tidy.methods[label]
        if spec.method in found or spec.control or spec.imported or ":" in label:  # what is typed is in the label
            continue
        if words := changed_words(tidy.method(label), spec.params):
            found[spec.method] = f"{display(label, tidy)} with {', '.join(words)}"
    if not found:
        return []
    return [f"{'; '.join(found.values())}, by the backbone's card ({next(iter(found))}:{labels.AS_WRITTEN} is without it)."]


def changed_words(cls: type[Method], params: Any) -> list[str]:
    """Parameters that hold a word or a switch, and another than the method's own default."""
    fields = cls.Params.model_fields
    skipped = POLICY | {cls.protocols.preset}
    other = {k: v for k, v in params.items() if k in fields and k not in skipped and isinstance(fields[k].default, str | bool)}
    return [f"{k}={str(v).lower() if v in (True, False) else v}" for k, v in other.items() if v != fields[k].default]

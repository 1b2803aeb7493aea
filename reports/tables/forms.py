"""What a row is when a backbone's card changes more in a method than numbers: its name alone would claim its paper's form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fastvmt.plugins import labels
from fastvmt.plugins.method import Method
from fastvmt.reports.tables.headings import display

if TYPE_CHECKING:
    from fastvmt.reports.tidy import Tidy

POLICY = frozenset({"guided", "grid", "begin"})
"""Words that say when and from where, which a protocol decides or the plan says."""


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

"""``bench ablate``: one method, one factor changed at a time, pairs of factors on request, and the ladder of its savings.

What can be varied is declared by the method (``Method.study``); nothing here knows one by name.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from fastvmt.core.choices import one_of
from fastvmt.errors import SpecError
from fastvmt.plugins import labels as specs
from fastvmt.plugins import registry
from fastvmt.plugins.method import Method


@dataclass(frozen=True)
class Ablation:
    """Labels to run: the base first; every other one may be left out where the backbone makes it the same."""

    base: str
    labels: tuple[str, ...]
    presets: bool

    @property
    def optional(self) -> frozenset[str]:
        return frozenset(self.labels) - {self.base}


def factors_of(base: str) -> dict[str, tuple[str, ...]]:
    """Factor name to changes, as the base's method declares them.

    Raises:
        SpecError: for an unknown method, or one without factors.
    """
    cls, _ = specs.parse(base)
    if not cls.study.ablations:
        known = [n for n in registry.methods.names() if registry.methods.get(n).study.ablations]
        raise SpecError(f"'{cls.id}' declares nothing to ablate. Methods that do: {', '.join(known) or 'none'}.")
    return dict(cls.study.ablations)


def expand(base: str, factors: Iterable[str] = (), pairs: Iterable[str] = (), ladder: bool = True) -> Ablation:
    """The labels of an ablation.

    Args:
        base: a method label, e.g. ``fastvmt``.
        factors: names of factors; all but ``preset`` when empty, because presets make a table of their own.
        pairs: ``window+reuse`` runs every change of the one with every change of the other.
        ladder: also run the forms from which the speed-up is decomposed.

    Raises:
        SpecError: for an unknown method or factor, naming the nearest ones.
    """
    known = factors_of(base)
    chosen = [one_of("--factors", name, known) for name in factors] or list(known)
    labels = [base, *(f"{base}:{change}" for name in chosen for change in known[name])]
    for pair in pairs:
        parts = [one_of("--pairs", name.strip(), known) for name in pair.split("+")]
        if len(parts) != 2 or parts[0] == parts[1]:
            raise SpecError(f"--pairs {pair}: two different factors joined by + are needed, e.g. {'+'.join(list(known)[:2])}.")
        labels += [f"{base}:{a}:{b}" for a, b in itertools.product(known[parts[0]], known[parts[1]])]
    cls: type[Method] = specs.parse(base)[0]
    if ladder:
        labels += [f"{base}:{changed}" for _, changed in cls.study.ladder if changed]
    found = tuple(dict.fromkeys(labels))
    preset = any(_changes_preset(label, cls) for label in found)
    return Ablation(base, found, preset)


def _changes_preset(label: str, cls: type[Method]) -> bool:
    return bool(cls.protocols.preset) and cls.protocols.preset in specs.parse(label)[1]

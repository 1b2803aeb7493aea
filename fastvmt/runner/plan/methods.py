"""Which methods a request means, with which parameters, and the budget they share."""

from __future__ import annotations

from fastvmt.backbones.card import Card
from fastvmt.core.content_address import digest
from fastvmt.errors import SpecError
from fastvmt.jobs import protocol
from fastvmt.model import REFERENCE, MethodSpec
from fastvmt.plugins import labels as specs
from fastvmt.plugins import registry
from fastvmt.plugins.blame import blamed
from fastvmt.plugins.method import Shape
from fastvmt.runner.settings import Request

CONTROLS = ("none", "sdedit", REFERENCE)
"""Rows under every table unless ``--no-controls``: the floor, the noised reference, and the reference itself as the ceiling."""


def chosen_methods(request: Request, card: Card, shape: Shape) -> tuple[tuple[MethodSpec, ...], list[str], float | None]:
    """The request's methods, a sentence for each thing a reader has to know about them, and the budget they share.

    Raises:
        SpecError: for a label that cannot be, methods that are the same here, and presets that must not share a table.
    """
    resolved: list[MethodSpec] = []
    said: list[str] = []
    for label in _labels(request):
        try:
            cls = specs.parse(label)[0]
            resolved.append(specs.resolve(label, shape, card.methods, protocol.starts(cls, request.protocol)))
        except SpecError as error:
            if label not in request.optional:
                raise
            said.append(f"left out: {error}")
    budget = None
    if request.protocol == protocol.BUDGET:
        scaled, budget, takes = protocol.matched(resolved, shape, request.budget)
        resolved, said = list(scaled), [*said, *takes]
    methods = _different(resolved, request.optional, said)
    said += protocol.departures(methods, request.protocol)
    said += [sentence for spec in methods for sentence in _remarks(spec, shape)]
    if not request.ablates_presets:
        specs.refuse_mixed_presets(methods)
    if request.dtype == "float16" and not all(m.control for m in methods):
        raise SpecError("--dtype float16: gradients of a latent lie below its smallest numbers. Use bfloat16 or float32.")
    return methods, said, budget


def _remarks(spec: MethodSpec, shape: Shape) -> list[str]:
    """What the reader of a table has to know of a row: noise levels of its own, and what its method says of it."""
    cls = registry.methods.get(spec.method)
    params = cls.Params.model_validate(spec.params)
    own = specs.on_own_levels(cls, params, shape)
    with blamed(cls, f"Method '{cls.id}', in remarks"):
        found = [f"{spec.label} {remark}." for remark in cls.remarks(params, own)]
    if own.sigmas == shape.sigmas:
        return found
    (first, last), (run_first, run_last) = ((levels[0], levels[-2]) for levels in (own.sigmas, shape.sigmas))
    how = f" (grid={spec.params['grid']})" if "grid" in spec.params else ""
    levels = f"noise levels of its own, {first:.4g} to {last:.4g}{how}; the run's are {run_first:.4g} to {run_last:.4g}"
    return [f"{spec.label} has {levels}.", *found]


def _labels(request: Request) -> list[str]:
    """Labels as typed, with *all* and the controls written out."""
    labels = [label for label in dict.fromkeys(m.strip() for m in request.methods) if label]
    if not labels:
        raise SpecError("--methods is empty; `bench list methods` shows what there is.")
    if "all" in labels:  # without controls, toys and what was made elsewhere
        all_ = [name for name in registry.methods.names() if registry.methods.get(name).role in ("method", "baseline")]
        labels = list(dict.fromkeys(name for label in labels for name in (all_ if label == "all" else [label])))
    return [c for c in CONTROLS if request.controls and c not in labels] + labels


def _different(resolved: list[MethodSpec], optional: frozenset[str], said: list[str]) -> tuple[MethodSpec, ...]:
    """Each method once; an optional one that equals another is left out, and ``said``."""
    found: dict[str, MethodSpec] = {}
    for spec in resolved:
        same = found.setdefault(digest(spec.identity()), spec)
        if same is not spec and spec.label in optional:
            said.append(f"left out: '{spec.label}' is the same as '{same.label}' on this backbone and size.")
        elif same is not spec:
            raise SpecError(
                f"'{spec.label}' and '{same.label}' are the same on this backbone (all parameters agree); leave one out."
            )
    return tuple(found.values())

"""What methods have in common in a run: where they start, and how much work each may do.

``matched-start``   every method starts from the run's noise, at the run's first level; parameters as they are.
``as-published``    every method starts as its authors publish it; its card says how.
``matched-budget``  as ``matched-start``, and every method's inner steps are scaled to one budget in forward-equivalents.

Noise tensor, solver, noise levels, guidance scale, negative prompt and frames are the run's under each of them. A protocol
acts on parameters only (``Method.protocols``), before a job's key is made; the loop knows nothing of it. What
the user types in a label, and a preset that a user names, goes before it, and is said under every table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastvmt.core.choices import one_of
from fastvmt.errors import SpecError
from fastvmt.model import MethodSpec
from fastvmt.plugins import labels, registry
from fastvmt.plugins.method import Method, Shape

DEFAULT, AS_PUBLISHED, BUDGET, TIMING = "matched-start", "as-published", "matched-budget", "timing"
PROTOCOLS = (DEFAULT, AS_PUBLISHED, BUDGET)
MOST_WORK = 4096
"""Inner steps tried at the most."""
NEAR = 0.05
"""Forward-equivalents: what is nearer to the budget is printed like it."""


def parse(text: str) -> tuple[str, bool]:
    """One of ``PROTOCOLS`` and whether videos are timed, from what was typed: ``matched-start``, ``timing``, or both.

    Raises:
        SpecError: for an unknown word, or two protocols at once.

    >>> parse("matched-budget, timing"), parse("timing")
    (('matched-budget', True), ('matched-start', True))
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    chosen = [word for word in dict.fromkeys(words) if word not in (TIMING, "normal")]
    for word in chosen:
        one_of("--protocol", word, (*PROTOCOLS, TIMING))
    if len(chosen) > 1:
        raise SpecError(f"--protocol {text}: a run has one of {', '.join(PROTOCOLS)}, and beside it timing if wanted.")
    return (chosen[0] if chosen else DEFAULT), TIMING in words


def starts(cls: type[Method], protocol: str) -> dict[str, Any]:
    """The changes of parameters by which a method starts as the protocol says."""
    return dict(cls.protocols.starts.get(AS_PUBLISHED if protocol == AS_PUBLISHED else DEFAULT, {}))


def departures(methods: Sequence[MethodSpec], protocol: str) -> list[str]:
    """A sentence for every method that starts otherwise than the protocol says, because the user said so."""
    found = []
    for spec in methods:
        cls = registry.methods.get(spec.method)
        own_preset = bool(cls.protocols.preset) and spec.preset != str(labels.usual_preset(cls))  # says how it starts
        wanted = {} if spec.control or (protocol == AS_PUBLISHED and own_preset) else starts(cls, protocol)
        other = [f"{k}={spec.params.get(k)}" for k, v in wanted.items() if spec.params.get(k) != v]
        if other:
            found.append(f"{spec.label} does not start as the protocol ({protocol}) says: it has {', '.join(other)}.")
    return found


def matched(
    methods: Sequence[MethodSpec], shape: Shape, budget: float | None = None
) -> tuple[tuple[MethodSpec, ...], float, list[str]]:
    """Methods whose work is scaled to a budget as nearly as whole steps allow.

    Args:
        methods: resolved; controls are left as they are.
        budget: forward-equivalents of one video; the cheapest method's without one.

    Returns:
        The methods, the budget, and sentences on what each really takes.
    """
    costs = {spec.label: cost_of(spec, shape) for spec in methods if not spec.control}
    if budget is None:
        budget = round(min(costs.values()), 1) if costs else 0.0
    scaled = tuple(spec if spec.control else _scaled(spec, shape, budget) for spec in methods)
    said = [_said(spec, cost_of(spec, shape), budget) for spec in scaled if not spec.control]
    return scaled, budget, [f"Budget {budget:g} forward-equivalents a video: {'; '.join(said)}."] if said else []


def cost_of(spec: MethodSpec, shape: Shape, **changes: Any) -> float:
    """Forward-equivalents of one video, from the method's formula."""
    cls: type[Method] = registry.methods.get(spec.method)
    return labels.cost(cls, spec.params | changes, shape)


def _scaled(spec: MethodSpec, shape: Shape, budget: float) -> MethodSpec:
    cls: type[Method] = registry.methods.get(spec.method)
    work = cls.protocols.work
    if not work or work in labels.parse(spec.label)[1]:
        return spec
    before = int(spec.params[work])
    best, nearest = before, abs(cost_of(spec, shape) - budget)
    for steps in range(1, MOST_WORK + 1):
        cost = cost_of(spec, shape, **{work: steps})
        gap = abs(cost - budget)
        if (round(gap, 9), abs(steps - before)) < (round(nearest, 9), abs(best - before)):
            best, nearest = steps, gap
        if cost > budget + nearest:
            break
    params = cls.Params.model_validate(spec.params | {work: best})
    return spec.model_copy(update={"params": labels.as_data(params)})


def _said(spec: MethodSpec, cost: float, budget: float) -> str:
    work = registry.methods.get(spec.method).protocols.work
    how = f"{work}={spec.params[work]}" if work else "nothing to scale"
    how += ", as typed" if work and work in labels.parse(spec.label)[1] else ""
    apart = "" if abs(cost - budget) < NEAR else f", {cost - budget:+.1f}"
    return f"{spec.label} {cost:.1f} ({how}{apart})"

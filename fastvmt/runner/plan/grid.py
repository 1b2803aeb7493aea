"""``bench frontier``: the labels of one method over a grid of its parameters' values.

Values are typed, or found around the one that the method has on the backbone: its half and its double, as far as the parameter
takes them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin

from fastvmt.backbones.noise_levels import resolve_steps
from fastvmt.core.choices import hint
from fastvmt.core.spelling import shown
from fastvmt.errors import SpecError
from fastvmt.jobs import protocol
from fastvmt.model import MethodSpec
from fastvmt.plugins import labels
from fastvmt.runner.ablate import Ablation
from fastvmt.runner.option import split
from fastvmt.runner.plan.resolve import resolve
from fastvmt.runner.settings import Request

MOST = 128
"""Rows of one grid: all of them are tested together, and each is a video a case."""


def grid(base: str, over: Iterable[str], request: Request) -> Ablation:
    """The base and every combination of the values.

    Args:
        base: a method's label, e.g. ``fastvmt``.
        over: ``inner=2,4`` for these values, or names alone, ``inner,guided``, for those around the base's; a name may be that
            of a factor that the method declares for ablations.
        request: suite, backbone and setting; its methods do not matter.

    Raises:
        SpecError: for an unknown method or parameter, a value that it does not take, or a grid that is empty or too large.
    """
    if request.protocol == protocol.BUDGET:
        raise SpecError(
            f"--protocol {protocol.BUDGET} gives every row the same work, so none costs less. Use another protocol."
        )
    axes = [axis for word in over for axis in _axes(base, word).items()]
    if not axes:
        raise SpecError("--over is empty; it names parameters, e.g. --over inner,interval or --over inner=2,4,10.")
    if len(dict(axes)) < len(axes):
        raise SpecError("--over names a parameter twice; give all its values at once, e.g. --over inner=2,4,10.")
    plan = resolve(replace(request, methods=(base,), controls=False, limit=1), decode=False)
    s = plan.config.setting
    shape = plan.card.shape(s.width, s.height, s.frames, s.sigmas)
    starts = protocol.starts(labels.parse(base)[0], request.protocol)

    def spec(label: str) -> MethodSpec:
        return labels.resolve(label, shape, plan.card.methods, starts)

    own = spec(base)
    changes: list[list[str]] = []
    for name, typed in axes:
        found: dict[str, str] = {}  # the first of those that come to the same
        for change in typed or _around(base, name, own.params[name], s.sigmas):
            try:
                params = spec(":".join(filter(None, (base, change)))).params
            except SpecError:
                if typed:
                    raise
                continue  # a half or a double that it does not take
            found.setdefault(repr(params), "" if params == own.params else change)
        changes.append(list(found.values()))
    if (rows := math.prod(map(len, changes))) > MOST:
        raise SpecError(
            f"--over makes {rows:,} rows of {base}, and a grid has at most {MOST}. Give fewer parameters or values."
        )
    found_labels = [":".join([base, *filter(None, each)]) for each in itertools.product(*changes)]
    return Ablation(base, tuple(dict.fromkeys([base, *found_labels])), presets=False)


def _axes(base: str, word: str) -> dict[str, list[str]]:
    """Name to changes as they stand behind a label, as typed; none where they are to be found."""
    cls, _ = labels.parse(base)
    fields, factors = cls.Params.model_fields, cls.study.ablations
    found: dict[str, list[str]] = {}
    name = ""
    for part in split(word):
        key, equals, value = part.partition("=")
        if equals or key in fields or key in factors or not name:  # else it is one more value of the last name
            name = key
            found[name] = [] if equals or name in fields else ["", *factors.get(name, ())]
            if name not in fields and (equals or name not in factors):
                known = [*fields, *(f for f in factors if f not in fields)]
                raise SpecError(f"--over {shown(name)}: {cls.id} has no such parameter. {hint(name, known)}")
        if equals or part != name:
            found[name].append(f"{name}={value if equals else part}")
    return found


def _around(base: str, name: str, value: Any, sigmas: tuple[float, ...]) -> list[str]:
    """Values around the one that the base has, its own among them.

    Raises:
        SpecError: for a parameter that has no half and no double.
    """
    hint_ = labels.parse(base)[0].Params.model_fields[name].annotation
    if name == "guided":
        first, last = resolve_steps(value, sigmas)
        steps, most = last - first + 1, len(sigmas) - 1 - first
        values: list[Any] = [f"steps:{first}-{first + n - 1}" for n in _halved(steps) if n <= most]
    elif isinstance(value, bool):
        values = [False, True]
    elif get_origin(hint_) is Literal:
        values = list(get_args(hint_))
    elif isinstance(value, int) and value > 0:
        values = _halved(value)
    elif isinstance(value, float) and value > 0:
        values = [value / 2, value, value * 2]
    else:
        raise SpecError(f"--over {name}: there is nothing around {shown(str(value))}; give values, e.g. --over {name}=A,B.")
    return [f"{name}={str(v).lower() if isinstance(v, bool) else v}" for v in values]


def _halved(value: int) -> list[int]:
    return [n for n in dict.fromkeys((value // 2, value, 2 * value)) if n]

"""What a class has to be before its name is registered, so that no command stumbles over it later.

Contracts are looked up by name: the modules that define them import the registry, which imports this.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from fastvmt.core.spelling import value_shown
from fastvmt.errors import SpecError
from fastvmt.plugins.blame import blamed, defined

CONTRACTS = {
    "methods": "fastvmt.plugins.method:Method", "metrics": "fastvmt.plugins.metric:Metric",
    "trackers": "fastvmt.plugins.tracker:Tracker",
}  # fmt: skip
WAYS = ("cases", "entries", "path")
"""Of a suite to give its clips."""


def vet(kind: str, name: str, cls: Any, origin: str) -> None:
    """
    Args:
        kind: ``methods``, ``metrics``, ``trackers`` or ``suites``; others hold no classes and pass.
        name: under which it is listed.
        origin: whose it is, for the sentence.

    Raises:
        SpecError: naming what the class is or holds, what is expected, and the file and line of the class.
    """
    if kind not in (*CONTRACTS, "suites"):
        return
    if not isinstance(cls, type):
        raise SpecError(f"{origin}: {kind.upper()} must be a dictionary of name to class; '{name}' is {value_shown(cls)}.")
    with blamed(cls, f"{origin}: {cls.__name__}"):
        problem = _not_of_its_kind(kind, cls) or _own_name(kind, name, cls) or _attributes(kind, cls)
    if problem:
        raise SpecError(f"{origin}: {problem}{(at := defined(cls)) and f' ({at})'}.")


def _contract(kind: str) -> type[Any]:
    found: type[Any] = pkgutil.resolve_name(CONTRACTS[kind])
    return found


def _not_of_its_kind(kind: str, cls: type[Any]) -> str:
    if kind == "suites":
        given = [way for way in WAYS if callable(getattr(cls, way, None))]
        return "" if given else f"SUITES lists {cls.__name__}, which has none of {', '.join(WAYS)}"
    base = _contract(kind)
    if issubclass(cls, base):
        return ""
    return (
        f"{kind.upper()} lists {cls.__name__}, which is no fastvmt.{base.__name__}; write class {cls.__name__}({base.__name__})"
    )


def _own_name(kind: str, name: str, cls: type[Any]) -> str:
    own = getattr(cls, "name" if kind == "suites" else "id", name)
    if own == name:
        return ""
    return f"{kind.upper()} lists {cls.__name__} as '{name}' and the class calls itself '{own}'; give both the same name"


def _attributes(kind: str, cls: type[Any]) -> str:
    if not isinstance(cls.__doc__, str | None):
        return f"{cls.__name__}.__doc__ is {value_shown(cls.__doc__)}, expected text"
    if kind == "suites":
        own = {"frames": int, "short": str, "summary": str}
        odd = [k for k, t in own.items() if not isinstance(getattr(cls, k, None), t | None)]
        return f"{cls.__name__}.{odd[0]} is {value_shown(getattr(cls, odd[0]))}, expected {own[odd[0]].__name__}" if odd else ""
    for name, usual in vars(_contract(kind)).items():
        if name.startswith("_") or isinstance(usual, property):
            continue
        value = getattr(cls, name)
        holds, wanted = _wanted(name, getattr(_contract(kind), name), cls)
        if not holds(value):
            return f"{cls.__name__}.{name} is {value_shown(value)}, expected {wanted}"
    return ""


def _wanted(name: str, usual: Any, cls: type[Any]) -> tuple[Callable[[Any], bool], str]:
    """What an attribute has to be: as the contract's own is, or as the few that take more say."""
    known = getattr(getattr(cls, "Params", None), "model_fields", {})
    special: dict[str, tuple[Callable[[Any], bool], str]] = {
        "Params": (_is_params, "a subclass of fastvmt.Params in which every field has a default"),
        "variants": (lambda v: _are_variants(v, known), f"changes by name, of {', '.join(known) or 'no parameter'}"),
        "protocols": (lambda v: _are_protocols(v, usual, known), f"fastvmt.Protocols of {', '.join(known) or 'no parameter'}"),
        "study": (lambda v: _is_study(v, usual), "fastvmt.Study with factors by name, as {'reuse': ('no-step-skip',)}"),
        "card": (lambda v: isinstance(v, str | Path | Mapping | None), "a file's name, or data by name"),
        "role": (lambda v: v in get_args(pkgutil.resolve_name("fastvmt.plugins.method:Role")), "a role"),
        "direction": (lambda v: v in ("up", "down", "none"), "up, down or none"),
        "range": (_is_range, "lowest and highest value"),
    }  # fmt: skip
    if name in special:
        return special[name]
    if callable(usual):
        return callable, "a function"
    kinds = (tuple, list) if isinstance(usual, tuple) else (type(usual),)
    return lambda v: isinstance(v, kinds), f"{type(usual).__name__}, as {value_shown(usual)}"


def _is_params(value: Any) -> bool:
    if not (isinstance(value, type) and issubclass(value, BaseModel)):
        return False
    return not any(field.is_required() for field in value.model_fields.values())


def _are_variants(value: Any, known: Any) -> bool:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        return False
    return all(isinstance(changes, Mapping) and changes.keys() <= set(known) for changes in value.values())


def _are_protocols(value: Any, usual: Any, known: Any) -> bool:
    if not isinstance(value, type(usual)) or any(name and name not in known for name in (value.work, value.preset)):
        return False
    if value.work and not isinstance(known[value.work].get_default(call_default_factory=True), int):
        return False
    return _are_variants(value.starts, known)


def _is_study(value: Any, usual: Any) -> bool:
    if not isinstance(value, type(usual)) or not isinstance(value.ablations, Mapping):
        return False
    factors = all(isinstance(v, tuple | list) and all(isinstance(w, str) for w in v) for v in value.ablations.values())
    rungs = isinstance(value.ladder, tuple | list) and all(isinstance(r, tuple | list) and len(r) == 2 for r in value.ladder)
    return factors and rungs and isinstance(value.floor_when, Mapping)


def _is_range(value: Any) -> bool:
    numbers = isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(v, int | float) for v in value)
    return numbers and bool(value[0] < value[1])

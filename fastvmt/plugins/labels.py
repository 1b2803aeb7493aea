"""``fastvmt:no-window:inner=5`` and what it means on a given backbone."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from fastvmt.core.choices import hint
from fastvmt.core.content_address import canonical_json
from fastvmt.core.limits import number
from fastvmt.core.spelling import shown
from fastvmt.errors import NotComparable, SpecError
from fastvmt.model import MethodSpec
from fastvmt.plugins import registry
from fastvmt.plugins.blame import blamed, in_hook, need
from fastvmt.plugins.method import Method, OwnGrid, Shape

AS_WRITTEN = "as-written"
"""Behind any method's name: its own defaults. Of the backbone's card the block stays, which only a backbone can number."""


def _parts(label: str) -> list[str]:
    """What stands between colons; a colon before a number belongs to a value: guided=share:0.2."""
    return re.split(r":(?![0-9.])", label.strip())


def parse(label: str) -> tuple[type[Method], dict[str, Any]]:
    """A method and the changes written after its name.

    Returns:
        The method class and raw parameter changes (variants applied in order, then ``key=value`` as text).

    Raises:
        SpecError: for an unknown method, variant or parameter, naming the nearest ones.
    """
    name, *parts = _parts(label)
    cls: type[Method] = registry.methods.get(name)
    changes: dict[str, Any] = {}
    fields = cls.Params.model_fields
    for part in parts:
        key, equals, value = part.partition("=")
        if part == AS_WRITTEN:
            continue
        if not equals:
            if part not in cls.variants:
                raise SpecError(f"Method '{name}' has no variant '{shown(part)}'. {hint(part, cls.variants)}")
            changes |= cls.variants[part]
        elif key not in fields:
            raise SpecError(f"Method '{name}' has no parameter '{shown(key)}'. {hint(key, fields)}")
        else:
            changes[key] = value
    return cls, changes


def resolve(
    label: str, shape: Shape, defaults: Mapping[str, Mapping[str, Any]], starts: Mapping[str, Any] | None = None
) -> MethodSpec:
    """A label as a MethodSpec with absolute parameters.

    Args:
        label: as the user wrote it.
        shape: the backbone and grid it will run on.
        defaults: the backbone card's parameter tables by method id (see ``tuned``); a preset that the user names switches
            all but the block off, because a preset says how the authors ran it.
        starts: changes that a protocol makes (``protocol.starts``); after the card's, before what is typed, and off with
            such a preset.

    Raises:
        SpecError: for anything unknown or a value of the wrong type.
    """
    cls, changes = parse(label)
    _refuse_control(cls, shape)
    card = tuned(cls.id, defaults.get(cls.id, {}), len(shape.sigmas) - 1)
    preset = cls.protocols.preset
    authors = bool(preset) and changes.get(preset, usual_preset(cls)) != usual_preset(cls)
    if authors or AS_WRITTEN in _parts(label):
        card = {k: v for k, v in card.items() if k == "block"}
    card |= {} if authors else dict(starts or {})
    whose = f"Method '{shown(label)}'"
    with blamed(cls, f"{whose}, in resolve"), in_words(whose, cls.Params):
        params = cls.Params.model_validate(card | changes)
        own = on_own_levels(cls, params, shape)
        if own.sigmas == shape.sigmas and isinstance(params, OwnGrid):  # the run's by another name, which is no other video
            params = params.model_copy(update={"grid": ""})
        _refuse_noise_below_one(label, cls, params, own)
        params = cls.resolve(params, own)
        need(cls, f"{whose}: resolve", params, isinstance(params, cls.Params), f"a {cls.Params.__name__}")
        plain = as_data(params)
        canonical_json(plain)
        return MethodSpec(
            label=label.strip(), method=cls.id, version=cls.version_of(plain), params=plain,
            preset=str(getattr(params, preset)) if preset else "", control=cls.role == "control",
        )  # fmt: skip


def _refuse_control(cls: type[Method], shape: Shape) -> None:
    if cls.needs_control and not shape.control:
        raise SpecError(
            f"'{cls.id}' needs a backbone that takes a control video, as wan2.1-vace-1.3b does; this one takes none."
        )
    if shape.control and trains(cls):
        raise SpecError(
            f"'{cls.id}' trains weights in the blocks of a plain model; this backbone has control blocks beside them. Use "
            "wan2.1-1.3b."
        )


def as_data(params: BaseModel) -> dict[str, Any]:
    """Parameters as a job's key has them."""
    whole = params.model_dump(mode="json")
    said = {
        k: v for k, v in whole.items() if k not in getattr(params, "silent", ()) or v != type(params).model_fields[k].default
    }
    return said if type(params).model_validate(said) == params else whole  # a preset may stand for another default


def on_own_levels(cls: type[Method], params: Any, shape: Shape) -> Shape:
    """The shape with the noise levels that a row has."""
    found = cls.levels(params, shape.sigmas)
    fit = isinstance(found, tuple) and len(found) == len(shape.sigmas) and all(a > b for a, b in itertools.pairwise(found))
    need(cls, f"Method '{cls.id}': levels", found, fit, f"{len(shape.sigmas)} falling noise levels")
    return replace(shape, sigmas=found)


def guided_window(cls: type[Method], params: Any, shape: Shape) -> dict[str, Any]:
    """Where a method guides: first and last step, of how many, and their noise levels; nothing where it has no such steps."""
    with blamed(cls, f"Method '{cls.id}', in guided_steps"):
        own = on_own_levels(cls, params, shape)
        if not (steps := cls.guided_steps(params, own)):
            return {}
        ends = (steps[0], steps[-1])
        return {"steps": list(ends), "of": len(own.sigmas) - 1, "levels": [round(own.sigmas[i], 4) for i in ends]}


def window_words(window: Mapping[str, Any]) -> str:
    """``steps 0 to 9 of 50, levels 1 to 0.9318``; "" where nothing is guided."""
    if not window:
        return ""
    (first, last), (high, low) = window["steps"], window["levels"]
    return f"steps {first} to {last} of {window['of']}, levels {high:.4g} to {low:.4g}"


def _refuse_noise_below_one(label: str, cls: type[Method], params: Any, shape: Shape) -> None:
    first = shape.sigmas[0]
    if first < 1 - 1e-4 and cls.from_noise(params):
        raise SpecError(
            f"'{shown(label)}' starts from noise alone, and its noise levels begin at {first:.4f}, where the model would take "
            "noise for a video: leave --strength (or the label's grid=) out and give the rows that start from the reference "
            f"their own levels (grid=7:0.75 behind their name), or leave this row out (--no-controls "
            "for the controls)."
        )


@contextmanager
def in_words(whose: str, params: type[BaseModel] | None = None) -> Iterator[None]:
    """
    Raises:
        SpecError: in place of what pydantic says of a parameter: its name, why, its range, what was found.
    """
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "parameters"
        why = first["msg"] + (_range_of(params, str(first["loc"][0])) if params and first["loc"] else "")
        raise SpecError(f"{whose}: {place}: {why} (found {shown(repr(first['input']), 80)}).") from error


def _range_of(params: type[BaseModel], name: str) -> str:
    """``; it is from 1 to 10,000`` of a parameter with both bounds, else nothing."""
    bounds: dict[str, float] = {}
    for rule in params.model_fields[name].metadata if name in params.model_fields else ():
        bounds |= {key: getattr(rule, key) for key in ("ge", "gt", "le", "lt") if hasattr(rule, key)}
    least, most = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if least is None or most is None:
        return ""
    return f"; it is {'above' if 'gt' in bounds else 'from'} {number(least)} to {'below ' * ('lt' in bounds)}{number(most)}"


def usual_preset(cls: type[Method]) -> Any:
    """The preset that a method has unless another is named; None where it has no presets."""
    return cls.Params.model_fields[cls.protocols.preset].default if cls.protocols.preset else None


def tuned(method: str, table: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """A card's parameters of one method in a run of so many steps: what stands under ``from_steps.N`` counts from N steps on.

    Raises:
        SpecError: when N is no number, or nothing is listed under it.

    >>> tuned("fastvmt", {"inner": 15, "from_steps": {"30": {"inner": 10}}}, 50)
    {'inner': 10}
    """
    found = {k: v for k, v in table.items() if k != "from_steps"}
    later = table.get("from_steps", {})
    if not isinstance(later, Mapping) or not all(str(k).isdecimal() and isinstance(v, Mapping) for k, v in later.items()):
        raise SpecError(
            f"The backbone's card: [methods.{method}.from_steps] needs a table under each number of steps, "
            f"as [methods.{method}.from_steps.30] (found {later!r})."
        )
    for _, changes in sorted((int(k), v) for k, v in later.items() if int(k) <= steps):
        found |= changes
    return found


def build(spec: MethodSpec) -> Method:
    """The method object of a resolved spec."""
    cls: type[Method] = registry.methods.get(spec.method)
    with in_hook("__init__"):
        return cls(cls.Params.model_validate(dict(spec.params)))


def cost(cls: type[Method], params: Any, shape: Shape) -> float:
    """Forward-equivalents of one video with resolved parameters, from the method's formula.

    Raises:
        SpecError: for what the formula raises, or no number from 0.
    """
    whose = f"Method '{cls.id}'"
    with blamed(cls, f"{whose}, in cost"), in_words(whose, cls.Params):
        params = params if isinstance(params, BaseModel) else cls.Params.model_validate(params)
        found = cls.cost(params, on_own_levels(cls, params, shape))
    number = isinstance(found, int | float) and 0 <= found < float("inf")
    need(cls, f"{whose}: cost", found, number, "forward-equivalents from 0")
    return float(found)


def trains(cls: type[Method]) -> bool:
    """Whether a method fits weights to the reference before sampling.

    Raises:
        SpecError: for what it raises when asked.
    """
    with blamed(cls, f"Method '{cls.id}', in trains"):
        return bool(cls.trains())


def refuse_mixed_presets(methods: Iterable[MethodSpec]) -> None:
    """Numbers of two presets of one method must not stand side by side.

    Raises:
        NotComparable: naming the method and its presets.
    """
    presets: dict[str, set[str]] = {}
    for spec in methods:
        if spec.preset:
            presets.setdefault(spec.method, set()).add(spec.preset)
    for name, found in presets.items():
        if len(found) > 1:
            raise NotComparable(
                f"{name} stands here with presets {' and '.join(sorted(found))}, whose numbers must not share a "
                f"table. Run them apart, or side by side as an ablation: bench ablate {name} --factors preset."
            )


def refuse_other_version(run: str, to_make: Iterable[MethodSpec]) -> None:
    """Videos of another version than a run's are not the run's.

    Args:
        run: how the sentence calls it; to_make: the methods of the videos to be made.

    Raises:
        SpecError: for a method of which the run has one version, and this installation another.
    """
    for spec in {m.label: m for m in to_make}.values():
        here = registry.methods.get(spec.method).version_of(spec.params)
        if here != spec.version:
            raise SpecError(
                f"{run}: {spec.label} has version {spec.version} in this run and {here} here, so no video of it can be made. "
                "Give the `bench run` command with --out again, which takes the new version, or use the old one."
            )

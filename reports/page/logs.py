"""What methods wrote into their artefacts, as charts: losses, gradients across inner steps, spreads of windows.

A log is data of somebody else's code: whatever is not numbers where numbers are expected is passed over, and a key nobody
has heard of is drawn when its shape says how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastvmt.reports.page.charts import Heat, Lines, heat, lines

MOST_POINTS = 400
MOST_HEATS = 8
MOST_SIDE = 40
"""Gradients along a side of a drawn matrix."""
MOST_CHARTS = 12
DRAWN = 1e300
"""Larger numbers, infinite ones and not-a-numbers are no points of a chart, whose axis goes a little further."""
PASSED_OVER = ("path", "repeats_differ")
"""Not charts: sketches of latents (a figure of their own), and a remark."""


def charts(log: Mapping[str, Any]) -> list[Lines | Heat]:
    """Charts of one artefact's log, at most ``MOST_CHARTS``."""
    found: list[Lines | Heat] = []
    for key, value in log.items():
        if key in PASSED_OVER or not isinstance(value, Mapping | Sequence) or isinstance(value, str | bytes):
            continue
        if key == "gradients":
            found += _gradients(value)
        elif key == "loss" and isinstance(value, Mapping):
            found += _losses(value, log.get("gradients"))
        else:
            found += _any(str(key), value)
    return found[:MOST_CHARTS]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if abs(value) <= DRAWN else None
    except OverflowError:
        return None


def _points(values: Any, at: Any = None) -> list[tuple[float, float]]:
    """A list of numbers against its places (1, 2 ... or ``at``); empty when it is no such list."""
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        return []
    places = at if isinstance(at, Sequence) and not isinstance(at, str | bytes) and len(at) == len(values) else None
    step = max(1, -(-len(values) // MOST_POINTS))
    found = []
    for n in range(0, len(values), step):
        x, y = _number(places[n]) if places is not None else float(n), _number(values[n])
        if x is not None and y is not None:
            found.append((x + 1, y))
    return found


def _steps(value: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    """Items in the order of their steps where keys are numbers, as they come otherwise."""
    items = [(str(k), v) for k, v in value.items()]
    return sorted(items, key=lambda i: int(i[0])) if items and all(k.isdecimal() and len(k) < 9 for k, _ in items) else items


def _any(key: str, value: Any) -> list[Lines | Heat]:
    """Charts of what stands under a key: a list, lists by step, numbers by step, or any of these by name and step."""
    title = key.replace("_", " ")
    if not isinstance(value, Mapping):
        return lines(title, "number", title, {title: _points(value)})
    items = _steps(value)
    listed = {f"step {k}": p for k, v in items if (p := _points(v))}
    single = [(float(n), v) for n, (_, raw) in enumerate(items) if (v := _number(raw)) is not None]
    found = lines(title, "inner step", title, listed) + lines(title, "step", title, {title: single})
    nested: dict[str, dict[str, Any]] = {}
    for step, inner in items:
        for name, v in _flat(inner) if isinstance(inner, Mapping) else ():
            nested.setdefault(name, {})[step] = v
    for name, by in nested.items():
        curves = {f"step {k}": p for k, v in by.items() if (p := _points(v))}
        numbers = [(float(at), x) for at, v in by.items() if at.isdecimal() and (x := _number(v)) is not None]
        found += lines(f"{title}: {name}", "inner step", name, curves)
        found += lines(f"{title}: {name}", "step", name, {name: numbers})
    return found


def _losses(value: Mapping[Any, Any], gradients: Any) -> list[Lines | Heat]:
    """Losses at the inner steps whose gradients were computed afresh, where the log says which these are."""
    facts = gradients if isinstance(gradients, Mapping) else {}
    known = {str(k): v.get("at") for k, v in facts.items() if isinstance(v, Mapping)}
    curves = {f"step {k}": p for k, v in _steps(value) if (p := _points(v, known.get(k)))}
    return lines("loss", "inner step" if known else "gradient", "loss", curves)


def _flat(value: Mapping[Any, Any], before: str = "", depth: int = 3) -> list[tuple[str, Any]]:
    """Nested names joined: {"video": {"spread": 1}} is ("video spread", 1)."""
    found = []
    for k, v in value.items():
        name = f"{before} {k}".strip()
        if isinstance(v, Mapping) and depth:
            found += _flat(v, name, depth - 1)
        else:
            found.append((name, v))
    return found


def _gradients(value: Any) -> list[Lines | Heat]:
    """Norms, cosine to the gradient before, and the matrices of cosines."""
    if not isinstance(value, Mapping):
        return []
    norms: dict[str, list[tuple[float, float]]] = {}
    before: dict[str, list[tuple[float, float]]] = {}
    heats: list[Lines | Heat] = []
    for step, facts in _steps(value):
        if not isinstance(facts, Mapping):
            continue
        at = facts.get("at")
        norms[f"step {step}"] = _points(facts.get("norm", facts.get("norms")), at)
        matrix = _matrix(facts.get("cosine"))
        if matrix is None:
            continue
        following = _points([matrix[n][n - 1] for n in range(1, len(matrix))])
        before[f"step {step}"] = [(x + 1, y) for x, y in following]
        heats.append(heat("cosine between gradients", f"step {step}", [row[:MOST_SIDE] for row in matrix[:MOST_SIDE]]))
    return [
        *lines("cosine of a fresh gradient to the one before", "fresh gradient", "cosine", before),
        *lines("norm of the gradient", "inner step", "norm", norms),
        *heats[:MOST_HEATS],
    ]


def _matrix(value: Any) -> list[list[float]] | None:
    """A square matrix of finite numbers, at least 2 x 2."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) < 2:
        return None
    rows = [[_number(v) for v in row] if isinstance(row, Sequence) and not isinstance(row, str) else [] for row in value]
    if any(len(row) != len(rows) or None in row for row in rows):
        return None
    return [[v for v in row if v is not None] for row in rows]

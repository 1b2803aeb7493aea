"""A session's JSON as Markdown tables: one a part, each row with the card that it was measured on and when."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from fastvmt.core.spelling import GIB

Row = dict[str, Any]
NAME = "what"


def tables(data: dict[str, Any]) -> str:
    """All tables, after a line on what holds for each; parts that are not done say so."""
    device = data["device"]
    known = {"card": device["card"], "driver": device["driver"], "power limit, W": device["power_limit_w"]}
    versions = ", ".join(f"{name} {device[name]}" for name in ("torch", "cuda", "diffusers", "fastvmt-bench"))
    lines = [f"{'Toy size: no number of it says anything. ' if data['toy'] else ''}{data['size']}. {versions}.", ""]
    for name, part in data["parts"].items():
        state = "" if part["state"] == "done" else f" **{part['state']}**: {part['why']}."
        lines += [f"**{name}.** {part['what'].replace('``', '`')}{state}", ""]
        first = [] if name == "load" else next((r["seconds"] for r in part["rows"].values() if r.get("seconds")), [])
        why = {what: row.get("failed") or row.get("left out") for what, row in part["rows"].items()}
        cells = [_cells(what, row, first) for what, row in part["rows"].items() if not why[what]]
        lines += [*_table([row | known | {"date": part["date"]} for row in cells]), ""] if cells else []
        lines += [f"- No number of `{what}`: {reason}" for what, reason in why.items() if reason] + [""]
    return "\n".join(lines)


def _cells(what: str, row: Row, first: list[float]) -> Row:
    """A row's cells by heading; nothing where it has nothing to say."""
    found: Row = {NAME: what}
    if seconds := row.get("seconds"):
        found["s, median [lowest, highest]"] = f"{_short(statistics.median(seconds))} [{_span(seconds)}]"
        found["runs"] = len(seconds)
        if len(seconds) == len(first):
            found["/ first row"] = f"{statistics.median(a / b for a, b in zip(seconds, first, strict=True)):.2f}"
    if "first" in row:
        found["s, first call"] = _short(row["first"])
    for stage in row.get("stages", [{}])[0]:
        found[f"{stage}, s"] = _short(statistics.median(each[stage] for each in row["stages"]))
    if "passes" in row:
        found["passes"] = f"{row['passes'][0]:.1f}"
    for key, heading in (("tensors", "tensors, GiB"), ("taken", "taken, GiB")):
        if key in row.get("peak", {}):
            found[heading] = f"{row['peak'][key] / GIB:.2f}"
    if "predicted" in row:
        found["predicted, GiB"] = f"{row['predicted'] / GIB:.2f}"
    if "blocks run" in row:
        found["blocks run"] = f"{row['blocks run']:.0%}"
    for key in ("largest", "norm"):
        if key in row:
            found[f"differs, {key}"] = f"{row[key]:.1e}"
    if backward := row.get("gradient"):
        found["gradient differs"] = backward.get("failed") or f"{backward['norm']:.1e}"
    return found


def _table(rows: list[Row]) -> list[str]:
    last = ("card", "driver", "power limit, W", "date")
    headings = [h for h in dict.fromkeys(h for row in rows for h in row) if h not in last] + list(last)
    shown: Callable[[Any], str] = lambda value: str(value).replace("|", "\\|")  # noqa: E731
    body = [f"| {' | '.join(shown(row.get(h, '')) for h in headings)} |" for row in rows]
    return [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}", *body]


def _span(seconds: list[float]) -> str:
    return f"{_short(min(seconds))}, {_short(max(seconds))}"


def _short(seconds: float) -> str:
    return f"{seconds:.3g}"

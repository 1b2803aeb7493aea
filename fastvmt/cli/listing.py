"""``bench list`` and ``describe``: what is registered."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from fastvmt.cli.options import Json, Plugin, completion, registered

KINDS = ("methods", "metrics", "trackers", "suites", "archives", "backbones")
"""Whose names a shell offers."""


def list_(
    kind: Annotated[
        str, typer.Argument(help="methods, metrics, suites or backbones.", autocompletion=completion(lambda: KINDS))
    ],
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """List what is registered."""
    from fastvmt.plugins.listing import listing

    _load(plugin)
    rows = listing(kind)
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
        return
    width = max(len(r["name"]) for r in rows)
    for row in rows:
        origin = "" if row["origin"] == "built in" else f" [{row['origin']}]"
        print(f"{row['name']:<{width}}  {row['summary']}{origin}")


def describe(
    name: Annotated[
        str,
        typer.Argument(
            help="A method, metric, suite or backbone.",
            autocompletion=completion(lambda: [name for kind in KINDS for name in registered(kind)]),
        ),
    ],
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Say what a name stands for: source, parameters, defaults."""
    from fastvmt.plugins.listing import describe as look_up

    _load(plugin)
    facts = look_up(name)
    if as_json:
        print(json.dumps(facts, default=str, ensure_ascii=False))
        return
    for key, value in facts.items():
        if isinstance(value, dict):
            print(f"{key}:")
            for inner, what in value.items():
                print(f"  {inner}:{_listed(what)}" if isinstance(what, list) else f"  {inner}: {what}")
        else:
            print(f"{key}: {value}")


def _listed(items: list[Any]) -> str:
    return "".join(f"\n    - {item}" for item in items)


def _load(plugins: list[str] | None) -> None:
    from fastvmt.plugins import registry

    for path in plugins or ():
        registry.load_plugin(path)

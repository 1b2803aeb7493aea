"""``bench list`` and ``describe``: what is registered."""

from __future__ import annotations

from typing import Annotated

import typer

from fastvmt.cli.options import Json, Plugin, completion, load_plugins, registered, tell

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

    load_plugins(plugin)
    rows = listing(kind)
    width = max((len(r["name"]) for r in rows), default=0)
    origins = ["" if r["origin"] == "built in" else f" [{r['origin']}]" for r in rows]
    lines = [f"{r['name']:<{width}}  {r['summary']}{origin}" for r, origin in zip(rows, origins, strict=True)]
    tell(as_json, rows, "\n".join(lines))


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

    load_plugins(plugin)
    facts = look_up(name)
    lines = []
    for key, value in facts.items():
        inner = value if isinstance(value, dict) else {}
        lines.append(f"{key}:" if isinstance(value, dict) else f"{key}: {value}")
        for name_of, what in inner.items():
            listed = [f"\n    - {item}" for item in what] if isinstance(what, list) else [f" {what}"]
            lines.append(f"  {name_of}:{''.join(listed)}")
    tell(as_json, facts, "\n".join(lines))

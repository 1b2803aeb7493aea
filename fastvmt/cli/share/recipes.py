"""``bench recipe`` and ``reproduce``: a row as one file, and whether it comes out again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastvmt.cli.options import HOW, Asked, Run, load_plugins, note, place, takes, tell, typed

if TYPE_CHECKING:
    from fastvmt.reports.share.recipe import Recipe
    from fastvmt.runner.settings import Request


def recipe(
    folder: Run,
    row: Annotated[str, typer.Option(help="Label of the row, as the table has it, e.g. fastvmt or ditflow:original.")],
    out: Annotated[Path | None, place("Write it here; printed by default.")] = None,
) -> None:
    """Write what makes one row again on another machine: method, suite, backbone, metrics, versions, the numbers, as TOML."""
    from fastvmt.core.disk.atomic import write_atomic
    from fastvmt.reports.share import recipe as recipes
    from fastvmt.reports.tidy import gather

    found = recipes.of(gather([folder]), row)
    if out is None:
        print(found.text(), end="")
        return
    write_atomic(out, found.text())
    print(f"{out}: `bench reproduce {out} --out DIR` makes the row again and compares.")


@takes(*(name for name in HOW if name != "reuse"), "out", "plugins", "root", "prompts")
def reproduce(
    asked: Asked,
    file: Annotated[Path, typer.Argument(metavar="RECIPE", help="What `bench recipe` wrote, anywhere.")],
    suite: Annotated[str, typed("suite")] = "",
    backbone: Annotated[str, typed("backbone")] = "",
    device: Annotated[str, typed("device")] = "",
) -> None:
    """Make the row of a recipe again and say, number by number, whether it agrees within the recipe's interval.

    Exit code 0: it agrees; 1: a number does not; 4: something could not be compared. No file that a recipe names is run.
    """
    from fastvmt import api
    from fastvmt.cli.run import finish
    from fastvmt.errors import SpecError
    from fastvmt.reports.share.agreement import agreement
    from fastvmt.reports.share.recipe import read

    if asked.out is None:
        raise SpecError("bench reproduce: give --out DIR, the folder of the run that it makes.")
    load_plugins(asked.plugins)
    wanted = read(file)
    own = {"suite": suite, "backbone": backbone, "device": device, "plugins": asked.plugins}
    own |= {name: asked.words[name] for name in ("root", "prompts")}
    request, lacking = _request(wanted, {name: value for name, value in own.items() if value})
    result = api.run(request, asked.out, replace(asked.options(), reuse=False))  # a video taken over proves nothing
    if result.outcome.interrupted:
        finish(result, asked)
    found = agreement(wanted, result.table.tidy, lacking)
    tell(asked.as_json, {"folder": str(result.folder)} | found.data(), "\n".join(found.lines()))
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def _request(wanted: Recipe, own: dict[str, Any]) -> tuple[Request, dict[str, str]]:
    """What is run, and why metrics of the recipe cannot be scored here.

    Raises:
        NotComparable: when suite, backbone, setting or method are others here, or no number of the recipe can be made.
        SpecError: when the method is a plug-in that the user has not given.
    """
    from fastvmt.core.screen.status_line import doing
    from fastvmt.core.spelling import shown
    from fastvmt.errors import NotComparable, SpecError
    from fastvmt.plugins import registry
    from fastvmt.plugins.metric_labels import in_full, of_backbone
    from fastvmt.reports.share.agreement import forbidding, scorable
    from fastvmt.runner.plan import resolve

    if not wanted.command:
        raise NotComparable(f"{wanted.row}: these videos were made elsewhere, and no command makes them again.")
    if wanted.plugins and wanted.method.method not in registry.methods.names():
        files = ", ".join(f"{shown(name)} (SHA-256 {sha256})" for name, sha256 in wanted.plugins.items())
        raise SpecError(
            f"The method '{shown(wanted.method.method)}' is a plug-in, made from {files}. A recipe's code is never fetched or "
            "run: get the file, look at it, and give it with --plugin FILE if you trust it."
        )
    labels, lacking = scorable(wanted)
    if not labels:
        raise NotComparable(f"No number of the recipe can be made here: {'; '.join(lacking.values()) or 'it has none'}")
    request = wanted.asked(**own)
    names = of_backbone(request.backbone)
    request = replace(request, methods=(wanted.row,), metrics=tuple(in_full(label, names) for label in labels))
    doing("reading the recipe's clips")
    if problems := forbidding(wanted, resolve(request).config):
        raise NotComparable("\n".join(["What would be made here is not what the recipe describes.", *problems]))
    for label, why in lacking.items():
        note(f"{label} is not scored: {why}")
    return request, lacking

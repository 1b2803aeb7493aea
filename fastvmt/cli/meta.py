"""``bench meta``: which metric of motion agrees with a motion that is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastvmt.cli.options import LOOK, Asked, load_plugins, number, table_form, takes, tell
from fastvmt.cli.report import Print
from fastvmt.core.choices import one_of
from fastvmt.errors import SpecError
from fastvmt.runner.option import split

CLIPS = 4
"""Of each category, where nothing else is said."""
Runs = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[RUN...]", help="Run folders whose records to judge by; without any, degraded drawn clips."),
]  # fmt: skip


@takes("plugins", "as_json", *LOOK)
def meta(
    asked: Asked, runs: Runs = None,
    clips: Annotated[int | None, number("--clips", f"Drawn clips of each category ({CLIPS}).", 1, 8)] = None,
    metrics: Annotated[
        str, typer.Option(help="Comma-separated labels or patterns; all of motion, by every tracker that is here, when empty.")
    ] = "",
    print_as: Print = "",
) -> None:  # fmt: skip
    """Which metric agrees with truth: rank correlation of every metric of motion with the known motion of drawn clips.

    Without a run it is asked about clips made worse by a known amount; with one about the videos of all its methods.
    """
    from fastvmt.reports.meta import ratings, toys
    from fastvmt.reports.meta.view import as_views
    from fastvmt.reports.tables.grid import sound
    from fastvmt.reports.tables.render import FORMATS, as_json, render
    from fastvmt.reports.tidy import gather

    if print_as:
        one_of("--print", print_as, FORMATS)
    if runs and (clips is not None or asked.plugins):
        raise SpecError(
            f"--{'plugin' if clips is None else 'clips'} is for drawn clips; a run folder is judged by its own records."
        )
    load_plugins(asked.plugins)
    if runs:
        tidy = asked.look.named(gather(runs))
        found = ratings.of_runs(tidy, split(metrics))
        views = as_views(found, "Which metric agrees with the known motion", tidy.title, tidy.names, tidy.digest)
    else:
        found = toys.of_toys(clips or CLIPS, split(metrics))
        setting = f"{toys.SUITE}, {len(found.truth)} reference clips, {toys.FRAMES} frames, {len(found.rated)} versions of each"
        views = as_views(found, "Which metric agrees with the known motion", setting, asked.look.names.metrics)
    shown = asked.look.of(views)
    text = as_json(shown) if print_as == "json" else "\n\n".join(render(v, print_as or table_form()).rstrip() for v in shown)
    tell(asked.as_json, {view.id: sound(view).data() for view in shown}, text)
    if found.failed:
        raise typer.Exit(3)

"""``bench leaderboard``: many submissions as a site."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastvmt.cli.options import place


def leaderboard(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of submissions, one folder each (`bench submit`).")],
    out: Annotated[Path, place("The site's folder.")],
    study: Annotated[
        Path | None,
        typer.Option(help="What `bench study import --against RUN --json` printed: do people agree with scores?"),
    ] = None,
) -> None:
    """Make a leaderboard of many submissions: a static site that opens from disk and can be published as it is.

    A submission that `bench verify` finds a fault with is listed with the sentence; no score is computed again here.
    """
    from fastvmt.exchange.submissions.verify import verify
    from fastvmt.reports.leaderboard.site import write_site

    print(write_site(folder, out, lambda submission: verify(submission, sample=0).faults, study))

"""``bench merge``, ``export`` and ``import``: runs of several people as one, out to other tools, and others' videos in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fastvmt.cli.options import LOOK, RUN, Asked, Plugin, Runs, note, place, takes
from fastvmt.cli.report import show

Prefer = Annotated[
    list[str] | None, typer.Option(help="Run to believe where a job has other frames in several; may be repeated, best first.")
]


@takes("as_json", *LOOK)
def merge(
    asked: Asked,
    runs: Runs,
    out: Annotated[Path, place("The merged run's folder.")],
    prefer: Prefer = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy videos; by default they are hard links where possible.")] = False,
    plugin: Plugin = None,
) -> None:
    """Unite runs of several machines and people into one run folder. The same command resumes.

    The same job with other frames in two runs has no value until --prefer names one; exit code 3 while there is such a job.
    """
    from fastvmt import api
    from fastvmt.exchange.merge.merge import merge as unite

    found = unite(runs, out, prefer=prefer or (), plugins=tuple(plugin or ()), copy=copy)
    table = api.table(out)
    facts: dict[str, Any] = {
        "folder": str(out), "merged": list(found.sources), "new": found.new, "videos": found.videos,
        "failures": found.failures, "conflicts": {"frames": list(found.frames), "numbers": list(found.numbers)},
    }  # fmt: skip
    show(table, None, asked, more=facts)
    for line in () if asked.as_json else found.lines():
        note(line)
    if found.undecided or found.damaged:
        raise typer.Exit(3)


WITHOUT = (
    "methods", "controls", "device", "offload", "repeats", "timeout", "fail_fast", "reuse", "keep_old", "solver", "executor",
    "address", "slurm", "wait", "remake", "attention", "compile", "cache", "cfg_interval",
)  # fmt: skip
"""Options of ``bench run`` that an import has no use for."""


@takes(*(name for name in RUN if name not in WITHOUT))
def import_(
    asked: Asked,
    videos: Annotated[Path, typer.Argument(help="Folder of videos or image folders named by case or clip (NAME or NAME--s0), "
                                                "or a CSV file with the columns case, file and perhaps seed.")],
    method: Annotated[str, typer.Option(help="Name of the method that made them; its line is imported:NAME.")],
    into: Annotated[Path | None, typer.Option(help="Add them to this run, with its suite and setting.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option(help="Claimed settings: key=value, or a TOML file; may be repeated.")
    ] = None,
    source: Annotated[str, typer.Option(help="Where the videos come from, for readers of the table.")] = "",
    video_fit: Annotated[str, typer.Option(help="Videos of another size: refuse, crop, stretch or pad.")] = "refuse",
    video_frames: Annotated[
        str, typer.Option(help="Videos with more frames: refuse, first (so many from the start) or even (spread).")
    ] = "refuse",
    partial: Annotated[bool, typer.Option("--partial", help="Cases without a video are failures, not a refusal.")] = False,
) -> None:  # fmt: skip
    """Score somebody else's videos of a method beside ours, marked as imported everywhere. The same command resumes."""
    from fastvmt import api
    from fastvmt.cli.run import finish
    from fastvmt.errors import SpecError
    from fastvmt.exchange.imports.frames import Policy
    from fastvmt.exchange.imports.videos import Claim

    if into is not None and (given := [flag for flag in asked.changed() if flag != "--plugin"]):
        raise SpecError(f"{', '.join(given)} with --into: the run's own suite, setting and metrics are used; leave it out.")
    claim = Claim(method, tuple(settings or ()), source, Policy(video_fit, video_frames), partial)
    request = None if into is not None else asked.request()
    found = api.import_videos(videos, claim, request, into=into, out=asked.out, options=asked.options(), plugins=asked.plugins)
    finish(found, asked)


Exported = Annotated[
    list[Path],
    typer.Argument(metavar="RUN...", help="Run folders of one suite and setting; with croissant one suite's folder."),
]
Form = Annotated[
    str, typer.Option(help="parquet, hub (a Hugging Face data set's layout), hub-evals (its community evals), croissant (a "
                           "suite), every-eval-ever, papers (CSV), wandb, mlflow or trackio.")
]  # fmt: skip


def export(
    runs: Exported,
    to: Form,
    out: Annotated[Path, place("New folder for it.")],
    videos: Annotated[bool, typer.Option(help="With hub: the videos too.")] = True,
    repo: Annotated[
        str, typer.Option(help="OWNER/NAME: the data set on the hub that it is, or whose leaderboard it goes to.")
    ] = "",
    push: Annotated[bool, typer.Option("--push", help="Upload it to --repo; made, and private, where there is none.")] = False,
) -> None:
    """Write runs, or a suite, into the files of other tools. Nothing is uploaded without --push."""
    from fastvmt.reports.export.push import address
    from fastvmt.reports.export.write import export as write

    for path in write(runs, to, out, videos=videos, repo=repo, push=push):
        print(path)
    if push:
        note(f"pushed to {address(repo)}")
    if to == "hub-evals":
        results = out / ".eval_results"
        note(f"{results} belongs to the model's repository: hf upload MODEL {results} .eval_results --create-pr")

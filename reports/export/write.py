"""``bench export``: a run, or a suite, in the files of other tools. Nothing that is there is written over."""

from __future__ import annotations

import shutil
from pathlib import Path

from fastvmt.core.choices import one_of
from fastvmt.core.places import Place, Places, paths
from fastvmt.errors import SpecError
from fastvmt.reports.export import community_evals, croissant, every_eval_ever, hub, loggers, papers, parquet
from fastvmt.reports.export import push as uploading
from fastvmt.reports.tidy import Tidy, gather

ON_HUB = {"hub": None, "hub-evals": "eval.yaml", "croissant": None}
"""Forms that can be pushed, with what of them goes to the data set; None for all."""
FORMS = ("parquet", *ON_HUB, "every-eval-ever", "papers", *loggers.PACKAGES)
UNFINISHED = ".unfinished-export"


def export(
    runs: Places, to: str, out: Place, *, videos: bool = True, repo: str = "", push: bool = False
) -> list[Path]:  # fmt: skip
    """Write runs of one suite and setting, or a suite, into a new folder.

    Args:
        runs: run folders; with ``croissant`` one suite's folder.
        to: ``parquet``, ``hub`` (a data set's layout), ``hub-evals`` (community evals), ``croissant`` (of a suite),
            ``every-eval-ever``, ``papers`` (CSV), or ``wandb``, ``mlflow``, ``trackio``, where their package is installed.
        out: a folder that is not there, or empty, or left by an export that was killed.
        videos: with ``hub``, the videos too.
        repo: OWNER/NAME of a data set on the hub: with ``hub-evals`` the one whose leaderboard the numbers belong to.
        push: upload what belongs there to ``repo``, which is made, and private, where there is none.

    Returns:
        What a reader opens first.

    Raises:
        SpecError: for another form, a folder that holds something, a package or a token that is missing, or a hub that refuses.
        SuiteError: for a suite with something wrong in it.
        NotComparable: when the runs must not share a table.
    """
    one_of("--to", to, FORMS)
    out, sources = Path(out), paths(runs)
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / UNFINISHED).exists())):
        raise SpecError(f"--out {out} is there and not empty. Give another folder; an export writes over nothing.")
    secret = _secret(to, repo, push)
    if to == "croissant" and len(sources) != 1:
        raise SpecError(f"--to croissant takes one suite's folder; {len(sources)} were given.")
    tidy = None if to == "croissant" else gather(sources)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / UNFINISHED).touch()
    try:
        found = croissant.write(sources[0], out, repo) if tidy is None else _write(tidy, to, out, videos, repo)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    (out / UNFINISHED).unlink()
    if secret:
        uploading.push(out, repo, secret, ON_HUB[to])
    return found


def _secret(to: str, repo: str, push: bool) -> str:
    """The token where something is to be uploaded, else ""; what cannot be is said before anything is written."""
    if to == "hub-evals" and not repo:
        raise SpecError(
            "--to hub-evals needs --repo OWNER/NAME: the data set on the hub whose leaderboard the numbers belong to."
        )
    if repo and to not in ON_HUB:
        raise SpecError(f"--repo goes with --to {', '.join(ON_HUB)}; {to} has no place on the hub.")
    if push and not repo:
        raise SpecError("--push needs --repo OWNER/NAME, the data set on the hub to write to.")
    if repo:
        uploading.check(repo)
    return uploading.token() if push else ""


def _write(tidy: Tidy, to: str, out: Path, videos: bool, repo: str) -> list[Path]:
    if to == "hub":
        return hub.write(tidy, out, videos, repo)
    if to == "hub-evals":
        return community_evals.write(tidy, out, repo)
    plain = {"parquet": parquet.write, "every-eval-ever": every_eval_ever.write, "papers": papers.write}
    return plain[to](tidy, out) if to in plain else loggers.write(tidy, out, to)

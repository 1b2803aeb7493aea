"""``bench export``: a run in the files of other tools. Nothing is uploaded, and nothing that is there is written over."""

from __future__ import annotations

import shutil
from pathlib import Path

from fastvmt.core.choices import one_of
from fastvmt.core.places import Place, Places, paths
from fastvmt.errors import SpecError
from fastvmt.reports.export import hub, loggers, parquet
from fastvmt.reports.tidy import gather

FORMS = ("parquet", "hub", *loggers.PACKAGES)
UNFINISHED = ".unfinished-export"


def export(runs: Places, to: str, out: Place, *, videos: bool = True) -> list[Path]:
    """Write runs of one suite and setting into a new folder.

    Args:
        to: ``parquet``, ``hub``, ``wandb``, ``mlflow`` or ``trackio``; the last three where their package is installed.
        out: a folder that is not there, or empty, or left by an export that was killed.
        videos: with ``hub``, the videos too.

    Returns:
        What a reader opens first.

    Raises:
        SpecError: for another form, a folder that holds something, or a package that is missing.
        NotComparable: when the runs must not share a table.
    """
    one_of("--to", to, FORMS)
    out = Path(out)
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / UNFINISHED).exists())):
        raise SpecError(f"--out {out} is there and not empty. Give another folder; an export writes over nothing.")
    tidy = gather(paths(runs))
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / UNFINISHED).touch()
    try:
        if to == "hub":
            found = hub.write(tidy, out, videos)
        else:
            found = parquet.write(tidy, out) if to == "parquet" else loggers.write(tidy, out, to)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    (out / UNFINISHED).unlink()
    return found

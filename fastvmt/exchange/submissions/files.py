"""The files of a submission: those that it names, with the digests that it gives, and no others."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from fastvmt.core.spelling import mib, shown
from fastvmt.reports.gate.baseline import named
from fastvmt.reports.share.submission import RECIPE, RUN, SUBMISSION, Submission, files_in, sha256_of
from fastvmt.store import layout
from fastvmt.store.artefact_files import LARGEST_META

LARGEST = {".jsonl": 4 << 30, ".json": 256 << 20, ".toml": 16 << 20}
_KNOWN = re.compile(
    rf"{RECIPE}|{RUN}/({layout.CONFIG}|{layout.TRAITS}|{layout.RECORDS}\.jsonl|{layout.REFERENCES}/[0-9a-f]{{1,16}}\.mkv|"
    rf"{layout.ARTEFACTS}/[^/]+/({layout.META}|{layout.FRAMES}|{layout.VIDEO}))"
)
"""What ``bench submit`` writes."""


def strange_files(folder: Path) -> Iterator[str]:
    """A sentence for each link, device and overlong file; no other file of the folder is to be opened while there is one."""
    for name in (*files_in(folder), SUBMISSION):
        about = (folder / name).lstat()
        limit = LARGEST_META if PurePosixPath(name).name == layout.META else LARGEST.get(PurePosixPath(name).suffix, 1 << 62)
        if stat.S_ISLNK(about.st_mode):
            yield f"{_said(name)} is a link; a submission holds files of its own."
        elif not stat.S_ISREG(about.st_mode):
            yield f"{_said(name)} is neither a file nor a folder."
        elif about.st_size > limit:
            yield f"{_said(name)} has {mib(about.st_size)}, more than any submission's ({mib(limit)})."


def wrong_files(folder: Path, submission: Submission) -> Iterator[str]:
    """A sentence for each file that is not there, has another digest, or has no place in a submission."""
    there = files_in(folder)
    outside = [n for n in submission.files if ".." in PurePosixPath(n).parts or PurePosixPath(n).is_absolute() or "\\" in n]
    yield from (f"{SUBMISSION} names {_said(name)}, which leads out of the folder." for name in outside)
    lost = [name for name in submission.files if name not in there and name not in outside]
    if lost:
        yield f"{len(lost)} files that {SUBMISSION} names are not there ({named([*map(_said, lost)])})."
    if extra := [name for name in there if name not in submission.files and _KNOWN.fullmatch(name)]:
        yield f"{len(extra)} files are not named in {SUBMISSION} ({named([*map(_said, extra)])})."
    if foreign := [name for name in there if not _KNOWN.fullmatch(name)]:
        yield f"{len(foreign)} files are none that a submission holds ({named([*map(_said, foreign)])})."
    for name in there:
        if name in submission.files and sha256_of(folder / name) != submission.files[name]:
            yield f"{_said(name)} has another SHA-256 than {SUBMISSION} gives: it was changed after it was submitted."


def _said(name: str) -> str:
    return f"'{shown(name, 120)}'"

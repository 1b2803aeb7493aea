"""Which cases a request's suite has on this size, with the references that memory has room for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fastvmt.core.screen.status_line import doing
from fastvmt.errors import SpecError
from fastvmt.jobs.numbering import slug
from fastvmt.media.files import Frames
from fastvmt.model import Case, Suite
from fastvmt.plugins import registry
from fastvmt.runner.settings import Request
from fastvmt.suites.cases import Wanted
from fastvmt.suites.format import is_suite, read_header
from fastvmt.suites.opening import list_suite, open_suite

KEPT_BYTES = 256 << 20
"""Decoded references held between planning and storing; what goes beyond is decoded a second time instead."""
EVERY = 10
"""Cases between two words on how far it is."""
OPENED_BY_PLAN = 20
"""``bench plan`` opens the clips of suites up to this many; larger ones it counts."""


@dataclass
class Listed:
    """A suite's cases on one size.

    Attributes:
        again: decodes the clips once more, for those that ``frames`` has no room for.
        frames: references by frames digest, the first ``KEPT_BYTES`` of them.
        decoded: false when clips were only listed.
        notes: clips that are left out.
    """

    suite: Suite
    again: Callable[[], Iterator[tuple[Case, Frames]]]
    frames: dict[str, Frames]
    decoded: bool
    notes: tuple[str, ...]


def cases_of(request: Request, wanted: Wanted, decode: bool = True) -> Listed:
    """The cases of a request.

    Args:
        decode: false to list a large suite's clips instead of opening them.

    Raises:
        UserError: with every problem of the suite, a line each.
    """
    skipped: list[str] = []
    most = sys.maxsize if decode else OPENED_BY_PLAN
    source, decoded = list_suite(request.suite, wanted, request.prompt, skipped, most)
    cases: list[Case] = []
    ids: set[str] = set()
    kept: dict[str, Frames] = {}
    room = KEPT_BYTES
    for case, frames in source:
        if request.limit and len(cases) == request.limit:
            break
        if case.id in ids:
            raise SpecError(f"{request.suite}: two cases are called '{case.id}'; rename one clip.")
        ids.add(case.id)
        if len(ids) % EVERY == 0:
            doing(f"reading the request and its clips, {len(ids):,} so far")
        cases.append(case)
        if frames is not None and case.reference.frames_digest not in kept and frames.nbytes <= room:
            kept[case.reference.frames_digest] = frames
            room -= frames.nbytes
    if not cases:
        raise SpecError(f"{request.suite}: no clip is left ({'; '.join(skipped) or 'it names none'}).")
    notes = tuple(f"left out: {s.split('. Use')[0]}" for s in skipped)
    again = partial(open_suite, request.suite, wanted, request.prompt)
    return Listed(Suite(name=_suite_name(request), cases=tuple(cases)), again, kept, decoded, notes)


def _suite_name(request: Request) -> str:
    """What a suite is called, however its folder is named on the command line; the id where its header has one."""
    known = registry.suites.names()
    registered = registry.suites.get(request.suite) if request.suite in known else None
    own = request.root if request.root and hasattr(registered, "path") else request.suite
    if own in known:
        return own
    path = Path(own).resolve()
    if is_suite(path):
        return read_header(path)[0].id
    inside = path.is_file() and path.name in ("suite.toml", "manifest.json")
    return slug((path.parent if inside else path).name) or "suite"

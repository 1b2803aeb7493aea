"""A method's page: its places, a badge for each, samples in step with the reference, recipe, card, and history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fastvmt.core.screen.terminal import visible
from fastvmt.core.spelling import public, shown
from fastvmt.reports.leaderboard.boards import LATER, Board, kind_of
from fastvmt.reports.leaderboard.submissions import Entry, Refused, Submission
from fastvmt.reports.page.facts import method_cards
from fastvmt.reports.page.gallery import CasePage, Gallery, GalleryClip, page_name
from fastvmt.reports.page.telling import Telling, telling
from fastvmt.reports.page.write import clips_of, strip_of
from fastvmt.reports.page.writer import PageWriter
from fastvmt.reports.share.claims import claims_of
from fastvmt.reports.tables.headings import heading
from fastvmt.reports.tables.verdict import motion_score
from fastvmt.reports.tables.view import Cell, Column
from fastvmt.reports.tidy import Tidy
from fastvmt.store.layout import FRAMES

FIRST, OTHER = "#0c6b3c", "#0b5cad"
"""Colours of a badge: may hold the first place, and does not."""
LETTER = 6.6
"""Width of a letter of a badge, px."""
MOST_OF_TITLE = 40


@dataclass(frozen=True)
class Standing:
    """A method on a board: its cells beside its place, its badge's file, and what that says."""

    board: Board
    cells: list[tuple[Column, Cell]]
    badge: str
    alt: str


@dataclass(frozen=True)
class Past:
    """A line of the history, in words."""

    date: str
    folder: str
    said: str
    board: str = "–"
    score: str = "–"
    device: str = "–"


def write_method(writer: PageWriter, page: str, own: Sequence[Submission], boards: Sequence[Board]) -> None:
    """The page of one method, and its badges.

    Args:
        own: all submissions of this label, one entry among them; those that are not ranked are there as refused, too.
    """
    entries = [s for s in own if isinstance(s, Entry)]
    label = entries[0].label
    standings = [_standing(writer, b, label) for b in boards if label in b.ranked]
    first = standings[0].board.ranked[label] if standings else entries[-1]
    told, held = _samples(writer, first)
    writer.page(
        page, "method.jinja", up="../", label=label, kind=kind_of(first.tidy, label), standings=standings, told=told, held=held,
        data=clips_of({t.case: (case, strip) for t, case, strip in told}, "../clips/"), score=motion_score(first.tidy),
        recipe=visible(first.recipe.text()), card=next(c for c in method_cards(first.tidy) if c["label"] == label),
        history=_history(own, [s.board for s in standings], label),
    )  # fmt: skip


def _standing(writer: PageWriter, board: Board, label: str) -> Standing:
    view = board.view.of(board.view.main[1:])
    name = f"badges/{page_name(label).removesuffix('.html')}-{board.key}.svg"
    title, said = shown(board.title, MOST_OF_TITLE), f"place {board.place(label)} · {board.score(label)}"
    left, right = (round(12 + LETTER * len(text)) for text in (title, said))
    fill = FIRST if (board.places[label].low or board.places[label].value) == 1 else OTHER
    writer.page(name, "badge.jinja", left=left, right=right, title=title, said=said, fill=fill)
    return Standing(board, list(zip(view.columns, view.line(label).cells, strict=True)), name, f"{title}: {said}")


def _history(own: Sequence[Submission], boards: Sequence[Board], label: str) -> list[Past]:
    """Every submission of the method, the latest first."""
    whys = {s.folder: s.why for s in own if isinstance(s, Refused)}
    ranked = {b.ranked[label].folder: f"place {b.place(label)}" for b in boards}
    later = f"{LATER[:1].upper()}{LATER[1:]}."
    found = []
    for s in sorted({s.folder: s for s in reversed(own)}.values(), key=lambda s: s.order, reverse=True):
        said = ranked.get(s.folder) or whys.get(s.folder, later)
        if isinstance(s, Entry):
            board = f"{s.tidy.suite.name} on {s.tidy.setting.called}"
            found.append(Past(s.date, s.folder, said, board, _score(s), _devices(s)))
        else:
            found.append(Past(s.date, s.folder, said))
    return found


def _score(entry: Entry) -> str:
    """The score of motion of a submission's row by itself."""
    metric = motion_score(entry.tidy)
    claim = claims_of(entry.tidy, entry.label).get(metric)
    return f"{claim.text(entry.tidy.metrics[metric].decimals)} ({heading(metric, entry.tidy)})" if claim else "–"


def _devices(entry: Entry) -> str:
    rows = entry.tidy.frame[entry.tidy.frame["label"] == entry.label]
    return public(", ".join(d for d in dict.fromkeys(rows["device"].astype(str)) if d))


def _samples(writer: PageWriter, entry: Entry) -> tuple[list[tuple[Telling, CasePage, list[GalleryClip]]], int]:
    """The best, a typical and the worst of the videos that the submission holds, and how many it holds."""
    tidy, held = _with_videos(entry)
    gallery, found = Gallery(entry.tidy, writer.out / "clips", tracks=True), []
    for n, chosen in enumerate(telling(tidy) if tidy.cases else ()):
        page = gallery.page(entry.tidy.cases[chosen.case])
        strip = [c for c in strip_of(page.shown, chosen, f"case-{n}-") if c.state == "ok" or c.label == entry.label]
        found.append((chosen, page, strip))
    return found, held


def _with_videos(entry: Entry) -> tuple[Tidy, int]:
    """The row and its controls over the videos of the row that are there with their references, and how many these are."""
    tidy, (store,) = entry.tidy, entry.tidy.stores
    clips = {k for k, c in tidy.cases.items() if store.reference_path(c.reference.frames_digest).is_file()}
    jobs = [j for j in store.config().jobs() if j.method.label == entry.label and j.case_id in clips]
    there = {(j.case_id, j.seed) for j in jobs if (store.folder(j) / FRAMES).is_file()}
    methods = {k: spec for k, spec in tidy.methods.items() if k == entry.label or spec.control}
    pairs = np.array([at in there for at in zip(tidy.frame["case"].astype(str), tidy.frame["seed"], strict=True)], bool)
    cases = {k: c for k, c in tidy.cases.items() if k in {case for case, _ in there}}
    seen = replace(tidy, frame=tidy.frame[pairs & tidy.frame["label"].isin(list(methods))], methods=methods, cases=cases)
    return seen, len(there)

"""The report of a run: a folder of static pages that opens from disk, without network.

    write_report(gather([run]), [comparison(tidy)], out)    # -> out/index.html

    index.html            what was run, tables, pictures
    cases.html ...        all cases, so many a page
    cases/NAME.html       one case: reference and every method side by side, in step
    failures.html ...     what is missing, and why
    clips/, assets/, data/, pictures/

How text from anywhere stays text is ``writer``'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastvmt.core.screen.status_line import doing
from fastvmt.model import Case
from fastvmt.reports.figures.style import Picture, colours
from fastvmt.reports.page.atlas import as_script, json_text
from fastvmt.reports.page.facts import command, facts, method_cards
from fastvmt.reports.page.gallery import CasePage, Gallery, GalleryClip, missing_numbers, page_name
from fastvmt.reports.page.telling import Telling, telling
from fastvmt.reports.page.writer import TEMPLATES, PageWriter
from fastvmt.reports.tables.headings import display, heading
from fastvmt.reports.tables.verdict import motion_score
from fastvmt.reports.tables.view import View
from fastvmt.reports.tidy import Tidy

ASSETS = ("report.css", "theme.js", "report.js", "cases.js", "gallery.js")
MARK = "fastvmt-bench report"
OWN_PAGES = re.compile(r"^(cases(-\d+)?|failures(-\d+)?|(cases/)?[a-z0-9-]{1,40}-[0-9a-f]{10})\.html$")


def write_report(
    tidy: Tidy, views: Sequence[View], out: Path, pictures: Sequence[Picture] = (),
    per_page: int = 50, tracks: bool = True,
) -> Path:  # fmt: skip
    """Write the report and return its ``index.html``. Clips that are there from an earlier call are kept.

    Args:
        views: tables.
        pictures: figures made elsewhere, copied in.
        per_page: cases, or failures, on a page of their list.
        tracks: follow points through every clip, for the overlay; about a tenth of a second for a short small clip.

    Raises:
        UserError: when ``out`` holds something else.
    """
    writer = PageWriter(out, MARK, OWN_PAGES)
    for name in ("cases", "clips", "assets", "data", "pictures"):
        (out / name).mkdir(parents=True, exist_ok=True)
    writer.assets(TEMPLATES, ASSETS)
    gallery = Gallery(tidy, out / "clips", tracks)
    failed = sum(sum(count.failed.values()) for count in tidy.counts.values())
    writer.common = {
        "tidy": tidy, "colours": colours(tidy.methods), "failures_number": failed,
        "called": {k: display(k, tidy) for k in tidy.methods}, "heads": {k: heading(k, tidy) for k in tidy.metrics},
    }  # fmt: skip
    chosen = {t.case: t for t in telling(tidy)}
    told = _write_cases(writer, gallery, per_page, chosen)
    _write_list(writer, "failures", gallery.failures, per_page, missing=missing_numbers(tidy))
    first = next((view.of(view.main) if view.brief else view for view in views), None)
    writer.page(
        "index.html", "index.jinja", up="", facts=facts(tidy), cards=method_cards(tidy), command=command(tidy),
        first=first, rest=views[first in views[:1] :], shown=[writer.picture(p) for p in pictures],
        score=motion_score(tidy), told=[(t, *told[case]) for case, t in chosen.items()], data=clips_of(told),
    )  # fmt: skip
    writer.remove_old()
    return out / "index.html"


def _write_cases(
    writer: PageWriter, gallery: Gallery, per_page: int, chosen: Mapping[str, Telling]
) -> dict[str, tuple[CasePage, list[GalleryClip]]]:
    """A page for each case, then the list of all in pages, and the same list as data for the search.

    Returns:
        For each case chosen its page, and the clips of it that the report opens with: the reference first.
    """
    cases = list(gallery.tidy.cases.values())
    addresses = ["", *(page_name(case.id) for case in cases), ""]
    listed: list[CasePage] = []
    told = {}
    for n, case in enumerate(cases):
        doing("making the page", n, len(cases))
        page = gallery.page(case)
        data = {"clips": [s.data("../clips/") for s in page.shown], "fps": fps_of(case)}
        writer.page(
            f"cases/{page.page}", "case.jinja", up="../", page=page, data=data, number=n + 1, cases=len(cases),
            before=addresses[n], after=addresses[n + 2], list_page=_names("cases", len(cases), per_page)[n // per_page],
        )  # fmt: skip
        if t := chosen.get(case.id):
            told[case.id] = page, strip_of(page.shown, t, f"case-{n}-")
        page.shown.clear()  # a thousand cases' charts would fill the memory
        listed.append(page)
    categories = {k: sum(p.case.category == k for p in listed) for k in dict.fromkeys(p.case.category for p in listed)}
    _write_list(writer, "cases", listed, per_page, categories=categories)
    rows = [[p.page, p.case.id, p.case.category, p.case.prompt, p.case.caption, p.still, p.failed, p.missing] for p in listed]
    writer.put("data/cases.js", as_script("cases", json_text({"rows": rows, "per_page": per_page})))
    return told


def strip_of(shown: Sequence[GalleryClip], chosen: Telling, prefix: str) -> list[GalleryClip]:
    """Reference and methods of a case that the report opens with, under names that are unique on its first page."""
    by = {(clip.role == "reference", clip.label): clip for clip in shown if clip.seed in (None, chosen.seed)}
    wanted = [(True, "reference"), *((False, label) for label in chosen.labels)]
    return [replace(by[at], key=prefix + by[at].key) for at in wanted if at in by]


def clips_of(told: Mapping[str, tuple[CasePage, Sequence[GalleryClip]]], clips: str = "clips/") -> dict[str, Any]:
    """What a page's script needs: one clock moves the clips of all cases. ``clips``: the address of their folder."""
    fps = [fps_of(page.case) for page, _ in told.values()]
    return {"clips": [clip.data(clips) for _, strip in told.values() for clip in strip], "fps": fps[0] if fps else 1}


def fps_of(case: Case) -> float:
    return case.reference.fps_num / max(1, case.reference.fps_den)


def _names(stem: str, total: int, per_page: int) -> tuple[str, ...]:
    return tuple(f"{stem}-{n + 1}.html" if n else f"{stem}.html" for n in range(max(1, -(-total // per_page))))


def _write_list(writer: PageWriter, stem: str, items: Sequence[Any], per_page: int, **words: Any) -> None:
    """A long list in pages of its own, by the template of its name."""
    names = _names(stem, len(items), per_page)
    for n, name in enumerate(names):
        shown = items[n * per_page : (n + 1) * per_page]
        part = {"number": n, "names": names, "shown": shown, "total": len(items), "first": n * per_page + 1}
        writer.page(name, f"{stem}.jinja", up="", part=part, **words)

"""A site of static pages from a folder of submissions, which opens from disk and asks no other address for anything.

    write_site(Path("submissions"), Path("site"), check)    # -> site/index.html

    index.html           every board: verdict, table, frontier; filters; how to add a method; what is not ranked, and why
    methods/NAME.html    a method: its places, samples in step with the reference, recipe, card, history
    suites/NAME.html     a suite: whole tables of its boards, its cases
    badges/NAME.svg      place and score of a method on a board
    clips/, pictures/, assets/

How text from anywhere stays text is ``page.writer``'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from fastvmt.core.screen.status_line import doing
from fastvmt.reports.figures.frontier import frontier
from fastvmt.reports.figures.style import Picture, save
from fastvmt.reports.leaderboard.boards import LATER, Board, boards_of, kind_of
from fastvmt.reports.leaderboard.method_page import write_method
from fastvmt.reports.leaderboard.people import People, read_people
from fastvmt.reports.leaderboard.submissions import Check, Entry, Refused, Submission, read_all
from fastvmt.reports.page.gallery import page_name
from fastvmt.reports.page.writer import TEMPLATES, PageWriter
from fastvmt.reports.tables.headings import display, heading
from fastvmt.runner.settings import Request, words_of

FILES = Path(__file__).parent / "files"
SHARED = ("report.css", "theme.js", "report.js", "gallery.js")
OWN = ("leaderboard.css", "leaderboard.js")
MARK = "fastvmt-bench leaderboard"
PAGES = re.compile(
    r"^((methods|suites)/[a-z0-9-]{1,40}-[0-9a-f]{10}\.html|badges/[a-z0-9-]{1,40}-[0-9a-f]{10}-[0-9a-f]{12}\.svg)$"
)


def write_site(folder: Path, out: Path, check: Check, study: Path | None = None) -> Path:
    """Write the site and return its ``index.html``; equal submissions make equal pages.

    Args:
        folder: of submissions, each a folder.
        out: where the site goes; it may lie in ``folder``.
        check: says what of a submission does not hold; one that fails is listed with the sentence.
        study: what people said in pairs, as ``bench study import --json`` prints it.

    Raises:
        UserError: when ``folder`` has no submission, ``out`` holds something else, or ``study`` is none.
    """
    people = read_people(study) if study else None
    writer = PageWriter(out, MARK, PAGES, (FILES,))
    found = read_all(folder, out, check)
    entries = [s for s in found if isinstance(s, Entry)]
    boards, unranked = boards_of(entries)
    refused = [s for s in found if isinstance(s, Refused)]
    refused += [e.refused(f"{why[:1].upper()}{why[1:]}.") for e, why in unranked if why != LATER]
    _write(writer, entries, boards, sorted(refused, key=lambda s: s.order), len(found), people)
    writer.remove_old()
    return out / "index.html"


def _write(
    writer: PageWriter,
    entries: Sequence[Entry],
    boards: Sequence[Board],
    refused: list[Refused],
    submissions: int,
    people: People | None,
) -> None:
    writer.assets(TEMPLATES, SHARED)
    writer.assets(FILES, OWN)
    (writer.out / "clips").mkdir(exist_ok=True)
    labels = dict.fromkeys(e.label for e in entries)
    names = {e.label: page_name(e.label) for e in entries}
    kinds = {e.label: kind_of(e.tidy, e.label) for e in entries}
    heads = {m: heading(m, b.tidy) for b in boards for m in b.tidy.metrics}
    called = {k: display(k, e.tidy) for e in entries for k in e.tidy.methods}
    writer.common = {
        "colours": {}, "called": called, "heads": heads, "kinds": kinds, "out": refused, "submissions": submissions,
    }  # fmt: skip
    suites = {b.key: page_name(f"{b.tidy.suite.name} {b.tidy.suite_digest}") for b in boards}
    for n, label in enumerate(labels):
        doing("making the pages of methods", n, len(labels))
        own: list[Submission] = [s for s in (*entries, *refused) if s.label == label]
        write_method(writer, f"methods/{names[label]}", own, boards)
    for name in dict.fromkeys(suites.values()):
        its = [b for b in boards if suites[b.key] == name]
        writer.page(
            f"suites/{name}", "suite.jinja", up="../", boards=its, suite=its[0].tidy.suite, digest=its[0].tidy.suite_digest,
            links={k: f"../methods/{v}" for k, v in names.items()}, commands={b.key: _command(b) for b in its},
        )  # fmt: skip
    writer.page(
        "index.html", "boards.jinja", up="", boards=boards, plots=_plots(writer, boards), filters=_filters(boards),
        links={k: f"methods/{v}" for k, v in names.items()}, suites={k: f"suites/{v}" for k, v in suites.items()},
        add="\n".join(_five_lines(boards)), people={b.key: people.said(b.tidy) if people else () for b in boards},
    )  # fmt: skip


def _filters(boards: Iterable[Board]) -> dict[str, list[str]]:
    """What there is to choose from."""
    found: dict[str, dict[str, None]] = {"suite": {}, "backbone": {}, "protocol": {}}
    for b in boards:
        for name, value in zip(found, (b.tidy.suite.name, b.tidy.setting.called, b.tidy.setting.protocol), strict=True):
            found[name][value] = None
    return {name: sorted(values) for name, values in found.items()}


def _plots(writer: PageWriter, boards: Iterable[Board]) -> dict[str, dict[str, str]]:
    """The frontier of each board that has one."""
    found = {}
    with TemporaryDirectory() as place:
        for b in boards:
            if b.frontier:
                doing(f"drawing the frontier of {b.title}")
                drawn = frontier(b.frontier, next(iter(b.frontier.costs)))
                (path,) = save(drawn, Path(place) / b.key, ("svg",))
                found[b.key] = writer.picture(Picture("frontier", path, drawn.alt, drawn.caption))
    return found


def _command(board: Board) -> str:
    """What makes the videos of a new method for a board."""
    request = next(iter(board.ranked.values())).recipe.request | {"methods": ("mine",), "plugins": ("mine.py",)}
    return " ".join(["bench run", *words_of(Request, request), "--out runs/mine"])


def _five_lines(boards: Sequence[Board]) -> list[str]:
    run = _command(boards[0]) if boards else "bench run --suite shapes --methods mine --plugin mine.py --out runs/mine"
    return [
        "bench new method mine          # writes mine.py, which runs as it is: put your method in",
        run,
        "bench submit runs/mine --method mine --out submissions/mine",
        "bench verify submissions/mine --plugin mine.py  # what is checked before a row is ranked",
        'git add submissions/mine && git commit -m "Add mine" && gh pr create --fill',
    ]

"""The printed forms of a table: terminal, Markdown, CSV, LaTeX, HTML and JSON, all from one ``View``.

    from fastvmt.reports.tables.render import render, write
    print(render(view, "terminal"))
    write(view, Path("tables"), ("md", "csv", "tex"))

Every text of a view is hostile input and escaped; JSON alone keeps each text as it was.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

from fastvmt.core.choices import one_of
from fastvmt.core.disk.atomic import write_atomic
from fastvmt.core.spelling import csv_cell
from fastvmt.errors import SpecError
from fastvmt.reports.tables.grid import GridRow, clean, digests, for_people, grid, more, pieces, sound, tail, wide_of
from fastvmt.reports.tables.latex import latex
from fastvmt.reports.tables.terminal import terminal
from fastvmt.reports.tables.view import Cell, Column, Line, View

__all__ = ["FORMATS", "csv_text", "html", "json_text", "markdown", "render", "terminal", "write"]

FORMATS = ("terminal", "md", "csv", "tex", "html", "json")
CSV_HEADS = (
    "table", "line", "head", "group", "column", "unit", "direction", "value", "low", "high", "n", "expected", "mark", "tied",
    "why", "protocol", "heading",
)  # fmt: skip
_MD_MARKS = {"best": ("**", "**"), "second": ("<ins>", "</ins>")}
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def render(view: View, format: str) -> str:
    """The table in one of ``FORMATS``.

    Raises:
        SpecError: for an unknown format, naming the known ones.
    """
    return MAKERS[one_of("--print", format, MAKERS)](view)


def write(view: View, folder: Path, formats: Iterable[str]) -> list[Path]:
    """Write ``folder/<view.id>.<format>`` for each format, each file whole or not at all; the folder is made.

    Raises:
        SpecError: before anything is written, for an unknown format or an id that is no file name.
    """
    makers = {format: MAKERS[one_of("--print", format, MAKERS)] for format in formats}
    if "terminal" in makers:
        raise SpecError(f"The terminal form is printed, not written; files are {', '.join(FORMATS[1:])}.")
    if not _SAFE_ID.fullmatch(view.id):
        raise SpecError(f"The table id {view.id!r} cannot name a file; use letters, digits, '.', '_' and '-', at most 64.")
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for format, make in makers.items():
        text = make(view)
        if format == "html":  # a fragment cannot say its encoding, so it needs none
            text = text.encode("ascii", "xmlcharrefreplace").decode()
        paths.append(folder / f"{view.id}.{format}")
        write_atomic(paths[-1], text)
    return paths


def markdown(view: View) -> str:
    """GitHub's Markdown, with aligned columns so that it also reads raw."""
    shown, spread = for_people(view)
    laid = grid(shown)
    columns = [_aligned([_md_cell(*row.cells[at], spread) for row in laid.rows]) for at in range(len(laid.columns))]
    rows = [["", *map(_md, laid.heads)]]
    numbers = iter(range(len(laid.rows)))
    for group, band in laid.bands:
        if group:
            rows.append([f"**{_md(group)}**", *("" for _ in columns)])
        rows += [[_md(row.head), *(column[n] for column in columns)] for row, n in zip(band, numbers, strict=False)]
    head = f"**{_md(clean(view.title))}**" + (f" · {_md(clean(view.setting))}" if view.setting else "")
    verdict, under = (clean(text) for text in view.verdict), filter(None, [*tail(shown, spread), more(view), *digests(view)])
    return "\n\n".join([*map(_md, verdict), head, "\n".join(_ruled(rows)), *map(_md, under)]) + "\n"


def _md_cell(cell: Cell, column: Column, spread: str) -> tuple[str, str]:
    number, rest = pieces(cell, column, spread)
    before, after = _MD_MARKS.get(cell.mark, ("", ""))
    return (f"{before}{number}{after}", rest) if number else ("", _md(rest))


def _md(text: str) -> str:
    """Escaped for a table of GitHub's Markdown; brackets only where they would make a link, ``_`` only outside words."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"[\\`*|~$]", r"\\\g<0>", text)
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)
    text = re.sub(r"\](?=[(\[:])", r"\\]", text)
    return re.sub(r"(?<!\w)@(?=\w)", "@<!-- -->", text)  # nobody is called because a label holds a name


def _aligned(cells: Sequence[tuple[str, str]]) -> list[str]:
    """Numbers of one column brought under each other, whatever follows them."""
    wide = max((len(number) for number, _ in cells), default=0)
    return [(number or rest).rjust(wide) + (rest if number else "") for number, rest in cells]


def _ruled(rows: list[list[str]]) -> list[str]:
    """Rows of text, the first one the heads, as the lines of a table; all but the first column are set right."""
    widths = [max(3, *(wide_of(row[at]) for row in rows)) for at in range(len(rows[0]))]
    padded = [[text + " " * (w - wide_of(text)) for text, w in zip(row, widths, strict=True)] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in padded]
    lines.insert(1, "|" + "|".join("-" * (w + 1) + ("-" if not at else ":") for at, w in enumerate(widths)) + "|")
    return lines


def csv_text(view: View) -> str:
    """Tidy: one line for each cell, numbers in full (RFC 4180). Text that a spreadsheet would compute is quoted by ``'``."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(CSV_HEADS)
    for line in sound(view).lines:
        for cell, column in zip(line.cells, view.columns, strict=True):
            texts = [view.id, line.key, line.head, line.group, column.key, column.unit, column.direction]
            numbers = ["" if number is None else repr(number) for number in (cell.value, cell.low, cell.high)]
            behind = (csv_cell(clean(text)) for text in (cell.why, view.protocol, column.head))
            said = [cell.mark, str(cell.tied).lower(), *behind]
            writer.writerow([*(csv_cell(clean(text)) for text in texts), *numbers, cell.n, cell.expected, *said])
    return file.getvalue()


def json_text(view: View) -> str:
    """``View.data`` with null for what is not finite; half a surrogate pair stays as its escape."""
    text = json.dumps(sound(view).data(), ensure_ascii=False, allow_nan=False, indent=2)
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def as_json(shown: Iterable[View]) -> str:
    """Views as one JSON object, by id."""
    return json.dumps({view.id: sound(view).data() for view in shown}, ensure_ascii=False, allow_nan=False)


def html(view: View) -> str:
    """A fragment for a page: verdict, table, then its legend, notes and digests. Classes only; no style, no script.

    ``data-sort`` of a cell holds the number in full, or nothing where it is missing.
    """
    view, notes = for_people(view)[0], [more(view), *digests(view)]
    laid = grid(view)
    setting = f" <small>{_html(view.setting)}</small>" if view.setting else ""
    lines = ['<div class="verdict">', *(f"<p>{_html(text)}</p>" for text in view.verdict), "</div>"] if view.verdict else []
    lines += [f'<table class="view" data-table="{_html(view.id)}">', f"<caption>{_html(view.title)}{setting}</caption>"]
    heads = "".join(map(_html_head, laid.columns))
    lines += ["<thead>", f"<tr><td></td>{heads}</tr>", "</thead>"]
    order = iter(view.lines)
    for group, band in laid.bands:
        lines.append("<tbody>")
        if group:
            lines.append(
                f'<tr class="group"><th scope="rowgroup" colspan="{len(view.columns) + 1}"><bdi>{escape(group)}</bdi></th></tr>'
            )
        lines += [_html_line(line, row) for row, line in zip(band, order, strict=False)]
        lines.append("</tbody>")
    under = [f"<p>{escape(text)}</p>" for text in (*tail(view), *notes) if text]
    lines += ["</table>", '<div class="table-notes">', *under, "</div>"]
    return "\n".join(lines) + "\n"


def _html(text: str) -> str:
    return escape(clean(text))


def _html_head(column: Column) -> str:
    arrow = {"up": ("higher", "↑"), "down": ("lower", "↓")}.get(column.direction)
    unit = f" [{_html(column.unit)}]" if column.unit else ""
    sign = f' <abbr title="{arrow[0]} is better">{arrow[1]}</abbr>' if arrow else ""
    facts = f'data-column="{_html(column.key)}" data-direction="{_html(column.direction)}"'
    return f'<th scope="col" {facts}><bdi>{_html(column.head)}</bdi>{unit}{sign}</th>'


def _html_line(line: Line, row: GridRow) -> str:
    cells = "".join(_html_cell(*pair) for pair in row.cells)
    note = f" <small>({_html(line.note)})</small>" if line.note else ""
    return f'<tr data-line="{_html(line.key)}"><th scope="row"><bdi>{_html(line.head)}</bdi>{note}</th>{cells}</tr>'


def _html_cell(cell: Cell, column: Column) -> str:
    number, rest = pieces(cell, column)
    if cell.value is None:
        return f'<td class="missing" data-sort="">{escape(rest)}</td>'
    tag = {"best": "strong", "second": "ins"}.get(cell.mark)
    kind = f' class="{cell.mark}"' if tag else ""
    said = f"<{tag}>{number}</{tag}>" if tag else number
    rest = escape(rest.strip()).replace("≈", '<abbr title="cannot be told from the best">≈</abbr>')
    behind = f" <small>{rest}</small>" if rest else ""
    return f'<td{kind} data-sort="{cell.value!r}" data-n="{cell.n}">{said}{behind}</td>'


MAKERS: dict[str, Callable[[View], str]] = {
    "terminal": terminal, "md": markdown, "csv": csv_text, "tex": latex, "html": html, "json": json_text,
}  # fmt: skip

"""Rows as sites of papers take them: one CSV line for each method and metric, with the paper of the method's card.

Controls and metrics without a better direction are left out; what a card does not say is empty.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from fastvmt.core.disk.atomic import write_atomic
from fastvmt.core.spelling import csv_cell
from fastvmt.core.version import __version__
from fastvmt.plugins.card import card_of
from fastvmt.reports.export.rows import judged_rows
from fastvmt.reports.tables.grid import clean
from fastvmt.reports.tidy import Tidy

HEADS = (
    "paper", "arxiv", "method", "label", "task", "dataset", "metric", "higher_is_better", "value", "low", "high", "videos",
    "unit", "backbone", "setting", "imported", "suite_digest", "table_digest", "version",
)  # fmt: skip
TASK = "Video motion transfer"


def write(tidy: Tidy, out: Path) -> list[Path]:
    """``papers.csv``.

    Raises:
        SpecError: when no method has a number.
    """
    file = io.StringIO()
    lines = csv.writer(file)
    lines.writerow(HEADS)
    for row in judged_rows(tidy, controls=False):
        card = card_of(tidy.method(row.label))
        paper, arxiv = (card.paper, card.arxiv) if card else ("", "")
        for column, cell in row.judged():
            texts = [paper, arxiv, row.head, row.label, TASK, tidy.suite.name, column.head]
            numbers = ["" if number is None else repr(number) for number in (cell.value, cell.low, cell.high)]
            behind = [column.unit, tidy.setting.called, tidy.title, str(row.spec.imported).lower()]
            lines.writerow([
                *_words(texts), str(column.direction == "up").lower(), *numbers, cell.n, *_words(behind), tidy.suite_digest,
                tidy.digest, f"fastvmt-bench {__version__}",
            ])  # fmt: skip
    path = out / "papers.csv"
    write_atomic(path, file.getvalue())
    return [path]


def _words(texts: list[str]) -> list[str]:
    return [csv_cell(clean(text)) for text in texts]

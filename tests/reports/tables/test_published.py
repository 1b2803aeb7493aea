"""Published tables: transcribed exactly, mapped to names that exist, and consistent with what the paper says of them."""

from __future__ import annotations

import re
import statistics

import pytest
from support.places import shared

from fastvmt.errors import SpecError
from fastvmt.plugins import labels as specs
from fastvmt.plugins import metric_labels, registry
from fastvmt.reports.tables.papers import published
from fastvmt.reports.tables.papers.published import Published

TABLES = [
    "fastvmt-appendix-table1", "fastvmt-appendix-table2", "fastvmt-appendix-table3", "fastvmt-appendix-table4",
    "fastvmt-table1", "fastvmt-table2",
]  # fmt: skip
PASSAGES = {
    "fastvmt-table1": "Table 1: **Quantitative ablation.**",
    "fastvmt-table2": "Table 2: **Comparison with state-of-the-art",
    "fastvmt-appendix-table1": "Table 1: **User Study Comparison",
    "fastvmt-appendix-table2": "Table 2: **Ablation comparison of different attention layers",
    "fastvmt-appendix-table3": "Table 3: **Ablation study about temporal span.**",
    "fastvmt-appendix-table4": "Table 4: **Vbench metrics evaluated of the ablation samples.**",
}
OTHERS = ["flowmotion-table1", "ropecraft-table1", "ttm-table1"]
each, ours = (pytest.mark.parametrize("id", ids) for ids in (sorted(TABLES + OTHERS), TABLES))


@pytest.fixture(scope="module")
def paper() -> str:
    return shared("facts/paper.txt").read_text(encoding="utf-8")


def lines_of(paper: str, id: str) -> list[list[str]]:
    """The table's lines split at tabs, from its caption to the next blank line behind its cells."""
    assert paper.count(PASSAGES[id]) == 1
    _, _, rest = paper[paper.index(PASSAGES[id]) :].partition("\n\n")
    return [line.split("\t") for line in rest.split("\n\n")[0].splitlines()]


def bare(cell: str) -> str:
    return re.sub(r"</?b>", "", cell).strip()


def column(table: Published, name: str) -> list[float]:
    at = [c.name for c in table.columns].index(name)
    return [r.values[at] for r in table.rows]


def test_the_tables_are_there_and_load() -> None:
    assert published.names() == sorted(TABLES + OTHERS)
    assert [published.load(id).id for id in published.names()] == published.names()


@pytest.mark.parametrize("id", OTHERS)
def test_a_table_of_another_paper_says_where_its_numbers_were_read(id: str) -> None:
    """None of these papers lies here, so a reader has to know whose copy was read; their setting is not FastVMT's."""
    table = published.load(id)
    assert any("read from" in c.lower() for c in table.caveats) and table.setting.gpu == ""
    assert id.partition("-")[0] in [m for row in table.rows for m in row.methods]


@each
def test_values_are_what_is_printed(id: str) -> None:
    table = published.load(id)
    for row in table.rows:
        assert row.values == tuple(map(float, row.printed)) and len(row.values) == len(table.columns)
        assert row.group in ("", *table.groups) and {c.name for c in table.columns} >= set(row.marked)


@ours
def test_every_row_is_the_papers_line_cell_by_cell(id: str, paper: str) -> None:
    """Names, order, digits, trailing zeros and marks of every row; no row of the paper is missing."""
    table = published.load(id)
    lines = [line for line in lines_of(paper, id) if re.fullmatch(r"\d+(\.\d+)?", bare(line[-1]))]
    assert len(lines) == len(table.rows)
    for row, (name, *cells) in zip(table.rows, lines, strict=True):
        assert bare(name) == (f"{row.name} ({row.cited})" if row.cited else row.name)
        assert [bare(c) for c in cells] == list(row.printed)
        assert [c.name for c, cell in zip(table.columns, cells, strict=True) if "<b>" in cell] == list(row.marked)


@each
def test_metrics_exist_and_point_the_same_way(id: str) -> None:
    for c in published.load(id).columns:
        assert c.why.endswith(".") and c.comparable in ("no", "in rank only", "yes")
        assert bool(c.metrics) == (c.comparable != "no")
        for label in c.metrics:
            metric = metric_labels.build(label)
            assert (metric.direction, metric.unit) == (c.direction, c.unit), label


@each
def test_every_method_named_is_registered_and_takes_its_parameters(id: str) -> None:
    """A name that no run can have would leave our number out of the table without a word."""
    known = set(registry.methods.names())
    labels = [m for r in published.load(id).rows for m in r.methods]
    assert len(labels) == len(set(labels)) and (id in OTHERS or all(r.methods for r in published.load(id).rows))
    for label in labels:
        assert label.split(":")[0] in known, label
        cls, changes = specs.parse(label)
        cls.Params.model_validate(changes)


def test_the_quoted_ratios_follow_from_the_times() -> None:
    def seconds(method: str) -> float:
        found = published.value("fastvmt-table2", method, "time")
        assert found
        return found.value

    ours = seconds("fastvmt")
    assert f"{seconds('motion_inversion') / ours:.2f}" == "3.43"
    assert f"{seconds('ditflow') / ours:.2f}" == "3.40"
    assert f"{seconds('det') / ours:.2f}" == "14.91"
    ratios = [t / ours for t in column(published.load("fastvmt-table2"), "Time (s)") if t != ours]
    assert (f"{statistics.mean(ratios):.2f}", f"{statistics.geometric_mean(ratios):.2f}") == ("5.13", "4.21")
    assert f"{statistics.median(ratios):.2f}" == "3.43"
    caveats = " ".join(published.load("fastvmt-table2").caveats)
    assert all(number in caveats for number in ("3.43", "3.40", "14.91", "5.13", "4.21"))


@pytest.mark.parametrize(
    ("metric", "printed"),
    [
        ("motion_fidelity:tracker=cotracker3", "0.4062"),
        ("motion_fidelity@smm-script", "0.4062"),
        ("vbench:aesthetic_quality:backend=native:device=cuda", "0.5310"),
        ("text_similarity:clip=local-dir:/weights", "0.2091"),
        ("text_similarity:clip=tiny-shapes", None),
        ("vbench:aesthetic_quality:backend=tiny-shapes", None),
        ("motion_fidelity_wrong", None),
        ("vbench:imaging_quality", None),
    ],
)
def test_metric_labels_as_a_run_writes_them(metric: str, printed: str | None) -> None:
    found = published.value("fastvmt-table2", "ditflow", metric)
    assert (found.printed if found else None) == printed


def test_a_wrong_id_gets_the_nearest() -> None:
    with pytest.raises(SpecError, match=r"No published table is called 'fastvmt-tabel2'\. Did you mean fastvmt-table2"):
        published.load("fastvmt-tabel2")
    with pytest.raises(SpecError, match=r"There are: fastvmt-appendix-table1, .*fastvmt-table2, "):
        published.value("qqq", "fastvmt", "time")
    with pytest.raises(SpecError):
        published.load("../published/fastvmt-table2")

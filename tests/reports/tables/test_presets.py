"""Presets of one method: side by side where that is asked, and in no table, test or rank together."""

from __future__ import annotations

import json
from pathlib import Path

from support.cli import bench
from support.runs import make_run, make_setting, make_spec

import fastvmt
from fastvmt.reports.page import bundle
from fastvmt.reports.tables import compare
from fastvmt.reports.tidy import gather


def test_presets_stand_side_by_side_only_where_they_are_what_is_asked(tmp_path: Path) -> None:
    setting = make_setting((9, 8, 8))
    labels = ("fastvmt", make_spec("fastvmt:released:tile=2x2", setting))
    root = make_run(tmp_path / "r", 2, labels, metrics=("time",), setting=setting, frames=(9, 8, 8), videos=False)
    found = {view.id: view for view in bundle.tables_of(gather([root]))}
    assert [line.key for line in found["comparison"].lines] == ["fastvmt"]
    assert len(found["presets-fastvmt"].lines) == 2
    assert all(cell.mark == "" for line in found["presets-fastvmt"].lines for cell in line.cells)


def test_tests_ratios_and_ranks_are_over_one_preset_of_each_method(tmp_path: Path) -> None:
    setting = make_setting((9, 8, 8))
    other = make_spec("fastvmt:released:tile=2x2", setting)
    root = make_run(tmp_path / "r", 3, ("none", "fastvmt", other, "ditflow"), setting=setting, frames=(9, 8, 8), videos=False)
    tidy = gather([root])
    for view in (compare.versus(tidy), compare.ratios(tidy), compare.ranks(tidy), *bundle.tables_of(tidy, ("ranks", "ratios"))):
        assert other.label not in {line.key for line in view.lines} and len(view.lines) >= 2, view.id
    assert any(n.startswith(f"left out: {other.label}") for n in compare.versus(tidy).notes)
    of_other = fastvmt.compare([root], base=other.label).data()
    keys = [{line["key"] for line in view["lines"]} for view in of_other.values()]
    assert keys == [{"none", "ditflow"}, {"none", "ditflow"}, {other.label, "ditflow"}]


def test_runs_of_two_presets_are_refused_unless_presets_are_ablated(tmp_path: Path) -> None:
    setting = make_setting((9, 8, 8))
    both = ("fastvmt", make_spec("fastvmt:released:tile=2x2", setting))
    a, b = (make_run(tmp_path / str(n), 2, (m,), setting=setting, frames=(9, 8, 8), videos=False) for n, m in enumerate(both))
    said = bench("report", a, b, "--print", "md")
    assert said.code == 4 and "presets paper and released" in said.err and len(said.err.strip().splitlines()) == 1
    config = json.loads((b / "config.json").read_text())
    (b / "config.json").write_text(json.dumps(config | {"ablates_presets": True}))
    assert "presets-fastvmt" in {view.id for view in bundle.tables_of(gather([a, b]))}

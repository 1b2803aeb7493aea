"""What Python users call: paths as text or objects, results that show themselves, comparisons as data."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.cli import bench
from support.light_runs import make_quick
from support.runs import make_cases, make_run

import fastvmt

HOSTILE = "<img src=x onerror=alert(1)>&"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cases = [c.model_copy(update={"caption": HOSTILE}) for c in make_cases(3)]
    return make_run(tmp_path_factory.mktemp("runs") / "run", cases, ("none", "fastvmt", "ditflow"), suite=HOSTILE, videos=False)


@pytest.mark.parametrize(
    "call",
    [
        lambda run, out: str(fastvmt.table(run)), lambda run, out: str(fastvmt.compare(run)),
        lambda run, out: str(fastvmt.compare([run])), lambda run, out: len(fastvmt.frame(run)),
        lambda run, out: [p.name for p in fastvmt.report(run, out, page=False, figures=False)],
        lambda run, out: [p.name for p in fastvmt.export(run, "parquet", out)],
        lambda run, out: fastvmt.merge([run], out).videos, lambda run, out: fastvmt.score(run, "time").outcome,
    ],
    ids=["table", "compare", "compare-list", "frame", "report", "export", "merge", "score"],
)  # fmt: skip
def test_a_path_may_be_text(run: Path, tmp_path: Path, call: Callable[[Any, Any], Any]) -> None:
    assert call(run, tmp_path / "a") == call(str(run), str(tmp_path / "b"))


def test_runs_that_are_made_take_text_too(tmp_path: Path) -> None:
    plan = fastvmt.plan(fastvmt.Request(methods=("none",), limit=1), str(tmp_path / "x"))
    assert plan[1].jobs == 3
    made = make_quick(tmp_path / "quick", 1)
    done = fastvmt.resume(str(made))
    assert done.outcome.made == 1 and str(done) == bench("table", made).out.rstrip("\n")
    assert done._repr_html_().startswith(f'<p>{made}: 1 made, 0 found, 0 failed</p>\n<div class="verdict">')
    wanted = fastvmt.Wanted(8, 8, 5, root=str(tmp_path))  # type: ignore[arg-type]
    assert wanted.root == tmp_path


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)


@pytest.mark.parametrize("show", [fastvmt.table, fastvmt.compare], ids=["table", "comparison"])
def test_what_a_notebook_shows_is_a_table_and_nothing_of_a_name_is_run(run: Path, show: Callable[[Any], Any]) -> None:
    found = show(run)
    if show is fastvmt.table:
        found.notes.append(HOSTILE)
    tags = _Tags(found._repr_html_()).found
    assert "table" in tags and not tags & {"img", "script"} and "&lt;img" in found._repr_html_()


def test_a_comparison_is_data_and_its_text_and_json_are_views_of_it(run: Path) -> None:
    found = fastvmt.compare(run, base="fastvmt")
    assert isinstance(found, fastvmt.Comparison) and found.base == "fastvmt"
    assert [view.id for view in found.views] == ["versus-fastvmt", "ratios-fastvmt", "ranks"]
    assert found.views[0].line(found.views[0].lines[0].key).cells[0].n == 3
    assert bench("compare", run, "--base", "fastvmt").out == f"{found}\n"
    assert (
        bench("compare", run, "--base", "fastvmt", "--json").data
        == json.loads(found.text("json"))
        == json.loads(json.dumps(found.data()))
    )
    assert "\n\n**fastvmt against the others**" in str(fastvmt.compare(run, form="md"))
    with pytest.raises(fastvmt.SpecError, match="Did you mean terminal"):
        fastvmt.compare(run, form="termnal")

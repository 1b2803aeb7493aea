"""``bench ablate`` as a user types it: a real run on a random-weight Wan, then its tables, figures, LaTeX and page."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cli import Said, bench


@pytest.fixture(scope="module")
def ablated(xs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    out = tmp_path_factory.mktemp("ablated") / "run"
    said = bench(
        "ablate", "fastvmt", "--factors", "reuse,interval,preset", "--with", "ditflow", "--backbone", xs, "--suite", "shapes",
        "--limit", "2", "--threads", "1", "--metrics", "motion_fidelity,time", "--out", out, "--against", "paper",
    )  # fmt: skip
    return out, said


def test_it_runs_the_base_and_every_change_and_says_what_was_left_out(ablated: tuple[Path, Said]) -> None:
    out, said = ablated
    assert said.code == 0, said.err
    for label in ("FastVMT (base)", "FastVMT:no-step-skip", "FastVMT:interval=2", "DiTFlow", "No transfer"):
        assert label in said.out
    assert "left out: fastvmt:released needs tokens" in said.out  # its tiles do not fit 4x4 tokens
    assert "what each saving gives" in said.out
    assert {p.name for p in (out / "report" / "tables").glob("*.md")} >= {
        "comparison.md", "ablation-fastvmt.md", "intervals-fastvmt.md", "savings-fastvmt.md", "stages.md", "cost.md",
        "beside-fastvmt-table1.md", "beside-fastvmt-table2.md", "versus-ditflow.md",
    }  # fmt: skip


def test_figures_of_what_the_methods_logged(ablated: tuple[Path, Said]) -> None:
    figures = {p.name for p in (ablated[0] / "report" / "figures").glob("*.svg")}
    assert {
        "gradients-fastvmt.svg",
        "skip-paths-fastvmt.svg",
        "correspondence.svg",
        "stages.svg",
        "quality-time.svg",
    } <= figures
    assert "is not drawn" in ablated[1].err  # VBench was not scored, and that is said


def test_the_page_of_a_real_run(ablated: tuple[Path, Said]) -> None:
    said = bench("report", ablated[0])
    assert said.code == 0, said.err
    index = ablated[0] / "report" / "index.html"
    assert str(index) in said.out and "Ablation of fastvmt" in index.read_text()
    assert len(list((ablated[0] / "report" / "cases").glob("*.html"))) == 2

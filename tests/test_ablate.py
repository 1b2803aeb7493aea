"""``bench ablate`` as a user types it: a real run on a random-weight Wan, then its tables, figures, LaTeX and page."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.cli import Said, bench
from support.places import need_latex


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
    for label in ("fastvmt (base)", "fastvmt:no-step-skip", "fastvmt:interval=2", "ditflow", "none (control)"):
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


def test_the_whole_document_compiles(ablated: tuple[Path, Said], tmp_path: Path) -> None:
    need_latex()
    source = ablated[0] / "report" / "tables.tex"
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-no-shell-escape", "-interaction=nonstopmode", f"-output-directory={tmp_path}", source],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "tables.pdf").stat().st_size > 10_000


def test_the_page_of_a_real_run(ablated: tuple[Path, Said]) -> None:
    said = bench("report", ablated[0])
    assert said.code == 0, said.err
    index = ablated[0] / "report" / "index.html"
    assert str(index) in said.out and "Ablation of fastvmt" in index.read_text()
    assert len(list((ablated[0] / "report" / "cases").glob("*.html"))) == 2


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("declares nothing to ablate", ["ablate", "ditflow"]),
        ("Did you mean", ["ablate", "fastvmt", "--factors", "windo"]),
        ("No method is called", ["ablate", "fastmvt"]),
        ("No published table", ["report", "RUN", "--against", "fastvmt-table7"]),
        ("is not a run folder", ["report", "nowhere"]),
        ("There are: csv, parquet", ["report", "RUN", "--frame", "xlsx", "--no-page", "--no-figures"]),
    ],
)
def test_bad_words_end_in_one_sentence(words: str, options: list[str], ablated: tuple[Path, Said], tmp_path: Path) -> None:
    said = bench(*(str(ablated[0]) if o == "RUN" else o for o in options), cwd=tmp_path)
    assert said.code == 2 and words in said.err and len(said.err.strip().splitlines()) == 1, said.err

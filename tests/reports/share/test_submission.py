"""A submission as a folder: what goes into it, and that every command reads its run."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cli import refused_in_a_line
from support.runs import make_run

from fastvmt.core.reading import parse_json
from fastvmt.reports.share import claims_of, read, write
from fastvmt.reports.share.submission import files_in, sha256_of
from fastvmt.reports.tidy import gather


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("s") / "r", 4, ("none", "sdedit", "fastvmt", "ditflow"))


@pytest.mark.parametrize("sample", ["all", 1])
def test_a_submission_says_what_the_run_says_of_the_row_and_holds_no_other(run: Path, tmp_path: Path, sample: int) -> None:
    made = write(run, "fastvmt", tmp_path / "s", sample)
    whole, own = gather([run]), gather([tmp_path / "s" / "run"])
    assert made == read(tmp_path / "s") and made.name == made.method == "fastvmt" and made.sample == sample
    assert list(own.methods) == ["none", "sdedit", "fastvmt"]
    assert made.claims == claims_of(whole, "fastvmt") == claims_of(own, "fastvmt") and made.claims["time"].n == 4
    assert made.files == {name: sha256_of(tmp_path / "s" / name) for name in files_in(tmp_path / "s")}
    videos = len([name for name in made.files if name.endswith("frames.mkv")])
    assert videos == (12 if sample == "all" else 3)
    assert not [p for p in tmp_path.rglob("*") if p.is_dir() and p.name in ("quarantine", "cache")]
    assert str(tmp_path) not in "".join(p.read_text() for p in (tmp_path / "s").rglob("*.json"))
    assert parse_json((tmp_path / "s" / "submission.json").read_bytes())["format"] == 1


def test_what_cannot_be_submitted_is_refused_in_a_sentence(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    gap = make_run(tmp_path / "gap", 2, ("none", "fastvmt"), failed={("case-0000", "fastvmt", 0): "broke"})
    bare = make_run(tmp_path / "bare", 2, ("sdedit", "fastvmt"))
    for folder, row, words in (
        (run, "none", "is a control"), (run, "fastvm", "Did you mean fastvmt?"), (gap, "fastvmt", "numbers are missing"),
        (bare, "fastvmt", "no row 'none'"),
    ):  # fmt: skip
        assert words in refused_in_a_line(lambda: write(folder, row, out))  # noqa: B023
    assert not out.exists()
    write(run, "fastvmt", out)
    assert "is there already" in refused_in_a_line(lambda: write(run, "fastvmt", out))

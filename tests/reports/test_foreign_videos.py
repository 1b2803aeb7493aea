"""Videos and facts of a run folder that somebody made to do harm: what a report, a study and a sheet make of them."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.cli import bench
from support.runs import make_run

from fastvmt.media.files import write_lossless
from fastvmt.store.artefact_files import file_info


def changed(run: Path, **facts: Any) -> None:
    """Facts of the first video, unsealed."""
    meta = next((run / "artefacts").glob("*/meta.json"))
    known = json.loads(meta.read_text())
    known.pop("check", None)
    meta.write_text(json.dumps(known | facts))


@pytest.mark.parametrize("where", ["video", "reference"])
def test_a_small_file_that_decodes_to_much_is_not_decoded(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run", cases=1, methods=("none", "sdedit"), metrics=("time",))
    bomb = next((run / ("artefacts" if where == "video" else "references")).rglob("*.mkv"))
    write_lossless(bomb, np.zeros((900, 64, 64, 3), np.uint8), Fraction(15))
    if where == "video":
        info = file_info(bomb)
        changed(run, files={"frames.mkv": info.model_dump()})
    seen: list[int] = []
    monkeypatch.setattr("fastvmt.media.files.check_memory", lambda *a: seen.append(1))
    report = bench("report", run, "--no-figures", "--no-tracks")
    page = next((run / "report" / "cases").glob("*.html")).read_text()
    assert report.code == 0 and "cannot be read" in page
    study = bench("study", "make", run, "--out", tmp_path / "study", "--methods", "none,sdedit")
    assert study.code == 2 and "cannot be read as a video" in study.err
    assert len(seen) < 40, "pictures of the bomb were decoded"


@pytest.mark.parametrize("digest", ["../../../../victim", "/tmp/victim", "..", "a/b", "X" * 64, "ab\n", "a" * 65, "\x1b[31m"])
def test_a_digest_that_is_none_names_no_file(digest: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "deep" / "er" / "run", cases=1, methods=("none",), metrics=("time",))
    changed(run, frames_digest=digest)
    before = {p for p in tmp_path.rglob("*") if run not in p.parents}
    assert bench("report", run, "--no-figures").code == 0
    assert {p for p in tmp_path.rglob("*") if run not in p.parents} == before
    facts = json.loads((run / "config.json").read_text())
    facts["suite"]["cases"][0]["reference"]["frames_digest"] = digest
    (run / "config.json").write_text(json.dumps(facts))
    said = bench("report", run, "--no-figures")
    assert said.code == 2 and "suite.cases.0.reference.frames_digest" in said.err and "\x1b" not in said.err
    assert {p for p in tmp_path.rglob("*") if run not in p.parents} == before

"""The user study's page: made from a run, blind, whole, and never half there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.page_runs import Page
from support.runs import paint
from support.study_runs import HOSTILE, LABELS, run_folder
from typer.testing import CliRunner

from fastvmt.cli.study import app
from fastvmt.errors import SpecError, StoreError, UserError
from fastvmt.model import CATEGORIES
from fastvmt.reports.study import key as study_key
from fastvmt.reports.study import make as study
from fastvmt.store.folder import Store


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def page_data(folder: Path) -> dict[str, Any]:
    return Page(folder / "index.html").blocks["study-data"]


def test_nothing_in_the_folder_leads_to_a_method(study_run: Store, study_made: study.MadeStudy) -> None:
    config = study_run.config()
    jobs = config.jobs()
    secrets = {"fastvmt", "ditflow", "moft", "inner=3", "hand-made", str(study_run.root), study_made.key.digest}
    secrets |= {c.id for c in config.suite.cases} | {c for c in CATEGORIES if "_" in c}
    artefacts = [study_run.artefact(j) for j in jobs]
    secrets |= {j.key[:12] for j in jobs} | {a.frames_digest[:12] for a in artefacts if a}
    secrets |= {a.files["frames.mkv"].sha256[:12] for a in artefacts if a}
    secrets |= {c.reference.frames_digest[:12] for c in config.suite.cases}
    names = {p.name for p in study_made.folder.iterdir()}
    for path in study_made.folder.iterdir():
        found = [s for s in secrets if s.lower().encode() in path.read_bytes().lower() + path.name.encode()]
        assert not found, (path.name, found)
    tokens = {t for q in study_made.key.questions.values() for t in (q.reference, *q.clips)}
    assert names == {f"{t}.webp" for t in tokens} | {"index.html", "study.js", "study.css"}
    assert all(re.fullmatch("[0-9a-f]{16}", t) for t in tokens) and len(tokens) == 4 * (1 + len(LABELS))
    written = sorted((p.stat().st_mtime_ns, p.name) for p in study_made.folder.glob("*.webp"))
    assert [n for _, n in written] == sorted(n for n in names if n.endswith(".webp"))
    text = (study_made.folder / "index.html").read_text()
    assert "case" not in json.dumps(page_data(study_made.folder)) and "seed" not in text
    assert study_made.key_file == study_made.folder.parent / "study-key.json" and study_made.key_file.is_file()


def test_tokens_and_places_are_new_each_time_and_the_cases_are_not(study_run: Store, tmp_path: Path) -> None:
    keys = [study.make(study_run.root, tmp_path / str(i) / "q", study.StudyDesign(cases=3, seed=5)).key for i in range(16)]
    assert len({tuple(sorted(q.case for q in k.questions.values())) for k in keys}) == 1
    assert len({t for k in keys for q in k.questions.values() for t in q.clips}) == 16 * 3 * len(LABELS)
    first = [next(iter(q.clips.values())).method for k in keys for q in k.questions.values()]
    assert set(first) == set(LABELS)  # chance of missing one: 3 (2/3)^48 = 1e-8


def test_only_cases_with_every_video_are_asked_and_the_others_are_named(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r", missing=(("case-0001", "ditflow"), ("case-0003", "fastvmt")), labels=(*LABELS, "none"))
    said = CliRunner().invoke(app, ["make", str(run.root), "--out", str(tmp_path / "q"), "--raters", "3"])
    assert said.exit_code == 0, said.output
    key = study_key.read_key(tmp_path / "study-key.json")
    assert {q.case for q in key.questions.values()} == {f"case-{i:04d}" for i in (0, 2, 4, 5)}
    assert key.methods == LABELS  # the control is not asked about unless it is named
    assert "left out: case-0001 (no video of ditflow)" in said.output and "case-0003 (no video of fastvmt)" in said.output
    assert "4 questions about 3 methods" in said.output and "fewer than the 8 wished for" in said.output
    assert len(key.raters) == 3 and all(code in said.output for code in key.raters)
    named = study.make(run.root, tmp_path / "b" / "q", study.StudyDesign(("none", "ditflow"), 2))
    assert named.key.methods == ("none", "ditflow")
    assert sorted(named.left_out.values()) == ["no video of ditflow", "not picked", "not picked", "not picked"]


def test_the_first_seed_with_every_video_is_asked(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r", prompts=("p",), seeds=(3, 7))
    gone = next(j for j in run.config().jobs() if j.seed == 3 and j.method.label == "ditflow")
    (run.folder(gone) / "meta.json").unlink()
    key = study.make(run.root, tmp_path / "q", study.StudyDesign()).key
    assert {s.seed for q in key.questions.values() for s in q.clips.values()} == {7}


def test_atlases_hold_the_frames(study_run: Store, study_made: study.MadeStudy) -> None:
    cases = {c.id: c for c in study_run.config().suite.cases}
    for shown in page_data(study_made.folder)["questions"]:
        question = study_made.key.questions[shown["id"]]
        for facts in shown["clips"]:
            sheet = pixels(study_made.folder / f"{facts['id']}.webp")
            frames = paint(cases[question.case], question.clips[facts["id"]].method, 0, 5, 24, 32)
            for i, frame in enumerate(frames):
                y, x = i // facts["columns"] * 24, i % facts["columns"] * 32
                assert (sheet[y : y + 24, x : x + 32] == frame).all()


@given(st.integers(1, 2000), st.integers(1, 4096), st.integers(1, 4096))
def test_atlases_stay_within_the_limits(frames: int, width: int, height: int) -> None:
    try:
        atlas = study.layout_of(frames, width, height)
    except UserError:
        assert height / width > 3 or frames > 1000 or width < 32
        return
    rows = -(-frames // atlas.columns)
    assert 1 <= atlas.width <= min(360, width) and atlas.columns >= 1 and atlas.columns * rows >= frames
    assert atlas.columns * atlas.width <= 16_000 and rows * atlas.height <= 16_000
    assert abs(atlas.height - height * atlas.width / width) <= 1


def test_hostile_prompts_stay_text(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r", prompts=HOSTILE)
    folder = study.make(run.root, tmp_path / "q", study.StudyDesign()).folder
    parsed = Page(folder / "index.html")
    assert {q["prompt"] for q in parsed.blocks["study-data"]["questions"]} == set(HOSTILE)
    scripts = [a for t, a in parsed.tags if t == "script"]
    assert scripts == [{"type": "application/json", "id": "study-data"}, {"src": "study.js", "defer": None}]
    assert not [t for t, _ in parsed.tags if t in ("img", "svg", "style", "iframe", "object")]
    assert not [(t, n) for t, a in parsed.tags for n in a if n.startswith("on") or n == "style"]
    block = (folder / "index.html").read_text().partition('id="study-data">')[2].partition("</script>")[0]
    assert block and not set("<>&\u2028\u2029") & set(block)
    policy = next(a["content"] for _, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy and policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "http" not in policy


@pytest.mark.parametrize(
    ("design", "sentence"),
    [
        (study.StudyDesign(("fastvmt", "moth")), "--methods moth: the run has fastvmt, ditflow"),
        (study.StudyDesign(("fastvmt",)), "A study ranks 2 to 26 methods, not 1 \\(fastvmt\\)"),
        (study.StudyDesign(("ditflow", "ditflow")), "named twice"),
        (study.StudyDesign(cases=0), "--cases 0: 1 to 10000"),
        (study.StudyDesign(raters=-1), "--raters -1"),
    ],
)
def test_designs_that_fit_no_study(study_run: Store, tmp_path: Path, design: study.StudyDesign, sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        study.make(study_run.root, tmp_path / "q", design)
    assert not list(tmp_path.iterdir())


def test_a_study_is_never_overwritten_and_never_half_there(study_run: Store, tmp_path: Path) -> None:
    first = study.make(study_run.root, tmp_path / "q", study.StudyDesign(cases=1))
    before = first.key_file.read_bytes()
    with pytest.raises(UserError, match="is there already"):
        study.make(study_run.root, tmp_path / "q", study.StudyDesign(cases=1))
    with pytest.raises(UserError, match="key of another study"):
        study.make(study_run.root, tmp_path / "other", study.StudyDesign(cases=1))
    assert first.key_file.read_bytes() == before
    broken = run_folder(tmp_path / "r", prompts=("p",))
    next((tmp_path / "r" / "references").iterdir()).write_bytes(b"no video")
    with pytest.raises(StoreError, match="cannot be read as a video"):
        study.make(broken.root, tmp_path / "b" / "q", study.StudyDesign())
    assert not list((tmp_path / "b").iterdir())
    none = run_folder(tmp_path / "n", prompts=("p",), missing=(("case-0000", "ditflow"),))
    with pytest.raises(UserError, match=r"no case has a video of every method \(case-0000: no video of ditflow\)"):
        study.make(none.root, tmp_path / "c" / "q", study.StudyDesign())

"""`bench import`: somebody else's videos beside ours. What a user would miss: a claim taken for a measurement, a quiet loss."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.cli import bench
from support.runs import make_run, paint

import fastvmt
from fastvmt import Claim
from fastvmt.core.content_address import frames_digest
from fastvmt.errors import SpecError, StoreError
from fastvmt.exchange.imports.claims import read_claims
from fastvmt.exchange.imports.frames import Policy
from fastvmt.exchange.imports.matching import match
from fastvmt.media.files import read_lossless, write_lossless, write_viewable
from fastvmt.model import Case, Reference
from fastvmt.store.folder import Store

METRICS = ("motion_fidelity", "time")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", 2, methods=("none", "fastvmt"), metrics=METRICS, frames=(5, 16, 16))


def clip(case: str, seed: int = 0, frames: tuple[int, int, int] = (5, 16, 16)) -> Any:
    found = next(c for c in _CASES if c.id == case)
    return paint(found, "theirs", seed, *frames)


class _Case:
    def __init__(self, id: str) -> None:
        self.id = id


_CASES: Any = [_Case("case-0000"), _Case("case-0001")]


def videos(
    folder: Path, names: tuple[str, ...] = ("case-0000", "case-0001"), frames: tuple[int, int, int] = (5, 16, 16)
) -> Path:
    folder.mkdir()
    for name in names:
        write_lossless(folder / f"{name}.mkv", clip(name.split("--")[0], frames=frames), Fraction(15))
    return folder


def test_imported_videos_are_scored_beside_ours_and_marked_everywhere(tmp_path: Path, run: Path) -> None:
    theirs = videos(tmp_path / "theirs")
    said = bench("import", theirs, "--method", "rival", "--into", run, "--settings", "steps=50", "--settings", "seconds=2.5",
                 "--source", "their page", "--json")  # fmt: skip
    assert said.code == 0, said.err
    row = said.data["rows"][-1]
    assert row["method"] == "imported:rival" and row["made"] == row["planned"] == 2
    assert row["metrics"]["time"]["n"] == 0 and row["speed_up"] is None  # no seconds of ours
    notes = "\n".join(said.data["notes"])
    assert "imported:rival: 2 videos made elsewhere (from their page)" in notes and "claims are not checked" in notes
    assert "steps 50 (this run: 4)" in notes and "claims 2.5 s a video" in notes and "taken over" not in notes
    frame = fastvmt.frame([run])
    own = frame[frame["label"] == "imported:rival"]
    assert own["imported"].all() and not frame[frame["label"] == "fastvmt"]["imported"].any()
    assert (
        set(own[own["metric"] == "time"]["status"]) == {"elsewhere"}
        and "imported" in own[own["metric"] == "time"]["why"].iloc[0]
    )
    assert not set(own["metric"]) & {"forward_equivalents"} and not own["metric"].str.startswith("stage:").any()
    assert set(own[own["metric"] == "motion_fidelity"]["status"]) <= {"ok", "undefined"}
    text = bench("table", run).out
    assert "imported (made elsewhere)" in text and "imported:rival " in text
    store = Store(run)
    job = next(j for j in store.config().jobs() if j.method.imported and j.case_id == "case-0001")
    made = read_lossless(store.folder(job) / "frames.mkv")
    assert np.array_equal(made, clip("case-0001")) and store.artefact(job, verify=True).frames_digest == frames_digest(made)  # type: ignore[union-attr]
    fastvmt.report([run], figures=False, tracks=False)
    page = (run / "report" / "index.html").read_text()
    assert "imported:rival" in page and "imported (made elsewhere)" in page and "their page" in page
    assert "imported:rival" in str(fastvmt.compare([run], base="fastvmt"))


def test_the_work_of_an_imported_video_is_undefined_and_best_of_nothing(tmp_path: Path) -> None:
    ours = make_run(tmp_path / "ours", 2, ("none", "fastvmt", "ditflow"), metrics=("forwards",), frames=(5, 16, 16))
    fastvmt.import_videos(videos(tmp_path / "theirs"), Claim("rival"), into=ours)
    view = fastvmt.table(ours).view
    cell = view.cell("imported:rival", "forwards")
    assert cell.value is None and cell.mark == "" and cell.why == "undefined"
    assert view.cell("fastvmt", "forwards").value is not None
    records = [json.loads(x) for x in (ours / "records.jsonl").read_text().splitlines()]
    whys = [r["details"].get("why") for r in records if r["metric"] == "forwards" and r["status"] == "undefined"]
    assert whys == ["imported: its work was not counted here"] * 2


def test_the_gate_takes_a_run_with_an_imported_line(tmp_path: Path, run: Path) -> None:
    fastvmt.import_videos(videos(tmp_path / "theirs"), Claim("rival"), into=run)
    assert bench("baseline", "write", run, "--out", tmp_path / "b.json").code == 0
    said = bench("check", run, "--baseline", tmp_path / "b.json")
    assert said.code == 0, said.out + said.err


def test_the_same_import_again_changes_nothing_and_other_files_are_refused(tmp_path: Path, run: Path) -> None:
    theirs = videos(tmp_path / "theirs")
    fastvmt.import_videos(theirs, Claim("rival", ("steps=50",)), into=run)
    before = {p: p.read_bytes() for p in [run / "config.json", *run.glob("artefacts/*/meta.json")]}
    fastvmt.import_videos(theirs, Claim("rival", ("steps=50",)), into=run)
    assert before == {p: p.read_bytes() for p in [run / "config.json", *run.glob("artefacts/*/meta.json")]}
    write_lossless(theirs / "case-0001.mkv", 255 - clip("case-0001"), Fraction(15))
    for claim in (Claim("rival", ("steps=50",)), Claim("rival", ("steps=60",))):
        with pytest.raises(StoreError, match="other videos or other claims"):
            fastvmt.import_videos(theirs, claim, into=run)
    fastvmt.import_videos(theirs, Claim("rival-2", ("steps=50",)), into=run)
    keys = {j.key for j in Store(run).config().jobs()}
    assert len(keys) == 2 * 4  # other files and other claims are other jobs


def test_an_import_that_was_killed_goes_on(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastvmt.exchange.imports import videos as bring

    theirs, real, calls = videos(tmp_path / "theirs"), bring._write, []

    def once(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(bring, "_write", once)
        fastvmt.import_videos(theirs, Claim("rival"), into=run)
    assert [m.label for m in Store(run).config().methods] == ["none", "fastvmt"]  # not half a line
    assert fastvmt.import_videos(theirs, Claim("rival"), into=run).table.tidy.counts["imported:rival"].made == 2


def test_every_problem_is_told_at_once_and_nothing_is_written(tmp_path: Path, run: Path) -> None:
    theirs = videos(tmp_path / "theirs", ("case-0000",))
    (theirs / "case-0001.mp4").write_bytes(b"not a video")
    shutil.copy(theirs / "case-0000.mkv", theirs / "case-0000.avi")
    shutil.copy(theirs / "case-0000.mkv", theirs / "cse-0001.mkv")
    write_lossless(theirs / "case-0001--s7.mkv", clip("case-0001"), Fraction(15))
    (tmp_path / "secret.mkv").write_bytes(b"x")
    (theirs / "link.mkv").symlink_to(tmp_path / "secret.mkv")
    (tmp_path / "bad.toml").write_text("steps = [")
    before = sorted(p for p in run.rglob("*") if p.name != "lock")
    said = bench(
        "import", theirs, "--method", "Two Words", "--into", run, "--settings", tmp_path / "bad.toml", "--settings", "a b=1"
    )
    assert said.code == 2 and sorted(p for p in run.rglob("*") if p.name != "lock") == before
    for words in ("'Two Words'", "bad.toml", "'a b' is no name", "is case 'case-0000' seed 0 already", "no case 'cse-0001'. Did you mean case-0001",
                  "seed 7 is none of the run's (0)", "links outside", "not a readable video"):  # fmt: skip
        assert words in said.err, words
    assert len(said.err.splitlines()) >= 8


def test_other_sizes_and_lengths_are_refused_or_fitted_as_asked_and_said(tmp_path: Path, run: Path) -> None:
    theirs = videos(tmp_path / "theirs", frames=(9, 32, 64))
    with pytest.raises(SpecError) as refused:
        fastvmt.import_videos(theirs, Claim("rival"), into=run)
    assert str(refused.value).count("9 frames, the case has 5. Give --video-frames") == 2
    with pytest.raises(SpecError, match="width 64, height 32 px, the run has width 16, height 16. Give --video-fit"):
        fastvmt.import_videos(theirs, Claim("rival", policy=Policy(frames="even")), into=run)
    whole = clip("case-0000", frames=(9, 32, 64))
    for name, frames, chosen in (("a", "even", whole[::2]), ("b", "first", whole[:5])):
        found = fastvmt.import_videos(theirs, Claim(name, policy=Policy("crop", frames)), into=run)
        store = Store(run)
        job = next(j for j in store.config().jobs() if j.method.label == f"imported:{name}")
        made = read_lossless(store.folder(job) / "frames.mkv")
        assert np.array_equal(made, fastvmt.media.files.fit_frames(chosen, 16, 16, "crop"))
        assert any(f"{frames} 5 of 9 frames, crop from width 64, height 32" in n for n in found.table.view.notes)
    with pytest.raises(SpecError, match="3 frames, the case has 5. It cannot be stretched"):
        short = videos(tmp_path / "short", frames=(3, 16, 16))
        fastvmt.import_videos(short, Claim("c", policy=Policy("crop", "even")), into=run)
    with pytest.raises(SpecError, match="--video-fit squash: .* refuse"):
        fastvmt.import_videos(theirs, Claim("c", policy=Policy("squash")), into=run)


def test_lossy_files_are_said_to_be_lossy_and_exact_ones_not(tmp_path: Path, run: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    write_viewable(folder / "case-0000.mp4", clip("case-0000"), Fraction(15))
    (folder / "case-0001").mkdir()
    for n, picture in enumerate(clip("case-0001")):
        Image.fromarray(picture).save(folder / "case-0001" / f"{n:03d}.png")
    found = fastvmt.import_videos(folder, Claim("mixed", policy=Policy(fit="stretch")), into=run)
    assert any(
        "1 of 2 videos were read from files that may have lost pixels (1 h264, yuv420p)" in n for n in found.table.view.notes
    )
    assert next(x for x in found.table.view.lines if x.key == "imported:mixed").note == "imported, lossy"
    exact = fastvmt.import_videos(videos(tmp_path / "exact"), Claim("exact"), into=run)
    assert next(x for x in exact.table.view.lines if x.key == "imported:exact").note == "imported"


def test_missing_cases_are_refused_or_failures_never_gaps(tmp_path: Path, run: Path) -> None:
    theirs = videos(tmp_path / "theirs", ("case-0001",))
    with pytest.raises(SpecError, match="no video for case-0000 seed 0. Add them, or give --partial"):
        fastvmt.import_videos(theirs, Claim("rival"), into=run)
    found = fastvmt.import_videos(theirs, Claim("rival", partial=True), into=run)
    assert found.table.tidy.counts["imported:rival"].failed == {"not_given": 1}
    assert any("1 failed (not_given)" in n for n in found.table.view.notes)


def test_a_csv_file_says_which_file_is_which_case_and_seed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 1, methods=("none",), metrics=METRICS, seeds=(0, 1), frames=(5, 16, 16))
    (tmp_path / "out").mkdir()
    for seed in (0, 1):
        write_lossless(tmp_path / "out" / f"x{seed}.mkv", clip("case-0000", seed), Fraction(15))
    table = tmp_path / "list.csv"
    table.write_text("case,seed,file\ncase-0000,0,out/x0.mkv\ncase-0000,1,out/x1.mkv\n")
    fastvmt.import_videos(table, Claim("rival"), into=run)
    store = Store(run)
    for job in (j for j in store.config().jobs() if j.method.imported):
        assert np.array_equal(read_lossless(store.folder(job) / "frames.mkv"), clip("case-0000", job.seed))
    for text, words in (
        ("case,seed,file\ncase-0000,0,../secret.mkv\n", "leaves the suite folder"), ("a,b\n1,2\n", "columns case, file"),
        ("case,file\ncase-0000,out/x0.mkv\n", "which seed?"), ("case,seed,file\ncase-0000,x,out/x0.mkv\n", "is no number"),
        ("case,seed,file\ncase-0000,0,out/none.mkv\n", "cannot be read"), ("", "it has nothing"),
    ):  # fmt: skip
        table.write_text(text)
        with pytest.raises(SpecError) as refused:
            fastvmt.import_videos(table, Claim("other"), into=run)
        assert words in str(refused.value), (text, str(refused.value))


def test_a_clips_name_stands_for_its_only_case(tmp_path: Path) -> None:
    reference = {"frames_digest": "f" * 64, "width": 16, "height": 16, "frames": 5}
    cases = [
        Case(id=i, prompt="p", reference=Reference(**reference, source=source))
        for i, source in (("bus--1", "Bus.mp4"), ("dog--1", "dog.mp4"), ("dog--2", "dog.mp4"), ("still", "drawn:x/still"))
    ]
    place = tmp_path / "theirs"
    place.mkdir()
    for name in ("Bus.mp4", "bus--s1.mp4", "still.mp4", "dog.mp4", "cat.mp4"):
        (place / name).touch()
    problems: list[str] = []
    found = match(place, cases, (0,), problems)
    assert {k: v.name for k, v in found.items()} == {("bus--1", 0): "Bus.mp4", ("still", 0): "still.mp4"}
    assert [p.partition(": ")[2][:58] for p in problems] == [
        "seed 1 is none of the run's (0). Give --seeds.", "the suite has no case 'cat'. There are: bus--1, dog--1, do",
        "the clip 'dog' has 2 prompts; say which: dog--1, dog--2.",
    ]  # fmt: skip
    (tmp_path / "list.csv").write_text("case,file\nbus,theirs/Bus.mp4\n")
    assert list(match(tmp_path / "list.csv", cases, (0,), problems)) == [("bus--1", 0)]


def test_claims_are_kept_as_they_were_said(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('backbone = "x"\nsteps = 50\n[guide]\nscale = 0.5\nlayers = [1, 2]\n')
    problems: list[str] = []
    assert read_claims([str(tmp_path / "c.toml"), "steps=30", "note=a=b"], problems) == {
        "backbone": "x", "steps": 30, "guide.scale": 0.5, "guide.layers": [1, 2], "note": "a=b",
    }  # fmt: skip
    assert not problems
    assert read_claims(["x=inf", str(tmp_path / "none.toml")], problems) == {} and len(problems) == 2


def test_going_on_with_the_run_keeps_the_imported_line(tmp_path: Path, run: Path) -> None:
    before = Store(run).config()
    fastvmt.import_videos(videos(tmp_path / "theirs"), Claim("rival"), into=run)
    again = Store.create(run, before).config()  # what the same `bench run` does
    assert [m.label for m in again.methods] == ["none", "fastvmt", "imported:rival"]
    assert any(n.startswith("imported:rival") for n in again.notes)


def test_imported_runs_merge_with_ours_and_are_never_made_here(tmp_path: Path, run: Path) -> None:
    fastvmt.import_videos(videos(tmp_path / "theirs"), Claim("rival"), into=run)
    ours = make_run(tmp_path / "ours", 2, methods=("none", "ditflow"), metrics=METRICS, frames=(5, 16, 16))
    fastvmt.score(ours, ())  # as `run` was: the numbers of hand-made runs have another identity
    fastvmt.merge([run, ours], tmp_path / "m")
    frame = fastvmt.frame([tmp_path / "m"])
    assert set(frame[frame["imported"]]["label"]) == {"imported:rival"}
    assert bench("describe", "imported").code == 0
    said = bench("run", "--methods", "imported:rival", "--suite", "shapes", "--limit", "1", cwd=tmp_path)
    assert said.code == 2
    said = bench("run", "--methods", "imported", "--suite", "shapes", "--limit", "1", cwd=tmp_path)
    assert said.code == 2 and "bench import" in said.err


def test_a_new_run_from_a_registered_suite(tmp_path: Path) -> None:
    from fastvmt.suites.cases import Wanted
    from fastvmt.suites.opening import open_suite

    folder = tmp_path / "theirs"
    folder.mkdir()
    for number, (case, frames) in enumerate(open_suite("shapes", Wanted(64, 64, 33), None)):
        if number == 2:
            break
        write_lossless(folder / f"{case.id}.mkv", frames, Fraction(15))
    said = bench("import", folder, "--method", "copy", "--suite", "shapes", "--limit", "2", "--threads", "1",
                 "--metrics", "motion_fidelity,time", "--json", cwd=tmp_path)  # fmt: skip
    assert said.code == 0, said.err
    (row,) = said.data["rows"]
    assert row["method"] == "imported:copy" and row["metrics"]["motion_fidelity"]["mean"] > 0.7
    config = json.loads((tmp_path / said.data["folder"] / "config.json").read_text())
    assert [m["label"] for m in config["methods"]] == ["imported:copy"]
    said = bench(
        "import", folder, "--method", "copy", "--into", tmp_path / said.data["folder"], "--suite", "other", "--steps", "3"
    )
    assert said.code == 2 and "--suite, --steps with --into" in said.err

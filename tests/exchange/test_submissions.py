"""A submission looked at by somebody who does not trust it: every way to cheat has a sentence of its own.

Whoever cheats here is thorough: he does digests, seals, checks, claims and recipe again, wherever that is possible.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from support.cli import bench
from support.share_runs import black, edit_json, edit_records, make_submittable, put, redo, redo_digests

from fastvmt.core.content_address import canonical_json
from fastvmt.media.files import read_lossless, write_lossless
from fastvmt.model import Artefact, Job, MetricRecord
from fastvmt.records.identity import record_key
from fastvmt.reports.share import RUN
from fastvmt.store import layout
from fastvmt.store.artefact_files import file_info
from fastvmt.store.checked_lines import with_check
from fastvmt.store.folder import Store

FLICKER = "vbench:temporal_flickering"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With ``run``, its ``suite`` and ``made``, an honest submission."""
    place = tmp_path_factory.mktemp("submissions")
    said = bench("submit", make_submittable(place), "--method", "fastvmt", "--out", place / "made")
    assert said.code == 0, said.err
    return place


@pytest.fixture
def folder(place: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place / "made", tmp_path / "s"))


def jobs_of(folder: Path, label: str = "fastvmt") -> list[Job]:
    return [j for j in Store(folder / RUN).config().jobs() if j.method.label == label]


def state(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_honest_submission_holds_and_is_left_as_it_was(place: Path, folder: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "theirs.py"
    plugin.write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    edit_json(folder / RUN / layout.CONFIG, lambda c: c.update(plugins=[str(plugin)]))
    redo(folder)
    before = state(folder)
    said = bench("verify", folder, "--suite", place / "suite", "--scores", "--json")
    assert said.code == 0, said.out + said.err
    assert said.data["scored"]["scores"] == said.data["scored"]["equal"] == 28 and said.data["holds"]
    assert state(folder) == before and not (tmp_path / "ran").exists()
    one, two = (bench("verify", folder, "--seed", 3, "--sample", 2).out for _ in range(2))
    assert one == two and "sample 3: 2 videos, 2 as stored" in one
    assert bench("verify", folder / RUN).code == 0


def test_what_could_not_be_checked_is_said_and_is_no_success(folder: Path) -> None:
    said = bench("verify", folder, "--sample", 0)
    assert said.code == 4 and "add --suite with your copy of it" in said.out


def test_a_sample_follows_from_the_frames_and_holds(place: Path, tmp_path: Path) -> None:
    assert bench("submit", place / "run", "--method", "fastvmt", "--out", tmp_path / "s", "--videos", 2).code == 0
    assert len(list(tmp_path.glob("s/run/artefacts/*/frames.mkv"))) == 2 * 4
    said = bench("verify", tmp_path / "s", "--suite", place / "suite", "--scores")
    assert said.code == 0 and "8 videos, 8 as stored" in said.out, said.out
    said = bench("verify", tmp_path / "s" / "run")
    assert said.code == 0 and "8 videos are not in this folder" in said.err
    assert (
        bench("table", tmp_path / "s" / "run", "--json").data["digest"]
        == bench("table", place / "made" / "run", "--json").data["digest"]
    )
    there = next(j for j in jobs_of(tmp_path / "s") if (Store(tmp_path / "s" / RUN).folder(j) / "frames.mkv").exists())
    path = Store(tmp_path / "s" / RUN).folder(there)
    (path / "frames.mkv").unlink()
    bare = Artefact.model_validate_json((path / "meta.json").read_bytes()).model_copy(update={"files": {}})
    (path / "meta.json").write_text(bare.sealed().model_dump_json())
    redo(tmp_path / "s")
    said = bench("verify", tmp_path / "s", "--suite", place / "suite")
    assert said.code == 1 and "the videos in the folder are not the 2 that its frames' digests choose" in said.out


# --- cheats --------------------------------------------------------------------------------------------------------------


def better(label: str = FLICKER, **change: Any) -> Callable[[Path], None]:
    """The first number of the method, forged."""

    def cheat(folder: Path) -> None:
        key = jobs_of(folder)[0].key

        def forged(record: MetricRecord) -> MetricRecord:
            mine = record.job_key == key and record.metric == label
            return record.model_copy(update=change) if mine else record

        edit_records(folder, forged)

    return cheat


def other_frames(folder: Path) -> None:
    """A prettier video, sealed, which says that it is the old one."""
    store, job = Store(folder / RUN), jobs_of(folder)[0]
    path = store.folder(job)
    artefact = Artefact.model_validate_json((path / "meta.json").read_bytes())
    (path / "frames.mkv").unlink()
    write_lossless(path / "frames.mkv", black(), Fraction(15))
    changed = artefact.model_copy(update={"files": artefact.files | {"frames.mkv": file_info(path / "frames.mkv")}})
    (path / "meta.json").write_text(changed.sealed().model_dump_json())


def other_video(folder: Path) -> None:
    """Honest about its frames; the numbers are still those of the old one."""
    put(Store(folder / RUN), jobs_of(folder)[0], black())


def other_video_with_keys(folder: Path, frames: Any = None) -> None:
    """The same, and the old numbers are said to be of it."""
    store, job = Store(folder / RUN), jobs_of(folder)[0]
    put(store, job, black() if frames is None else frames)
    artefact = store.artefact(job)
    reference = next(c for c in store.config().suite.cases if c.id == job.case_id).reference.frames_digest
    assert artefact

    def as_if(record: MetricRecord) -> MetricRecord:
        if record.job_key != job.key:
            return record
        key = record_key(canonical_json(record.identity), record.metric == "time", artefact, reference).hex()
        return record.model_copy(update={"key": key})

    edit_records(folder, as_if)


def prettier_mp4(folder: Path) -> None:
    """What people see is another video; what is scored is not."""
    path = Store(folder / RUN).folder(jobs_of(folder)[0])
    artefact = Artefact.model_validate_json((path / "meta.json").read_bytes())
    shutil.copyfile(Store(folder / RUN).folder(jobs_of(folder)[1]) / "video.mp4", path / "video.mp4")
    changed = artefact.model_copy(update={"files": artefact.files | {"video.mp4": file_info(path / "video.mp4")}})
    (path / "meta.json").write_text(changed.sealed().model_dump_json())


def no_references(folder: Path) -> None:
    for path in (folder / RUN / layout.REFERENCES).iterdir():
        path.unlink()


def no_caveat(folder: Path) -> None:
    edit_json(folder / RUN / layout.CONFIG, lambda c: c.update(caveat=""))


def video_of_another_case(folder: Path) -> None:
    store = Store(folder / RUN)
    other = jobs_of(folder)[1]
    other_video_with_keys(folder, read_lossless(store.folder(other) / "frames.mkv", (5, 32, 32)))


def reference_as_video(folder: Path) -> None:
    store = Store(folder / RUN)
    other_video_with_keys(folder, store.reference(store.config().suite.cases[1].reference))


def drop_rows(*labels: str) -> Callable[[Path], None]:
    def cheat(folder: Path) -> None:
        gone = [job for label in labels for job in jobs_of(folder, label)]
        forget(folder, gone)
        edit_json(
            folder / RUN / layout.CONFIG, lambda c: c.update(methods=[m for m in c["methods"] if m["label"] not in labels])
        )

    return cheat


def forget(folder: Path, gone: list[Job]) -> None:
    for job in gone:
        shutil.rmtree(Store(folder / RUN).folder(job))
    keys = {job.key for job in gone}
    edit_records(folder, lambda r: None if r.job_key in keys else r)


def drop_numbers(folder: Path) -> None:
    key = jobs_of(folder)[0].key
    edit_records(folder, lambda r: None if r.job_key == key else r)


def drop_video(folder: Path) -> None:
    forget(folder, jobs_of(folder)[:1])


def drop_case(folder: Path) -> None:
    """From everything, as if the suite had never had it."""
    case = jobs_of(folder)[0].case_id
    forget(folder, [j for j in Store(folder / RUN).config().jobs() if j.case_id == case])
    edit_json(
        folder / RUN / layout.CONFIG, lambda c: c["suite"].update(cases=[x for x in c["suite"]["cases"] if x["id"] != case])
    )
    clips = {c.reference.frames_digest[:16] for c in Store(folder / RUN).config().suite.cases}
    for path in (folder / RUN / layout.REFERENCES).iterdir():
        if path.stem not in clips:
            path.unlink()


def other_category(folder: Path) -> None:
    edit_json(folder / RUN / layout.CONFIG, lambda c: c["suite"]["cases"][0].update(category="camera"))


def second_number(folder: Path) -> None:
    """A better one behind the true one: readers take the last."""
    store = Store(folder / RUN)
    record = next(r for r in store.records().values() if r.job_key == jobs_of(folder)[0].key and r.metric == FLICKER)
    store.add(record.model_copy(update={"value": 0.999}))


def second_log(folder: Path) -> None:
    (folder / RUN / "records").mkdir()
    record = next(r for r in Store(folder / RUN).records().values() if r.metric == FLICKER)
    line = with_check(record.model_copy(update={"value": 0.999}).model_dump_json())
    (folder / RUN / "records" / "helper.jsonl").write_text(line + "\n")


def better_name(folder: Path) -> None:
    """The same videos as a method of his own."""
    store = Store(folder / RUN)
    for job in jobs_of(folder):
        path = store.folder(job)
        path.rename(path.with_name(path.name.replace("fastvmt", "mine")))

    def renamed(config: dict[str, Any]) -> None:
        next(m for m in config["methods"] if m["label"] == "fastvmt")["label"] = "mine"

    edit_json(folder / RUN / layout.CONFIG, renamed)
    edit_json(folder / "submission.json", lambda s: s.update(name="mine"))


def other_row(folder: Path, place: Path) -> None:
    spec = next(m for m in json.loads((place / "run" / "config.json").read_text())["methods"] if m["label"] == "ditflow")
    edit_json(folder / RUN / layout.CONFIG, lambda c: c["methods"].append(spec))
    for job in jobs_of(folder, "ditflow"):
        shutil.copytree(Store(place / "run").folder(job), Store(folder / RUN).folder(job))


def easier_prompt(folder: Path) -> None:
    """What the suite asks for is changed, and all keys that depend on it."""
    before = Store(folder / RUN).config()
    edit_json(folder / RUN / layout.CONFIG, lambda c: c["suite"]["cases"][0].update(prompt="anything"))
    store = Store(folder / RUN)
    after, keys = store.config(), {}
    cases = {c.id: c.reference.frames_digest for c in after.suite.cases}
    for old, new in zip(before.jobs(), after.jobs(), strict=True):
        if old.key == new.key:
            continue
        store.folder(old).rename(store.folder(new))
        meta = store.folder(new) / "meta.json"
        artefact = Artefact.model_validate_json(meta.read_bytes()).model_copy(update={"key": new.key})
        meta.write_text(artefact.sealed().model_dump_json())
        keys[old.key] = (new, artefact)

    def rekeyed(record: MetricRecord) -> MetricRecord:
        if record.job_key not in keys:
            return record
        job, artefact = keys[record.job_key]
        key = record_key(canonical_json(record.identity), record.metric == "time", artefact, cases[job.case_id]).hex()
        return record.model_copy(update={"key": key, "job_key": job.key})

    edit_records(folder, rekeyed)


CHEATS: dict[str, tuple[Callable[..., None], str]] = {
    "a forged number": (better(value=0.999), f"s0: {FLICKER} was 0.999 and is"),
    "forged seconds": (better("time", value=0.001), "s0: time was 0.001 and is 2."),
    "a bad number called undefined": (better(value=None, status="undefined"), "was undefined and is 0."),
    "other frames under the old digest": (other_frames, "does not decode to the frames it was published with"),
    "another video": (other_video, "was computed of another video than the one that it has"),
    "another video that says it was scored": (other_video_with_keys, "s0: vbench"),
    "the video of another case": (video_of_another_case, "s0: its video is that of clip"),
    "another video for the eye": (prettier_mp4, "video.mp4, which people see, shows something else than frames.mkv"),
    "no reference to score by": (no_references, "a reference clip that its scores need is not there"),
    "a caveat left out": (no_caveat, "its caveat is not the backbone's"),
    "a reference as video": (reference_as_video, "its frames are those of a reference clip"),
    "no control": (drop_rows("none"), "The control 'none' (no transfer) is missing"),
    "no row": (drop_rows("fastvmt"), "its run has no row of that name"),
    "numbers of a bad case left out": (drop_numbers, f"{FLICKER}: 1 numbers are missing (clip0--1 fastvmt s0)"),
    "a bad case left out": (drop_video, "1 videos of the 4 cases are missing (clip0--1 fastvmt s0)"),
    "a bad case taken out of the suite": (drop_case, "1 of its 4 cases are not in the submission (clip0--1)"),
    "a changed suite": (easier_prompt, "1 cases have other frames or texts here than in the submission (clip0--1)"),
    "another category": (other_category, "its cases have other categories here"),
    "a second number": (second_number, "stands 2 times in records.jsonl"),
    "a second log": (second_log, "1 files are none that a submission holds ('run/records/helper.jsonl')"),
    "a copy under a better name": (better_name, "'mine' is another method under a name of its own: its videos were made by 'fastvmt'"),
    "another row": (other_row, "It holds other rows beside the method and its controls (ditflow)"),
}  # fmt: skip


@pytest.mark.parametrize("how", CHEATS)
def test_a_cheat_who_does_all_digests_again_is_found(place: Path, folder: Path, how: str) -> None:
    cheat, words = CHEATS[how]
    cheat(folder, place) if cheat is other_row else cheat(folder)
    redo(folder)
    before = state(folder)
    said = bench("verify", folder, "--suite", place / "suite", "--scores")
    assert said.code == 1 and words in said.out and state(folder) == before, said.out


def claim(**change: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "submission.json", lambda s: s["claims"][FLICKER].update(change))


def edit_recipe(before: str, after: str) -> Callable[[Path], None]:
    def cheat(folder: Path) -> None:
        text = (folder / "recipe.toml").read_text()
        assert before in text
        (folder / "recipe.toml").write_text(text.replace(before, after))
        redo_digests(folder)

    return cheat


def of_file(change: Callable[[dict[str, str]], object]) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / "submission.json", lambda s: change(s["files"]))


def link(folder: Path) -> None:
    path = next(folder.glob("run/artefacts/*/frames.mkv"))
    path.rename(folder.parent / "elsewhere.mkv")
    path.symlink_to(folder.parent / "elsewhere.mkv")


def flip(folder: Path) -> None:
    path = next(folder.glob("run/references/*"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")


CLAIMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a forged claim": (claim(mean=0.999), "claimed is 0.999"),
    "a forged interval": (claim(low=0.9, high=0.95), "and the records give"),
    "a claim on more videos": (claim(n=400), "over 400 videos, and the records give"),
    "a claim without records": (
        lambda folder: edit_json(folder / "submission.json", lambda s: s["claims"].update(fvd={"mean": 1, "n": 4})),
        "fvd: it is claimed, and no record gives it",
    ),
    "a claim left out": (
        lambda folder: edit_json(folder / "submission.json", lambda s: s["claims"].pop("time")), "time: records give it",
    ),
    "another machine": (
        lambda folder: edit_json(folder / "submission.json", lambda s: s["machine"].update(device="a faster one")),
        "machine: what is said is not what the videos' own files say",
    ),
    "an edited recipe": (edit_recipe("steps = 2", "steps = 50"), "recipe.toml was edited: request.steps is 50 there, 2 by the run"),
    "a recipe's cell": (edit_recipe("n = 4", "n = 40"), "recipe.toml was edited: cells."),
    "no recipe": (lambda folder: (folder / "recipe.toml").unlink(), "recipe.toml: the recipe cannot be read"),
    "another method": (lambda folder: edit_json(folder / "submission.json", lambda s: s.update(method="ditflow")), "is said to be the method 'ditflow'"),
    "a wrong digest": (of_file(lambda f: f.update({"run/config.json": "0" * 64})), "'run/config.json' has another SHA-256 than"),
    "a changed file": (flip, "it was changed after it was submitted"),
    "a file that is not there": (of_file(lambda f: f.update({"run/gone.mkv": "0" * 64})), "1 files that submission.json names are not there ('run/gone.mkv')"),
    "a file that is not named": (of_file(lambda f: f.pop("recipe.toml")), "1 files are not named in submission.json ('recipe.toml')"),
    "a path out of the folder": (of_file(lambda f: f.update({"../../secret": "0" * 64})), "names '../../secret', which leads out of the folder"),
    "a strange file": (lambda folder: (folder / "run" / "plugin.py").write_text("boom()"), "1 files are none that a submission holds ('run/plugin.py')"),
    "a link": (link, "frames.mkv' is a link; a submission holds files of its own"),
    "a pipe": (lambda folder: os.mkfifo(folder / "run" / "records"), "'run/records' is neither a file nor a folder"),
    "a damaged configuration": (lambda folder: (folder / "run" / "config.json").write_text("{"), "its run cannot be read"),
    "a deep one": (lambda folder: (folder / "run" / "config.json").write_text("[" * 9999), "its run cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("how", CLAIMS)
def test_what_is_said_and_is_not_so_is_found(place: Path, folder: Path, how: str) -> None:
    cheat, words = CLAIMS[how]
    cheat(folder)
    said = bench("verify", folder, "--suite", place / "suite", "--sample", 0)
    assert said.code == 1 and words in said.out, said.out + said.err


def bad() -> Iterator[tuple[str, str]]:
    yield "{", "not valid JSON"
    yield "[]", "a submission of format none"
    yield '{"format": 2}', "a submission of format 2; this version reads 1"
    yield '{"format": 1, "name": "x"}', "Field required"
    yield '{"format": 1, "plugins": ["x.py"]}', "plugins: Extra inputs are not permitted"
    yield "", "submission.json: it cannot be read (no such file or directory)"
    yield "pipe", "submission.json: it cannot be read"


@pytest.mark.parametrize(("text", "words"), bad())
def test_what_is_no_submission_is_one_sentence(folder: Path, text: str, words: str) -> None:
    (folder / "submission.json").unlink()
    if text == "pipe":
        os.mkfifo(folder / "submission.json")
    elif text:
        (folder / "submission.json").write_text(text)
    said = bench("verify", folder)
    assert said.code == 2 and words in said.err and said.err.count("\n") == 1, said.err


def test_a_submission_without_a_video_is_none(folder: Path) -> None:
    edit_json(folder / "submission.json", lambda s: s.update(sample=0))
    said = bench("verify", folder)
    assert said.code == 2 and "submission.json: sample" in said.err


def test_the_run_of_a_submission_is_gone_on_with_and_says_which_videos_it_lacks(place: Path, tmp_path: Path) -> None:
    assert bench("submit", place / "run", "--method", "fastvmt", "--out", tmp_path / "s", "--videos", 3).code == 0
    said = bench("score", tmp_path / "s" / "run", "--metrics", "motion_fidelity")
    assert said.code == 3 and said.err.count("this folder is of a submission that leaves it out") == 4, said.err


def test_options_of_submissions_are_refused_with_a_run(place: Path) -> None:
    said = bench("verify", place / "run", "--sample", 3)
    assert said.code == 2 and "--sample is for a submission" in said.err

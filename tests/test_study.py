"""The user study: a blind page from a run folder, answers of simulated raters, and a real rater in headless Chromium."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from fastvmt.reports.study import answers as study_answers
from fastvmt.reports.study import key as study_key
from fastvmt.reports.study import make as study
from fastvmt.reports.study import ranks as study_ranks
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from typer.testing import CliRunner

from fastvmt.errors import SpecError, StoreError, UserError
from fastvmt.model import Artefact, Case, Job, MethodSpec, Reference, Setting, Suite
from fastvmt.store import RunConfig, Store, file_info
from fastvmt.study_cli import app
from fastvmt.video import write_lossless

LABELS = ("fastvmt", "ditflow", "moft:guided-steps=3")
KINDS = ("camera", "single_object", "multiple_objects", "complex_human_motion")
HOSTILE = (
    "</script><img src=x onerror=window.hit=1>",
    "<!--<script>window.hit=1//\u2028window.hit=1\u2029\u202e",
    "'\"><svg onload=window.hit=1> &lt;b&gt; {{ 7*7 }} ${hit=1} \\u003c",
    "javascript:window.hit=1",
)


# --- a run folder made by hand -----------------------------------------------------------------------------------------


def clip(number: int, width: int, height: int, frames: int) -> np.ndarray:
    """A bright square that moves over a ground; both depend on the number."""
    rng = np.random.default_rng(number)
    out = np.empty((frames, height, width, 3), np.uint8)
    out[:] = rng.integers(0, 120, 3)
    for t in range(frames):
        x = (t * (1 + number % 3) * width // 24) % (width - width // 4)
        out[t, height // 3 : height // 3 + height // 4, x : x + width // 4] = rng.integers(0, 256, 3) // 2 + 128
    return out


def run_folder(
    root: Path, prompts: tuple[str, ...] = tuple(f"a thing number {i}" for i in range(6)), labels: tuple[str, ...] = LABELS,
    missing: tuple[tuple[str, str], ...] = (), size: tuple[int, int] = (32, 24), frames: int = 5, seeds: tuple[int, ...] = (0,),
    shared_clip: bool = False,
) -> Store:  # fmt: skip
    """Videos of every label for every prompt, but for (case, label) in ``missing``; ``none`` is a control."""
    width, height = size
    cases = []
    for i, prompt in enumerate(prompts):
        digest = f"{0 if shared_clip else i:x}c0ffee".ljust(64, "5")
        reference = Reference(frames_digest=digest, width=width, height=height, frames=frames, source=f"drawn:s/{i}")
        cases.append(Case(id=f"case-{i}-bus", category=KINDS[i % 4], prompt=prompt, reference=reference))
    methods = tuple(
        MethodSpec(label=n, method=n.split(":")[0], version=1, params={"p": n}, control=n == "none") for n in labels
    )
    setting = Setting(
        backbone="xs", weights_digest="w", width=width, height=height, frames=frames, steps=1, guidance=3.0, sigmas=(1.0, 0.0),
        dtype="float32", negative="",
    )  # fmt: skip
    suite = Suite(name="hand-made", cases=tuple(cases))
    store = Store.create(root, RunConfig(suite=suite, setting=setting, methods=methods, seeds=seeds, metrics=("time",)))
    for number, job in enumerate(store.config().jobs()):
        if (job.case_id, job.method.label) not in missing:
            publish(store, job, clip(number, width, height, frames))
    for number, case in enumerate(cases):
        write_lossless(store.reference_path(case.reference.frames_digest), clip(number, width, height, frames), Fraction(15))
    return store


def publish(store: Store, job: Job, frames: np.ndarray) -> None:
    made = store.new_folder()
    write_lossless(made / "frames.mkv", frames, Fraction(15))
    artefact = Artefact(
        key=job.key, frames_digest=job.key[::-1], width=frames.shape[2], height=frames.shape[1], frames=len(frames), fps_num=15,
        fps_den=1, files={"frames.mkv": file_info(made / "frames.mkv")}, stages={}, peak_memory_bytes=0, forward_equivalents=0.0,
        device="cpu", software={}, timing_key="",
    )  # fmt: skip
    store.publish(made, job, artefact)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return run_folder(tmp_path_factory.mktemp("study") / "r")


@pytest.fixture(scope="module")
def made(store: Store, tmp_path_factory: pytest.TempPathFactory) -> study.Made:
    return study.make(store.root, tmp_path_factory.mktemp("made") / "page", study.Wish(cases=4))


class Parsed(HTMLParser):
    """What a browser would find: tags, attributes, and the text of the data block."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.block = ""
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = dict(attrs).get("type") == "application/json"

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.block += data


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def page_data(folder: Path) -> dict[str, Any]:
    return json.loads(Parsed((folder / "index.html").read_text()).block)


# --- making --------------------------------------------------------------------------------------------------------------


def test_nothing_in_the_folder_leads_to_a_method(store: Store, made: study.Made) -> None:
    config = store.config()
    jobs = config.jobs()
    secrets = {"fastvmt", "ditflow", "moft", "guided-steps", "hand-made", str(store.root), made.key.digest}
    secrets |= {c.id for c in config.suite.cases} | set(KINDS[1:])
    secrets |= {j.key[:12] for j in jobs} | {j.key[::-1][:12] for j in jobs}
    secrets |= {store.artefact(j).files["frames.mkv"].sha256[:12] for j in jobs}  # type: ignore[union-attr]
    secrets |= {c.reference.frames_digest[:12] for c in config.suite.cases}
    names = {p.name for p in made.folder.iterdir()}
    for path in made.folder.iterdir():
        found = [s for s in secrets if s.lower().encode() in path.read_bytes().lower() + path.name.encode()]
        assert not found, (path.name, found)
    tokens = {t for q in made.key.questions.values() for t in (q.reference, *q.clips)}
    assert names == {f"{t}.webp" for t in tokens} | {"index.html", "study.js", "study.css"}
    assert all(re.fullmatch("[0-9a-f]{16}", t) for t in tokens) and len(tokens) == 4 * (1 + len(LABELS))
    written = sorted((p.stat().st_mtime_ns, p.name) for p in made.folder.glob("*.webp"))
    assert [n for _, n in written] == sorted(n for n in names if n.endswith(".webp"))
    text = (made.folder / "index.html").read_text()
    assert "case" not in json.dumps(page_data(made.folder)) and "seed" not in text
    assert made.key_file == made.folder.parent / "study-key.json" and made.key_file.is_file()


def test_no_built_in_method_is_named_in_script_style_or_template() -> None:
    words = set(re.findall(r"[a-z0-9]+", "".join(p.read_text().lower() for p in study.PAGE.iterdir())))
    names = {part for path in (ROOT / "methods").glob("*.py") for part in path.stem.split("_")} - {"none"}  # a word of CSS
    assert {"fastvmt", "ditflow"} <= names and not names & words


def test_tokens_and_places_are_new_each_time_and_the_cases_are_not(store: Store, tmp_path: Path) -> None:
    keys = [study.make(store.root, tmp_path / str(i) / "q", study.Wish(cases=3, seed=5)).key for i in range(8)]
    assert len({tuple(sorted(q.case for q in k.questions.values())) for k in keys}) == 1
    assert len({t for k in keys for q in k.questions.values() for t in q.clips}) == 8 * 3 * len(LABELS)
    first = [next(iter(q.clips.values())).method for k in keys for q in k.questions.values()]
    assert set(first) == set(LABELS)  # chance of missing one: 3 (2/3)^24 = 0.0002


def test_cases_are_spread_over_categories_and_clips(tmp_path: Path) -> None:
    found = {}
    for i in range(20):
        category = "camera" if i < 14 else KINDS[1 + i % 3]
        reference = Reference(frames_digest=f"{i // 2}", width=8, height=8, frames=5, source="x")
        found[Case(id=f"c{i}", category=category, prompt="p", reference=reference)] = {}
    picked = study.pick(found, study.Wish(cases=8, seed=1))
    assert sorted(c.category for c in picked).count("camera") <= 5
    assert {c.category for c in picked} == set(KINDS)
    assert len({c.reference.frames_digest for c in picked}) == 8
    assert len(study.pick(found, study.Wish(cases=15))) == 15  # more than there are clips: second prompts are taken
    assert len(study.pick(found, study.Wish(cases=99))) == 20
    assert [study.pick(found, study.Wish(seed=1))] == [study.pick(found, study.Wish(seed=1))]
    assert len({tuple(c.id for c in study.pick(found, study.Wish(seed=s))) for s in range(5)}) > 1


def test_only_cases_with_every_video_are_asked_and_the_others_are_named(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r", missing=(("case-1-bus", "ditflow"), ("case-3-bus", "fastvmt")), labels=(*LABELS, "none"))
    said = CliRunner().invoke(app, ["make", str(run.root), "--out", str(tmp_path / "q"), "--raters", "3"])
    assert said.exit_code == 0, said.output
    key = study_key.read_key(tmp_path / "study-key.json")
    assert {q.case for q in key.questions.values()} == {f"case-{i}-bus" for i in (0, 2, 4, 5)}
    assert key.methods == LABELS  # the control is not asked about unless it is named
    assert "left out: case-1-bus (no video of ditflow)" in said.output and "case-3-bus (no video of fastvmt)" in said.output
    assert "4 questions about 3 methods" in said.output and "fewer than the 8 wished for" in said.output
    assert len(key.raters) == 3 and all(code in said.output for code in key.raters)
    named = study.make(run.root, tmp_path / "b" / "q", study.Wish(("none", "ditflow"), 2))
    assert named.key.methods == ("none", "ditflow")
    assert sorted(named.left_out.values()) == ["no video of ditflow", "not picked", "not picked", "not picked"]


def test_the_first_seed_with_every_video_is_asked(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r", prompts=("p",), seeds=(3, 7))
    gone = next(j for j in run.config().jobs() if j.seed == 3 and j.method.label == "ditflow")
    (run.folder(gone) / "meta.json").unlink()
    key = study.make(run.root, tmp_path / "q", study.Wish()).key
    assert {s.seed for q in key.questions.values() for s in q.clips.values()} == {7}


def test_atlases_hold_the_frames(store: Store, made: study.Made, tmp_path: Path) -> None:
    config = store.config()
    jobs = {(j.case_id, j.method.label): n for n, j in enumerate(config.jobs())}
    for shown in page_data(made.folder)["questions"]:
        question = made.key.questions[shown["id"]]
        for facts in shown["clips"]:
            sheet = pixels(made.folder / f"{facts['id']}.webp")
            frames = clip(jobs[question.case, question.clips[facts["id"]].method], 32, 24, 5)
            for i, frame in enumerate(frames):
                y, x = i // facts["columns"] * 24, i % facts["columns"] * 32
                assert (sheet[y : y + 24, x : x + 32] == frame).all()
    big = run_folder(tmp_path / "r", prompts=("p",), size=(720, 480), frames=3)
    out = study.make(big.root, tmp_path / "q", study.Wish()).folder
    facts = page_data(out)["questions"][0]["reference"]
    assert (facts["width"], facts["height"], facts["frames"]) == (360, 240, 3)
    sheet = pixels(out / f"{facts['id']}.webp")
    assert sheet.shape[:2] == (240 * -(-3 // facts["columns"]), 360 * facts["columns"])


@given(st.integers(1, 2000), st.integers(1, 4096), st.integers(1, 4096))
def test_atlases_stay_within_the_limits(frames: int, width: int, height: int) -> None:
    try:
        atlas = study.Atlas.of(frames, width, height)
    except UserError:
        assert height / width > 3 or frames > 1000 or width < 32
        return
    rows = -(-frames // atlas.columns)
    assert 1 <= atlas.width <= min(360, width) and atlas.columns >= 1 and atlas.columns * rows >= frames
    assert atlas.columns * atlas.width <= 16_000 and rows * atlas.height <= 16_000
    assert abs(atlas.height - height * atlas.width / width) <= 1


def test_hostile_prompts_stay_text(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r", prompts=HOSTILE)
    folder = study.make(run.root, tmp_path / "q", study.Wish()).folder
    text = (folder / "index.html").read_text()
    parsed = Parsed(text)
    assert {q["prompt"] for q in json.loads(parsed.block)["questions"]} == set(HOSTILE)
    scripts = [a for t, a in parsed.tags if t == "script"]
    assert scripts == [{"type": "application/json", "id": "study-data"}, {"src": "study.js", "defer": None}]
    assert not [t for t, _ in parsed.tags if t in ("img", "svg", "style", "iframe", "object")]
    assert not [(t, n) for t, a in parsed.tags for n in a if n.startswith("on") or n == "style"]
    assert not set("<>&\u2028\u2029") & set(parsed.block)
    policy = next(a["content"] for _, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy and policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "http" not in policy


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (study.Wish(("fastvmt", "moth")), "--methods moth: the run has fastvmt, ditflow"),
        (study.Wish(("fastvmt",)), "A study ranks 2 to 26 methods, not 1 \\(fastvmt\\)"),
        (study.Wish(("ditflow", "ditflow")), "named twice"),
        (study.Wish(cases=0), "--cases 0: at least 1"),
        (study.Wish(raters=-1), "--raters -1"),
    ],
)
def test_wishes_that_fit_no_study(store: Store, tmp_path: Path, wish: study.Wish, sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        study.make(store.root, tmp_path / "q", wish)
    assert not list(tmp_path.iterdir())


def test_a_study_is_never_overwritten_and_never_half_there(store: Store, tmp_path: Path) -> None:
    first = study.make(store.root, tmp_path / "q", study.Wish(cases=1))
    before = first.key_file.read_bytes()
    with pytest.raises(UserError, match="is there already"):
        study.make(store.root, tmp_path / "q", study.Wish(cases=1))
    with pytest.raises(UserError, match="key of another study"):
        study.make(store.root, tmp_path / "other", study.Wish(cases=1))
    assert first.key_file.read_bytes() == before
    broken = run_folder(tmp_path / "r", prompts=("p",))
    next((tmp_path / "r" / "references").iterdir()).write_bytes(b"no video")
    with pytest.raises(StoreError, match="cannot be read as a video"):
        study.make(broken.root, tmp_path / "b" / "q", study.Wish())
    assert not list((tmp_path / "b").iterdir())
    none = run_folder(tmp_path / "n", prompts=("p",), missing=(("case-0-bus", "ditflow"),))
    with pytest.raises(UserError, match=r"no case has a video of every method \(case-0-bus: no video of ditflow\)"):
        study.make(none.root, tmp_path / "c" / "q", study.Wish())


# --- answers of simulated raters -----------------------------------------------------------------------------------------

Taste = Callable[[random.Random, str, str], float]


def answers(key: study_key.Key, rater: str, taste: Taste, seconds: float = 60.0) -> dict[str, Any]:
    """A file as the page writes it, of a rater who ranks by ``taste(chance, criterion, method)``, least first."""
    chance = random.Random(rater)
    found = []
    for token, question in key.questions.items():
        ranks = {}
        for criterion in study_key.CRITERIA:
            liked = sorted(question.clips, key=lambda t: taste(chance, criterion, question.clips[t].method))
            ranks[criterion] = {t: i for i, t in enumerate(liked, start=1)}
        order = chance.sample(list(question.clips), len(question.clips))
        found.append({"question": token, "order": order, "seconds": seconds, "ranks": ranks})
    return {"format": study_key.ANSWERS_FORMAT, "study": key.study, "rater": rater, "answers": found}


def by_quality(chance: random.Random, criterion: str, method: str) -> float:
    return LABELS.index(method) + chance.gauss(0, 0.8)


def write(folder: Path, files: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    for file in files:
        (folder / f"answers-{file['rater']}.json").write_text(json.dumps(file))
    return folder


def read(made: study.Made, folder: Path, strict: bool = False) -> tuple[dict[str, study_ranks.Judged], study_answers.Collected]:
    found = study_answers.collect([folder], made.key, made.key_file, strict)
    return study_ranks.results(found, made.key), found


def test_raters_of_one_mind_are_recovered(made: study.Made, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [answers(made.key, f"rater-{i}", by_quality) for i in range(12)])
    args = ["import", str(folder), "--key", str(made.key_file)]
    said = CliRunner().invoke(app, [*args, "--json", "--out", str(tmp_path / "ranks.csv")])
    assert said.exit_code == 0, said.output
    data = json.loads(said.stdout)
    assert data["answers"] == 48 and data["warnings"] == [] and data["expected_sum"] == 6
    for name in (*study_key.CRITERIA, "overall"):
        facts = data["criteria"][name]
        means = [facts["methods"][label]["mean_rank"] for label in LABELS]
        assert means == sorted(means) and means[0] < 1.6 and means[2] > 2.4
        assert facts["sum"] == pytest.approx(6, abs=1e-9)
        assert facts["kendall_w"] > 0.7 and facts["friedman_p"] < 1e-3 and 0 < facts["w_one_clip"] < facts["kendall_w"]
        assert all(m["low"] <= m["mean_rank"] <= m["high"] and m["n"] == 48 for m in facts["methods"].values())
    overall = data["criteria"]["overall"]["methods"]["ditflow"]["mean_rank"]
    parts = [data["criteria"][c]["methods"]["ditflow"]["mean_rank"] for c in study_key.CRITERIA]
    assert overall == pytest.approx(sum(parts) / 3)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "ranks.csv").read_text())))
    assert len(rows) == 12 * 4 * 3 * 3
    mine = [int(r["rank"]) for r in rows if r["method"] == "ditflow" and r["criterion"] == "motion"]
    assert np.mean(mine) == pytest.approx(parts[0])
    text = CliRunner().invoke(app, args).stdout
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == list(LABELS)
    assert "n = 12 raters, 48 of 48 answers" in text and "mean ranks sum to 6.000, k(k+1)/2 is 6: ok" in text


def test_raters_without_a_mind_do_not_agree(made: study.Made, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [answers(made.key, f"r{i}", lambda c, _, __: c.random()) for i in range(150)])
    result, found = read(made, folder)
    assert found.answers() == 600
    for judged in result.values():
        assert judged.w is not None and judged.w < 0.03
        assert all(i.low < 2 < i.high or abs(i.value - 2) < 0.15 for i in judged.means.values())


def test_w_is_kendalls() -> None:
    one, opposite = np.array([[1.0, 2, 3, 4]] * 5), np.array([[1.0, 2, 3], [3, 2, 1]])
    assert study_ranks.kendall(one) == (1.0, pytest.approx(stats.chi2.sf(15, 3)))
    assert study_ranks.kendall(opposite) == (0.0, 1.0)
    # Ranks 1 2.5 2.5 4 / 1 2 3 4 / 2 1 3.5 3.5: sums 4 5.5 9 11.5, S 34.5, ties 6 + 6; 12 S / (9 * 60 - 3 * 12) = 414 / 504.
    tied = np.array([[1, 2, 2, 3], [1, 2, 3, 4], [2, 1, 5, 5.0]])
    found = study_ranks.kendall(tied)
    assert found is not None and found[0] == pytest.approx(414 / 504)
    assert found[1] == pytest.approx(stats.friedmanchisquare(*tied.T).pvalue)
    assert study_ranks.kendall(one[:1]) is None and study_ranks.kendall(np.ones((3, 4))) is None


def test_one_rater_has_no_interval(made: study.Made, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", [answers(made.key, "only", by_quality)])
    said = CliRunner().invoke(app, ["import", str(folder), "--key", str(made.key_file), "--json"])
    facts = json.loads(said.stdout)["criteria"]["motion"]
    assert facts["kendall_w"] is None and facts["methods"]["fastvmt"]["low"] is None
    result, found = read(made, folder)
    assert "[–]" in study_ranks.as_lines(result, found, made.key)


def changed(file: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    spot = file
    for step in path[:-1]:
        spot = spot[step]
    spot[path[-1]] = to
    return file


def bad_files(key: study_key.Key) -> dict[str, tuple[Any, str]]:
    def good() -> dict[str, Any]:
        return answers(key, "anna", by_quality)

    clips = good()["answers"][0]["order"]
    first = ("answers", 0)
    motion = (*first, "ranks", "motion")
    return {
        "no-json": ("{", "is not valid JSON"),
        "deep": ("[" * 200_000, "is not valid JSON"),
        "list": ([], "names no format"),
        "format": (changed(good(), "format", to="vmt-study-answers/2\x1b[31m"), "format 'vmt-study-answers/2\\?\\[31m', this version reads"),
        "study": (changed(good(), "study", to="0" * 64), "answers another study \\(000000000000…"),
        "rater": (changed(good(), "rater", to="../x"), "rater: String should match"),
        "extra": (good() | {"more": 1}, "more: Extra inputs are not permitted"),
        "seconds": (changed(good(), *first, "seconds", to=-1), "answers.0.seconds"),
        "question": (changed(good(), *first, "question", to="zz"), "question zz is not in this study"),
        "again": (changed(good(), "answers", 1, to=good()["answers"][0]), "is answered twice"),
        "order": (changed(good(), *first, "order", to=clips[:1] * 3), "its order is not that of its 3 clips"),
        "criterion": (changed(good(), *first, "ranks", "beauty", to={}), "'beauty' is no criterion"),
        "clip": (changed(good(), *motion, "f" * 16, to=1), "'ffffffffffffffff' is no clip of it"),
        "tie": (changed(good(), *motion, to=dict.fromkeys(clips, 1)), "motion: rank 1 is given twice; the ranks are 1 to 3"),
        "range": (changed(good(), *motion, to=dict(zip(clips, (1, 2, 4), strict=True))), "rank 4 cannot be"),
        "text": (changed(good(), *motion, to=dict(zip(clips, (1, 2, "3"), strict=True))), "Input should be a valid integer"),
        "bool": (changed(good(), *motion, to=dict(zip(clips, (True, 2, 3), strict=True))), "Input should be a valid integer"),
    }  # fmt: skip


def test_every_bad_file_has_its_sentence(made: study.Made, tmp_path: Path) -> None:
    """One by one, each names the file; together, all are told at once."""
    folder = tmp_path / "bad"
    folder.mkdir()
    for name, (content, sentence) in bad_files(made.key).items():
        path = folder / f"{name}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        with pytest.raises(UserError, match=f"{name}.json: .*{sentence}") as caught:
            study_answers.collect([path], made.key, made.key_file)
        assert "\n" not in str(caught.value) and str(caught.value).isprintable() and len(str(caught.value)) < 400
    with pytest.raises(UserError) as caught:
        study_answers.collect([folder], made.key, made.key_file)
    assert len(str(caught.value).splitlines()) == len(bad_files(made.key))
    with pytest.raises(UserError, match="nowhere.json: cannot be read"):
        study_answers.collect([tmp_path / "nowhere.json"], made.key, made.key_file)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no answer files"):
        study_answers.collect([tmp_path / "empty"], made.key, made.key_file)


def test_keys_that_are_none_or_were_changed(made: study.Made, tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    with pytest.raises(UserError, match="cannot be read"):
        study_key.read_key(path)
    path.write_text("{}")
    with pytest.raises(UserError, match="is no key of a study \\(study: Field required\\)"):
        study_key.read_key(path)
    text = made.key_file.read_text()
    path.write_text(text.replace('"ditflow"', '"swapped"', 1))
    with pytest.raises(UserError, match="was changed after it was made"):
        study_key.read_key(path)
    path.write_text(text.replace("vmt-study-key/1", "vmt-study-key/2"))
    with pytest.raises(UserError, match="format 'vmt-study-key/2'"):
        study_key.read_key(path)
    assert study_key.read_key(made.key_file) == made.key


def test_raters_to_look_at_are_named_and_left_out_on_request(made: study.Made, tmp_path: Path) -> None:
    fine = [answers(made.key, f"fine-{i}", by_quality) for i in range(3)]
    hasty = answers(made.key, "hasty", by_quality, seconds=1.0)
    partly = answers(made.key, "partly", by_quality)
    del partly["answers"][0]["ranks"]["text"]
    del partly["answers"][1]
    empty = answers(made.key, "empty", by_quality) | {"answers": []}
    constant = answers(made.key, "constant", by_quality)
    for answer in constant["answers"]:
        answer["ranks"] = {c: {t: i for i, t in enumerate(answer["order"], start=1)} for c in study_key.CRITERIA}
    folder = write(tmp_path / "a", [*fine, hasty, partly, constant, empty])
    (folder / "answers-fine-0 (1).json").write_text(json.dumps(fine[0]))
    other = answers(made.key, "fine-1", lambda c, _, __: c.random())
    (folder / "answers-fine-1 (1).json").write_text(json.dumps(other))
    result, found = read(made, folder)
    assert sorted((w.name, w.rater) for w in found.warnings) == [
        ("constant", "constant"), ("fast", "hasty"), ("incomplete", "empty"), ("incomplete", "partly"), ("same-rater", ""),
        ("same-rater", "fine-1"),
    ]  # fmt: skip
    assert sorted(found.raters) == ["constant", "fine-0", "fine-1", "fine-2", "hasty", "partly"]
    assert found.left_out == {"empty": ["incomplete"]} and found.answers() == 5 * 4 + 2
    assert all(j.sum == pytest.approx(6, abs=1e-9) for j in result.values())
    lines = study_ranks.as_lines(result, found, made.key)
    assert "22 of 24 answers" in lines and "left out: rater empty (incomplete)" in lines and "fewer than 10 raters" in lines
    _, strict = read(made, folder, strict=True)
    assert sorted(strict.raters) == ["fine-0", "fine-2"]
    said = CliRunner().invoke(app, ["import", str(folder), "--key", str(made.key_file)])
    assert (
        "warning: fast: rater hasty (" in said.stderr and "took less than one play and 3 s for 4 of 4 questions" in said.stderr
    )
    with pytest.raises(UserError, match=r"No rater is left \(hasty: fast\).*leave --strict out"):
        study_answers.collect([folder / "answers-hasty.json"], made.key, made.key_file, strict=True)


def test_codes_that_were_not_handed_out(store: Store, tmp_path: Path) -> None:
    coded = study.make(store.root, tmp_path / "q", study.Wish(cases=2, raters=3))
    one = coded.key.raters[0]
    folder = write(tmp_path / "a", [answers(coded.key, rater, by_quality) for rater in (one, "guest")])
    _, found = read(coded, folder)
    assert {(w.name, w.rater) for w in found.warnings} == {("unknown-rater", "guest"), ("missing-rater", "")}
    assert all(code in str(found.warnings[-1]) for code in coded.key.raters[1:])


def test_failures_end_in_one_sentence_and_exit_code_2(made: study.Made, tmp_path: Path) -> None:
    code = "from fastvmt.cli import guarded; from fastvmt.study_cli import app; guarded(app)"
    said = subprocess.run(
        [sys.executable, "-c", code, "import", str(tmp_path), "--key", str(made.key_file)], capture_output=True, text=True
    )
    assert said.returncode == 2 and "Traceback" not in said.stderr
    assert said.stderr.startswith("bench: ") and len(said.stderr.splitlines()) == 1


# --- a rater in a browser ------------------------------------------------------------------------------------------------

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    here = CHROMIUM.exists()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        here = False
    if not here:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have Chromium and playwright")
        pytest.skip("Chromium or playwright is not here")
    with sync_playwright() as tools:
        opened = tools.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()


class Rater:
    """A page with what it complained about, and what it asked the network for."""

    def __init__(self, browser: Any, folder: Path, **settings: Any) -> None:
        self.context = browser.new_context(accept_downloads=True, **settings)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("dialog", lambda d: (self.complaints.append("dialog"), d.dismiss()))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.goto((folder / "index.html").as_uri())

    def start(self, code: str, at: int = 0) -> None:
        self.page.fill("#code", code)
        self.page.keyboard.press("Enter")
        self.ready(at)

    def ready(self, at: int) -> None:
        self.page.wait_for_selector(f"body[data-ready='{at}']")

    def shown(self) -> list[str]:
        """Clips by their place on the screen."""
        return self.page.eval_on_selector_all(".ranks[data-criterion=motion]", "all => all.map(g => g.dataset.clip)")

    def rank(self, criterion: str, clip: str, rank: int) -> None:
        self.page.click(f".ranks[data-criterion={criterion}][data-clip='{clip}'] button[data-rank='{rank}']")

    def pressed(self, criterion: str) -> dict[str, int]:
        script = "all => all.map(b => [b.closest('.ranks').dataset.clip, +b.dataset.rank])"
        return dict(self.page.eval_on_selector_all(f".ranks[data-criterion={criterion}] button[aria-pressed=true]", script))

    def frames(self) -> set[str]:
        return set(self.page.eval_on_selector_all("canvas", "all => all.map(c => c.dataset.frame)"))

    def title(self) -> str:
        return self.page.inner_text("#asking-title")


def test_a_rater_answers_in_a_browser(browser: Any, tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r", prompts=HOSTILE[:2], frames=9)
    made = study.make(run.root, tmp_path / "q", study.Wish())
    rater = Rater(browser, made.folder)
    page = rater.page
    page.click("text=Start")
    assert "2 to 32 letters" in page.inner_text("#code-error") and page.is_hidden("#asking")
    rater.start("Anna-7")
    wanted = {}
    for at in range(2):
        rater.ready(at)
        assert rater.title() == f"Question {at + 1} of 2"
        assert page.inner_text("#prompt") in HOSTILE
        shown = rater.shown()
        question = next(t for t, q in made.key.questions.items() if set(q.clips) == set(shown))
        assert page.text_content("#prompt") == made.key.questions[question].prompt
        wanted[question] = {c: {clip: made.key.methods.index(made.key.questions[question].clips[clip].method) + 1 for clip in shown}
                            for c in study_key.CRITERIA}  # fmt: skip
        for criterion, ranks in wanted[question].items():
            for clip, rank in ranks.items():
                rater.rank(criterion, clip, rank)
            assert rater.pressed(criterion) == ranks
        page.click("#next")
    with page.expect_download() as waiting:
        page.click("#download")
    assert waiting.value.suggested_filename == "answers-anna-7.json"
    waiting.value.save_as(tmp_path / "answers" / waiting.value.suggested_filename)
    data = json.loads((tmp_path / "answers" / "answers-anna-7.json").read_text())
    assert {a["question"]: a["ranks"] for a in data["answers"]} == wanted
    assert set(data) == {"format", "study", "rater", "answers"} and all(0 < a["seconds"] < 60 for a in data["answers"])
    result, _ = read(made, tmp_path / "answers")
    assert [i.value for i in result["overall"].means.values()] == [1, 2, 3]
    assert rater.complaints == [] and page.evaluate("window.hit") is None
    assert page.query_selector_all("img, svg") == []
    assert all(u.startswith((made.folder.as_uri(), "data:", "blob:")) for u in rater.requests)
    rater.context.close()


def test_a_question_must_be_complete_and_ranks_are_given_once(browser: Any, made: study.Made) -> None:
    rater = Rater(browser, made.folder, reduced_motion="reduce")
    rater.start("bob")
    page, (a, b, c) = rater.page, rater.shown()
    rater.rank("motion", a, 1)
    rater.rank("motion", b, 2)
    rater.rank("motion", a, 2)  # held by b, who takes a's
    assert rater.pressed("motion") == {a: 2, b: 1}
    rater.rank("motion", c, 1)  # c had none, so b has none now
    assert rater.pressed("motion") == {a: 2, c: 1}
    assert "No ties: video B now has no rank" in page.text_content("#said")
    rater.rank("motion", c, 1)  # the same again takes it back
    assert rater.pressed("motion") == {a: 2}
    page.click("#next")
    assert rater.title() == "Question 1 of 4"
    assert page.inner_text("#missing") == (
        "Still to rank: Motion preservation (2 videos), Generation quality (3 videos), Text alignment (3 videos)."
    )
    focus = page.evaluate(
        "(() => { const g = document.activeElement.closest('.ranks'); return [g.dataset.clip, g.dataset.criterion] })()"
    )
    assert focus == [a, "quality"]
    page.keyboard.press("3")  # ranks by keyboard, in the row that has the focus
    assert rater.pressed("quality") == {a: 3}
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert rater.pressed("quality") == {a: 2}
    page.reload()
    rater.start("BOB ")
    assert rater.shown() == [a, b, c] and rater.pressed("motion") == {a: 2} and rater.pressed("quality") == {a: 2}
    assert rater.complaints == []
    rater.context.close()


def test_orders_depend_on_the_rater_alone(browser: Any, made: study.Made) -> None:
    orders = set()
    rater = Rater(browser, made.folder, reduced_motion="reduce")
    for code in ("r1", "r2", "r3", "r4", "r5", "r1"):
        rater.page.evaluate("localStorage.clear()")
        rater.page.reload()
        rater.start(code)
        orders.add((code, rater.page.text_content("#prompt"), tuple(rater.shown())))
    assert len(orders) == 5 and len({o[1:] for o in orders}) > 2
    rater.context.close()


def test_clips_play_in_step(browser: Any, tmp_path: Path) -> None:
    run = run_folder(tmp_path / "r", prompts=("p",), frames=9)
    made = study.make(run.root, tmp_path / "q", study.Wish())
    still = Rater(browser, made.folder, reduced_motion="reduce")
    still.start("still")
    assert still.frames() == {"0"} and still.page.inner_text("#play") == "Play"
    for frame in (3, 8, 0, 5):
        still.page.fill("#scrub", str(frame))
        assert still.frames() == {str(frame)} and still.page.inner_text("#frame") == f"{frame + 1} / 9"
    still.page.evaluate("document.activeElement.blur()")
    still.page.keyboard.press(".")
    assert still.frames() == {"6"}
    still.context.close()
    moving = Rater(browser, made.folder)
    moving.start("moving")
    seen = moving.page.evaluate(
        """() => new Promise(done => { const seen = []; const look = () => {
            seen.push([...document.querySelectorAll('canvas')].map(c => c.dataset.frame).join());
            new Set(seen).size > 4 ? done(seen) : requestAnimationFrame(look) }; look() })"""
    )
    assert all(len(set(line.split(","))) == 1 and line.count(",") == len(LABELS) for line in seen)
    moving.page.keyboard.press(" ")
    assert moving.page.inner_text("#play") == "Play"
    moving.context.close()


def test_an_incomplete_folder_is_said(browser: Any, store: Store, tmp_path: Path) -> None:
    made = study.make(store.root, tmp_path / "q", study.Wish(cases=1))
    next(made.folder.glob("*.webp")).unlink()
    rater = Rater(browser, made.folder)
    rater.page.fill("#code", "carl")
    rater.page.keyboard.press("Enter")
    rater.page.wait_for_selector("#missing:not(:empty)")
    assert "1 video cannot be loaded: the folder of this page is incomplete" in rater.page.inner_text("#missing")
    rater.page.click("#next")
    assert rater.title() == "Question 1 of 1"
    rater.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_and_everything_has_a_name(browser: Any, made: study.Made, scheme: str) -> None:
    rater = Rater(browser, made.folder, color_scheme=scheme, reduced_motion="reduce")
    rater.start("eve")
    contrasts = rater.page.evaluate(
        """() => { const rgb = c => c.match(/[\\d.]+/g).map(Number);
        const light = c => rgb(c).slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
            .reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
        const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
            if (rgb(c)[3] !== 0) return c; } return 'rgb(255,255,255)' };
        return [...document.querySelectorAll('#asking h1, #asking h2, #prompt, .name, dt, dd, .buttons button, .quiet, .primary')]
            .map(e => { const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
                return (a + .05) / (b + .05) }) }"""
    )
    assert len(contrasts) > 30 and min(contrasts) >= 4.5
    unnamed = rater.page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, canvas, [role=group]')]
            .filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length))).length"""
    )
    assert unnamed == 0
    rater.context.close()

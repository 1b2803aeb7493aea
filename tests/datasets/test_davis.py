"""DAVIS suites on a synthetic copy with the real names and counts: what is found, and every sentence about what is wrong."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image
from support.cli import bench, refusal

from fastvmt.datasets import davis
from fastvmt.datasets.davis import Davis2016, Davis2017, DiTFlow50, facts
from fastvmt.suites.cases import Wanted, undecoded

TRAINVAL = [f for f in facts().values() if f.split != "test-dev"]
RANGED = [f for f in facts().values() if f.span]


def make_clips(root: Path, clips: list[davis.Fact], picture: Path) -> None:
    for clip in clips:
        folder = root / "JPEGImages" / "480p" / clip.name
        folder.mkdir(parents=True)
        for n in range(clip.frames):
            os.link(picture, folder / f"{n:05d}.jpg")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One copy as the 2017 archive unpacks, one as the 2016 archive does, and the test-dev clips of DiTFlow's list."""
    base = tmp_path_factory.mktemp("davis")
    picture = base / "one.jpg"
    Image.new("RGB", (8, 6), "teal").save(picture)
    made = {year: base / year / "DAVIS" for year in ("2017", "2016", "test-dev")}
    make_clips(made["2017"], TRAINVAL, picture)
    make_clips(made["2016"], [f for f in TRAINVAL if f.in_davis2016], picture)
    make_clips(made["test-dev"], [f for f in RANGED if f.split == "test-dev"], picture)
    return made


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FASTVMT_DAVIS", raising=False)
    monkeypatch.setenv("FASTVMT_DATA", str(tmp_path / "data"))


def view(copy: Path, to: Path, without: tuple[str, ...] = (), own: tuple[str, ...] = ()) -> Path:
    """A copy of a copy by links to its clips; clips in ``own`` become folders of their own that a test may change."""
    images = to / "JPEGImages" / "480p"
    images.mkdir(parents=True)
    for clip in (copy / "JPEGImages" / "480p").iterdir():
        if clip.name in own:
            (images / clip.name).mkdir()
            for file in clip.iterdir():
                os.link(file, images / clip.name / file.name)
        elif clip.name not in without:
            (images / clip.name).symlink_to(clip)
    return to


def wanted(root: Path | None, frames: int = 33, **more: object) -> Wanted:
    return Wanted(8, 6, frames, root=root, **more)  # type: ignore[arg-type]


def problems(suite: Davis2016, want: Wanted) -> list[str]:
    return refusal(lambda: suite.entries(want)).splitlines()


def test_the_facts_are_those_of_davis() -> None:
    assert (len(TRAINVAL), sum(f.frames for f in TRAINVAL)) == (90, 6208)
    of_2016 = [f for f in TRAINVAL if f.in_davis2016]
    assert (len(of_2016), sum(f.frames for f in of_2016)) == (50, 3455)
    assert len(RANGED) == 50 and {len(range(*f.span)) for f in RANGED if f.span} == {24}


@pytest.mark.parametrize("year", ["2017", "2016"])
def test_2016_is_read_from_both_archives(copies: dict[str, Path], year: str) -> None:
    found = Davis2016().entries(wanted(copies[year]))
    assert len(found) == 50 and [e.id for e in found] == sorted(e.id for e in found)
    bear = found[0]
    assert (bear.id, bear.frames, bear.fps, bear.tags) == ("bear", 82, Fraction(24), ("train",))
    assert bear.path == copies[year] / "JPEGImages/480p/bear"
    assert all(len(e.targets) == 5 and e.caption and e.category != "uncategorised" for e in found)


def test_2017_has_90_clips_each_with_five_distinct_prompts(copies: dict[str, Path]) -> None:
    found = Davis2017().entries(wanted(copies["2017"]))
    assert len(found) == 90
    assert all(len({t.text for t in e.targets}) == len({t.id for t in e.targets}) == 5 for e in found)
    assert len({c.id for c in undecoded(found, wanted(None, short="trim"))}) == 450


def test_the_copy_is_found_by_option_then_variable_then_what_fetch_left(
    copies: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "data" / "davis2017").mkdir(parents=True)
    view(copies["2017"], tmp_path / "data" / "davis2017" / "DAVIS")
    assert tmp_path in Davis2016().entries(wanted(None))[0].path.parents
    monkeypatch.setenv("FASTVMT_DAVIS", str(copies["2016"]))
    assert copies["2016"] in Davis2016().entries(wanted(None))[0].path.parents
    assert copies["2017"] in Davis2016().entries(wanted(copies["2017"]))[0].path.parents


def test_no_copy_is_said_with_size_and_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for where in (None, tmp_path / "d"):
        [said] = problems(Davis2016(), wanted(where))
        assert all(part in said for part in ("--davis-root", "FASTVMT_DAVIS", "`bench fetch davis2017`", "0.83 GB"))
    assert f"DAVIS root '{tmp_path / 'd'}' does not exist." in said
    monkeypatch.setenv("FASTVMT_DAVIS", str(tmp_path / "e"))
    assert "(from FASTVMT_DAVIS) does not exist" in problems(Davis2016(), wanted(None))[0]


def test_a_root_one_level_off_is_told_the_right_one(copies: dict[str, Path]) -> None:
    good = copies["2017"]
    for off in (good.parent, good / "JPEGImages", good / "JPEGImages" / "480p"):
        [said] = problems(Davis2016(), wanted(off))
        assert said == f"No JPEGImages/480p under '{off}', but '{good / 'JPEGImages/480p'}' exists: pass '{good}'."


def test_another_folder_and_another_resolution_are_told_apart(tmp_path: Path) -> None:
    assert "it is no copy of DAVIS" in problems(Davis2016(), wanted(tmp_path))[0]
    (tmp_path / "JPEGImages" / "Full-Resolution").mkdir(parents=True)
    assert "it holds JPEGImages/Full-Resolution, and the suites need 480p" in problems(Davis2016(), wanted(tmp_path))[0]


def test_missing_clips_are_counted_and_named(copies: dict[str, Path], tmp_path: Path) -> None:
    root = view(copies["2017"], tmp_path / "d", without=("bus", "camel", "cows"))
    [said] = problems(Davis2016(), wanted(root))
    assert said == "davis2016-50: 3 of 50 clips missing: bus, camel, cows. Is the 2017 trainval archive fully unpacked?"


def test_the_2016_archive_does_not_serve_the_2017_suite(copies: dict[str, Path]) -> None:
    [said] = problems(Davis2017(), wanted(copies["2016"]))
    assert "40 of 90 clips missing: bike-packing" in said and "as in DAVIS-2016" in said and "bench fetch davis2017" in said


def remove(folder: Path, *numbers: int) -> None:
    for n in numbers:
        (folder / f"{n:05d}.jpg").unlink()


def test_frames_that_are_missing_or_too_many_are_named(copies: dict[str, Path], tmp_path: Path) -> None:
    changed = ("bear", "boat", "bus", "camel", "cows", "dog", "goat", "hike", "lucia")
    root = view(copies["2017"], tmp_path / "d", own=changed)
    of = {name: root / "JPEGImages/480p" / name for name in changed}
    remove(of["bear"], 17)
    remove(of["boat"], 73, 74)
    remove(of["bus"], 0)
    remove(of["camel"], 3, 4, 40)
    os.link(of["cows"] / "00000.jpg", of["cows"] / "00104.jpg")
    os.link(of["dog"] / "00000.jpg", of["dog"] / "00007 (1).jpg")
    os.link(of["goat"] / "00000.jpg", of["goat"] / "00003.png")
    remove(of["hike"], *range(80))
    for name in ("Thumbs.db", ".DS_Store", "._00000.jpg"):
        (of["lucia"] / name).write_bytes(b"x")
    again = "Unpack the archive again."
    assert problems(Davis2016(), wanted(root)) == [
        f"bear: frame 00017.jpg is missing between 00016 and 00018 (81 of 82 present). {again}",
        f"boat: 73 frames, DAVIS has 75; the last ones are missing. {again}",
        f"bus: frame 00000.jpg is missing before 00001 (79 of 80 present). {again}",
        f"camel: 3 frames are missing, first 00003.jpg, after 00002 (87 of 90 present). {again}",
        "cows: 00104.jpg is none of its 104 frames (105 images). Take it out, or unpack again.",
        "dog: 00007 (1).jpg is none of its 60 frames (61 images). Take it out, or unpack again.",
        "goat: frame 00003 is there twice (91 images for 90 frames). Take one out.",
        f"hike: 0 frames, DAVIS has 80; the last ones are missing. {again}",
    ]


def test_problems_of_root_frames_and_prompts_come_together(copies: dict[str, Path], tmp_path: Path) -> None:
    root = view(copies["2017"], tmp_path / "d", without=("bus",), own=("bear",))
    remove(root / "JPEGImages/480p/bear", 17)
    file = tmp_path / "p.jsonl"
    file.write_text('{"clip": "bear", "text": NaN}\n')
    said = "\n".join(problems(Davis2016(), wanted(root, prompts=file)))
    assert "p.jsonl line 1, clip 'bear': text" in said and "00017.jpg" in said and "clips missing: bus" in said
    assert "p.jsonl has no prompts for 50 of 50 clips" in said
    said = "\n".join(problems(Davis2016(), wanted(tmp_path / "nowhere", prompts=tmp_path / "gone.jsonl")))
    assert "nowhere' does not exist" in said and "gone.jsonl' is not there" in said


def own_prompts(file: Path, text: str = "Ein Bär tanzt") -> Path:
    if file.suffix == ".jsonl":
        rows = [
            json.dumps({"clip": f.name, "id": "mine", "text": f" {text} ", "kind": "scene", "negative": ""}) for f in TRAINVAL
        ]
    else:
        rows = ["clip,text,negative,note", *(f'{f.name},"{text}",,x' for f in TRAINVAL)]
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode())
    return file


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_own_prompts_replace_ours_and_keep_caption_and_category(copies: dict[str, Path], tmp_path: Path, suffix: str) -> None:
    ours = Davis2016().entries(wanted(copies["2017"]))
    found = Davis2016().entries(wanted(copies["2017"], prompts=own_prompts(tmp_path / f"own{suffix}")))
    assert all([t.text for t in e.targets] == ["Ein Bär tanzt"] for e in found)
    assert [(e.caption, e.category) for e in found] == [(e.caption, e.category) for e in ours]
    target = found[0].targets[0]
    said = ("mine", "scene", "") if suffix == ".jsonl" else ("p1", "free", None)
    assert (target.id, target.kind, target.negative) == said


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.jsonl", '{"clip": "bear2", "text": "a"}\n{"clip": "bear2", "text": "b"}', "2 prompts for 'bear2', which is not a clip"),
        ("p.jsonl", '{"clip": "bear", "text": "a"}\n{"clip": "bear", "text": " a"}', "line 2: prompt 'a' of clip 'bear' repeats line 1"),
        ("p.jsonl", '{"clip": "bear", "id": "x", "text": "a"}\n\n{"clip": "bear", "id": "x", "text": "b"}', "line 3: id 'x' of clip"),
        ("p.jsonl", '{"clip": "bear", "text": "a"', "line 1, column"),
        ("p.jsonl", '["bear"]', "line 1: a JSON object is needed, found list"),
        ("p.jsonl", '{"text": "a"}', "line 1: clip must be the name of a clip"),
        ("p.jsonl", '{"clip": "bear", "text": "  "}', "text must be a non-empty string"),
        ("p.jsonl", '{"clip": "bear", "text": "a\\u0000"}', "U+0000"),
        ("p.jsonl", '{"clip": "bear", "text": "a", "kind": "funny"}', "line 1, clip 'bear': kind"),
        ("p.jsonl", '{"clip": "bear", "id": "No Id", "text": "a"}', "line 1, clip 'bear': id"),
        ("p.jsonl", '{"clip": "bear", "category": "cam", "prompts": [{"text": "a"}]}', "category 'cam' unknown"),
        ("p.jsonl", '{"clip": "bear", "prompts": "a"}', "prompts must be a list"),
        ("p.csv", "clip;text\nbear;a", "line 1: no column 'clip' (found: clip;text)"),
        ("p.csv", "clip,text\nbear,a lion, roaring", "line 2: more cells than the header names"),
        ("p.csv", "", "no column 'clip' (found: nothing)"),
        ("p.yaml", "bear: a", "its suffix is not .jsonl, .csv or .txt"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_prompt_file_is_said_with_its_place(
    copies: dict[str, Path], tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    found = problems(Davis2016(), wanted(copies["2017"], prompts=tmp_path / name))
    assert any(said in line and name in line for line in found), found


# DiTFlow's list ------------------------------------------------------------------------------------------------------


def js(path: Path, spans: bool = True, changes: dict[str, str] | None = None) -> Path:
    """A list in the published form with made-up prompts: quotes of all kinds, comments, commas before brackets."""
    rows = []
    for f in RANGED:
        span = f"\n  frame_range: '{list(f.span or ())}'," if spans else ""
        row = f"""  '{f.name}': {{  // a clip
    "easy": 'It\\'s {f.name}, as it is', medium: "another {f.name}: {{here}}",
    'hard': `somewhere // else, {f.name}`,{span}
  }},"""
        rows.append((changes or {}).get(f.name, row))
    path.write_text("/* prompts\n */\nconst prompts = {\n" + "\n".join(rows) + "\n};\nexport default prompts;\n")
    return path


@pytest.fixture
def whole(copies: dict[str, Path], tmp_path: Path) -> Path:
    """Train, val and test-dev in one tree."""
    root = view(copies["2017"], tmp_path / "whole")
    for clip in (copies["test-dev"] / "JPEGImages/480p").iterdir():
        (root / "JPEGImages/480p" / clip.name).symlink_to(clip)
    return root


def test_ditflow_needs_the_users_copy_of_the_list(whole: Path) -> None:
    [said, *rest] = problems(DiTFlow50(), wanted(whole, 21))
    assert "--prompts" in said and "supp/assets/prompts.js" in said and rest[0].startswith("motorbike: range")


@pytest.mark.parametrize("spans", [True, False])
def test_ditflow_takes_prompts_and_ranges(whole: Path, tmp_path: Path, spans: bool) -> None:
    found = DiTFlow50().entries(wanted(whole, 21, prompts=js(tmp_path / "prompts.js", spans), short="trim"))
    assert len(found) == 50
    by_name = {e.id: e for e in found}
    bear = by_name["bear"]
    assert [(t.id, t.kind, t.text) for t in bear.targets] == [
        ("caption", "caption", "It's bear, as it is"),
        ("subject", "subject", "another bear: {here}"),
        ("scene", "scene", "somewhere // else, bear"),
    ]
    assert (bear.caption, bear.start, bear.stop, bear.stride, bear.frames) == ("It's bear, as it is", 0, 72, 3, 82)
    slalom = by_name["giant-slalom"]
    assert (slalom.start, slalom.stop, slalom.stride, slalom.tags) == (100, 124, 1, ("test-dev",))


def test_the_range_in_the_users_copy_governs(whole: Path, tmp_path: Path) -> None:
    row = "bear: {easy: 'a', medium: 'b', hard: 'c', frame_range: [10, 52, 2]},"
    found = DiTFlow50().entries(wanted(whole, 21, prompts=js(tmp_path / "p.js", changes={"bear": row}), short="trim"))
    assert [(e.start, e.stop, e.stride) for e in found if e.id == "bear"] == [(10, 52, 2)]


def test_test_dev_clips_are_named_when_absent(copies: dict[str, Path], tmp_path: Path) -> None:
    said = problems(DiTFlow50(), wanted(copies["2017"], 21, prompts=js(tmp_path / "p.js"), short="skip"))
    assert len(said) == 1
    assert "carousel, chamaleon, deer, giant-slalom, hoverboard, mtb-race are in DAVIS test-dev" in said[0]
    assert "DAVIS-2017-test-dev-480p.zip" in said[0]


def test_the_range_that_ends_after_its_clip(whole: Path, tmp_path: Path) -> None:
    want = wanted(whole, 21, prompts=js(tmp_path / "p.js"))
    assert problems(DiTFlow50(), want) == [
        "motorbike: range [0, 48, 2] needs frame 46 but the clip has 43 (0-42). "
        "Use --short-clips skip|trim (trim would use 21)."
    ]
    for short in ("skip", "trim"):
        assert len(DiTFlow50().entries(wanted(whole, 21, prompts=want.prompts, short=short))) == 50


def test_a_length_that_no_range_has_is_told_once(whole: Path, tmp_path: Path) -> None:
    said = problems(DiTFlow50(), wanted(whole, 33, prompts=js(tmp_path / "p.js"), short="skip"))
    assert len(said) == 1 and "33 frames are wanted" in said[0] and "--frames 21" in said[0]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("bear: {easy: 'a', medium: 'b'},", "p.js, clip 'bear': it needs the prompts easy, medium and hard"),
        ("bear: {easy: 'a', medium: 'b', hard: 3},", "hard of clip 'bear', clip 'bear': text"),
        ("bear: {easy: 'a', medium: 'b', hard: 'c', frame_range: '[72, 0]'},", "frame_range '[72, 0]' is not [start, stop, step]"),
        ("bear: {easy: 'a', medium: 'b', hard: 'c', frame_range: '[0, 24, 0]'},", "frame_range"),
        ("bear: {easy: 'a' medium: 'b'},", "p.js line 4: ',' or '}' is needed, found medium"),
        ("bear: {easy: 'a, medium: \"b\"},\n", "p.js line 4"),
        ("beaver: {easy: 'a', medium: 'b', hard: 'c'},", "3 prompts for 'beaver', which is not a clip of the suite"),
        ("blackswan: {easy: 'a', medium: 'b', hard: 'c'},", "is needed, found 'blackswan'"),
        ("bear: " + "[" * 2000, "less nesting is needed"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_list_is_said_with_its_place(whole: Path, tmp_path: Path, row: str, said: str) -> None:
    found = problems(DiTFlow50(), wanted(whole, 21, prompts=js(tmp_path / "p.js", changes={"bear": row}), short="trim"))
    assert any(said in line for line in found), found


def test_a_page_saved_instead_of_the_list(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "p.js").write_text("404: Not Found")
    assert "there is no object" in problems(DiTFlow50(), wanted(whole, 21, prompts=tmp_path / "p.js", short="trim"))[0]


def test_escapes_and_joined_texts_of_javascript(whole: Path, tmp_path: Path) -> None:
    row = r"""bear: {easy: 'caf\u00e9 \x41' + " \u{1F43B}", medium: '\ud83d\udc3b', hard: 'a\
b'},"""
    found = DiTFlow50().entries(wanted(whole, 21, prompts=js(tmp_path / "p.js", changes={"bear": row}), short="trim"))
    assert [t.text for e in found if e.id == "bear" for t in e.targets] == ["café A 🐻", "🐻", "ab"]


def test_tracks_without_prompts_say_what_they_are_for() -> None:
    said = bench("run", "--suite", "tapvid-davis")
    assert said.code == 2 and "bench doctor --tracker lk --tapvid" in said.err
    assert "CC-BY-4.0" in bench("describe", "tapvid-davis").out

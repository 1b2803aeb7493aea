"""MTBench on a made-up copy with the traps of the real one: both layouts, blanks, a visualisation."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cli import bench, refusal

from fastvmt.datasets.mtbench import MTBench
from fastvmt.suites.cases import Wanted

LINES = [
    "  A robot dances on mars.  ",
    "",
    "A chef dances\t",
    "A gorilla dances on a beach. ",
    "An owl dances.",
    "A 龍 dances.",
]


def make_clip(folder: Path, lines: list[str] = LINES) -> Path:
    name = folder.name
    for part in ("videos", f"masks/{name}", "trajectories"):
        (folder / part).mkdir(parents=True)
    (folder / "prompts.txt").write_text(f" Someone dances ({name}).  ")
    (folder / "eval_prompts.txt").write_bytes("\r\n".join(lines).encode())
    (folder / "videos" / f"{name}.mp4").write_bytes(b"never opened here")
    (folder / "videos" / "tracker.mp4").write_bytes(b"a drawing of the tracks")
    for part in ("videos", "masks", "trajectories"):
        (folder / f"{part}.txt").write_text(f"{part}/{name}")
    return folder


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTVMT_MTBENCH", raising=False)


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    for name in ("dance-twirl", "5d8ca1893a"):
        make_clip(tmp_path / "copy" / name)
    (tmp_path / "copy" / "__MACOSX").mkdir()
    return tmp_path / "copy"


@pytest.fixture
def graded(tmp_path: Path) -> Path:
    for level, name in (("medium", "bear"), ("easy", "zebra"), ("hard", "ant")):
        make_clip(tmp_path / "graded" / "MTBench_subset" / f"MTBench_{level}" / name)
    return tmp_path / "graded"


def wanted(root: Path | None, prompts: Path | None = None) -> Wanted:
    return Wanted(720, 480, 49, root=root, prompts=prompts)


def problems(want: Wanted) -> list[str]:
    return refusal(lambda: MTBench().entries(want)).splitlines()


def test_flat_clips_with_stripped_prompts(flat: Path) -> None:
    found = MTBench().entries(wanted(flat))
    assert [e.id for e in found] == ["5d8ca1893a", "dance-twirl"]
    twirl = found[1]
    assert twirl.path == flat / "dance-twirl/videos/dance-twirl.mp4"  # and not tracker.mp4
    assert (twirl.caption, twirl.tags, twirl.start, twirl.stop) == ("Someone dances (dance-twirl).", (), 0, None)
    assert [(t.id, t.text) for t in twirl.targets] == [
        ("p1", "A robot dances on mars."), ("p2", "A chef dances"), ("p3", "A gorilla dances on a beach."),
        ("p4", "An owl dances."), ("p5", "A 龍 dances."),
    ]  # fmt: skip


def test_difficulty_becomes_a_tag(graded: Path) -> None:
    for root in (graded, graded / "MTBench_subset"):
        found = MTBench().entries(wanted(root))
        assert [(e.id, e.tags) for e in found] == [("ant", ("hard",)), ("bear", ("medium",)), ("zebra", ("easy",))]


def test_flat_clips_beside_the_graded_ones_are_neither_doubled_nor_dropped(graded: Path) -> None:
    make_clip(graded / "bear")
    make_clip(graded / "whale")
    (graded / "docs").mkdir()
    found = MTBench().entries(wanted(graded))
    assert [(e.id, e.tags) for e in found] == [("ant", ("hard",)), ("bear", ("medium",)), ("whale", ()), ("zebra", ("easy",))]


def test_a_clip_in_two_levels(graded: Path) -> None:
    make_clip(graded / "MTBench_subset/MTBench_hard/bear")
    [said] = problems(wanted(graded))
    assert said.startswith("bear: it lies in '") and "MTBench_hard" in said and "MTBench_medium" in said


def test_the_root_by_variable_absent_or_one_level_off(flat: Path, graded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [said] = problems(wanted(None))
    assert "--root" in said and "FASTVMT_MTBENCH" in said and "huggingface.co/datasets/QingyuShi/MTBench" in said
    assert "does not exist" in problems(wanted(flat / "nowhere"))[0]
    assert f"pass the folder around it, '{flat}'" in problems(wanted(flat / "dance-twirl"))[0]
    assert f"'{flat}' holds some: pass it" in "".join(problems(wanted(flat.parent)))
    assert "No clips of MTBench" in problems(wanted(graded / "MTBench_subset/MTBench_easy/zebra/videos"))[0]
    monkeypatch.setenv("FASTVMT_MTBENCH", str(flat))
    assert len(MTBench().entries(wanted(None))) == 2


def test_every_clip_that_lacks_something_is_named(flat: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        make_clip(flat / name)
    (flat / "a/eval_prompts.txt").unlink()
    (flat / "a/videos/a.mp4").unlink()
    (flat / "b/prompts.txt").write_text(" \n")
    (flat / "c/videos/c.mp4").rename(flat / "c/videos/one.mp4")
    (flat / "c/videos/two.mp4").write_bytes(b"x")
    (flat / "d/eval_prompts.txt").write_text("A cat.\nA dog.\n A cat. \n")
    (flat / "e/eval_prompts.txt").write_bytes("Über".encode("latin-1"))
    (flat / "empty").mkdir()
    said = problems(wanted(flat))
    assert {line.partition(":")[0] for line in said} == {"a", "b", "c", "d", "e", "empty"}
    text = "\n".join(said)
    for part in (
        "a: eval_prompts.txt is missing, so it has no target prompts.",
        "a: videos/a.mp4 is missing, so it has no video.",
        "b: prompts.txt is empty, so it has no caption.",
        "c: videos holds one.mp4, two.mp4, and which is the clip is unknown.",
        "d: eval_prompts.txt line 3 repeats line 1 ('A cat.').",
        "e: eval_prompts.txt: the file is not UTF-8.",
        "empty: videos/empty.mp4 is missing",
    ):
        assert part in text, (part, text)


def test_own_prompts_replace_those_of_the_copy(flat: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("# my words\nA plush bear dances.\n\n  A lamp dances. \n")
    assert [[t.text for t in e.targets] for e in MTBench().entries(wanted(flat, own))] == [
        ["A plush bear dances.", "A lamp dances."]
    ] * 2
    own.write_text("A lamp dances.\nA lamp dances.\n")
    assert sum("line 2: prompt 'A lamp dances.' repeats line 1" in p for p in problems(wanted(flat, own))) == 1
    part = tmp_path / "own.jsonl"
    part.write_text('{"clip": "dance-twirl", "text": "A lamp dances."}')
    assert problems(wanted(flat, part)) == [f"5d8ca1893a: '{part}' has no prompt for it. Add one, or take the clip out."]
    assert "is not there" in problems(wanted(flat, tmp_path / "gone.txt"))[0]


def test_show_names_the_difficulty(graded: Path) -> None:
    said = bench("suite", "show", "mtbench", "--root", graded)
    assert "ant (uncategorised, hard): Someone dances (ant)." in said.out.splitlines(), said.err
    assert bench("suite", "show", "mtbench", "--root", graded, "--json").data["clips"][1]["tags"] == ["medium"]

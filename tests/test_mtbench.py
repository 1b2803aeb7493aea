"""MTBench on a made-up copy with the traps of the real one: both layouts, blanks, a visualisation, masks of another number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.cli import bench, refusal

from fastvmt.datasets.mtbench import MTBench, first_mask, tracks
from fastvmt.errors import SuiteError
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
    for n in range(3):
        mask = np.zeros((6, 8), np.uint8)
        mask[1:4, 2:5], mask[4, 2:5] = 255, 127 - n
        Image.fromarray(mask).save(folder / "masks" / name / f"{n:05d}.png")
    stored = torch.zeros(49, 100, 3)
    stored[:, :, 0], stored[:, :, 1], stored[1:, :, 2] = 0.25, 0.5, 1
    stored[:, 7, 0] = torch.linspace(0, 1, 49)
    torch.save(stored, folder / "trajectories" / f"{name}.pth")
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


def test_the_first_mask_is_cut_at_one_half(flat: Path) -> None:
    mask = first_mask(flat / "dance-twirl")
    assert mask.shape == (6, 8) and mask.dtype == bool
    assert mask.sum() == 9 and mask[1:4, 2:5].all()
    (flat / "dance-twirl/masks/dance-twirl/00000.png").write_bytes(b"no")
    with pytest.raises(SuiteError, match="00000.png is not a readable image"):
        first_mask(flat / "dance-twirl")
    (flat / "dance-twirl/masks/dance-twirl/00000.png").unlink()  # mask 1 belongs to no frame of the video
    with pytest.raises(SuiteError, match="00000.png is missing"):
        first_mask(flat / "dance-twirl")


def test_tracks_are_scaled_to_px_of_width_and_height(flat: Path) -> None:
    points, visible = tracks(flat / "dance-twirl", width=720, height=480)
    assert points.shape == (100, 49, 2) and visible.shape == (100, 49) and visible.dtype == bool
    assert points[0, 5].tolist() == [180, 240] and np.isclose(points[7, -1, 0], 720)
    assert not visible[:, 0].any() and visible[:, 1:].all()


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("ran"),)  # type: ignore[return-value]


def test_tracks_that_are_none_are_refused_and_nothing_in_them_runs(
    flat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = flat / "dance-twirl/trajectories/dance-twirl.pth"
    broken = (
        (lambda: file.write_bytes(b"PK\x03\x04 cut"), "is not a tensor file"),
        (lambda: file.write_bytes(b""), "is not a tensor file"),
        (lambda: torch.save(Payload(), file), "is not a tensor file"),
        (lambda: torch.save({"tracks": 1}, file), "holds dict, not a float tensor"),
        (lambda: torch.save(torch.zeros(49, 100, 2), file), r"holds \(49, 100, 2\) torch.float32"),
        (lambda: torch.save(torch.zeros(49, 100, 3, dtype=torch.int64), file), "torch.int64"),
        (lambda: torch.save(torch.full((49, 100, 3), float("nan")), file), "not finite"),
        (file.unlink, "is missing"),
    )
    for breaks, said in broken:
        breaks()
        with pytest.raises(SuiteError, match=said):
            tracks(file.parent.parent, 720, 480)
    assert not (tmp_path / "ran").exists()


def test_show_names_the_difficulty(graded: Path) -> None:
    said = bench("suite", "show", "mtbench", "--root", graded)
    assert "ant (uncategorised, hard): Someone dances (ant)." in said.out.splitlines(), said.err
    assert bench("suite", "show", "mtbench", "--root", graded, "--json").data["clips"][1]["tags"] == ["medium"]

"""Suites of DAVIS clips: the 50 of DAVIS-2016, the 90 of DAVIS-2017 (train and val), and DiTFlow's 50.

The clips come from the user's copy at 480p; names and frame counts are in ``davis_clips.json``, our target prompts in
``davis_prompts.jsonl``. DiTFlow's prompts are not part of this package and are read from the user's copy of its list.

"480p" is a height: two val clips and some train clips are wider than 854 px. DAVIS stores no frame rate; 24 is what its
players use, and is what these suites say. Nothing here depends on it but the rate that videos are written with.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import ClassVar

from fastvmt.datasets.ditflow_prompts import read_ditflow
from fastvmt.datasets.prompt_lists import ClipPrompts, read_targets
from fastvmt.media.files import IMAGE_SUFFIXES
from fastvmt.suites import data_sets
from fastvmt.suites.cases import ClipEntry, Problems, Short, Wanted, length

FPS = Fraction(24)
FACTS = Path(__file__).with_name("davis_clips.json")
TABLE = Path(__file__).with_name("davis_prompts.jsonl")
IMAGES = Path("JPEGImages", "480p")
FETCH = "`bench fetch davis2017` gets it (0.83 GB)"
TEST_DEV = "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-test-dev-480p.zip"
LIST = "https://github.com/ditflow/ditflow.github.io, file supp/assets/prompts.js"


@dataclass(frozen=True)
class Fact:
    """What is known of a clip; ``span`` is DiTFlow's (start, stop, stride)."""

    name: str
    frames: int
    split: str
    in_davis2016: bool
    span: tuple[int, int, int] | None


@cache
def facts() -> dict[str, Fact]:
    """All 120 clips of DAVIS-2017 whose names are public, by name."""
    rows = json.loads(FACTS.read_text("utf-8"))
    spans = (r["ditflow_range"] and tuple(r["ditflow_range"]) for r in rows)
    return {r["name"]: Fact(r["name"], r["frames"], r["split"], r["in_davis2016"], s) for r, s in zip(rows, spans, strict=True)}


def find_root(given: Path | None, problems: Problems) -> Path | None:
    """The folder that holds JPEGImages/480p; None, with a problem, when there is none."""
    named = os.environ.get("FASTVMT_DAVIS")
    root = given or (Path(named) if named else data_sets.root() / "davis2017" / "DAVIS")
    said = f"'{root}'" + (" (from FASTVMT_DAVIS)" if named and not given else "")
    if not root.is_dir():
        what = f"DAVIS root {said} does not exist" if given or named else f"No copy of DAVIS was named, and none is in '{root}'"
        problems.add(f"{what}. Pass --davis-root FOLDER or set FASTVMT_DAVIS; {FETCH}.")
        return None
    if (root / IMAGES).is_dir():
        return root
    for near in (*sorted(p for p in root.iterdir() if p.is_dir()), *list(root.absolute().parents)[:3]):
        if (near / IMAGES).is_dir():
            problems.add(f"No JPEGImages/480p under {said}, but '{near / IMAGES}' exists: pass '{near}'.")
            return None
    larger = next((n for n in ("Full-Resolution", "1080p") if (root / "JPEGImages" / n).is_dir()), "")
    held = f"it holds JPEGImages/{larger}, and the suites need 480p" if larger else "it is no copy of DAVIS"
    problems.add(f"No JPEGImages/480p under {said}: {held}. Pass --davis-root FOLDER of another; {FETCH}.")
    return None


def wrong_frames(name: str, folder: Path, count: int) -> str:
    """What differs between a clip's folder and frames 0 to ``count`` - 1, or ""."""
    files = [p.name for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    stems = {Path(n).stem: n for n in files}
    wanted = [f"{n:05d}" for n in range(count)]
    absent = [s for s in wanted if s not in stems]
    extra = sorted(set(stems) - set(wanted))
    if extra:
        return f"{name}: {stems[extra[0]]} is none of its {count} frames ({len(files)} images). Take it out, or unpack again."
    if len(files) > count:
        twice = next(n for n in sorted(files) if stems[Path(n).stem] != n)
        return f"{name}: frame {Path(twice).stem} is there twice ({len(files)} images for {count} frames). Take one out."
    if not absent:
        return ""
    if absent == wanted[count - len(absent) :]:
        return f"{name}: {len(files)} frames, DAVIS has {count}; the last ones are missing. Unpack the archive again."
    first = int(absent[0])
    before, after = f"{first - 1:05d}", f"{first + 1:05d}"
    where = f"before {min(stems)}" if first == 0 else f"between {before} and {after}" if after in stems else f"after {before}"
    what = f"frame {absent[0]}.jpg is" if len(absent) == 1 else f"{len(absent)} frames are"
    named = "" if len(absent) == 1 else f", first {absent[0]}.jpg,"
    return f"{name}: {what} missing{named} {where} ({len(files)} of {count} present). Unpack the archive again."


def read_clips(suite: str, root: Path, clips: Iterable[Fact], problems: Problems) -> None:
    """Check that every clip is there and whole, by the names of its files."""
    all_clips, missing = list(clips), []
    for clip in all_clips:
        folder = root / IMAGES / clip.name
        with problems.caught(f"{clip.name}: "):
            if not folder.is_dir():
                missing.append(clip)
            elif wrong := wrong_frames(clip.name, folder, clip.frames):
                problems.add(wrong)
    test_dev = [c.name for c in missing if c.split == "test-dev"]
    rest = [c.name for c in missing if c.split != "test-dev"]
    if test_dev:
        subject = f"'{test_dev[0]}' is" if len(test_dev) == 1 else f"{', '.join(test_dev)} are"
        problems.add(
            f"{suite}: {subject} in DAVIS test-dev, which needs DAVIS-2017-test-dev-480p.zip as well ({TEST_DEV}); "
            f"unpack it over '{root}'."
        )
    if rest:
        fix = "Is the 2017 trainval archive fully unpacked?"
        if not any(c.in_davis2016 for c in missing):
            fix = f"'{root}' has its clips as in DAVIS-2016; these are in the 2017 trainval archive: {FETCH}."
        problems.add(f"{suite}: {len(rest)} of {len(all_clips)} clips missing: {', '.join(rest)}. {fix}")


class Davis2016:
    """The 50 clips of DAVIS-2016. One of them, dog-agility, has 25 frames; all others have 33 or more."""

    name = "davis2016-50"
    frames = 33
    """Taken unless --frames says otherwise: the 4k+1 next to the paper's 32."""
    short: ClassVar[Short | None] = "skip"
    """dog-agility has 25 frames: it is left out by name, unless --short-clips says otherwise."""
    summary = "50 real clips of DAVIS-2016, five target prompts each"
    size = "0.83 GB"
    licence = (
        "toolkit BSD-3-Clause; the videos under their creators' Creative Commons licences: cite DAVIS, do not pass frames on"
    )
    how = "`bench fetch davis2017` gets the trainval archive at 480p, which holds them all; or --davis-root, or FASTVMT_DAVIS"

    def clips(self) -> list[Fact]:
        """The suite's clips in their order."""
        return [f for f in facts().values() if f.in_davis2016]

    def entries(self, wanted: Wanted) -> list[ClipEntry]:
        """Clips with their prompts; no image is opened.

        Raises:
            SuiteError: all problems in one message, a line each.
        """
        problems = Problems()
        prompts = self.prompts(wanted, problems)
        root = None
        with problems.caught("DAVIS: "):
            root = find_root(wanted.root, problems)
        if root is not None:
            read_clips(self.name, root, self.clips(), problems)
        folder = (root or Path()) / IMAGES
        found = [self.entry(fact, prompts.get(fact.name, ClipPrompts()), folder) for fact in self.clips()]
        self.check(found, wanted, problems)
        problems.raise_if_any()
        return found

    def prompts(self, wanted: Wanted, problems: Problems) -> dict[str, ClipPrompts]:
        """Prompts by clip: ours, or the user's with our captions and categories where theirs has none."""
        ours = read_targets(TABLE, {name: name for name in facts()}, problems) if TABLE.is_file() else {}
        found, theirs = {}, None
        names = {name: name for name in facts()}
        with problems.caught():
            theirs = self.read(wanted.prompts, names, problems) if wanted.prompts else ours
        if theirs is None:
            return ours
        for name in names:
            mine, own = theirs.get(name, ClipPrompts()), ours.get(name, ClipPrompts())
            category = own.category if mine.category == "uncategorised" else mine.category
            found[name] = ClipPrompts(mine.targets, mine.caption or own.caption, category, mine.span)
        without = [f.name for f in self.clips() if not found[f.name].targets]
        if without:
            file = (wanted.prompts or TABLE).name
            problems.add(
                f"{self.name}: {file} has no prompts for {len(without)} of {len(self.clips())} clips: {', '.join(without)}. "
                "Add them, or take another file with --prompts."
            )
        return found

    def read(self, path: Path, names: dict[str, str], problems: Problems) -> dict[str, ClipPrompts]:
        """The user's own prompt file."""
        return read_targets(path, names, problems)

    def entry(self, fact: Fact, said: ClipPrompts, folder: Path) -> ClipEntry:
        """One clip of the suite."""
        return ClipEntry(
            id=fact.name, name=fact.name, path=folder / fact.name, targets=said.targets, caption=said.caption,
            category=said.category, licence=self.licence, fps=FPS, frames=fact.frames, tags=(fact.split,),
        )  # fmt: skip

    def check(self, found: list[ClipEntry], wanted: Wanted, problems: Problems) -> None:
        """What a suite has to say about its own entries; too short clips are the loader's."""


class Davis2017(Davis2016):
    """The 90 clips of DAVIS-2017 train and val: those of 2016 and 40 more."""

    name = "davis2017-90"
    summary = "90 real clips of DAVIS-2017 (train and val), five target prompts each"

    def clips(self) -> list[Fact]:
        return [f for f in facts().values() if f.split != "test-dev"]


class DiTFlow50(Davis2016):
    """The 50 clips of DiTFlow's published list, with its frame ranges and, from the user's copy, its three prompts each.

    Every range is 24 frames of the clip at a step of 1 to 4, so 21 is the most that fits a length of 4k+1. Six clips are
    of test-dev, which is another archive; motorbike's range ends after the clip.
    """

    name = "ditflow-50"
    frames = 21
    short = None
    summary = (
        "DiTFlow's 50 DAVIS clips and ranges of 24 frames (--frames 21), with its three prompts from your copy of its list"
    )
    size = "0.83 GB and about 0.3 GB"
    how = f"`bench fetch davis2017`, then {TEST_DEV} unpacked over it for six clips, and --prompts with the list of {LIST}"

    def clips(self) -> list[Fact]:
        return [f for f in facts().values() if f.span]

    def prompts(self, wanted: Wanted, problems: Problems) -> dict[str, ClipPrompts]:
        if wanted.prompts is None:
            problems.add(f"{self.name}: its prompts are not part of this package; save {LIST}, and pass --prompts FILE.")
            return {}
        return super().prompts(wanted, problems)

    def read(self, path: Path, names: dict[str, str], problems: Problems) -> dict[str, ClipPrompts]:
        reader = read_ditflow if path.suffix.lower() == ".js" else read_targets
        return reader(path, {f.name: f.name for f in self.clips()}, problems)

    def entry(self, fact: Fact, said: ClipPrompts, folder: Path) -> ClipEntry:
        """The range is that of the user's copy; the published one when it has none, as in an older version of the list."""
        start, stop, stride = said.span or fact.span or (0, fact.frames, 1)
        return replace(super().entry(fact, said, folder), start=start, stop=stop, stride=stride)

    def check(self, found: list[ClipEntry], wanted: Wanted, problems: Problems) -> None:
        """Ranges that end after their clip, and a length that no range has (told once and not for every clip)."""
        spans = [length(e, replace(wanted, short="trim"), 10**9) or 0 for e in found]
        if wanted.short != "trim" and max(spans) < wanted.frames:
            problems.add(
                f"{self.name}: {wanted.frames} frames are wanted, and no range of the list holds more than "
                f"{max(spans)} (the largest 4k+1 in it). Pass --frames {max(spans)}, or --short-clips trim."
            )
        for e in found if wanted.short == "error" else ():
            there, stop = e.frames or 0, e.stop or 0
            last = e.start + (stop - 1 - e.start) // e.stride * e.stride
            if last >= there:
                left = length(e, replace(wanted, short="trim"), there)
                trim = f" (trim would use {left})" if left else ""
                problems.add(
                    f"{e.name}: range [{e.start}, {stop}, {e.stride}] needs frame {last} but the clip has {there} "
                    f"(0-{there - 1}). Use --short-clips skip|trim{trim}."
                )

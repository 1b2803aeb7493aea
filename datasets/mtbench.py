"""MTBench, the 100 clips of DeT (DAVIS and YouTube-VOS), from the user's copy.

    <clip>/prompts.txt               the caption
    <clip>/eval_prompts.txt          five target prompts
    <clip>/videos/<clip>.mp4         width 720, height 480, 49 frames, 8 frames a second

Clips lie in one folder, or in MTBench_subset/MTBench_easy, MTBench_medium and MTBench_hard. What to know of the data:

- 720x480 (width x height) is the DAVIS frame stretched and not cropped; shapes are 16% narrower than in DAVIS suites.
- dog-agility has 25 frames in DAVIS, so 24 of its 49 are in-betweens.
- A visualisation, videos/tracker.mp4, lies beside the video and is not it.
- Prompt lines carry blanks at either end. Two clips may share a prompt; here ids, and never prompts, name what is made.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from fastvmt.datasets.prompt_lists import ClipPrompts, clip_ids, lines_of, read_targets
from fastvmt.errors import SuiteError
from fastvmt.media.files import list_videos
from fastvmt.suites.cases import ClipEntry, Problems, Target, Wanted
from fastvmt.suites.prompts import nfc
from fastvmt.suites.rows import shortened, unusable

LEVEL = re.compile(r"MTBench_(easy|medium|hard)")
PARTS = ("prompts.txt", "eval_prompts.txt", "videos", "masks", "trajectories")
NOT_THE_CLIP = "tracker"
SOURCE = "https://huggingface.co/datasets/QingyuShi/MTBench"


class MTBench:
    """Clips by name; the difficulty, where the folders tell it, is the clip's tag."""

    name = "mtbench"
    frames = 49
    summary = "DeT's 100 real clips of 49 frames with five target prompts each, from your copy"
    size = "not published; about 0.1 GB of video, judging by three samples"
    licence = "none stated; footage of DAVIS and YouTube-VOS"
    how = f"download {SOURCE}, and pass --root FOLDER or set FASTVMT_MTBENCH"

    def entries(self, wanted: Wanted) -> list[ClipEntry]:
        """Clips with their prompts; no video is opened.

        Raises:
            SuiteError: all problems in one message, a line each.
        """
        problems, found = Problems(), list[ClipEntry]()
        with problems.caught():
            found = _entries(_clips(_root(wanted.root)), self.licence, wanted, problems)
        problems.raise_if_any()
        return found


def _root(given: Path | None) -> Path:
    named = os.environ.get("FASTVMT_MTBENCH")
    if given is None and not named:
        raise SuiteError(f"No copy of MTBench was named. Pass --root FOLDER or set FASTVMT_MTBENCH; it is at {SOURCE}.")
    root = given or Path(str(named))
    if not root.is_dir():
        said = f"'{root}'" + ("" if given else " (from FASTVMT_MTBENCH)")
        raise SuiteError(f"MTBench root {said} does not exist. Pass --root FOLDER or set FASTVMT_MTBENCH; it is at {SOURCE}.")
    return root


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__MACOSX")))


def _is_clip(folder: Path) -> bool:
    return any((folder / part).exists() for part in PARTS)


def _clips(root: Path) -> dict[Path, str]:
    """Clip folders and their difficulty, "" where the folders do not tell it.

    Raises:
        SuiteError: when there are none.
    """
    if _is_clip(root):
        raise SuiteError(f"'{root}' is one clip of MTBench: pass the folder around it, '{root.absolute().parent}'.")
    base = root / "MTBench_subset" if (root / "MTBench_subset").is_dir() else root
    levels = [(f, m.group(1)) for f in _folders(base) if (m := LEVEL.fullmatch(f.name))]
    found = {clip: level for folder, level in levels for clip in _folders(folder)}
    graded = {clip.name for clip in found}
    for folder in _folders(root):  # a copy may hold the flat folders beside the graded ones: the same clips
        inner = folder == base or LEVEL.fullmatch(folder.name)
        if not inner and folder.name not in graded and (_is_clip(folder) or not levels):
            found[folder] = ""
    if not any(_is_clip(clip) for clip in found):
        near = [f for f in _folders(root) if (f / "MTBench_subset").is_dir() or any(_is_clip(c) for c in _folders(f))]
        hint = f"'{near[0]}' holds some: pass it" if near else f"pass --root FOLDER of a copy of {SOURCE}"
        raise SuiteError(f"No clips of MTBench in '{root}' (a clip is a folder with eval_prompts.txt and videos): {hint}.")
    return dict(sorted(found.items(), key=lambda pair: (pair[0].name, pair[1])))


def _entries(clips: dict[Path, str], licence: str, wanted: Wanted, problems: Problems) -> list[ClipEntry]:
    ids = clip_ids([clip.name for clip in clips])
    own = None
    if wanted.prompts is not None:
        with problems.caught():
            own = read_targets(wanted.prompts, {nfc(name): name for name in ids}, problems)
    found, places = [], dict[str, Path]()
    for folder, level in clips.items():
        first = places.setdefault(folder.name, folder)
        if first != folder:
            problems.add(f"{folder.name}: it lies in '{first.parent}' and in '{folder.parent}'. Take one out.")
            continue
        caption = " ".join(text for _, text in _lines(folder / "prompts.txt", "caption", problems))
        targets = _targets(folder, problems) if own is None else own.get(folder.name, ClipPrompts()).targets
        if own is not None and not targets:
            problems.add(f"{folder.name}: '{wanted.prompts}' has no prompt for it. Add one, or take the clip out.")
        path = _video(folder, problems)
        tags = (level,) if level else ()
        found.append(ClipEntry(ids[folder.name], folder.name, path, targets, caption, licence=licence, tags=tags))
    return found


def _lines(file: Path, what: str, problems: Problems) -> list[tuple[str, str]]:
    clip, lines = file.parent.name, list[tuple[str, str]]()
    with problems.caught(f"{clip}: "):
        lines = lines_of(file) if file.is_file() else []
        if not lines:
            lacks = "empty" if file.is_file() else "missing"
            problems.add(f"{clip}: {file.name} is {lacks}, so it has no {what}. Copy it again, or take the clip out.")
    return lines


def _targets(folder: Path, problems: Problems) -> tuple[Target, ...]:
    seen: dict[str, str] = {}
    targets: list[Target] = []
    for place, text in _lines(folder / "eval_prompts.txt", "target prompts", problems):
        if text in seen:
            problems.add(f"{folder.name}: eval_prompts.txt {place} repeats {seen[text]} ('{shortened(text)}'). Take one out.")
        seen.setdefault(text, place)
        if why := unusable(text):
            problems.add(f"{folder.name}: eval_prompts.txt {place} {why}. Copy it again.")
        targets.append(Target(f"p{len(targets) + 1}", text))
    return tuple(targets)


def _video(folder: Path, problems: Problems) -> Path:
    """The clip's video: the file of its name, else the only one that is no visualisation."""
    videos = list_videos(folder / "videos") if (folder / "videos").is_dir() else []
    found = [v for v in videos if nfc(v.stem) != NOT_THE_CLIP or folder.name == NOT_THE_CLIP]
    named = [v for v in found if nfc(v.stem) == nfc(folder.name)] or found
    if len(named) == 1:
        return named[0]
    wanted = f"videos/{folder.name}.mp4"
    if named:
        listed = ", ".join(v.name for v in named)
        problems.add(f"{folder.name}: videos holds {listed}, and which is the clip is unknown. Keep {wanted} only.")
    else:
        problems.add(f"{folder.name}: {wanted} is missing, so it has no video. Copy it again, or take the clip out.")
    return folder / wanted

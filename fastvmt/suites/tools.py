"""``bench suite``: write, check, show and freeze suites."""

from __future__ import annotations

import itertools
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastvmt.core.content_address import digest
from fastvmt.core.disk.atomic import write_atomic
from fastvmt.errors import SuiteError
from fastvmt.media.files import Clip, Frames, read_clip
from fastvmt.suites.cases import (
    ClipEntry,
    Problems,
    Target,
    Wanted,
    case_id,
    check_recorded,
    content_of,
    length,
    too_short,
)
from fastvmt.suites.format import (
    HEADERS,
    SCHEMA,
    ClipRow,
    Header,
    PromptRow,
    Rate,
    is_suite,
    read_header,
    read_suite,
    read_tables,
    tables_digest,
)
from fastvmt.suites.opening import entries_from_rows, entries_of, open_suite
from fastvmt.suites.prompts import PromptedClip, plain_prompts, read_prompted
from fastvmt.suites.rows import read_text

ANY_SIZE = Wanted(width=1, height=1, frames=1)
STILL_LEVELS, CUT_LEVELS, CUT_TIMES = 1.0, 40.0, 6.0
"""Levels of 255: a clip changes less than this from frame to frame when still; a cut changes more, and by so many times the
clip's median."""


@dataclass
class Checked:
    """What ``check`` found.

    Attributes:
        lines: one a clip, in order; warnings: nothing that stops a run.
        digest: of the suite's lists and of what the clips hold, whether the suite recorded it or not.
    """

    clips: int
    prompts: int
    digest: str
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check(name: str, wanted: Wanted = ANY_SIZE, fast: bool = False, tell: Callable[[str], None] = lambda _: None) -> Checked:
    """Open every clip of a suite and compare it with what the suite says.

    Args:
        name: as for ``bench run --suite``; wanted: ``frames`` and ``root`` matter here.
        fast: compare digests and lists only, decode nothing.
        tell: called with a line for every clip.

    Raises:
        SuiteError: all problems, a line each.
    """
    found = entries_of(name, wanted)
    if found is None:
        cases = [case for case, _ in open_suite(name, Wanted(64, 64, 33))]
        return Checked(len(cases), len(cases), "", [f"{c.id}: {c.reference.frames} frames" for c in cases])
    entries, problems = found
    contents: list[ClipEntry] = []
    checked = Checked(len(entries), sum(len(e.targets) for e in entries), "")
    by_content: dict[str, str] = {}
    for entry in entries:
        with problems.caught():
            line = _check_clip(entry, wanted, fast, checked.warnings)
            content = content_of(entry)
            contents.append(replace(entry, sha256=content))
            same = by_content.setdefault(content, entry.name)
            if same != entry.name:
                checked.warnings.append(f"{same} and {entry.name} are the same clip (sha256 {content[:8]}...).")
            checked.lines.append(line)
            tell(line)
    if not entries:
        problems.add(f"Suite '{name}' has no clips.")
    problems.raise_if_any()
    checked.digest = entries_digest(contents)
    return checked


def entries_digest(entries: Iterable[ClipEntry]) -> str:
    """Digest of a suite's lists: ids, ranges, recorded contents and texts; not of paths."""
    rows = []
    for e in entries:
        texts = [[t.id, t.text, t.kind, t.negative] for t in e.targets]
        rows.append([e.id, e.start, e.stride, e.stop, e.sha256, e.category, e.caption, texts])
    return digest(rows)


def _check_clip(entry: ClipEntry, wanted: Wanted, fast: bool, warnings: list[str]) -> str:
    check_recorded(entry)
    for target in entry.targets:
        tokens = len(target.text) // 3
        if tokens > 512:
            warnings.append(f"{entry.name}: prompt '{target.id}' is about {tokens} tokens; Wan reads 512 and CLIP 77 of them.")
    if fast:
        if entry.frames is not None:
            _check_length(entry, wanted, entry.frames, warnings)
        return f"{entry.name}: {len(entry.targets)} prompts"
    clip = read_clip(entry.path, entry.name)
    count, (height, width) = len(clip.frames), clip.frames.shape[1:3]
    if entry.frames is not None and entry.frames != count:
        raise SuiteError(f"{entry.name}: {count} frames decode, the suite says {entry.frames}. Bring the old clip back.")
    _check_length(entry, wanted, count, warnings)
    warnings += [f"{entry.name}: {note}." for note in (*clip.notes, *remarks(clip.frames))]
    return (
        f"{entry.name}: width {width}, height {height}, {count} frames, {float(clip.fps):g} fps, {len(entry.targets)} prompts"
    )


def _check_length(entry: ClipEntry, wanted: Wanted, count: int, warnings: list[str]) -> None:
    """A clip that is too short is a warning, because --short-clips and --frames are a run's; one with no frame is not."""
    if length(entry, wanted, count) is not None:
        return
    if length(entry, replace(wanted, short="trim"), count) is None:
        raise SuiteError(f"{entry.name}: it begins at frame {entry.start}, and the clip has {count}. Correct start.")
    said = too_short(entry, wanted, count)
    if wanted.short == "skip":
        said = f"{said.split('. Use')[0]}; a run leaves it out unless told otherwise with --short-clips."
    warnings.append(said)


def remarks(frames: Frames) -> list[str]:
    """What makes a clip a bad reference although it can be read: no motion, or a cut.

    >>> remarks(np.zeros((9, 8, 8, 3), np.uint8))
    ['no change between frames (at most 0.0 levels of 255): motion fidelity is undefined']
    """
    small = frames[:, :: max(1, frames.shape[1] // 64), :: max(1, frames.shape[2] // 64)].astype(np.float32)
    steps = np.abs(np.diff(small, axis=0)).mean((1, 2, 3))
    if not len(steps):
        return ["a single frame: there is no motion to transfer"]
    if steps.max() < STILL_LEVELS and np.abs(small - small[0]).mean((1, 2, 3)).max() < STILL_LEVELS:
        return [f"no change between frames (at most {steps.max():.1f} levels of 255): motion fidelity is undefined"]
    cut = int(steps.argmax())
    if steps[cut] > max(CUT_LEVELS, CUT_TIMES * float(np.median(steps))):
        return [f"cut at frame {cut + 1}: tracks do not survive it"]
    return []


def make(
    folder: Path,
    title: str = "",
    licence: str = "",
    source: str = "",
    force: bool = False,
    rows: list[PromptedClip] | None = None,
) -> Path:  # fmt: skip
    """Write ``suite.toml``, ``clips.jsonl`` and ``prompts.jsonl`` for a folder of clips and prompts, by decoding every clip.

    A folder that is a suite already is read anew from its plain prompt files, or, without any, from the suite itself. Its
    header stays as it is but for what is given here and for ``frozen``, which is taken out. Clips and prompts that it had keep
    their ids, so that a run of it goes on.

    Args:
        title, licence, source: for the header; "" leaves what is there.
        rows: clips and prompts, instead of reading them from the folder's prompt files.

    Raises:
        SuiteError: for what is wrong with clips or prompts (all of it), or when the files are there and not ``force``.
    """
    if not folder.is_dir():
        raise SuiteError(f"'{folder}' is no folder. Give the folder that holds the clips and their prompts.")
    old = [n for n in (*HEADERS, "clips.jsonl") if (folder / n).exists()]
    if old and not force:
        raise SuiteError(f"{folder / old[0]} is there already. Use --force to write it anew.")
    before, header_path = read_header(folder) if is_suite(folder) else (None, folder / "suite.toml")
    entries, problems = _listed(folder, rows)
    before_licence = before.licence if before else ""
    clips, prompts, ids = [], [], _Ids(folder if before else None)
    for entry in entries:
        with problems.caught():
            clip = read_clip(entry.path, entry.name)
            if problems.found:  # told below; what is wrong makes no row
                continue
            name = ids.clip(entry, entry.path.relative_to(folder.resolve()).as_posix())
            own = entry.licence if entry.licence != before_licence else ""  # what only follows the header goes on to
            clips.append(_clip_row(folder, entry, name, clip, own or licence or before_licence))
            prompts += [
                PromptRow.model_validate({"clip": name, **asdict(target) | {"id": ids.target(name, target)}})
                for target in entry.targets
            ]
    problems.raise_if_any()
    given = {k: v for k, v in (("title", title), ("licence", licence), ("source", source)) if v}
    if before:
        header = edited(header_path, {"frozen": None, **given})
    else:
        slug = re.sub("[^a-z0-9.]+", "-", folder.resolve().name.lower()).strip("-.")[:60]  # as a run calls the folder
        header = _toml({"schema": SCHEMA, "id": slug or "suite", **given})
    _write_table(folder / "clips.jsonl", clips)
    _write_table(folder / "prompts.jsonl", prompts)
    write_atomic(header_path, header)  # last: without it the folder is no suite
    return header_path


def _listed(folder: Path, rows: list[PromptedClip] | None) -> tuple[list[ClipEntry], Problems]:
    problems = Problems()
    if rows is None and (plain_prompts(folder) or not is_suite(folder)):
        rows = []
        with problems.caught():
            rows = read_prompted(folder, None, problems, plain=is_suite(folder))
    if rows is not None:
        return entries_from_rows(folder, rows, problems), problems
    # Its digests are about to be written anew: they must not be compared.
    return [replace(e, sha256=None, frames=None) for e in read_suite(folder, problems)], problems


class _Ids:
    """Ids of clips and prompts: those of the suite that was there, and free ones for what is new."""

    def __init__(self, folder: Path | None) -> None:
        clips, prompts = read_tables(folder, Problems()) if folder else ([], [])
        self._clips = {(c.path, c.start, c.caption, c.category): c.id for c in clips}
        self._targets = {(p.clip, p.text, p.negative): p.id for p in prompts}
        self._used = {c.id for c in clips}
        self._numbers = {(p.clip, p.id) for p in prompts}

    def clip(self, entry: ClipEntry, path: str) -> str:
        if kept := self._clips.pop((path, entry.start, entry.caption, entry.category), None):
            return kept
        name = entry.id
        others = (f"{name[:58]}-{n}" for n in itertools.count(2))
        free = next(candidate for candidate in itertools.chain([name], others) if candidate not in self._used)
        self._used.add(free)
        return free

    def target(self, clip: str, target: Target) -> str:
        if kept := self._targets.pop((clip, target.text, target.negative), None):
            return kept
        numbers = map(str, itertools.count(1))
        free = next(i for i in itertools.chain([target.id], numbers) if (clip, i) not in self._numbers)
        self._numbers.add((clip, free))
        return free


def _clip_row(folder: Path, entry: ClipEntry, name: str, clip: Clip, licence: str) -> ClipRow:
    return ClipRow(
        id=name, path=entry.path.relative_to(folder.resolve()).as_posix(), sha256=content_of(entry),
        width=clip.frames.shape[2], height=clip.frames.shape[1], fps=Rate(num=clip.fps.numerator, den=clip.fps.denominator),
        frames=len(clip.frames), start=entry.start, stride=entry.stride, category=entry.category, caption=entry.caption,
        licence=licence,
    )  # fmt: skip


def _write_table(path: Path, rows: Iterable[ClipRow | PromptRow]) -> None:
    lines = [json.dumps(row.model_dump(mode="json", exclude_none=True), ensure_ascii=False) for row in rows]
    write_atomic(path, "".join(f"{line}\n" for line in lines))


def _toml(values: Mapping[str, str]) -> str:
    """Lines of TOML; a JSON string is a TOML string, but for U+007F."""
    return "".join(f"{k} = {json.dumps(v, ensure_ascii=False)}\n".replace("\x7f", "\\u007f") for k, v in values.items())


def edited(file: Path, changes: Mapping[str, str | None]) -> str:
    """The text of a header with some keys changed and everything else, comments and unknown tables too, as it was.

    Args:
        file: suite.toml or suite.json; changes: new values, None for a key to be taken out.

    Raises:
        SuiteError: when the TOML is written in a way that this cannot change (a value of several lines, for one).
    """
    text, new = read_text(file), {k: v for k, v in changes.items() if v is not None}
    if file.suffix == ".json":
        kept = {k: v for k, v in json.loads(text).items() if k not in changes}
        return json.dumps(kept | new, indent=1, ensure_ascii=False) + "\n"
    old = tomllib.loads(text)
    lines = text.splitlines(keepends=True)
    top = next((n for n, line in enumerate(lines) if line.lstrip().startswith("[")), len(lines))
    keys = "|".join(map(re.escape, changes))
    gone = re.compile(rf"""\s*["']?({keys})["']?\s*=""")
    text = _toml(new) + "".join(line for n, line in enumerate(lines) if n >= top or not gone.match(line))
    try:
        done = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        done = {}
    if done != {k: v for k, v in old.items() if k not in changes} | new:
        wish = ", ".join(f"{k} = '{v}'" if v is not None else f"no {k}" for k, v in changes.items())
        raise SuiteError(f"{file.name}: it cannot be changed by line. Write {wish} into it yourself.")
    return text


def freeze(folder: Path) -> str:
    """Write the digest of clips and prompts into ``suite.toml``; from then on a changed table is refused.

    Raises:
        SuiteError: when the suite has problems, or a clip has no sha256.
    """
    _, file = read_header(folder)
    problems = Problems()
    clips, prompts = read_tables(file.parent, problems)
    problems.raise_if_any()
    unrecorded = [c.id for c in clips if not c.sha256]
    if unrecorded:
        raise SuiteError(
            f"clips.jsonl: '{unrecorded[0]}' has no sha256, so freezing would hold nothing. `bench suite make` writes it."
        )
    frozen = tables_digest(clips, prompts)
    write_atomic(file, edited(file, {"frozen": frozen}))
    return frozen


def show(name: str, wanted: Wanted = ANY_SIZE) -> dict[str, Any]:
    """A suite's clips and prompts as plain data, nothing decoded.

    Raises:
        SuiteError: all problems, a line each.
    """
    found = entries_of(name, wanted)
    if found is None:
        cases = (case for case, _ in open_suite(name, Wanted(64, 64, 33)))
        return {
            "suite": name,
            "clips": [
                c.model_dump(include={"id", "category", "caption"}) | {"cases": [c.id], "prompts": [c.prompt]} for c in cases
            ],
        }
    entries, problems = found
    problems.raise_if_any()
    keys = ("id", "category", "caption", "frames", "start", "stride", "licence")
    lists = [
        {"tags": list(e.tags), "cases": [case_id(e, t) for t in e.targets], "prompts": [t.text for t in e.targets]}
        for e in entries
    ]
    rows = [{k: getattr(e, k) for k in keys} | more for e, more in zip(entries, lists, strict=True)]
    return {"suite": name, "digest": entries_digest(entries), "clips": rows}


__all__ = ["Checked", "Header", "check", "entries_digest", "freeze", "make", "remarks", "show"]

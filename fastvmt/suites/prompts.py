"""Prompts beside a folder of clips: prompts.txt, prompts.csv, prompts.jsonl, suite.toml with ``[[case]]``, or a manifest."""

from __future__ import annotations

import unicodedata
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, Field

from fastvmt.core.choices import hint
from fastvmt.core.reading import parse_json, parse_toml
from fastvmt.errors import SuiteError
from fastvmt.media.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, list_videos
from fastvmt.suites.cases import Problems
from fastvmt.suites.rows import (
    Category,
    Prompt,
    Rows,
    Text,
    checked,
    read_csv,
    read_jsonl,
    read_text,
    refuse_too_many,
    shortened,
)

PLAIN = ("prompts.txt", "prompts.csv", "manifest.json")


class PromptedClip(BaseModel):
    """A clip and one of its prompts: a line of a prompt file, or one ``[[case]]``."""

    model_config = ConfigDict(extra="forbid")
    clip: str
    prompt: Prompt
    caption: Text = ""
    category: Category = "uncategorised"
    negative: Text | None = None
    start: int = Field(default=0, ge=0)
    sha256: str | None = None
    frames: int | None = Field(default=None, ge=1)
    """As a manifest recorded them; checked when they are there."""


def read_prompted(path: Path, prompt: str | None, problems: Problems, plain: bool = False) -> list[PromptedClip]:
    """Clips and prompts of the first prompt source that is there; with ``prompt``, every clip gets it.

    Args:
        plain: pass over what ``bench suite make`` writes, suite.toml and prompts.jsonl.

    Raises:
        SuiteError: when a file cannot be read at all, or the folder has no clips.
    """
    names = ("suite.toml", "manifest.json", "prompts.jsonl", "prompts.csv") if prompt is None else ()
    there = [path / n for n in names if (path / n).is_file() and (n in PLAIN or not plain)]
    if path.is_file() or there:
        file = path if path.is_file() else there[0]
        return _checked(file, _rows(file, problems), problems)
    clips = list_clips(path)
    if not clips:
        raise SuiteError(
            f"Suite '{path}' has no clips (looked for {', '.join('*' + s for s in VIDEO_SUFFIXES)} and image folders)."
        )
    if prompt is not None:
        return _checked(Path("--prompt"), [(f"for {c}", {"clip": c, "prompt": prompt}) for c in clips], problems)
    if (path / "prompts.txt").is_file():
        file = path / "prompts.txt"
        return _checked(file, _of_clips(file, _plain(file, clips, problems), problems), problems)
    problems.add(
        f"Suite '{path}' has clips but no prompts: add prompts.txt (lines 'clip: prompt'), prompts.csv, prompts.jsonl "
        "or suite.toml, or give --prompt TEXT for all clips."
    )
    return [PromptedClip(clip=c, prompt="-") for c in clips]  # read them all the same, so that every problem is told at once


def plain_prompts(folder: Path) -> bool:
    """Whether a folder that is a suite already still has the prompts that it was made from."""
    return any((folder / name).is_file() for name in PLAIN)


def list_clips(folder: Path) -> list[str]:
    """Names of the clips directly in a folder: video files and folders of images; hidden files are passed over."""
    folders = (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__MACOSX")))
    of_images = [p for p in folders if any(image.suffix.lower() in IMAGE_SUFFIXES for image in p.iterdir())]
    return [p.name for p in sorted([*of_images, *list_videos(folder)])]


def _rows(file: Path, problems: Problems) -> Rows:
    if file.suffix == ".json":
        return _manifest(file, problems)
    if file.suffix == ".jsonl":
        return _of_clips(file, read_jsonl(file, problems), problems)
    if file.suffix == ".csv":
        return _of_clips(file, read_csv(file, ("clip", "prompt"), problems), problems)
    return _toml_cases(file)


def _checked(file: Path, rows: Rows, problems: Problems) -> list[PromptedClip]:
    refuse_too_many(file, len(rows))
    found = (checked(PromptedClip, row, f"{file.name} {place}", problems) for place, row in rows)
    return [row for row in found if row is not None]


def _toml_cases(path: Path) -> Rows:
    try:
        table = parse_toml(read_text(path))
    except ValueError as error:
        raise SuiteError(f"{path.name}: {error}.") from None
    unknown = set(table) - {"schema", "name", "case"}
    if unknown:
        raise SuiteError(f"{path.name}: unknown key '{sorted(unknown)[0]}' (known: schema, name, case).")
    if table.get("schema", 1) != 1:
        raise SuiteError(f"{path.name}: schema {table['schema']} needs a newer version of this tool.")
    cases = table.get("case", [])
    if not isinstance(cases, list) or not cases:
        raise SuiteError(f"{path.name}: no [[case]] in it; a case needs clip and prompt.")
    return [(f"case {n}", case) for n, case in enumerate(cases, start=1)]


def _manifest(path: Path, problems: Problems) -> Rows:
    try:
        clips = parse_json(read_text(path))["clips"]
        if not isinstance(clips, list) or not all(isinstance(c, dict) and "file" in c for c in clips):
            raise TypeError("'clips' must be a list of objects with 'file'")
    except (ValueError, KeyError, TypeError) as error:
        raise SuiteError(f"{path.name}: not a clip manifest ({type(error).__name__}: {error}).") from None
    rows: Rows = []
    for clip in clips:
        place = f"clip '{clip.get('name', clip['file'])}'"
        prompts = clip.get("prompts")
        if not isinstance(prompts, list) or not prompts:
            what = f"'prompts' must be a list of texts, found {type(prompts).__name__}" if prompts else "it has no prompts"
            problems.add(f"{path.name} {place}: {what}.")
            continue
        shared = {"clip": clip["file"]} | {k: clip[k] for k in ("caption", "category", "sha256", "frames") if k in clip}
        rows += [(place, {**shared, "prompt": prompt}) for prompt in prompts]
    return rows


def nfc(name: str) -> str:
    """A name as systems that spell accents otherwise would compare it."""
    return unicodedata.normalize("NFC", name)


def _of_clips(path: Path, rows: Rows, problems: Problems) -> Rows:
    """Rows with their clips' names as the folder spells them; a clip that no row names would vanish without a word."""
    clips = list_clips(path.parent)
    spelt = {nfc(c): c for c in clips} | {c: c for c in clips}
    for _, row in rows:
        if isinstance(name := row.get("clip"), str):
            row["clip"] = spelt.get(name) or spelt.get(nfc(name), name)
    if not problems.found:  # a line that could not be read may name it
        named = {PurePosixPath(row["clip"]).as_posix() for _, row in rows if isinstance(row.get("clip"), str)}
        problems.found += [
            f"{clip}: no prompt names it in {path.name}. Give it one, or take it out of the folder."
            for clip in clips
            if clip not in named
        ]
    return rows


def _plain(path: Path, clips: list[str], problems: Problems) -> Rows:
    """Lines ``clip: prompt``, by whole name or stem; lines without a clip's name apply to every clip."""
    lines = [(n, text) for n, text in enumerate(read_text(path).splitlines(), start=1) if text.strip() and text[0] != "#"]
    refuse_too_many(path, len(lines))
    names = _spellings(clips)
    split = [(f"line {number}", text, *_addressed(text, names)) for number, text in lines]
    some_named = any(found for _, _, found, _, _ in split)
    rows: Rows = []
    for place, text, found, name, rest in split:
        if len(found) > 1:
            problems.add(f"{path.name} {place}: '{name}' is {' and '.join(found)}. Write the whole name.")
        elif found:
            rows.append((place, {"clip": found[0], "prompt": rest}))
        elif _like_a_name(name, some_named):
            known = [*dict.fromkeys(nfc(n) for c in clips for n in (Path(c).stem, c))]
            problems.add(
                f"{path.name} {place}: no clip is called '{shortened(name)}'. {hint(nfc(name), known)} Correct the name, "
                "or word a prompt for all clips without a colon behind its first word."
            )
        else:
            rows += [(place, {"clip": c, "prompt": text.strip()}) for c in clips]
            refuse_too_many(path, len(rows))
    return rows


Spellings = tuple[dict[str, list[str]], ...]


def _spellings(clips: list[str]) -> Spellings:
    """Clips by their names, by names without a matter of accents, and by stems."""
    found: Spellings = ({}, {}, {})
    for clip in clips:
        for by, name in zip(found, (clip, nfc(clip), nfc(Path(clip).stem)), strict=True):
            by.setdefault(name, []).append(clip)
    return found


def _addressed(line: str, names: Spellings) -> tuple[list[str], str, str]:
    """Clips that a line names before a colon, the name, and the rest; a name may hold colons itself, so the longest counts.

    >>> _addressed("bus: a tram", _spellings(["bus.mp4", "car.mp4"])), _addressed("a bus", _spellings(["bus.mp4"]))
    ((['bus.mp4'], 'bus', 'a tram'), ([], '', ''))
    """
    whole, composed, stems = names
    parts = line.split(":")
    for n in range(len(parts) - 1, 0, -1):
        name = ":".join(parts[:n]).strip()
        if found := whole.get(name) or composed.get(nfc(name)) or stems.get(nfc(name)):
            return found, name, ":".join(parts[n:]).strip()
    return [], parts[0].strip() if len(parts) > 1 else "", ""


def _like_a_name(name: str, some_named: bool) -> bool:
    """One word before a colon: a clip's name where other lines name clips or it ends as videos do, else part of a prompt."""
    return bool(name) and not any(c.isspace() for c in name) and (some_named or name.lower().endswith(VIDEO_SUFFIXES))

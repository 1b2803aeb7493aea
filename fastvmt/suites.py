"""From what the user names to cases with decoded references: registered suites, folders, TOML files, single clips."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from fastvmt import registry
from fastvmt.errors import SpecError, SuiteError
from fastvmt.keys import frames_digest
from fastvmt.model import CATEGORIES, Case, Reference
from fastvmt.video import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Frames, fit_frames, read_clip

MAX_PROMPT_BYTES = 10_000


@dataclass(frozen=True)
class Wanted:
    """Size and length every reference is brought to, px and frames; ``stride`` takes every n-th frame."""

    width: int
    height: int
    frames: int
    stride: int = 1


class Source(Protocol):
    """What a registered suite offers (``fastvmt.suites`` entry points name a class without arguments)."""

    def cases(self, wanted: Wanted) -> Iterator[tuple[Case, Frames]]:
        """Cases with their reference frames, uint8 (T, H, W, 3), in a fixed order."""


class _Row(BaseModel):
    """One line of a prompt file or one ``[[case]]`` of a TOML suite."""

    model_config = ConfigDict(extra="forbid")
    clip: str
    prompt: str
    caption: str = ""
    category: str = "uncategorised"
    negative: str | None = None
    start: int = 0


@dataclass
class _Problems:
    found: list[str] = field(default_factory=list)

    def raise_if_any(self) -> None:
        if self.found:
            raise SuiteError("\n".join(self.found))


def open_suite(name: str, wanted: Wanted, prompt: str | None = None) -> Iterator[tuple[Case, Frames]]:
    """Cases of a registered suite, a folder of clips with prompts, a ``suite.toml``, or one clip with ``prompt``.

    Raises:
        SuiteError: all problems of the suite in one message, a line each.
        SpecError: when the name is neither registered nor a path.
    """
    if name in registry.suites.names():
        source: Source = registry.suites.get(name)()
        return source.cases(wanted)
    path = Path(name)
    if not path.exists():
        try:
            registry.suites.get(name)
        except SpecError as error:
            raise SpecError(f"{error} And there is no folder or file of that name.") from None
    return _open_path(path, wanted, prompt)


def _open_path(path: Path, wanted: Wanted, prompt: str | None) -> Iterator[tuple[Case, Frames]]:
    problems = _Problems()
    if path.is_file() and path.suffix != ".toml":
        rows, root = [_Row(clip=path.name, prompt=prompt or "")], path.parent
        if not prompt:
            problems.found.append(f"{path.name}: a single clip needs --prompt TEXT.")
    else:
        root = path if path.is_dir() else path.parent
        rows = _rows(path, prompt, problems)
    clips: dict[str, tuple[Frames, Any, list[str]]] = {}
    cases: list[tuple[Case, Frames]] = []
    numbers: dict[str, int] = {}
    for row in rows:
        mark = f"{row.clip}@{row.start}"
        if mark not in clips:
            try:
                clips[mark] = _reference(root, row, wanted)
            except SuiteError as error:
                problems.found.append(str(error))
                clips[mark] = (None, None, [])  # type: ignore[assignment]
        frames, fps, notes = clips[mark]
        if frames is None:
            continue
        stem = re.sub(r"[^a-z0-9._-]+", "-", Path(row.clip).stem.lower()).strip("-._") or "clip"
        numbers[stem] = numbers.get(stem, 0) + 1
        reference = Reference(
            frames_digest=frames_digest(frames), width=wanted.width, height=wanted.height, frames=wanted.frames,
            fps_num=fps.numerator, fps_den=fps.denominator, source=row.clip, notes=tuple(notes),
        )  # fmt: skip
        case = Case(
            id=f"{stem[:100]}--{numbers[stem]}", category=row.category, prompt=row.prompt, caption=row.caption,
            negative=row.negative, reference=reference,
        )  # fmt: skip
        cases.append((case, frames))
    problems.raise_if_any()
    return iter(cases)


def _reference(root: Path, row: _Row, wanted: Wanted) -> tuple[Frames, Any, list[str]]:
    path = _inside(root, row.clip)
    if not path.exists():
        raise SuiteError(f"{row.clip}: there is no such clip in '{root}'.")
    clip = read_clip(path, row.clip)
    needed = row.start + (wanted.frames - 1) * wanted.stride + 1
    if len(clip.frames) < needed:
        raise SuiteError(
            f"{row.clip}: {len(clip.frames)} frames, {needed} needed. Use a longer clip or --frames "
            f"{max(1, (len(clip.frames) - row.start - 1) // wanted.stride // 4 * 4 + 1)}."
        )
    frames = clip.frames[row.start : needed : wanted.stride]
    return fit_frames(frames, wanted.width, wanted.height), clip.fps / wanted.stride, clip.notes


def _inside(root: Path, relative: str) -> Path:
    """A clip's path, refused when it leaves the suite's folder."""
    if relative.startswith(("/", "\\")) or "\x00" in relative or re.match(r"^[A-Za-z]:", relative):
        raise SuiteError(f"clip path '{relative!r}' is not relative to the suite folder.")
    path = (root / relative).resolve()
    if not path.is_relative_to(root.resolve()):
        raise SuiteError(f"clip path '{relative}' leaves the suite folder.")
    return path


def _rows(path: Path, prompt: str | None, problems: _Problems) -> list[_Row]:
    """Rows of the first prompt source that is there; with ``prompt``, every clip gets it."""
    if path.is_file():
        return _validated(path, [(f"case {n}", c) for n, c in _toml_cases(path)], problems)
    for name, reader in (("suite.toml", None), ("manifest.json", _manifest), ("prompts.jsonl", _jsonl), ("prompts.csv", _csv)):
        if prompt is None and (path / name).is_file():
            if reader is None:
                return _rows(path / name, None, problems)
            return _validated(path / name, reader(path / name), problems)
    clips = list_clips(path)
    if not clips:
        raise SuiteError(
            f"Suite '{path}' has no clips (looked for {', '.join('*' + s for s in VIDEO_SUFFIXES)} and image folders)."
        )
    if prompt is not None:
        return [_Row(clip=c, prompt=prompt) for c in clips]
    if (path / "prompts.txt").is_file():
        return _validated(path / "prompts.txt", _plain(path / "prompts.txt", clips), problems)
    problems.found.append(
        f"Suite '{path}' has clips but no prompts: add prompts.txt (lines 'clip: prompt'), prompts.csv, prompts.jsonl "
        "or suite.toml, or give --prompt TEXT for all clips."
    )
    return [_Row(clip=c, prompt="-") for c in clips]  # read them all the same, so that every problem is told at once


def list_clips(folder: Path) -> list[str]:
    """Names of the clips directly in a folder: video files and folders of images; hidden files are passed over."""
    found = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith((".", "__MACOSX")):
            continue
        is_video = entry.is_file() and entry.suffix.lower() in VIDEO_SUFFIXES
        if is_video or (entry.is_dir() and any(p.suffix.lower() in IMAGE_SUFFIXES for p in entry.iterdir())):
            found.append(entry.name)
    return found


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SuiteError(f"{path.name}: the file is not UTF-8. Save it as UTF-8.") from None


def _toml_cases(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        table = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"{path.name}: {error}.") from None
    unknown = set(table) - {"schema", "name", "case"}
    if unknown:
        raise SuiteError(f"{path.name}: unknown key '{sorted(unknown)[0]}' (known: schema, name, case).")
    if table.get("schema", 1) != 1:
        raise SuiteError(f"{path.name}: schema {table['schema']} needs a newer version of this tool.")
    cases = table.get("case", [])
    if not isinstance(cases, list) or not cases:
        raise SuiteError(f"{path.name}: no [[case]] in it; a case needs clip and prompt.")
    yield from enumerate(cases, start=1)


def _jsonl(path: Path) -> list[tuple[str, Any]]:
    rows = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            rows.append((f"line {number}", json.loads(line)))
        except json.JSONDecodeError as error:
            raise SuiteError(f"{path.name} line {number}, column {error.colno}: {error.msg}.") from None
    return rows


def _csv(path: Path) -> list[tuple[str, Any]]:
    reader = csv.DictReader(_text(path).splitlines())
    return [(f"line {n}", {k: v for k, v in row.items() if v not in (None, "")}) for n, row in enumerate(reader, start=2)]


def _manifest(path: Path) -> list[tuple[str, Any]]:
    try:
        table = json.loads(_text(path))
        clips = table["clips"]
    except (ValueError, KeyError, TypeError) as error:
        raise SuiteError(f"{path.name}: not a clip manifest ({type(error).__name__}: {error}).") from None
    rows = []
    for clip in clips:
        for prompt in clip.get("prompts", []):
            shared = {"clip": clip["file"], "caption": clip.get("caption", "")}
            rows.append(
                (
                    f"clip '{clip.get('name', clip['file'])}'",
                    {**shared, "prompt": prompt, "category": clip.get("category", "uncategorised")},
                )
            )
    return rows


def _plain(path: Path, clips: list[str]) -> list[tuple[str, Any]]:
    """Lines ``clip: prompt``; lines without a clip's name apply to every clip."""
    stems = {Path(c).stem: c for c in clips} | {c: c for c in clips}
    rows: list[tuple[str, Any]] = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, rest = line.partition(":")
        if colon and name.strip() in stems:
            rows.append((f"line {number}", {"clip": stems[name.strip()], "prompt": rest.strip()}))
        else:
            rows += [(f"line {number}", {"clip": c, "prompt": line.strip()}) for c in clips]
    return rows


def _validated(path: Path, rows: list[tuple[str, Any]], problems: _Problems) -> list[_Row]:
    good = []
    for place, value in rows:
        try:
            row = _Row.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(p) for p in first["loc"])
            what = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
            problems.found.append(f"{path.name} {place}: {key}: {what} (known: {', '.join(_Row.model_fields)}).")
            continue
        for name, text in (("prompt", row.prompt), ("caption", row.caption)):
            if "\x00" in text or len(text.encode()) > MAX_PROMPT_BYTES:
                problems.found.append(f"{path.name} {place}: {name} holds U+0000 or more than {MAX_PROMPT_BYTES} bytes.")
        if not row.prompt.strip():
            problems.found.append(f"{path.name} {place}: prompt must be a non-empty string.")
        if row.category not in CATEGORIES:
            problems.found.append(f"{path.name} {place}: category '{row.category}' unknown: {', '.join(CATEGORIES)}.")
        good.append(row)
    return good

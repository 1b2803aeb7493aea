"""The format ``vmt-suite/1``: a folder with ``suite.toml`` (or ``suite.json``), ``clips.jsonl`` and ``prompts.jsonl``.

    suite.toml      schema = "vmt-suite/1", id, and what else is worth saying (title, licence, source, frames, frozen)
    clips.jsonl     one clip a line: id, path, sha256, width, height, fps, frames, start, stride, category, licence ...
    prompts.jsonl   one prompt a line: clip, id, text, kind, negative

Unknown keys are kept and ignored, an unknown schema is refused. Ids are unique whatever their case and Unicode form.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fastvmt.core.content_address import digest
from fastvmt.core.reading import parse_json, parse_toml
from fastvmt.errors import SuiteError
from fastvmt.model.fields import Count, Size
from fastvmt.suites.cases import ClipEntry, Problems, Target, inside
from fastvmt.suites.rows import Category, Model, Prompt, Text, checked, faults, read_jsonl, read_text

SCHEMA = "vmt-suite/1"
HEADERS = ("suite.toml", "suite.json")
ID = r"^[a-z0-9][a-z0-9._-]{0,63}$"
Kind = Literal["caption", "subject", "scene", "style", "background", "free"]


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)


class Header(_Open):
    """``suite.toml``."""

    schema_: Literal["vmt-suite/1"] = Field(alias="schema")
    id: str = Field(pattern=ID)
    title: str = ""
    licence: str = ""
    source: str = ""
    frames: Size | None = Field(None, description="frames to take of every clip, 4k+1, unless --frames says otherwise")
    frozen: str | None = Field(None, description="digest of clips and prompts when `bench suite freeze` was run")


class Rate(BaseModel):
    """Frames a second as a fraction."""

    num: Size
    den: Size = 1


class ClipRow(_Open):
    """A line of ``clips.jsonl``."""

    id: str = Field(pattern=ID)
    path: str = Field(min_length=1, description="video or folder of images, POSIX, relative to the suite folder")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="of the file; of a folder, see content_sha256")
    width: Size | None = Field(None, description="px")
    height: Size | None = Field(None, description="px")
    fps: Rate | None = None
    frames: Size | None = Field(None, description="decoded frames")
    start: Count = Field(0, description="first frame taken")
    stride: Size = 1
    category: Category = "uncategorised"
    caption: Text = ""
    licence: str = ""
    source: str = ""

    @field_validator("fps")
    @classmethod
    def _possible(cls, value: Rate | None) -> Rate | None:
        if value and value.num > 1000 * value.den:
            raise ValueError(f"fps must be in (0, 1000]; found {value.num}/{value.den}")
        return value


class PromptRow(_Open):
    """A line of ``prompts.jsonl``."""

    clip: str
    id: str = Field(pattern=ID)
    text: Prompt
    kind: Kind = "free"
    negative: Text | None = None


def is_suite(path: Path) -> bool:
    """Whether a folder (or the header in it) is of this format, as far as its header says."""
    return _header_path(path) is not None


def _header_path(path: Path) -> Path | None:
    candidates = [path] if path.name in HEADERS else [path / name for name in HEADERS]
    for candidate in candidates:
        if candidate.is_file() and (candidate.suffix == ".json" or "vmt-suite/" in candidate.read_text("utf-8", "replace")):
            return candidate
    return None


def read_header(path: Path) -> tuple[Header, Path]:
    """The header and its file.

    Raises:
        SuiteError: when it is none, or of another schema.
    """
    file = _header_path(path)
    if file is None:
        raise SuiteError(
            f"'{path}' is not a suite folder: it has no suite.toml of schema {SCHEMA}. `bench suite make` writes one."
        )
    try:
        raw: Any = parse_toml(read_text(file)) if file.suffix == ".toml" else parse_json(read_text(file))
    except ValueError as error:
        raise SuiteError(f"{file.name}: {error}.") from None
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if schema != SCHEMA:
        raise SuiteError(f"{file.name}: suite schema {schema} needs a newer version of this tool (this one reads {SCHEMA}).")
    try:
        return Header.model_validate(raw), file
    except ValidationError as error:
        raise SuiteError(f"{file.name}: {faults(error, Header)[0]}.") from None


def read_tables(folder: Path, problems: Problems) -> tuple[list[ClipRow], list[PromptRow]]:
    """Rows of both tables; what is wrong in them goes to ``problems``."""
    clips = _checked(folder / "clips.jsonl", ClipRow, problems)
    prompts = _checked(folder / "prompts.jsonl", PromptRow, problems)
    _unique(((place, c.id) for place, c in clips), "clips.jsonl", "id", problems)
    _unique(((place, f"{p.clip}/{p.id}") for place, p in prompts), "prompts.jsonl", "id", problems)
    known, counted = {c.id for _, c in clips}, {p.clip for _, p in prompts}
    for clip in sorted(counted - known):
        count = sum(p.clip == clip for _, p in prompts)
        problems.add(f"prompts.jsonl: {count} prompts for '{clip}', which is not in clips.jsonl.")
    for _, row in clips:
        if row.id not in counted:
            problems.add(f"clips.jsonl: clip '{row.id}' has no prompt in prompts.jsonl.")
    return [c for _, c in clips], [p for _, p in prompts]


def _checked(path: Path, kind: type[Model], problems: Problems) -> list[tuple[str, Model]]:
    if not path.is_file():
        problems.add(f"{path.name} is missing in '{path.parent}'. `bench suite make` writes it.")
        return []
    rows = [(place, checked(kind, row, f"{path.name} {place}", problems)) for place, row in read_jsonl(path, problems)]
    return [(place, row) for place, row in rows if row is not None]


def _unique(rows: Iterable[tuple[str, str]], file: str, key: str, problems: Problems) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for place, value in rows:
        folded = unicodedata.normalize("NFC", value).casefold()
        if folded in seen:
            before_place, before = seen[folded]
            problems.add(f"{file}: {key} '{value}' on {place} repeats '{before}' from {before_place}.")
        seen.setdefault(folded, (place, value))


def read_suite(path: Path, problems: Problems) -> list[ClipEntry]:
    """What the suite names, nothing decoded.

    Raises:
        SuiteError: when the header cannot be read.
    """
    header, file = read_header(path)
    clips, prompts = read_tables(file.parent, problems)
    if header.frozen and not problems.found and tables_digest(clips, prompts) != header.frozen:
        problems.add(f"{file.name}: clips.jsonl or prompts.jsonl changed since it was frozen. Freeze again, or undo.")
    by_clip: dict[str, list[Target]] = {}
    for p in prompts:
        by_clip.setdefault(p.clip, []).append(Target(p.id, p.text, p.kind, p.negative))
    entries = []
    for c in clips:
        with problems.caught(f"clips.jsonl, clip '{c.id}': "):
            where = inside(file.parent, c.path)
            rate = Fraction(c.fps.num, c.fps.den) if c.fps and where.is_dir() else None
            said = c.model_dump(include={"id", "caption", "category", "start", "stride", "frames", "sha256"})
            entry = ClipEntry(name=c.id, path=where, targets=tuple(by_clip.get(c.id, ())), fps=rate, **said)
            entries.append(replace(entry, licence=c.licence or header.licence))
    return entries


def tables_digest(clips: list[ClipRow], prompts: list[PromptRow]) -> str:
    """SHA-256 of what clips and prompts say, whatever the order of keys or the spaces in the files."""
    return digest([[row.model_dump(mode="json") for row in table] for table in (clips, prompts)])


def json_schema() -> dict[str, Any]:
    """JSON Schema of the header and of one line of each table."""
    parts: dict[str, type[BaseModel]] = {"suite": Header, "clips": ClipRow, "prompts": PromptRow}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        "description": "suite: the header; clips and prompts: one line of clips.jsonl and of prompts.jsonl",
        "properties": {name: model.model_json_schema(by_alias=True) for name, model in parts.items()},
    }

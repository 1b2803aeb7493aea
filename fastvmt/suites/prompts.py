"""Prompts beside a folder of clips: prompts.txt, prompts.csv, prompts.jsonl, suite.toml with ``[[case]]``, or a manifest."""

from __future__ import annotations

import csv
import io
import json
import tomllib
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fastvmt.core.choices import hint
from fastvmt.errors import SuiteError
from fastvmt.media.files import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from fastvmt.model import CATEGORIES
from fastvmt.suites.cases import Problems

MAX_PROMPT_BYTES = 10_000


def unusable(text: str) -> str:
    """Why a text is no prompt, for ``it ...``; empty when it can be one.

    >>> unusable("a red bus"), unusable("a red bus\\x00")
    ('', 'holds U+0000')
    """
    if "\x00" in text:
        return "holds U+0000"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which is no character"
    return f"holds more than {MAX_PROMPT_BYTES} bytes" if size > MAX_PROMPT_BYTES else ""


def shortened(text: str) -> str:
    """A text for a message: control characters escaped, cut after 60 characters."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return shown if len(shown) <= 60 else shown[:57] + "..."


class Row(BaseModel):
    """One line of a prompt file, or one ``[[case]]``."""

    model_config = ConfigDict(extra="forbid")
    clip: str
    prompt: str
    caption: str = ""
    category: str = "uncategorised"
    negative: str | None = None
    start: int = Field(default=0, ge=0)
    sha256: str | None = None
    frames: int | None = Field(default=None, ge=1)
    """As a manifest recorded them; checked when they are there."""


def read_rows(path: Path, prompt: str | None, problems: Problems, plain: bool = False) -> list[Row]:
    """Rows of the first prompt source that is there; with ``prompt``, every clip gets it.

    Args:
        plain: pass over what ``bench suite make`` writes, suite.toml and prompts.jsonl.

    Raises:
        SuiteError: when a file cannot be read at all, or the folder has no clips.
    """
    if path.is_file() and path.suffix == ".json":
        return _validated(path, _manifest(path, problems), problems)
    if path.is_file():
        return _validated(path, [(f"case {n}", c) for n, c in _toml_cases(path)], problems)
    for name, reader in (
        ("suite.toml", None),
        ("manifest.json", _manifest),
        ("prompts.jsonl", read_jsonl),
        ("prompts.csv", _csv),
    ):
        if prompt is None and (path / name).is_file() and not (plain and name not in PLAIN):
            if reader is None:
                return read_rows(path / name, None, problems)
            found = reader(path / name, problems)
            return _validated(path / name, found if reader is _manifest else _of_clips(path / name, found, problems), problems)
    clips = list_clips(path)
    if not clips:
        raise SuiteError(
            f"Suite '{path}' has no clips (looked for {', '.join('*' + s for s in VIDEO_SUFFIXES)} and image folders)."
        )
    if prompt is not None:
        return [Row(clip=c, prompt=prompt) for c in clips]
    if (path / "prompts.txt").is_file():
        file = path / "prompts.txt"
        return _validated(file, _of_clips(file, _plain(file, clips, problems), problems), problems)
    problems.found.append(
        f"Suite '{path}' has clips but no prompts: add prompts.txt (lines 'clip: prompt'), prompts.csv, prompts.jsonl "
        "or suite.toml, or give --prompt TEXT for all clips."
    )
    return [Row(clip=c, prompt="-") for c in clips]  # read them all the same, so that every problem is told at once


PLAIN = ("prompts.txt", "prompts.csv", "manifest.json")


def plain_prompts(folder: Path) -> bool:
    """Whether a folder that is a suite already still has the prompts that it was made from."""
    return any((folder / name).is_file() for name in PLAIN)


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


def read_text(path: Path) -> str:
    """A file's text, without a byte order mark.

    Raises:
        SuiteError: when it cannot be read or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SuiteError(f"{path.name}: the file is not UTF-8. Save it as UTF-8.") from None
    except OSError as error:
        raise SuiteError(f"'{path}' cannot be read: {error.strerror}. Change its permissions.") from None


def _toml_cases(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        table = tomllib.loads(read_text(path))
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


def read_jsonl(path: Path, problems: Problems) -> list[tuple[str, dict[str, Any]]]:
    """Objects of a JSON Lines file with their places; lines that are none become problems."""
    rows: list[tuple[str, dict[str, Any]]] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            problems.found.append(f"{path.name} {place}, column {error.colno}: {error.msg}. One JSON object a line is read.")
        except RecursionError:
            problems.found.append(f"{path.name} {place}: nested too deeply. One JSON object a line is read.")
        except ValueError:  # Python reads no integer of more than some thousand digits
            problems.found.append(f"{path.name} {place}: it holds a number with too many digits. Correct the number.")
        else:
            if isinstance(row, dict):
                rows.append((place, row))
            else:
                problems.found.append(f"{path.name} {place}: a JSON object is needed, found {type(row).__name__}.")
    return rows


def read_csv(path: Path, needed: tuple[str, ...], problems: Problems) -> list[tuple[str, dict[str, Any]]]:
    """Rows of a CSV file with their places; empty cells count as not given.

    Args:
        needed: columns that must be there; the first line names the columns.
        problems: takes what is wrong.
    """
    rows: list[tuple[str, dict[str, Any]]] = []
    # strict: a quote that is never closed would otherwise swallow the rest of the file as one prompt
    reader = csv.reader(io.StringIO(read_text(path), newline=""), skipinitialspace=True, strict=True)
    line, header = 1, list[str]()
    try:
        for cells in reader:
            place, line = f"line {line}", reader.line_num + 1  # where a row begins: a cell in quotes may hold several lines
            if not header:
                header = [name.strip() for name in cells]
                if why := _wrong_columns(header, needed):
                    problems.found.append(f"{path.name} {place}: {why}")
                    return []
            elif len(cells) > len(header):
                what = "more cells than the header names; put prompts with commas in quotes"
                problems.found.append(f"{path.name} {place}: {what}.")
            elif cells:
                rows.append((place, {key: value for key, value in zip(header, cells, strict=False) if value}))
    except csv.Error as error:
        problems.found.append(f"{path.name} line {line}: {error}. Check its quotes.")
    if not header and not problems.found:
        problems.found.append(f"{path.name} line 1: {_wrong_columns([], needed)}")
    return rows


def _wrong_columns(header: list[str], needed: tuple[str, ...]) -> str:
    for name in header:
        if header.count(name) > 1:
            return f"the column '{shortened(name)}' is there twice. Give every column a name of its own."
    for name in needed:
        if name not in header:
            found = shortened(", ".join(header)) or "nothing"
            first = f"The first line names the columns, with commas between: {', '.join(needed)}."
            return f"no column '{name}' (found: {found}). {first}"
    return ""


def _csv(path: Path, problems: Problems) -> list[tuple[str, dict[str, Any]]]:
    return read_csv(path, ("clip", "prompt"), problems)


def _manifest(path: Path, problems: Problems) -> list[tuple[str, Any]]:
    try:
        clips = json.loads(read_text(path))["clips"]
        if not isinstance(clips, list) or not all(isinstance(c, dict) and "file" in c for c in clips):
            raise TypeError("'clips' must be a list of objects with 'file'")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SuiteError(f"{path.name}: not a clip manifest ({type(error).__name__}: {error}).") from None
    same, rows = ("caption", "category", "sha256", "frames"), []
    for clip in clips:
        place = f"clip '{clip.get('name', clip['file'])}'"
        prompts = clip.get("prompts")
        if not isinstance(prompts, list) or not prompts:
            what = f"'prompts' must be a list of texts, found {type(prompts).__name__}" if prompts else "it has no prompts"
            problems.found.append(f"{path.name} {place}: {what}.")
            continue
        shared = {"clip": clip["file"]} | {k: clip[k] for k in same if k in clip}
        rows += [(place, {**shared, "prompt": prompt}) for prompt in prompts]
    return rows


def _nfc(name: str) -> str:
    """A name as systems that spell accents otherwise would compare it."""
    return unicodedata.normalize("NFC", name)


def _of_clips(path: Path, rows: list[tuple[str, Any]], problems: Problems) -> list[tuple[str, Any]]:
    """Rows with their clips' names as the folder spells them; a clip that no row names would vanish without a word."""
    clips = list_clips(path.parent)
    spelt = {_nfc(c): c for c in clips}
    found = []
    for place, row in rows:
        name = row.get("clip")
        known = name if name in clips or not isinstance(name, str) else spelt.get(_nfc(name), name)
        found.append((place, row | {"clip": known} if known != name else row))
    if not problems.found:  # a line that could not be read may name it
        named = {PurePosixPath(r["clip"]).as_posix() for _, r in found if isinstance(r.get("clip"), str)}
        for clip in clips:
            if clip not in named:
                problems.found.append(f"{clip}: no prompt names it in {path.name}. Give it one, or take it out of the folder.")
    return found


def _plain(path: Path, clips: list[str], problems: Problems) -> list[tuple[str, Any]]:
    """Lines ``clip: prompt``, by whole name or stem; lines without a clip's name apply to every clip."""
    lines = [(n, text) for n, text in enumerate(read_text(path).splitlines(), start=1) if text.strip() and text[0] != "#"]
    split = [(f"line {number}", text, *_addressed(text, clips)) for number, text in lines]
    some_named = any(found for _, _, found, _, _ in split)
    rows: list[tuple[str, Any]] = []
    for place, text, found, name, rest in split:
        if len(found) > 1:
            problems.found.append(f"{path.name} {place}: '{name}' is {' and '.join(found)}. Write the whole name.")
        elif found:
            rows.append((place, {"clip": found[0], "prompt": rest}))
        elif _like_a_name(name, some_named):
            known = [*dict.fromkeys(_nfc(n) for c in clips for n in (Path(c).stem, c))]
            problems.found.append(
                f"{path.name} {place}: no clip is called '{shortened(name)}'. {hint(_nfc(name), known)} Correct the name, "
                "or word a prompt for all clips without a colon behind its first word."
            )
        else:
            rows += [(place, {"clip": c, "prompt": text.strip()}) for c in clips]
    return rows


def _addressed(line: str, clips: list[str]) -> tuple[list[str], str, str]:
    """Clips that a line names before a colon, the name, and the rest; a name may hold colons itself, so the longest counts.

    >>> _addressed("bus: a tram", ["bus.mp4", "car.mp4"]), _addressed("a bus", ["bus.mp4"])
    ((['bus.mp4'], 'bus', 'a tram'), ([], '', ''))
    """
    parts = line.split(":")
    for n in range(len(parts) - 1, 0, -1):
        name = ":".join(parts[:n]).strip()
        same = [name] if name in clips else [c for c in clips if _nfc(c) == _nfc(name)]
        if found := same or [c for c in clips if _nfc(Path(c).stem) == _nfc(name)]:
            return found, name, ":".join(parts[n:]).strip()
    return [], parts[0].strip() if len(parts) > 1 else "", ""


def _like_a_name(name: str, some_named: bool) -> bool:
    """One word before a colon: a clip's name where other lines name clips or it ends as videos do, else part of a prompt."""
    return bool(name) and not any(c.isspace() for c in name) and (some_named or name.lower().endswith(VIDEO_SUFFIXES))


def _validated(path: Path, rows: list[tuple[str, Any]], problems: Problems) -> list[Row]:
    good = []
    for place, value in rows:
        try:
            row = Row.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(p) for p in first["loc"])
            what = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
            problems.found.append(f"{path.name} {place}: {key}: {what} (known: {', '.join(Row.model_fields)}).")
            continue
        for name, text in (("prompt", row.prompt), ("caption", row.caption), ("negative", row.negative or "")):
            if why := unusable(text):
                problems.found.append(f"{path.name} {place}: {name} {why}.")
        if not row.prompt.strip():
            problems.found.append(f"{path.name} {place}: prompt must be a non-empty string.")
        if row.category not in CATEGORIES:
            problems.found.append(f"{path.name} {place}: category '{row.category}' unknown: {', '.join(CATEGORIES)}.")
        good.append(row)
    return good

"""Files that users write, as checked rows: read as UTF-8, as JSON Lines or CSV, and every fault told with its place."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ValidationError, ValidationInfo

from fastvmt.core.spelling import gib
from fastvmt.errors import SuiteError
from fastvmt.model import CATEGORIES
from fastvmt.suites.cases import Problems

MAX_PROMPT_BYTES = 10_000
MOST_ROWS, MAX_FILE = 100_000, 1 << 30
"""Rows of a list, as many as a run was measured with; and bytes of its file."""
Rows = list[tuple[str, dict[str, Any]]]
"""Rows with their places in the file, such as ``line 3``."""
Model = TypeVar("Model", bound=BaseModel)


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


def _usable(value: str, info: ValidationInfo) -> str:
    if why := unusable(value):
        raise ValueError(f"{info.field_name} {why}")
    return value


def _said(value: str, info: ValidationInfo) -> str:
    if not value.strip():
        raise ValueError(f"{info.field_name} must be a non-empty string")
    return value


def _known(value: str) -> str:
    if value not in CATEGORIES:
        raise ValueError(f"category '{value}' unknown: {', '.join(CATEGORIES)}")
    return value


Text = Annotated[str, AfterValidator(_usable)]
Prompt = Annotated[Text, AfterValidator(_said)]
Category = Annotated[str, AfterValidator(_known)]


def shortened(text: str) -> str:
    """A text for a message: control characters escaped, cut after 60 characters."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def read_text(path: Path) -> str:
    """A file's text, without a byte order mark.

    Raises:
        SuiteError: when it is missing, too large, cannot be read or is not UTF-8.
    """
    try:
        if (size := path.stat().st_size) > MAX_FILE:
            raise SuiteError(f"{path.name}: {gib(size)}, more than the limit of {gib(MAX_FILE)}. Split it into several suites.")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise SuiteError(f"'{path}' is not there. Correct the path.") from None
    except UnicodeDecodeError:
        raise SuiteError(f"{path.name}: the file is not UTF-8. Save it as UTF-8.") from None
    except OSError as error:
        raise SuiteError(f"'{path}' cannot be read: {error.strerror}. Change its permissions.") from None


def refuse_too_many(path: Path, rows: int) -> None:
    """
    Raises:
        SuiteError: for more rows than a suite can have; asked while they are read, so that nobody waits for it.
    """
    if rows > MOST_ROWS:
        raise SuiteError(f"{path.name}: more than {MOST_ROWS:,} rows, the most that a suite can have. Split it into several.")


def read_jsonl(path: Path, problems: Problems) -> Rows:
    """Objects of a JSON Lines file; lines that are none become problems.

    Raises:
        SuiteError: when it cannot be read, or has too many lines.
    """
    rows: Rows = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        place = f"line {number}"
        refuse_too_many(path, number)
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            problems.add(f"{path.name} {place}, column {error.colno}: {error.msg}. One JSON object a line is read.")
        except RecursionError:
            problems.add(f"{path.name} {place}: nested too deeply. One JSON object a line is read.")
        except ValueError:  # Python reads no integer of more than some thousand digits
            problems.add(f"{path.name} {place}: it holds a number with too many digits. Correct the number.")
        else:
            if isinstance(row, dict):
                rows.append((place, row))
            else:
                problems.add(f"{path.name} {place}: a JSON object is needed, found {type(row).__name__}.")
    return rows


def read_csv(path: Path, needed: tuple[str, ...], problems: Problems) -> Rows:
    """Rows of a CSV file whose first line names the columns; empty cells count as not given.

    Args:
        needed: columns that must be there.
        problems: takes what is wrong.

    Raises:
        SuiteError: when it cannot be read, or has too many rows.
    """
    rows: Rows = []
    # strict: a quote that is never closed would otherwise swallow the rest of the file as one prompt
    reader = csv.reader(io.StringIO(read_text(path), newline=""), skipinitialspace=True, strict=True)
    line = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        if why := _wrong_columns(header, needed):
            problems.add(f"{path.name} line 1: {why}")
            return []
        line = reader.line_num + 1
        for cells in reader:
            refuse_too_many(path, len(rows) + 1)
            place, line = f"line {line}", reader.line_num + 1  # where a row begins: a cell in quotes may hold several lines
            if len(cells) > len(header):
                what = "more cells than the header names; put prompts with commas in quotes"
                problems.add(f"{path.name} {place}: {what}.")
            elif cells:
                rows.append((place, {key: value for key, value in zip(header, cells, strict=False) if value}))
    except csv.Error as error:
        problems.add(f"{path.name} line {line}: {error}. Check its quotes.")
    return rows


def _wrong_columns(header: list[str], needed: tuple[str, ...]) -> str:
    if twice := [name for name in header if header.count(name) > 1]:
        return f"the column '{shortened(twice[0])}' is there twice. Give every column a name of its own."
    if absent := [name for name in needed if name not in header]:
        found = shortened(", ".join(header)) or "nothing"
        first = f"The first line names the columns, with commas between: {', '.join(needed)}."
        return f"no column '{absent[0]}' (found: {found}). {first}"
    return ""


def checked(kind: type[Model], value: Any, place: str, problems: Problems) -> Model | None:
    """A row as ``kind``, or None and a problem that begins with ``place`` for everything that ``kind`` refuses."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problems.found += [f"{place}: {why}." for why in faults(error, kind)]
        return None


def faults(error: ValidationError, kind: type[BaseModel]) -> list[str]:
    """What a model refused, in a few words each."""
    return [_fault(f["type"], ".".join(map(str, f["loc"])), f["msg"], f["input"], kind) for f in error.errors()]


def _fault(what: str, key: str, said: str, value: Any, kind: type[BaseModel]) -> str:
    said = said.removeprefix("Value error, ")
    if what == "extra_forbidden":
        said = f"unknown key (known: {', '.join(kind.model_fields)})"
    elif what == "missing":
        return f"{key} is missing"
    elif what == "string_type":
        return f"{key} must be a non-empty string (found {shortened(str(value))})"
    elif what == "string_pattern_mismatch" and key == "id":
        said = f"{value!r} is no id: lower-case letters, digits, '.', '_' and '-', at most 64"
    return f"{key}: {said}" if key and not said.startswith(key) else said

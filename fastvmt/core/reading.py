"""JSON and TOML that somebody else may have written: whatever is wrong with it is one ``ValueError`` with its place, and every
number in it is one that can be reckoned with.

Python's own readers take ``NaN``, the last of two equal keys, halves of a character and numbers beyond any float, and end in a
``RecursionError`` on brackets in brackets.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from typing import Any

from pydantic_core import from_json

LARGEST = 1e100
"""No number of ours is larger; sums and products of two such still have a float."""
DEEPEST = 100
_BOM = b"\xef\xbb\xbf"
_HALF = re.compile(rb"\\u[dD][89abAB]")
_HUGE = re.compile(rb"[:\[,]\s*-?[\d.]+[eE]\+?\d{3}")
_ALONE = re.compile(rb"\s*-?[\d.]+[eE]\+?\d{3}")
_LONG, _DIGITS = b"0" * 100, bytes.maketrans(b"123456789", b"0" * 9)


def parse_json(data: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: with line and column where it is no JSON, a key stands in one object twice, or a number is too large.

    >>> parse_json('{"a": 1e400}')
    Traceback (most recent call last):
    ValueError: a is too large a number
    """
    raw = (data.encode() if isinstance(data, str) else data).removeprefix(_BOM)
    value = from_json(raw, allow_inf_nan=False)
    if _odd(raw):
        _check(value)
    if isinstance(value, dict | list):
        json.loads(raw, object_pairs_hook=_once)
    return value


def check_json(data: bytes) -> bytes:
    """The same bytes, for a model's own reader of JSON.

    Raises:
        ValueError: as ``parse_json`` does where a number may be none; other faults are for the model's reader to find.
    """
    if _odd(data):
        parse_json(data)
    return data


def _odd(raw: bytes) -> bool:
    """Whether there may be such a number, or half a character; where not, there is none.

    One look for each kind: a single expression of all of them takes four times as long, and a large run has 100,000 lines.
    """
    if b"NaN" in raw or b"Infinity" in raw or (b"\\u" in raw and _HALF.search(raw)):
        return True
    return bool(_HUGE.search(raw) or _ALONE.match(raw)) or _LONG in raw.translate(_DIGITS)


def parse_toml(data: bytes | str) -> dict[str, Any]:
    """The table of a TOML text.

    Raises:
        ValueError: where it is no TOML, nested too deeply, or a number is none.
    """
    text = data if isinstance(data, str) else data.removeprefix(_BOM).decode()
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check(table)
    return table


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise ValueError(f"the key {key[:80]!r} stands in one object twice")
        seen.add(key)


def _check(value: Any) -> None:
    level: list[tuple[str, Any]] = [("", value)]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inside(*outer)]
        if not level:
            return
    raise ValueError("it is nested too deeply")


def _inside(place: str, value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, int | float) and not -LARGEST <= value <= LARGEST:  # NaN is neither
        raise ValueError(f"{place[1:] or 'it'} is {'too large a number' if value == value else 'no number'}")
    if not isinstance(value, dict | list):
        return ()
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return [(f"{place}.{str(key)[:80]}", inner) for key, inner in pairs]

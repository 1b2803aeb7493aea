"""Plain data as TOML. Python reads TOML and writes none; what is None is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml(table: Mapping[str, Any]) -> str:
    """A table's text, which ``core.reading.parse_toml`` reads.

    >>> print(toml({"a": [1, 2.5], "none": None, "b": {"c d": {"e": "é", "f": True}}}), end="")
    a = [1, 2.5]
    <BLANKLINE>
    [b."c d"]
    e = "é"
    f = true
    """
    return "\n".join(_lines(table, "")).lstrip("\n") + "\n"


def plain(value: Any) -> Any:
    """The same data without what TOML cannot say: None, and whether a sequence was a list or a tuple."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value if v is not None]
    return value


def _lines(table: Mapping[str, Any], place: str) -> Iterator[str]:
    own = {k: v for k, v in table.items() if v is not None and not isinstance(v, Mapping)}
    inner = {k: v for k, v in table.items() if isinstance(v, Mapping)}
    if place and (own or not inner):
        yield f"\n[{place}]"
    for key, value in own.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in inner.items():
        yield from _lines(value, f"{place}.{_key(key)}" if place else _key(key))


def _key(text: str) -> str:
    return text if _BARE.fullmatch(text) else _text(text)


def _text(text: str) -> str:
    """A JSON string is a TOML string, but for U+007F."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(v) for v in value if v is not None)}]"
    return json.dumps(value) if isinstance(value, bool | int | float) else _text(str(value))

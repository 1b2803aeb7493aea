"""Settings as somebody claims them: ``steps=50``, or a TOML file. Kept as they were said; nothing is derived from them."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fastvmt.core.reading import parse_toml
from fastvmt.model import Setting

LARGEST = 64 << 10
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
COMPARED = ("backbone", "width", "height", "frames", "steps", "guidance", "guidance_2", "solver", "dtype")
"""Claims that mean the same as a field of our setting, so that a difference can be said."""


def read_claims(given: Iterable[str], problems: list[str]) -> dict[str, Any]:
    """Claims from ``key=value`` pairs and TOML files, later ones over earlier ones.

    Args:
        problems: takes a sentence for everything that cannot be used.
    """
    found: dict[str, Any] = {}
    for text in given:
        if "=" in text:
            key, _, value = text.partition("=")
            _add(found, key.strip(), _scalar(value.strip()), "--settings", problems)
        else:
            for key, value in _file(Path(text), problems).items():
                _add(found, key, value, text, problems)
    return dict(sorted(found.items()))


def _scalar(text: str) -> Any:
    """A number or truth value where the text is one in TOML, else the text.

    >>> [_scalar(t) for t in ("50", "0.5", "true", "wan2.1", "1e400")]
    [50, 0.5, True, 'wan2.1', inf]
    """
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except (tomllib.TOMLDecodeError, ValueError, RecursionError):
        return text
    return value if isinstance(value, bool | int | float) else text


def _file(path: Path, problems: list[str]) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise ValueError(f"larger than {LARGEST >> 10} KiB")
        return parse_toml(path.read_bytes())
    except (OSError, ValueError) as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else str(error).splitlines()[0] or "unreadable"
        problems.append(f"--settings {path}: {why}. Give a TOML file, or key=value such as steps=50.")
        return {}


def _add(found: dict[str, Any], key: str, value: Any, where: str, problems: list[str]) -> None:
    if isinstance(value, Mapping):
        for inner, one in value.items():
            _add(found, f"{key}.{inner}", one, where, problems)
    elif not _NAME.fullmatch(key):
        problems.append(f"{where}: {key[:64]!r} is no name of a setting; use letters, digits, '_', '.' and '-'.")
    elif not _plain(value):
        problems.append(f"{where}: '{key}' is neither text, number, truth value nor a list of them; write it as text.")
    else:
        found[key] = value


def _plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_plain(v) for v in value) and len(value) < 1000
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, bool | int | str) and len(str(value)) < 2000


def differences(claims: Mapping[str, Any], setting: Setting) -> list[str]:
    """``steps 50 (this run: 10)`` for every claim that says something else than our setting."""
    ours = setting.model_dump()
    return [f"{k} {claims[k]} (this run: {ours[k]})" for k in COMPARED if k in claims and claims[k] != ours[k]]


def worded(claims: Mapping[str, Any]) -> str:
    """Claims on one line."""
    return ", ".join(f"{k}={v}" for k, v in claims.items()) or "none"

"""DiTFlow's published list of prompts, read from the user's copy: a JavaScript object and not JSON.

const prompts = { 'bear': { easy: "...", medium: '...', hard: `...`, frame_range: "[0, 72, 3]" }, ... };
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastvmt.datasets.prompt_lists import ClipPrompts, Gathered
from fastvmt.errors import SuiteError
from fastvmt.suites.cases import Problems
from fastvmt.suites.rows import read_text, shortened

KINDS = {"easy": "caption", "medium": "subject", "hard": "scene"}
"""The file's keys, and the kinds of prompt that the paper names them by."""


def read_ditflow(path: Path, clips: Mapping[str, str], problems: Problems) -> dict[str, ClipPrompts]:
    """DiTFlow's list: kinds caption, subject and scene, the caption of the clip itself, and its range where given.

    Raises:
        SuiteError: when it is not a JavaScript object.
    """
    gathered = Gathered(path.name, clips, problems)
    for called, row in _read_object(path.name, read_text(path)).items():
        clip = gathered.clip(called, "", 3)
        if clip is None:
            continue
        place = f"clip '{called}'"
        if not isinstance(row, dict) or not set(KINDS) <= row.keys():
            problems.add(f"{path.name}, {place}: it needs the prompts easy, medium and hard. Take a whole copy.")
            continue
        for key, kind in KINDS.items():
            gathered.add(clip, f"{key} of {place}", {"id": kind, "kind": kind, "text": row[key]})
        caption = row["easy"].strip() if isinstance(row["easy"], str) else ""
        span = _span(row.get("frame_range"), f"{path.name}, {place}", problems)
        gathered.found[clip] = replace(gathered.found.get(clip, ClipPrompts()), caption=caption, span=span)
    return gathered.done()


def _span(value: Any, place: str, problems: Problems) -> tuple[int, int, int] | None:
    """``"[0, 48, 2]"`` or ``[0, 48, 2]`` as numbers; None when the file has no range."""
    if value is None:
        return None
    text = json.dumps(value) if isinstance(value, list) else str(value)
    match = re.fullmatch(r"\s*\[\s*(\d+)\s*,\s*(\d+)\s*(?:,\s*(\d+)\s*)?,?\s*\]\s*", text)
    start, stop, step = (int(g or 1) for g in match.groups()) if match else (0, 0, 0)
    if step < 1 or stop <= start:
        problems.add(f"{place}: frame_range '{shortened(text)}' is not [start, stop, step] with start before stop.")
        return None
    return start, stop, step


TOKEN = re.compile(
    r"(?P<gap>\s+|//[^\n]*|/\*.*?\*/)|(?P<text>'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|`(?:[^`\\]|\\.)*`)"
    r"|(?P<key>[\w$]+(?=\s*:))|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_$][\w$]*)|(?P<mark>.)",
    re.DOTALL,
)
ESCAPE = re.compile(r"\\(u\{[0-9a-fA-F]{1,6}\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": ""}
DEPTH = 8
NEEDED = {"Expecting ',' delimiter": "',' or '}'", "Expecting ':' delimiter": "':'", "Expecting value": "a value"}
"""What Python's reader of JSON misses, in the words of these messages; else it is a name."""


def _read_object(file: str, source: str) -> dict[str, Any]:
    """The first object literal of a file: any quotes, names without quotes, comments, commas before a bracket.

    Its tokens are spelled as JSON, a line each, so that the line of a fault there tells which token is at fault.

    Raises:
        SuiteError: with the line of the file and what was found there.
    """
    start, depth = source.find("{"), 0
    if start < 0:
        raise SuiteError(f"{file}: there is no object {{...}} in it. Take DiTFlow's supp/assets/prompts.js.")
    tokens: list[tuple[str, str, int]] = []  # as JSON, as it stands there, and where

    def wrong(token: tuple[str, str, int], needed: str) -> SuiteError:
        line, found = source.count("\n", 0, token[2]) + 1, shortened(token[1])
        return SuiteError(f"{file} line {line}: {needed} is needed, found {found}. Correct it or copy it again.")

    for match in TOKEN.finditer(source, start):
        kind, text = match.lastgroup, match[0]
        if kind == "gap":
            continue
        token = (_as_json(str(kind), text), text, match.start())
        if kind == "text" and len(tokens) > 1 and tokens[-1][0] == "+" and tokens[-2][0][0] == '"':  # 'a' + 'b' is one text
            before = tokens[-2]
            tokens[-2:] = []
            token = (before[0][:-1] + token[0][1:], *before[1:])
        elif text in "}]" and tokens[-1][0] == ",":
            tokens.pop()
        depth += (text in "{[") - (text in "}]")
        if depth > DEPTH:
            raise wrong(token, "less nesting")
        tokens.append(token)
    try:
        spelled = "\n".join(token[0] for token in tokens)
        found: dict[str, Any] = json.JSONDecoder(object_pairs_hook=_once_each).raw_decode(spelled)[0]
    except json.JSONDecodeError as error:
        tokens.append(("", "the end", len(source)))
        raise wrong(tokens[error.lineno - 1], NEEDED.get(error.msg, "a name")) from None
    except ValueError as error:
        raise SuiteError(f"{file}: {error}. Correct it or copy it again.") from None
    return found


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for n, (name, _) in enumerate(pairs) if name in dict(pairs[:n]))
        raise ValueError(f"a name that is not there yet is needed, found '{shortened(twice)}'")
    return found


def _as_json(kind: str, text: str) -> str:
    if kind == "text":
        pairs = ESCAPE.sub(_character, text[1:-1]).encode("utf-16", "surrogatepass")  # two \u escapes may be one character
        return json.dumps(pairs.decode("utf-16", "replace"))
    return json.dumps(text) if kind == "key" else "null" if kind == "word" else text


def _character(match: re.Match[str]) -> str:
    body = match[1]
    code = 0 if len(body) == 1 else int(body[1:].strip("{}"), 16)
    return ESCAPED.get(body, body) if len(body) == 1 else chr(code) if code < 0x110000 else "\ufffd"

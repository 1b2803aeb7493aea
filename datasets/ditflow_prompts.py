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
    for called, row in _JavaScript(path.name, read_text(path)).table().items():
        clip = gathered.clip(called, "", 3)
        if clip is None:
            continue
        place = f"clip '{called}'"
        if not isinstance(row, dict) or not set(KINDS) <= row.keys():
            problems.found.append(f"{path.name}, {place}: it needs the prompts easy, medium and hard. Take a whole copy.")
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
        problems.found.append(f"{place}: frame_range '{shortened(text)}' is not [start, stop, step] with start before stop.")
        return None
    return start, stop, step


class _JavaScript:
    """Reads the first object literal of a file: any quotes, names without quotes, comments, commas before a bracket."""

    TOKEN = re.compile(
        r"(?P<gap>\s+|//[^\n]*|/\*.*?\*/)|(?P<text>'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"|`(?:[^`\\]|\\.)*`)"
        r"|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_$][\w$]*)|(?P<mark>.)",
        re.DOTALL,
    )
    ESCAPE = re.compile(r"\\(u\{[0-9a-fA-F]{1,6}\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
    DEPTH = 8

    def __init__(self, file: str, source: str) -> None:
        self.file, self.source, self.at = file, source, 0
        self.tokens: list[tuple[str, str, int]] = []
        place = 0
        while match := self.TOKEN.match(source, place):
            if match.lastgroup != "gap":
                self.tokens.append((str(match.lastgroup), match.group(), place))
            place = match.end()
        self.tokens.append(("end", "the end", len(source)))

    def table(self) -> dict[str, Any]:
        while self.tokens[self.at][1] != "{":
            if self.tokens[self.at][0] == "end":
                raise SuiteError(f"{self.file}: there is no object {{...}} in it. Take DiTFlow's supp/assets/prompts.js.")
            self.at += 1
        found: dict[str, Any] = self.value(self.DEPTH)
        return found

    def wrong(self, needed: str) -> SuiteError:
        _, text, place = self.tokens[self.at]
        line = self.source.count("\n", 0, place) + 1
        return SuiteError(f"{self.file} line {line}: {needed} is needed, found {shortened(text)}. Correct it or copy it again.")

    def accept(self, mark: str) -> bool:
        if self.tokens[self.at][:2] != ("mark", mark):
            return False
        self.at += 1
        return True

    def value(self, depth: int) -> Any:
        kind, text, _ = self.tokens[self.at]
        if depth == 0 or kind == "end" or (kind == "mark" and text not in "{["):
            raise self.wrong("a value" if depth else "less nesting")
        self.at += 1
        if text == "{":
            return self.pairs(depth - 1)
        if text == "[":
            items = []
            while not self.accept("]"):
                items.append(self.value(depth - 1))
                if not self.accept(",") and self.tokens[self.at][1] != "]":
                    raise self.wrong("',' or ']'")
            return items
        if kind == "text":
            text = self.unquoted(text)
            while self.accept("+"):
                if self.tokens[self.at][0] != "text":
                    raise self.wrong("a text")
                text += self.unquoted(self.tokens[self.at][1])
                self.at += 1
            return text
        return float(text) if kind == "number" and "." in text else int(text) if kind == "number" else None

    def pairs(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not self.accept("}"):
            kind, key = self.tokens[self.at][:2]
            key = self.unquoted(key) if kind == "text" else key
            if kind not in ("text", "word", "number") or key in found:
                raise self.wrong("a name that is not there yet")
            self.at += 1
            if not self.accept(":"):
                raise self.wrong("':'")
            found[key] = self.value(depth)
            if not self.accept(",") and self.tokens[self.at][1] != "}":
                raise self.wrong("',' or '}'")
        return found

    def unquoted(self, text: str) -> str:
        plain = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": ""}

        def one(match: re.Match[str]) -> str:
            body = match.group(1)
            if len(body) == 1:
                return plain.get(body, body)
            code = int(body[1:].strip("{}"), 16)
            return chr(code) if code < 0x110000 else "\ufffd"

        plain_text = self.ESCAPE.sub(one, text[1:-1])
        return plain_text.encode("utf-16", "surrogatepass").decode(
            "utf-16", "replace"
        )  # pairs of \\u escapes are one character

"""Prompt files that come with a dataset, or that a user wrote for one: which clip gets which target prompts.

    .jsonl  lines {"clip", "id", "text", "kind", "negative"}, or {"clip", "caption", "category", "prompts": [{...}, ...]}
    .csv    the same names as a header; ``clip`` and ``text`` are needed
    .txt    one prompt a line, for every clip; lines that begin with # are passed over

Nothing is corrected silently: what is wrong goes to ``Problems``, with file and line.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from fastvmt.errors import SuiteError
from fastvmt.suites.cases import Problems, Target
from fastvmt.suites.format import PromptRow
from fastvmt.suites.prompts import nfc
from fastvmt.suites.rows import Category, Text, checked, read_csv, read_jsonl, read_text, shortened


@dataclass(frozen=True)
class ClipPrompts:
    """What a prompt file says about one clip; ``span`` is DiTFlow's (start, stop, stride)."""

    targets: tuple[Target, ...] = ()
    caption: str = ""
    category: str = "uncategorised"
    span: tuple[int, int, int] | None = None


class _About(BaseModel):
    caption: Text = ""
    category: Category = "uncategorised"


@dataclass
class Gathered:
    """Prompts by clip while a file is read; ``clips`` maps every name a clip may be called by to the one wanted."""

    file: str
    clips: Mapping[str, str]
    problems: Problems
    found: dict[str, ClipPrompts] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    places: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def clip(self, called: Any, place: str, count: int = 1) -> str | None:
        """The clip that a file means; None, with a problem, when there is none."""
        if not isinstance(called, str) or not called.strip():
            self.problems.add(f"{self.file} {place}: clip must be the name of a clip; it is missing or empty.")
            return None
        name = self.clips.get(nfc(called.strip()))
        if name is None:
            self.unknown[called] = self.unknown.get(called, 0) + count
        return name

    def add(self, clip: str, place: str, raw: Mapping[str, Any]) -> None:
        """One prompt of a clip; of every clip when ``clip`` is ""."""
        before = self.found.get(clip, ClipPrompts())
        row = {"id": f"p{len(before.targets) + 1}", **raw, "clip": clip}
        inside = clip and f", clip '{clip}'"
        good = checked(PromptRow, row, f"{self.file} {place}{inside}", self.problems)
        if good is None:
            return
        text, of = good.text.strip(), clip and f" of clip '{clip}'"
        for what, value in (("id", good.id), ("prompt", text)):
            first = self.places.setdefault((clip, what, value), place)
            if first != place:
                self.problems.add(f"{self.file} {place}: {what} '{shortened(value)}'{of} repeats {first}. Take one out.")
                return
        target = Target(good.id, text, good.kind, good.negative)
        self.found[clip] = replace(before, targets=(*before.targets, target))

    def about(self, clip: str, place: str, row: Mapping[str, Any]) -> None:
        """Caption and category of a clip, where the file gives them."""
        if about := checked(_About, row, f"{self.file} {place}", self.problems):
            before = self.found.get(clip, ClipPrompts())
            self.found[clip] = replace(before, caption=about.caption.strip(), category=about.category)

    def done(self) -> dict[str, ClipPrompts]:
        for called, count in self.unknown.items():
            prompts = "1 prompt" if count == 1 else f"{count} prompts"
            self.problems.add(
                f"{self.file}: {prompts} for '{shortened(called)}', which is not a clip of the suite. Correct the name."
            )
        return self.found


def clip_ids(names: Iterable[str]) -> dict[str, str]:
    """Ids for clips whose names may be anything, such as prompts: at most 48 characters of a slug, plus a digest of 8
    where the slug alone would not do (cut, not ASCII, or the same as another name's).

    >>> clip_ids(["A cat runs-0", "A cat runs-1"])
    {'A cat runs-0': 'a-cat-runs-0', 'A cat runs-1': 'a-cat-runs-1'}
    """
    slugs, plain = {}, {}
    for name in names:
        ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        whole = re.sub(r"[^a-z0-9._]+", "-", ascii_only).strip("-._")
        slugs[name] = whole[:48].rstrip("-._") or "clip"
        plain[name] = name.isascii() and slugs[name] == whole
    taken = list(slugs.values())
    return {
        name: slug if plain[name] and taken.count(slug) == 1 else f"{slug}-{hashlib.sha256(nfc(name).encode()).hexdigest()[:8]}"
        for name, slug in slugs.items()
    }


def lines_of(path: Path) -> list[tuple[str, str]]:
    """Non-blank lines, stripped on both sides, with their places."""
    return [(f"line {n}", line.strip()) for n, line in enumerate(read_text(path).splitlines(), start=1) if line.strip()]


def read_targets(path: Path, clips: Mapping[str, str], problems: Problems) -> dict[str, ClipPrompts]:
    """Target prompts by clip.

    Args:
        path: a file of one of the formats above, by its suffix.
        clips: every name the file may call a clip by, in NFC, to the name wanted in the answer.
        problems: takes what is wrong.

    Raises:
        SuiteError: when the file cannot be read at all.
    """
    kind = path.suffix.lower()
    gathered = Gathered(path.name, clips, problems)
    if kind == ".txt":
        for place, text in lines_of(path):
            if not text.startswith("#"):
                gathered.add("", place, {"text": text})
        return {clip: gathered.found.get("", ClipPrompts()) for clip in clips.values()}
    if kind not in (".jsonl", ".csv"):
        raise SuiteError(f"Prompt file '{path}': its suffix is not .jsonl, .csv or .txt. Rename or convert it.")
    for place, row in read_jsonl(path, problems) if kind == ".jsonl" else read_csv(path, ("clip", "text"), problems):
        _add_row(gathered, place, row)
    return gathered.done()


def _add_row(gathered: Gathered, place: str, row: dict[str, Any]) -> None:
    """A row with one prompt, or with all prompts of a clip."""
    prompts = row.get("prompts", [row])
    if not isinstance(prompts, list) or not all(isinstance(p, dict) for p in prompts):
        gathered.problems.add(f"{gathered.file} {place}: prompts must be a list of objects with id and text.")
        return
    clip = gathered.clip(row.get("clip"), place, len(prompts))
    if clip is None:
        return
    if "prompts" in row:
        gathered.about(clip, place, row)
    for number, prompt in enumerate(prompts, start=1):
        gathered.add(clip, f"{place}, prompt {number}" if "prompts" in row else place, prompt)

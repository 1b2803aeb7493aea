"""What the tests of the report page share: a reader of its pages, a small table, and a run full of hostile text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from fastvmt.model import Case, Failure
from fastvmt.reports.tables.view import Cell, Column, Line, View
from fastvmt.reports.tidy import Tidy
from support.hostile import payloads
from support.runs import make_cases, make_run, make_setting, make_spec, paint

VOID = {"meta", "link", "img", "input", "br", "wbr", "hr", "line", "rect", "circle", "path"}
URLS = ("href", "src", "action", "formaction", "srcset", "data", "poster", "xlink:href", "srcdoc")


class Page(HTMLParser):
    """One page: its tags, its text, what stands in it that may not, and whether every tag is closed."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text, self.blocks, self.wrong, self.ids = "", {}, [], []  # type: ignore[var-annotated]
        self.feed(path.read_text())
        self.close()
        if self.open:
            self.wrong.append(f"left open: {self.open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if len(found) != len(attrs):
            self.wrong.append(f"{tag} says an attribute twice")
        self.wrong += [f"{tag} has {k}" for k in found if k.startswith("on") or k == "style"]
        self.wrong += [
            f"{tag} {k}={v}"
            for k, v in found.items()
            if k in URLS and not re.fullmatch(r"(\.\./)?[a-z0-9/._-]*(#\w+)?", v or "")
        ]
        if tag in ("style", "iframe", "object", "embed", "base", "form", "template") or (tag == "script" and "src" not in found and found.get("type") != "application/json"):  # fmt: skip
            self.wrong.append(f"{tag} {found}")
        self.ids += [found["id"]] if "id" in found else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"] and data.strip():
            self.blocks[dict(self.tags)["script"].get("id")] = json.loads(data)
        else:
            self.text += data

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"a comment: {data[:40]}")


def some_view(tidy: Tidy, words: str = "") -> View:
    """A small table: quality and time, an interval, a best one, a missing cell."""
    lines = tuple(
        Line(label, label + words, (Cell(0.5 + n / 10, 0.4, 0.9, 2, 3, "best" if n == 2 else ""), Cell(9.0 - n, 1.0, 10.0, 2, 2) if n != 1 else Cell(None, why="failed" + words)),
             group="ours" + words if n else "controls", ranked=n > 0)
        for n, label in enumerate(tidy.methods)
    )  # fmt: skip
    columns = (Column("motion_fidelity", "motion_fidelity" + words, "", "up"), Column("time", "time", "s", "down", 2))
    return View("comparison", "Methods compared" + words, tidy.title, columns, lines, (f"A note{words}",))


def pages(report: Path) -> dict[str, Page]:
    return {str(p.relative_to(report)): Page(p) for p in report.rglob("*.html")}


CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def hostile_run(folder: Path, number: int | None = None) -> Path:
    """Every payload as prompt, caption, category or source of a case; some as labels, notes, failures and log keys."""
    found = payloads()[:number]
    lines = [CONTROL.sub(" ", text) for text in found]  # where a field takes one line alone
    base = make_cases(len(found))
    cases: list[Case] = []
    for n, text in enumerate(found):
        reference = base[n].reference.model_copy(update={"source": text, "notes": (text,)})
        cases.append(
            base[n].model_copy(
                update={
                    "prompt": text,
                    "caption": found[-n - 1],
                    "category": lines[n] if n < 20 else "camera",
                    "reference": reference,
                    "negative": text,
                }
            )
        )
    setting = make_setting()
    labels = [
        make_spec("fastvmt", setting).model_copy(update={"label": text, "params": {text: text, "n": n}, "preset": text})
        for n, text in enumerate(lines[:6])
    ]
    failures = {
        (c.id, labels[n % 6].label, 0): Failure(job_key="", kind=lines[n], stage=lines[n], message=found[n], traceback=found[n])
        for n, c in enumerate(cases)
    }
    clip = paint(None, "", 0, 3, 8, 8)
    return make_run(
        folder, cases, methods=labels, frames=(3, 8, 8), failed=failures, notes=found, suite=lines[0], device=lines[1],
        metrics=("motion_fidelity",), paint=lambda *a: clip, setting=make_setting((3, 8, 8), backbone=lines[2]),
        logs=lambda case, label, seed: {label: {case.prompt: {label: [1.0, 2.0]}}, "loss": {case.prompt: [1.0, 2.0]}},
    )  # fmt: skip

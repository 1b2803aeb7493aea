"""Verdicts of the gate for machines and pull requests: JUnit XML, GitHub annotations, step summary, comment, terminal.

Labels and ids are hostile input: control characters are dropped everywhere, and every form escapes what it must.
"""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree as ET

from fastvmt.reports.gate.sentence import headline
from fastvmt.reports.gate.verdicts import VERDICTS, GateResult, Judgement
from fastvmt.reports.tables.grid import clean

MARKER = "<!-- fastvmt-bench: gate -->"
"""First line of every comment, by which a bot finds the one to update."""
ROOM = 18_000
"""Characters of each part of a comment (what needs a look, the rest, notes): GitHub refuses more than 65,536 in all."""
LONGEST = 600
"""Characters of a cell."""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~$-])")


def as_lines(outcome: GateResult, strict: bool = False) -> list[str]:
    """For a terminal: the sentence, then what is worse first."""
    width = max((len(r.verdict) for r in outcome.rows), default=0)
    rows = [f"{r.verdict:<{width}}  {clean(_name(r))}: {clean(r.sentence)}" for r in _ordered(outcome)]
    notes = [f"note: {clean(n)}" for n in _notes(outcome)]
    return [clean(headline(outcome, strict)), clean(outcome.title), *rows, *notes, f"gate: {outcome.ending(strict)}"]


def junit(outcome: GateResult, strict: bool = False) -> str:
    """One test case for each metric and method; what is unclear or not compared counts as skipped."""
    fails = {"worse", "unclear"} if strict else {"worse"}
    skips = {"unclear", "not compared"} - fails
    refused = outcome.exit_code(strict) == 4
    facts = {
        "name": "bench check", "tests": str(len(outcome.rows) + refused), "errors": str(int(refused)),
        "failures": str(sum(r.verdict in fails for r in outcome.rows)),
        "skipped": str(sum(r.verdict in skips for r in outcome.rows)),
    }  # fmt: skip
    root = ET.Element("testsuites", facts)
    suite = ET.SubElement(root, "testsuite", facts)
    if refused:
        # Readers of the XML alone must not take a gate that compared nothing, or less than it had to, for a green one.
        error = ET.SubElement(ET.SubElement(suite, "testcase", classname="gate", name="comparison", time="0"), "error")
        error.set("message", clean(outcome.could_not(strict)))
    for row in outcome.rows:
        case = ET.SubElement(suite, "testcase", classname=clean(row.metric), name=clean(row.method) or "-", time="0")
        if row.verdict in fails:
            ET.SubElement(case, "failure", message=clean(row.sentence), type=row.verdict).text = clean(row.sentence)
        elif row.verdict in skips:
            ET.SubElement(case, "skipped", message=clean(f"{row.verdict}: {row.sentence}"))
        else:
            ET.SubElement(case, "system-out").text = clean(f"{row.verdict}: {row.sentence}")
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def github(outcome: GateResult, strict: bool = False) -> list[str]:
    """GitHub workflow commands: an error for what is worse, a warning for what is unclear or was not compared.

    What is missing is an error too; with ``strict`` also what is unclear, or was asked for and could not be compared.
    """
    lines = [_command("error", "gate: could not compare", outcome.refused)] if outcome.refused else []
    levels = {"worse": "error", "unclear": "error" if strict else "warning", "not compared": "warning"}
    for row in _ordered(outcome):
        if row.verdict in levels and row.sentence != outcome.refused:
            level = "error" if row.red(strict) else levels[row.verdict]
            lines.append(_command(level, f"gate: {row.verdict}: {_name(row)}", row.sentence))
    if outcome.exit_code(strict) == 4 and not outcome.refused:
        lines.append(_command("error", "gate: could not compare", outcome.could_not(strict)))
    return lines


def _command(level: str, title: str, message: str) -> str:
    head, body = (clean(text).replace("%", "%25") for text in (title, message))
    return f"::{level} title={head.replace(':', '%3A').replace(',', '%2C')}::{body}"


def summary(outcome: GateResult, strict: bool = False) -> str:
    """Markdown for a step summary: every verdict."""
    return _page([f"### Gate: {_text(headline(outcome, strict))}", *_said(outcome)], [_table(_ordered(outcome))], outcome)


def comment(outcome: GateResult, strict: bool = False) -> str:
    """Markdown for a pull request: what needs a look, the rest folded away; ``MARKER`` on the first line."""
    rows = _ordered(outcome)
    look = [r for r in rows if r.verdict in ("worse", "unclear", "not compared")]
    rest = [r for r in rows if r.verdict not in ("worse", "unclear", "not compared")]
    parts = [_table(look)] if look else []
    if rest:
        parts.append([f"<details><summary>{len(rest)} more verdicts</summary>", "", *_table(rest), "", "</details>"])
    return _page([MARKER, f"**Gate: {_text(headline(outcome, strict))}**", *_said(outcome)], parts, outcome)


def _said(outcome: GateResult) -> list[str]:
    """The run, and what it decides by itself."""
    return ["", _text(outcome.title), *(["", " ".join(map(_text, outcome.run_says))] if outcome.run_says else [])]


def _page(head: list[str], parts: list[list[str]], outcome: GateResult) -> str:
    notes = _fitting([f"- {_text(n)}" for n in _notes(outcome)], "notes")
    return "\n\n".join("\n".join(part) for part in (head, *parts, notes) if part) + "\n"


def _table(rows: list[Judgement]) -> list[str]:
    if not rows:
        return ["No check applies."]
    lines = [f"| {r.verdict} | {_text(r.metric)} | {_text(r.method)} | {_text(r.sentence)} |" for r in rows]
    return ["| verdict | metric | method | what was found |", "|---|---|---|---|", *_fitting(lines, "verdicts")]


def _fitting(lines: list[str], what: str) -> list[str]:
    """As many lines as there is room for, and how many were left out."""
    used = 0
    for n, line in enumerate(lines):
        used += len(line) + 1
        if used > ROOM:
            return [*lines[:n], "", f"{len(lines) - n} more {what} are in the log."]
    return lines


def _text(text: str) -> str:
    """Words that stay words in Markdown: no markup, no links, no mention of anybody, no reference to an issue."""
    short = clean(text)
    short = short if len(short) <= LONGEST else short[: LONGEST - 1] + "…"
    escaped = _MARKDOWN.sub(r"\\\1", short)
    return html.escape(escaped, quote=False).replace("@", "@\u200b").replace("://", ":\u200b//").replace("www.", "www\u200b.")


def _ordered(outcome: GateResult) -> list[Judgement]:
    return sorted(outcome.rows, key=lambda r: VERDICTS.index(r.verdict))


def _notes(outcome: GateResult) -> list[str]:
    return [*([f"not compared with the baseline: {outcome.refused}."] if outcome.refused else []), *outcome.notes]


def _name(row: Judgement) -> str:
    return f"{row.metric}, {row.method}" if row.method else row.metric

"""The sentence that the gate opens with: worse, not worse, or cannot say, with counts, and what it could have found."""

from __future__ import annotations

from fastvmt.reports.gate.baseline import named
from fastvmt.reports.gate.power import drop_of, said
from fastvmt.reports.gate.verdicts import UNCLEAR, GateResult, Judgement


def headline(outcome: GateResult, strict: bool = False) -> str:
    """One sentence for a reader who reads no further."""
    checks, worse, unclear = len(outcome.rows), outcome.of("worse"), outcome.of("unclear")
    red = [r for r in outcome.rows if r.verdict != "worse" and (r.missing or r.unmet)]
    if outcome.nothing and not worse:
        return f"Cannot say: {outcome.could_not(strict)}."
    parts = []
    if worse:
        parts.append(f"Worse: {_of(worse, checks)}")
    elif unclear or any(r.red(strict) for r in outcome.rows):
        parts.append("Cannot say: nothing that was compared is worse")
    else:
        clips = max(r.clips for r in outcome.rows)
        parts.append(f"Not worse: {_many(checks - len(outcome.of('not compared')))} over {_many(clips, 'clip')}")
    if unclear:
        parts.append(f"{UNCLEAR} {_of(unclear, checks)}{'' if strict or worse else ', on which --strict fails'}")
    if part := [r for r in red if r.verdict != "not compared"]:
        parts.append(f"over a part of what was planned {_of(part, checks)}")
    if left := outcome.of("not compared"):
        parts.append(f"not compared {_of(left, checks)}")
    return "; ".join([*parts, *_found(outcome, strict)]) + "."


def _found(outcome: GateResult, strict: bool) -> list[str]:
    """The smallest drop of each number that was judged; of several methods the largest of these."""
    drops: dict[str, tuple[float, bool]] = {}
    for row in outcome.rows:
        if row.gains and row.gains.floor is None and (drop := drop_of(row, strict)) is not None:
            drops[row.metric] = max(drops.get(row.metric, (drop, row.gains.log)), (drop, row.gains.log))
    if not drops:
        return []
    words = [f"{metric.removesuffix(': against baseline')} {said(*drop)}" for metric, drop in drops.items()]
    return [f"smallest loss found 9 times of 10: {named(words)}"]


def _of(rows: list[Judgement], checks: int) -> str:
    return f"{len(rows)} of {_many(checks)} ({named([f'{r.metric}, {r.method}' if r.method else r.metric for r in rows])})"


def _many(number: int, word: str = "check") -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"

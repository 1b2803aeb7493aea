"""Strengths of methods from pairs (Bradley and Terry), with intervals, and how metrics order the methods beside people.

A method of strength a is preferred to one of strength b with probability 1 / (1 + exp(b - a)); a tie is half a win for each.
Every method has ``PRIOR`` wins and losses more, against an opponent of strength 0: so one that always wins has a finite
strength, and one that was never compared has none to show. The estimate is the maximum of a concave function, found by Newton's
steps.

Intervals resample raters and clips both, each with all that is theirs; with one rater, clips alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastvmt.core.spelling import shown
from fastvmt.reports.study.answers import Collected
from fastvmt.reports.study.key import CRITERIA, Key

if TYPE_CHECKING:
    from fastvmt.reports.tidy import Tidy

Numbers = NDArray[np.float64]
PRIOR = 0.5
DRAWS, STEPS = 1000, 100
"""Resamples, and Newton's steps at the most."""
OVERALL = "overall"
FEW_METHODS = 3
"""From so many methods an order can be held against another one."""


@dataclass(frozen=True)
class Strengths:
    """Of one criterion: by method log-odds against an average one, the ends of their interval, and in how many pairs it was."""

    value: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    pairs: dict[str, int]


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b of one metric with people's strengths, by criterion: value and the ends of its interval."""

    metric: str
    tau: dict[str, tuple[float, float, float]]

    @property
    def disagrees(self) -> list[str]:
        """Criteria by which people order the methods the other way round."""
        return [name for name, (_, _, high) in self.tau.items() if high < 0]


@dataclass(frozen=True)
class Arena:
    """What people said in pairs, and which metrics they agree with."""

    strengths: dict[str, Strengths]
    agreements: tuple[Agreement, ...] = ()


def bradley_terry(wins: Numbers, prior: float = PRIOR) -> Numbers:
    """Strengths (..., k) from wins (..., k, k), of the row's method over the column's.

    >>> bradley_terry(np.array([[0.0, 3.0], [1.0, 0.0]]), prior=1e-9).round(4).tolist()
    [0.5493, -0.5493]
    """
    k = wins.shape[-1]
    theta = np.zeros(wins.shape[:-1])
    games, own = wins + wins.swapaxes(-1, -2), np.eye(k)
    for _ in range(STEPS):
        likely = _sigmoid(theta[..., :, None] - theta[..., None, :])
        alone = _sigmoid(theta)
        slope = (wins - games * likely).sum(-1) + prior * (1 - 2 * alone)
        bend = games * likely * (1 - likely)
        whole = (bend.sum(-1) + 2 * prior * alone * (1 - alone))[..., None] * own - bend
        step = np.linalg.solve(whole, slope[..., None])[..., 0]
        theta = theta + step * np.minimum(1.0, 2.0 / np.maximum(abs(step).max(-1, keepdims=True), 1e-12))
        if abs(step).max() < 1e-9:
            break
    return theta


def _sigmoid(x: Numbers) -> Numbers:
    return 1 / (1 + np.exp(-x))


def results(found: Collected, key: Key, tidy: Tidy | None = None, draws: int = DRAWS) -> Arena:
    """Strengths by criterion and ``overall``, which has the pairs of all three; with a run's numbers, how its metrics agree."""
    rows = [(rater, token) for rater, answers in sorted(found.raters.items())
            for token in sorted(answers) if key.questions[token].check is None]  # fmt: skip
    clip_of = {c.id: c.reference.frames_digest for c in tidy.cases.values()} if tidy else {}
    case_of = {t: clip_of.get(key.questions[t].case, key.questions[t].case) for _, t in rows}
    clips = sorted({*case_of.values(), *clip_of.values()})
    chance, k = np.random.default_rng(0), len(key.methods)
    raters = sorted(found.raters)
    weights = _weights(chance, draws, len(raters))[:, _places(raters, [r for r, _ in rows])]
    by_clip = _weights(chance, draws, len(clips))
    weights = weights * by_clip[:, _places(clips, [case_of[t] for _, t in rows])]
    wins = {
        c: np.array([_win(found.raters[r][t].ranks[c], key, t) for r, t in rows]).reshape(len(rows), k * k) for c in CRITERIA
    }
    wins[OVERALL] = sum(wins.values(), np.zeros((len(rows), k * k)))
    drawn = {name: bradley_terry((weights @ each).reshape(-1, k, k)) for name, each in wins.items()}
    strengths = {name: _strengths(key.methods, each, drawn[name]) for name, each in wins.items()}
    agreements = _agreements(strengths, drawn, key.methods, tidy, clip_of, clips, by_clip) if tidy and k >= FEW_METHODS else ()
    return Arena(strengths, tuple(agreements))


def _places(names: Sequence[str], wanted: Sequence[str]) -> NDArray[np.int64]:
    at = {name: n for n, name in enumerate(names)}
    return np.array([at[name] for name in wanted], dtype=np.int64)


def _weights(chance: np.random.Generator, draws: int, n: int) -> Numbers:
    """How often each of n is drawn in each resample; one alone always once."""
    return chance.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)


def _win(ranks: dict[str, int], key: Key, token: str) -> Numbers:
    """(k, k) of one answer: 1 where the row's method is preferred to the column's, a half each where they tie."""
    (a, one), (b, other) = ((key.methods.index(c.method), ranks[t]) for t, c in key.questions[token].clips.items())
    found = np.zeros((len(key.methods), len(key.methods)))
    found[a, b] = 0.5 + 0.5 * np.sign(other - one)
    found[b, a] = 1 - found[a, b]
    return found


def _strengths(methods: Sequence[str], wins: Numbers, drawn: Numbers) -> Strengths:
    k = len(methods)
    table = wins.sum(0).reshape(k, k)
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    counts = (table + table.T).sum(1)
    value, least, most = (dict(zip(methods, map(float, row), strict=True)) for row in (bradley_terry(table), low, high))
    return Strengths(value, least, most, {m: round(n) for m, n in zip(methods, counts, strict=True)})


# --- metrics beside people -------------------------------------------------------------------------------------------------


def kendall_tau(a: Numbers, b: Numbers) -> Numbers:
    """Tau-b (...) of two sets of scores (..., k); NaN where all of one are equal.

    >>> kendall_tau(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])).round(4)
    np.float64(0.3333)
    """
    one, two = (np.sign(np.round(x[..., :, None] - x[..., None, :], 9)) for x in (a, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (one * two).sum((-2, -1)) / np.sqrt(abs(one).sum((-2, -1)) * abs(two).sum((-2, -1)))


def _agreements(
    strengths: dict[str, Strengths], drawn: dict[str, Numbers], methods: tuple[str, ...], tidy: Tidy,
    clip_of: dict[str, str], clips: list[str], weights: Numbers,
) -> list[Agreement]:  # fmt: skip
    """Of every metric of looks or motion that has a better end and numbers of all methods on a common set of clips."""
    found = []
    for label, metric in tidy.metrics.items():
        table = tidy.wide(label).reindex(columns=list(methods)).dropna()
        if metric.timing or metric.count or metric.direction not in ("up", "down") or table.empty:
            continue
        sign = 1.0 if metric.direction == "up" else -1.0
        by_clip = sign * table.groupby(table.index.get_level_values("case").map(clip_of)).mean()
        values, own = by_clip.to_numpy(), weights[:, _places(clips, list(by_clip.index))]
        with np.errstate(invalid="ignore", divide="ignore"):
            means = own @ values / own.sum(1, keepdims=True)
        taus = {}
        for name, each in strengths.items():
            value = float(kendall_tau(values.mean(0), np.array(list(each.value.values()))))
            some = kendall_tau(means, drawn[name])
            some = some[np.isfinite(some)]
            if math.isfinite(value) and some.size:
                low, high = np.quantile(some, [0.025, 0.975])
                taus[name] = (value, float(low), float(high))
        if taus:
            found.append(Agreement(label, taus))
    return found


# --- output ----------------------------------------------------------------------------------------------------------------


def as_lines(arena: Arena, found: Collected, key: Key) -> str:
    """The tables for a terminal, the strongest method first."""
    overall = arena.strengths[OVERALL]
    titles = [CRITERIA[c][0] if c in CRITERIA else "Overall" for c in arena.strengths]
    rows = [["strength ↑", *titles, "pairs"]]
    for m in sorted(key.methods, key=lambda m: -overall.value[m]):
        cells = [_cell(s.value[m], s.low[m], s.high[m]) if s.pairs[m] else "–" for s in arena.strengths.values()]
        rows.append([shown(m, 80), *cells, f"{overall.pairs[m] // len(CRITERIA)}"])
    lines = _aligned(rows)
    lines.append(f"n = {len(found.raters)} raters; 1 more strength wins 73 % of pairs, 2 more 88 %")
    lines.append("[ ]: 95 % bootstrap interval over raters and clips; overall: the pairs of all three; a tie is half a win")
    lines += [f"never compared: {shown(m, 80)}" for m in key.methods if not overall.pairs[m]]
    if arena.agreements:
        lines += _aligned([["Kendall's tau ↑", *titles],
                           *([shown(a.metric, 80), *(_cell(*a.tau[c]) if c in a.tau else "–" for c in arena.strengths)]
                             for a in arena.agreements)])  # fmt: skip
        lines += [sentence(a) for a in arena.agreements if a.disagrees]
    for rater, names in found.left_out.items():
        lines.append(f"left out: rater {rater} ({', '.join(names)})")
    return "\n".join(lines)


def sentence(found: Agreement) -> str:
    """Of a metric that people disagree with."""
    names = [CRITERIA[c][0].lower() if c in CRITERIA else "overall" for c in found.disagrees]
    return f"People disagree with {shown(found.metric, 80)}: it orders the methods the other way round ({', '.join(names)})."


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cell(value: float, low: float, high: float) -> str:
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"


def as_data(arena: Arena, found: Collected, key: Key) -> dict[str, Any]:
    """The same as plain data."""
    criteria = {
        name: {m: {"strength": s.value[m], "low": s.low[m], "high": s.high[m], "pairs": n} for m, n in s.pairs.items() if n}
        for name, s in arena.strengths.items()
    }
    taus = {
        a.metric: {c: dict(zip(("tau", "low", "high"), t, strict=True)) for c, t in a.tau.items()} for a in arena.agreements
    }
    return {
        "study": key.study, "suite_digest": key.suite_digest, "methods": list(key.methods), "raters": sorted(found.raters),
        "questions": len(key.questions),
        "answers": found.answers(), "files": found.files, "strengths": criteria, "kendall": taus,
        "disagree": [sentence(a) for a in arena.agreements if a.disagrees], "warnings": [vars(w) for w in found.warnings],
        "left_out": found.left_out,
    }  # fmt: skip

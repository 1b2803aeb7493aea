"""Mean ranks of methods from collected answers: intervals over raters, agreement, and their table.

Raters are the unit: ranks are averaged inside a rater first, and raters are what is resampled. What holds for the clips
that were asked need not hold for others: clips are not resampled.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvmt.core.disk.atomic import write_atomic
from fastvmt.core.spelling import csv_cell, shown
from fastvmt.errors import UserError
from fastvmt.reports.statistics import Interval, Scale, mean_interval
from fastvmt.reports.study.answers import Answer, Collected
from fastvmt.reports.study.key import CRITERIA, Key

FEW_RATERS = 10
OVERALL = "overall"

Table = NDArray[np.float64]


@dataclass(frozen=True)
class CriterionRanks:
    """One criterion: the mean rank of each method, and how far raters agree.

    Attributes:
        w: Kendall's W of the raters' mean ranks, ties corrected; w_one_clip: of their rankings of one question, averaged
            over the questions; None where fewer than two raters can agree.
        p: Friedman's, from the chi-squared distribution of raters x (methods - 1) x W.
    """

    means: dict[str, Interval]
    w: float | None
    p: float | None
    w_one_clip: float | None

    @property
    def sum(self) -> float:
        return math.fsum(i.value for i in self.means.values())


def kendall(scores: Table) -> tuple[float, float] | None:
    """Kendall's W over raters x methods, ties corrected, and Friedman's p; None for one rater or nothing but ties."""
    from scipy import stats

    raters, methods = scores.shape
    # Mean ranks that are equal on paper must tie, whatever order they were summed in.
    ranks = stats.rankdata(np.round(scores, 9), axis=1)
    ties = sum(float((n**3 - n).sum()) for n in (np.unique(row, return_counts=True)[1] for row in ranks))
    most = raters**2 * (methods**3 - methods) - raters * ties
    if raters < 2 or most <= 0:
        return None
    sums = ranks.sum(axis=0)
    w = float(12 * ((sums - sums.mean()) ** 2).sum() / most)
    return w, float(stats.chi2.sf(raters * (methods - 1) * w, methods - 1))


def results(found: Collected, key: Key) -> dict[str, CriterionRanks]:
    """Each criterion, and ``overall``: the mean of the three for each answer."""
    rows = [(rater, question) for rater, answers in sorted(found.raters.items()) for question in sorted(answers)]
    ranks = np.array(
        [[_by_method(found.raters[r][q], key, c) for c in CRITERIA] for r, q in rows], dtype=np.float64
    )  # answers x criteria x methods
    tables = {name: ranks[:, i] for i, name in enumerate(CRITERIA)} | {OVERALL: ranks.mean(axis=1)}
    who = np.array([r for r, _ in rows])
    what = np.array([q for _, q in rows])
    return {name: _judge(table, who, what, key.methods) for name, table in tables.items()}


def _by_method(answer: Answer, key: Key, criterion: str) -> list[int]:
    clips = key.questions[answer.question].clips
    given = {clips[token].method: rank for token, rank in answer.ranks[criterion].items()}
    return [given[m] for m in key.methods]


def _judge(table: Table, who: NDArray[np.str_], what: NDArray[np.str_], methods: tuple[str, ...]) -> CriterionRanks:
    scale = Scale(1.0, float(len(methods)))
    means = {m: mean_interval(table[:, i], clusters=who, scale=scale) for i, m in enumerate(methods)}
    agreed = kendall(np.array([table[who == rater].mean(axis=0) for rater in np.unique(who)]))
    by_clip = [kendall(table[what == question]) for question in np.unique(what)]
    known = [pair[0] for pair in by_clip if pair]
    w, p = agreed or (None, None)
    return CriterionRanks(means, w, p, float(np.mean(known)) if known else None)


# --- output ----------------------------------------------------------------------------------------------------------


def as_lines(result: dict[str, CriterionRanks], found: Collected, key: Key) -> str:
    """The table for a terminal, the best method overall first."""
    order = sorted(key.methods, key=lambda m: result[OVERALL].means[m].value)
    titles = [CRITERIA[c][0] if c in CRITERIA else "Overall" for c in result]
    rows = [["mean rank ↓", *titles]]
    rows += [[shown(m, 80), *(_cell(judged.means[m]) for judged in result.values())] for m in order]
    rows.append(["Kendall's W", *(_number(j.w) for j in result.values())])
    rows.append(["W on one clip", *(_number(j.w_one_clip) for j in result.values())])
    rows.append(["Friedman's p", *("–" if j.p is None else f"{j.p:.2g}" for j in result.values())])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    k, asked = len(key.methods), len(found.raters) * len(key.questions)
    whole = k * (k + 1) / 2
    holds = all(abs(j.sum - whole) < 1e-6 for j in result.values())
    lines.append(
        f"n = {_count(len(found.raters), 'rater')}, {found.answers()} of {_count(asked, 'answer')}; rank 1 of {k} is best"
    )
    lines.append("[ ]: 95 % bootstrap interval over raters; overall: mean of the three")
    lines.append(f"mean ranks sum to {result[OVERALL].sum:.3f}, k(k+1)/2 is {whole:g}: {'ok' if holds else 'DOES NOT HOLD'}")
    if len(found.raters) < FEW_RATERS:
        lines.append(f"fewer than {FEW_RATERS} raters: intervals are too narrow and p is rough")
    for rater, names in found.left_out.items():
        lines.append(f"left out: rater {rater} ({', '.join(names)})")
    return "\n".join(lines)


def _cell(interval: Interval) -> str:
    ends = "–" if math.isnan(interval.low) else f"{interval.low:.2f}, {interval.high:.2f}"
    return f"{interval.value:.3f} [{ends}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def as_data(result: dict[str, CriterionRanks], found: Collected, key: Key) -> dict[str, Any]:
    """The same as plain data; what is undefined is null."""

    def facts(i: Interval) -> dict[str, Any]:
        low, high = (None if math.isnan(x) else x for x in (i.low, i.high))
        return {"mean_rank": i.value, "low": low, "high": high, "n": i.n}

    criteria = {
        name: {
            "methods": {m: facts(i) for m, i in j.means.items()},
            "sum": j.sum, "kendall_w": j.w, "w_one_clip": j.w_one_clip, "friedman_p": j.p,
        }
        for name, j in result.items()
    }  # fmt: skip
    k = len(key.methods)
    return {
        "study": key.study, "methods": list(key.methods), "raters": sorted(found.raters), "questions": len(key.questions),
        "answers": found.answers(), "files": found.files, "expected_sum": k * (k + 1) / 2, "criteria": criteria,
        "warnings": [vars(w) for w in found.warnings], "left_out": found.left_out,
    }  # fmt: skip


def write_csv(path: Path, found: Collected, key: Key) -> None:
    """Every rank that counts, one a line, with the method named and the place on the screen (1 is first).

    Raises:
        UserError: when the file cannot be written.
    """
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n")
    write.writerow(["rater", "question", "case", "category", "method", "seed", "criterion", "rank", "place", "seconds"])
    for rater, answers in sorted(found.raters.items()):
        for token, answer in sorted(answers.items()):
            question = key.questions[token]
            for place, clip in enumerate(answer.order, start=1):
                shown = question.clips[clip]
                head = [*map(csv_cell, (rater, token, question.case, question.category, shown.method)), shown.seed]
                for criterion in CRITERIA:
                    write.writerow([*head, criterion, answer.ranks[criterion][clip], place, answer.seconds])
    try:
        write_atomic(path, text.getvalue())
    except OSError as error:
        raise UserError(f"--out {path}: cannot be written ({error.strerror}).") from None

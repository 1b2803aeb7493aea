"""What a run decides, in sentences made from its statistics, never typed.

Who follows the motion, what cannot be told apart, who is faster, what it costs in text alignment, and what the run cannot say.
That two methods differ is said only where ``apart`` tells them apart, as the marks of a table and ``bench compare`` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fastvmt.reports.statistics import MOST_CLIPS, Gap, clips_needed, fewest_clips
from fastvmt.reports.tables.headings import display
from fastvmt.reports.tables.shared_cases import apart, by_clip, common
from fastvmt.reports.tables.view import Column
from fastvmt.reports.tables.views import column_of, metrics_of, ratio_cell
from fastvmt.reports.tidy import Tidy

if TYPE_CHECKING:
    import pandas as pd

MOTION = ("trajectory", "motion_fidelity_tracked", "motion_fidelity_moving", "motion_fidelity")
"""Scores of motion; the one that separates transfer from none best comes first."""
NONE = "no transfer"
MOST_NAMES = 6
"""Names in a row; the rest are counted."""


@dataclass(frozen=True)
class Scores:
    """What one metric says of some methods: those with numbers, over the clips that all of these have."""

    tidy: Tidy
    metric: str
    labels: tuple[str, ...]

    @cached_property
    def table(self) -> pd.DataFrame:
        """Clips by methods."""
        return by_clip(common(self.tidy, self.metric, self.labels))

    @cached_property
    def means(self) -> dict[str, float]:
        """By label, the best first."""
        found = {str(k): float(v) for k, v in self.table.mean().items() if np.isfinite(v)}
        return dict(sorted(found.items(), key=lambda item: -self._sign * item[1]))

    @property
    def clips(self) -> int:
        return len(self.table)

    @property
    def enough(self) -> bool:
        """Whether so many clips can tell anything apart."""
        return self.clips >= fewest_clips()

    @cached_property
    def gaps(self) -> dict[tuple[str, str], Gap]:
        return apart(self.tidy, self.metric, self.labels)

    @property
    def column(self) -> Column:
        return column_of(self.tidy, self.metric)

    @property
    def name(self) -> str:
        """``motion fidelity``, without parameters, or what the reader calls it."""
        id, names = self.tidy.metrics[self.metric].id, self.tidy.names
        return names.get(self.metric) or names.get(id) or id.replace("_", " ")

    def names(self, labels: Sequence[str], last: str = "and") -> str:
        """Labels in a row, or what the reader calls them; of too many the first ones, and how many more there are."""
        words = [display(k, self.tidy) for k in labels]
        more = [f"{len(words) - MOST_NAMES} more"] if len(words) > MOST_NAMES else []
        return _joined([*words[:MOST_NAMES], *more], last)

    @property
    def _sign(self) -> int:
        return -1 if self.column.direction == "down" else 1

    @property
    def over(self) -> str:
        """``16 clips``, or how many of those that should have a number."""
        total = self.tidy.of(self.metric)["reference"].nunique()
        return _count(self.clips, "clip") if self.clips == total else f"{self.clips} of {_count(total, 'clip')}"

    def better(self, a: str, b: str) -> bool:
        """Whether a lies on the good side of b, and the two can be told apart."""
        gap = self.gaps[a, b]
        return gap.apart and gap.value * self._sign > 0

    def tied(self, a: str, others: Sequence[str]) -> list[str]:
        """Those that cannot be told from a."""
        return [k for k in others if not self.gaps[a, k].apart]

    def text(self, value: float) -> str:
        """As the table prints it, and no zero below zero."""
        said = self.column.text(value)
        return said.lstrip("-") if not said.strip("-0.") else said

    def values(self, labels: Sequence[str]) -> str:
        """Means as ``0.86 and 0.84``; of many the first and the last."""
        return _few([self.text(self.means[k]) for k in labels], "{} to {}")

    def differences(self, pairs: Sequence[tuple[str, str]]) -> str:
        """``0.84 [0.75, 0.93]`` of one pair, of two; of many the smallest and the largest."""
        found = [self.gaps[pair] for pair in pairs]
        found = found if len(found) < 3 else sorted(found, key=lambda gap: -gap.value)
        return _few([f"{self.text(g.value)} [{self.text(g.low)}, {self.text(g.high)}]" for g in found], "from {} to {}")

    def could(self, pairs: Sequence[tuple[str, str]]) -> str:
        """``; about 90 could``: how many clips would tell these pairs apart, were their differences as large as they look."""
        table, rows = self.table, len(self.means)
        found = [clips_needed((table[a] - table[b]).to_numpy(float), rows * (rows - 1) // 2) for a, b in pairs]
        # These clips could not, whatever the normal distribution says.
        ends = sorted({max(n, self.clips + 1) for n in found if n is not None})
        if not ends:
            return ""
        words = " to ".join(dict.fromkeys(map(_about, (ends[0], ends[-1]))))
        return f"; {'about ' if ends[0] <= MOST_CLIPS else ''}{words} could"


def motion_score(tidy: Tidy) -> str:
    """The metric that stands for following the motion: the first that some video has a number of, or ""."""
    found = metrics_of(tidy, MOTION)
    return next((metric for metric in found if tidy.of(metric)["value"].notna().any()), next(iter(found), ""))


def verdict(tidy: Tidy, labels: Sequence[str]) -> tuple[str, ...]:
    """The sentences about these methods of a run: all rows of its table, controls included."""
    methods = [k for k in labels if not tidy.methods[k].control and not tidy.copies(k)]
    copies = [k for k in labels if tidy.copies(k)]
    if not any(tidy.counts[k].made for k in labels if k in tidy.counts):
        said = ["No video has been made yet."]
    elif not methods and copies:
        said = ["There is no method to judge."]
    elif not methods:
        said = ["Only controls were run: there is no method to judge."]
    else:
        said = _decided(tidy, tuple(labels), methods)
    if copies:
        them = Scores(tidy, "", ()).names(copies)
        said = [
            *said,
            f"The videos of {them} are (nearly) the reference itself: a copy gets its motion for free, and is not ranked.",
        ]
    return (*said, *_cannot_say(tidy, labels))


def _decided(tidy: Tidy, labels: tuple[str, ...], methods: Sequence[str]) -> list[str]:
    motion = _scores(tidy, _motion_ids(tidy), labels)
    if motion is None:
        there = any(tidy.of(m)["value"].notna().any() for m in metrics_of(tidy, _motion_ids(tidy)))
        why = "No clip has a score of motion from every method" if there else "There is no score of motion"
        return [f"{why}, so this run cannot say who follows the motion.", *_speed(tidy, labels, methods)]
    if not motion.enough:
        few = f"{_count(motion.clips, 'clip')} {'is' if motion.clips == 1 else 'are'} too few to tell methods apart"
        return [f"{few}: below {fewest_clips()} every difference may be chance.", *_speed(tidy, labels, methods)]
    floor = next((k for k in motion.means if tidy.methods[k].method == "none"), "")
    ranked = [k for k in motion.means if k in methods]
    followers = [k for k in ranked if floor and motion.better(k, floor)]
    said = _who_follows(motion, ranked, followers, floor)
    said += _who_leads(motion, ranked) if followers or not floor else []
    said += _speed(tidy, labels, followers if len(followers) > 1 else methods)
    return said + (_text_alignment(tidy, labels, followers, floor) if followers else [])


def _motion_ids(tidy: Tidy) -> list[str]:
    """Scores of motion by id, the first choice first: other forms of the fidelity come last."""
    others = [m.id for m in tidy.metrics.values() if m.id.startswith("motion_fidelity") and m.direction == "up"]
    return list(dict.fromkeys([*MOTION, *others]))


def _scores(tidy: Tidy, ids: Sequence[str], labels: tuple[str, ...]) -> Scores | None:
    """The first of these metrics with clips enough, else the first with most."""
    found = [Scores(tidy, metric, labels) for metric in metrics_of(tidy, ids)]
    found = [scores for scores in found if scores.means]
    return next((s for s in found if s.enough), max(found, key=lambda s: s.clips, default=None))


def _who_follows(motion: Scores, ranked: Sequence[str], followers: Sequence[str], floor: str) -> list[str]:
    """Who lies above no transfer, and who does not."""
    if not ranked:
        return [f"No method has a {motion.name}, so this run cannot say who follows the motion."]
    if not floor:
        said = f"There is no {motion.name} of {NONE} (the control none), so this run cannot say who follows the motion"
        return [f"{said}; it is {motion.values(ranked)} for {motion.names(ranked)} ({motion.over})."]
    below = [k for k in ranked if motion.better(floor, k)]
    unclear = [k for k in ranked if k not in followers and k not in below]
    none = f"{NONE} {motion.text(motion.means[floor])}"
    if not followers:
        shown = [(k, floor) for k in unclear if motion.means[k] > motion.means[floor]]
        said = f"These {motion.clips} clips do not show that {motion.names(ranked, 'or')} follows the reference's motion"
        said += f": {motion.name} {motion.values(ranked)}, {none}{motion.could(shown)}"
        return [f"{said}." if not below else f"{said}; {motion.names(below)} {_verb(below, 'lies', 'lie')} below it."]
    several = "differences" if len(followers) > 1 else "difference"
    said = f"{motion.names(followers)} {_verb(followers, 'follows', 'follow')} the reference's motion: {motion.name} "
    said += f"{motion.values(followers)}, {none} "
    said += f"({several} {motion.differences([(k, floor) for k in followers])}, {motion.over})"
    said += f"; {motion.names(unclear)} cannot be told from {NONE}" if unclear else ""
    return [said + (f"; {motion.names(below)} {_verb(below, 'lies', 'lie')} below it." if below else ".")]


def _who_leads(motion: Scores, ranked: Sequence[str]) -> list[str]:
    """Whether the first can be told from the others, and how many clips could."""
    if len(ranked) < 2:
        return []
    first, *others = ranked
    tied = motion.tied(first, others)
    if tied:
        pairs = [(first, k) for k in tied]
        by = f" (difference {motion.differences(pairs)})" if len(tied) == 1 else ""
        said = f"These {motion.clips} clips cannot tell {motion.names([first])} from {motion.names(tied, 'or')} in motion"
        return [f"{said}{by}{motion.could(pairs)}."]
    next_one = motion.names(others[:1])
    beside = next_one if len(others) == 1 else f"all others, above the next one, {next_one},"
    return [f"In motion {motion.names([first])} lies above {beside} by {motion.differences([(first, others[0])])}."]


def _speed(tidy: Tidy, labels: tuple[str, ...], methods: Sequence[str]) -> list[str]:
    """Who is faster than whom by which factor; nothing where seconds cannot be compared."""
    seconds = _scores(tidy, ("time",), labels)
    ranked = [k for k in seconds.means if k in methods] if seconds and seconds.enough else []
    if seconds is None or len(ranked) < 2:
        return []
    first, *others = ranked
    ratios = {k: ratio_cell(tidy, k, first, seconds.metric) for k in others}
    slower = [k for k in others if seconds.better(first, k) and (ratios[k].low or 0.0) > 1]
    tied = seconds.tied(first, others)

    def times(label: str) -> str:
        cell = ratios[label]
        ends = "" if cell.low is None or cell.high is None else f" [{cell.low:z.2f}, {cell.high:z.2f}]"
        return f"{cell.value:z.2f}{ends}"

    if slower:
        than = [f"{times(k)} times as fast as {seconds.names([k])}" for k in dict.fromkeys((slower[0], slower[-1]))]
        said = f"{seconds.names([first])} is {_joined(than)}"
        said += f"; these clips cannot tell it from {seconds.names(tied, 'or')} in seconds" if tied else ""
    elif not tied:
        return []
    else:
        said = f"These {seconds.clips} clips cannot tell {seconds.names([first])} from {seconds.names(tied, 'or')} in seconds"
        said += f" (ratio {times(tied[0])})" if len(tied) == 1 and ratios[tied[0]].value is not None else ""
    return [
        f"On a busy machine: {said.replace('These', 'these', 1)}." if any(tidy.counts[k].busy for k in ranked) else f"{said}."
    ]


def _text_alignment(tidy: Tidy, labels: tuple[str, ...], followers: Sequence[str], floor: str) -> list[str]:
    """What following costs in text alignment, over no transfer."""
    text = _scores(tidy, ("text_similarity",), labels)
    ranked = [k for k in text.means if k in followers] if text and text.enough and floor in text.means else []
    if text is None or not ranked:
        return []
    lower = [k for k in ranked if text.better(floor, k)]
    higher = [k for k in ranked if text.better(k, floor)]
    same = [k for k in ranked if k not in lower and k not in higher]
    floor_text = text.text(text.means[floor])
    if not lower and not higher:
        told = f"cannot be told from {NONE} ({text.values(same)}; {NONE} {floor_text}, {text.over})"
        return [f"In {text.name} {text.names(same)} {told}."]
    said = [
        f"{text.names(who)} {_verb(who, 'lies', 'lie')} {side} {NONE} by {text.differences(pairs)}"
        for who, side, pairs in (
            (lower, "below", [(floor, k) for k in lower]),
            (higher, "above", [(k, floor) for k in higher]),
        )
        if who
    ]
    said += [f"{text.names(same)} cannot be told from it"] if same else []
    return [f"In {text.name} {'; '.join(said)} ({NONE} {floor_text}, {text.over})."]


def _cannot_say(tidy: Tidy, labels: Sequence[str]) -> list[str]:
    """Videos that are not there, a single seed, and what the backbone's card wants said."""
    counts = [(display(k, tidy), tidy.counts[k]) for k in labels if k in tidy.counts]
    # Of an imported method, a video that was not given is not there; nothing of ours failed.
    lost = [(k, sum(n for kind, n in c.failed.items() if kind != "not_given"), c) for k, c in counts]
    failed = [(k, n, c.planned) for k, n, c in lost if n]
    absent = [(k, gone, c.planned) for k, n, c in lost if (gone := c.planned - c.made - n)]
    said = [f"{_lost(failed)} failed."] if failed else []
    if absent and any(c.made for _, c in counts):
        said.append(f"{_lost(absent)} {'is' if sum(n for _, n, _ in absent) == 1 else 'are'} missing.")
    said += ["One seed was run: another may give other numbers."] if len(tidy.seeds) == 1 else []
    return said + ([tidy.caveat] if tidy.caveat else [])


def _lost(found: Sequence[tuple[str, int, int]]) -> str:
    """``3 of 16 videos of x and 1 of 16 of y``."""
    if len(found) > MOST_NAMES // 2:
        many, total = sum(n for _, n, _ in found), sum(total for _, _, total in found)
        return f"{many} of {total} videos of {len(found)} methods"
    return _joined([f"{n} of {total} {'of' if at else 'videos of'} {k}" for at, (k, n, total) in enumerate(found)])


# --- words ---------------------------------------------------------------------------------------------------------------


def _joined(words: Sequence[str], last: str = "and") -> str:
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else words[0]


def _few(words: Sequence[str], span: str) -> str:
    """One word, two, or the last and the first of a falling row."""
    return _joined(words) if len(words) < 3 else span.format(words[-1], words[0])


def _verb(labels: Sequence[str], one: str, several: str) -> str:
    return one if len(labels) == 1 else several


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _about(clips: int) -> str:
    """A number of clips that is an estimate: two digits are what it is worth."""
    step = 10 if clips >= 100 else 1
    return f"more than {MOST_CLIPS:,}" if clips > MOST_CLIPS else str(-(-clips // step) * step)

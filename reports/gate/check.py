"""Is a run worse than a baseline? Decided by intervals over reference clips (``verdicts``), and by means
where chance has no part in them (``_Sides.exact``).

from fastvmt.reports.gate import baseline, tolerances
from fastvmt.reports.gate.check import check
found = check(baseline.of(gather([run])), baseline.read(file), tolerances.read(toml))
found.exit_code()    # 0 nothing worse, 1 worse, 4 nothing was compared or something is missing
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property, partial

from fastvmt.errors import SpecError
from fastvmt.records.identity import OF_THE_MACHINE, differing
from fastvmt.reports.gate import within_run
from fastvmt.reports.gate.baseline import UNKNOWN, Key, Measured, MetricFacts, Timed, Video, named
from fastvmt.reports.gate.tolerances import Tolerance, Tolerances
from fastvmt.reports.gate.verdicts import VIDEOS, Gains, GateResult, Judgement, counted, judged
from fastvmt.reports.statistics import mean_interval

NOT_IN_RUN, NOT_MADE, NOT_SCORED = "not in the run", "not made", "not scored"
MISSING = {NOT_IN_RUN, NOT_MADE, NOT_SCORED}
"""Gaps of a run that has not done what its baseline did."""
PACKAGE = "fastvmt-bench"
GONE = {NOT_SCORED, "failed", "undefined"}
"""Gaps of a video that was made, where the baseline has a number."""
OTHER_DEVICE, OTHER_CONDITIONS, TAKEN_OVER = "another device", "other conditions", "taken over from another run"


def check(run: Measured, base: Measured | None, tolerances: Tolerances) -> GateResult:
    """Every verdict the tolerances ask for, in their order."""
    run = _as_baseline_says(run, base) if base else run
    refused = _refusal(run, base) if base else ""
    rows: list[Judgement] = []
    notes: list[str] = []
    if base and not refused:
        rows += _videos(run, base)
        notes += _notes(run, base)
    why = refused or ("" if base else "no baseline was given")
    rows += _metric_rows(run, base, tolerances, why)
    for asked in tolerances.speed_up:
        rows += within_run.speed_up(run, base, asked, why)
    rows += [within_run.better(run, base, asked) for asked in tolerances.better]
    if base and not refused:
        rows += _unasked(run, base, {(r.metric, r.method) for r in rows})
    return GateResult(run.title, tuple(rows), tuple(notes), refused)


def _as_baseline_says(run: Measured, base: Measured) -> Measured:
    """The run with the baseline's word on which way is better and what is a timing: a run folder may come from anywhere."""
    found = dict(run.metrics)
    for label in found.keys() & base.metrics.keys():
        before = base.metrics[label]
        if before.direction != "unknown":
            said = {"direction": before.direction, "timing": before.timing, "count": before.count or found[label].count}
            found[label] = found[label].model_copy(update=said)
    return run.model_copy(update={"metrics": found})


# --- what can be compared at all --------------------------------------------------------------------------------------


def _refusal(run: Measured, base: Measured) -> str:
    if run.suite_digest != base.suite_digest:
        return (
            f"the run is of another suite ({run.suite} {run.suite_digest[:12]}) than the baseline "
            f"({base.suite} {base.suite_digest[:12]})"
        )
    now, before = run.setting.identity(), base.setting.identity()  # not where a backbone's folder lies
    if names := [k for k in type(run.setting).model_fields if now.get(k) != before.get(k)]:
        both = f" ({run.setting.fairness} and {base.setting.fairness})" if {"protocol", "budget", "profile"} & {*names} else ""
        return f"run and baseline differ in {', '.join(names)}{both}"
    return ""


def _notes(run: Measured, base: Measured) -> list[str]:
    notes = []
    devices = [sorted({v.device for v in side.videos if v.device}) for side in (run, base)]
    if devices[0] != devices[1]:
        notes.append(f"made on another device: {', '.join(devices[0])}; the baseline on {', '.join(devices[1])}.")
    for words, side in (("the run's", run), ("the baseline's", base)):
        if busy := sum(v.busy for v in side.videos):
            notes.append(
                f"{busy} of {words} {len(side.videos)} videos were made on a busy machine; do not trust seconds, only ratios."
            )
    if run.timed and not base.timed and any(m.timing for m in base.metrics.values()):
        notes.append("the baseline does not say its threads, offloading and repeats; they are taken for the run's.")
    packages = [{k: v for s in side.software for k, v in s.items()} for side in (run, base)]
    if changed := [f"{k} {packages[1][k]} → {v}" for k, v in packages[0].items() if packages[1].get(k, v) != v]:
        notes.append(f"other software than the baseline's: {', '.join(changed)}.")
    for label, facts in run.methods.items():
        before = base.methods.get(label)
        if before and before.identity != facts.identity:
            notes.append(f"{label}: {_differing(before.identity, facts.identity)} changed since the baseline.")
    return notes


def _differing(before: dict[str, object], now: dict[str, object]) -> str:
    found = []
    for key in sorted(before.keys() | now.keys()):
        a, b = before.get(key), now.get(key)
        if isinstance(a, dict) and isinstance(b, dict) and a != b:
            found.append(_differing(a, b))
        elif a != b:
            found.append(f"{key} ({a} → {b})")
    return ", ".join(found)


def _videos(run: Measured, base: Measured) -> list[Judgement]:
    """A row for each method that has lost videos since the baseline: to failures, or because they were not made."""
    rows = []
    for label in base.methods:
        now = run.of_method(label)
        had = {k for k, v in base.of_method(label).items() if v.frames_digest}
        row = partial(Judgement, VIDEOS, label, n=len(had), clips=len({run.references.get(k[0]) for k in had}))
        lost = [k for k in sorted(had) if not (k in now and now[k].frames_digest)]
        failed = [k for k in lost if k in now and now[k].failed]
        if failed:
            sentence = f"{len(failed)} of {len(had)} videos that the baseline has failed: {_named(now, failed, '')}"
            rows.append(row("worse", sentence))
        if absent := [k for k in lost if k not in failed]:
            many = "is" if len(absent) == 1 else "are"
            sentence = f"{len(absent)} of {len(had)} videos that the baseline has {many} not there: {_named(now, absent, '')}"
            rows.append(row("not compared", sentence, missing=True))
    return rows


def _unasked(run: Measured, base: Measured, asked: set[tuple[str, str]]) -> list[Judgement]:
    """A row for each number that nobody judges, a control's for instance, which the baseline has of more of the videos."""
    rows = []
    for label in base.methods:
        now, before = run.of_method(label), base.of_method(label)
        for metric in base.metrics:
            had = [k for k, v in before.items() if metric in v.values]
            gone = [k for k in had if k in now and _gap(now[k], metric) in GONE and now[k].frames_digest]
            if gone and (metric, label) not in asked:
                sentence = f"{len(gone)} of {len(had)} numbers that the baseline has are not there: {_named(now, gone, metric)}"
                rows.append(Judgement(metric, label, "not compared", sentence, unmet=True))
    return rows


def _named(now: dict[Key, Video], keys: Sequence[Key], metric: str) -> str:
    return named([f"{k[0]} seed {k[1]} ({_gap(now.get(k), metric)})" for k in keys])


# --- metrics against the baseline --------------------------------------------------------------------------------------


def _metric_rows(run: Measured, base: Measured | None, tolerances: Tolerances, why: str) -> list[Judgement]:
    known = (base.metrics if base else {}) | run.metrics
    methods = {k: m.control for side in (base, run) if side for k, m in side.methods.items()}
    taken: set[tuple[str, str]] = set()
    rows: list[Judgement] = []
    asked = tolerances.metrics is not None
    for pattern in tolerances.patterns:
        labels = [m for m in known if fnmatchcase(m, pattern) or m == pattern]
        plain = [m for m in labels if known[m].direction in ("none", "unknown")]
        unknown = {(m, "") for m in plain if known[m].direction == "unknown"}
        rows += [Judgement(m, "", "not compared", UNKNOWN, unmet=True) for m, _ in sorted(unknown - taken)]
        taken |= unknown
        if pattern in plain and not unknown:
            raise SpecError(
                f"tolerance for '{pattern}': neither more nor less of it is better, so it cannot be worse. Leave it out."
            )
        pairs = [
            (m, label) for m in labels if m not in plain for label, control in methods.items()
            if tolerances.under(pattern, m, known[m]).covers(label, control)
        ]  # fmt: skip
        if not pairs:
            why_not = "no metric and method of run or baseline match"
            rows.append(Judgement(pattern, "", "not compared", why_not, unmet=asked))
        for pair in pairs:
            if pair not in taken:
                taken.add(pair)
                facts = known[pair[0]]
                rows.append(_metric(run, base, *pair, facts, tolerances.under(pattern, pair[0], facts), why, asked))
    return rows


def _metric(
    run: Measured, base: Measured | None, metric: str, label: str, facts: MetricFacts, allowed: Tolerance, why: str,
    asked: bool,
) -> Judgement:  # fmt: skip
    row = partial(Judgement, metric, label)
    if base is None or why:
        return row("not compared", why)
    two = _Sides(run, base, metric, label, facts, run.of_method(label), base.of_method(label))
    if why := _no_metric(run, metric, label, "the run"):
        return row("not compared", why, unmet=True, missing=bool(two.had))
    if why := _no_metric(base, metric, label, "the baseline"):
        # What is new in a run fails nothing unless somebody has named it in a file.
        return row("not compared", why, unmet=asked)
    if why := _not_alike(run, base, metric, label):
        return row("not compared", why, unmet=True)
    found = _compared(row, two, allowed)
    if found.verdict != "not compared" and found.n < len(two.had):
        found = replace(found, unmet=True)
    if not any(_gap(two.now.get(k), metric) in MISSING for k in two.had):
        return found
    return replace(found, verdict=found.verdict if found.verdict == "worse" else "not compared", missing=True)


@dataclass(frozen=True)
class _Sides:
    """Two runs and what one method has in each. ``had``: the cases and seeds whose number the baseline has."""

    run: Measured
    base: Measured
    metric: str
    label: str
    facts: MetricFacts
    now: dict[Key, Video]
    before: dict[Key, Video]

    @cached_property
    def had(self) -> list[Key]:
        return [k for k, v in self.before.items() if self.metric in v.values]

    def otherwise(self, key: Key) -> str:
        """What but device and software keeps the seconds of a video apart on the two sides, or ""."""
        pairs = [(self.base, self.before.get(key)), (self.run, self.now.get(key))]
        said = [s.conditions[v.conditions].said() for s, v in pairs if v and 0 <= v.conditions < len(s.conditions)]
        if len(said) < 2:
            return ""
        return ", ".join(
            f"{k}: {said[0].get(k, 'not said')} in the baseline, {said[1].get(k, 'not said')} in the run"
            for k in differing(*said)
        )

    def exact(self, keys: Sequence[Key]) -> bool:
        """Whether these numbers can differ by nothing but the change that is judged: scores of videos made on one machine, with
        one software but for ours, and never seen to differ by themselves."""
        pairs = [(self.now[k], self.before[k]) for k in keys]
        if self.facts.count or self.facts.timing:
            return self.facts.count
        return not any(
            a.device != b.device or a.unsteady or b.unsteady or _packages(self.run, a) != _packages(self.base, b)
            for a, b in pairs
        )


def _packages(side: Measured, video: Video) -> dict[str, str] | None:
    there = 0 <= video.software < len(side.software)
    return {k: v for k, v in side.software[video.software].items() if k != PACKAGE} if there else None


def _compared(row: partial[Judgement], two: _Sides, allowed: Tolerance) -> Judgement:
    """The verdict on the numbers that both sides have, in the ``row`` of its metric and method."""
    now, before, had, metric, facts = two.now, two.before, two.had, two.metric, two.facts
    shared = [k for k in had if k in now and metric in now[k].values]
    if facts.timing:
        if why := _timed_differently(two.run, two.base):
            return row("not compared", why)
        shared = [k for k in shared if now[k].device == before[k].device and not two.otherwise(k)]
        if had and not shared:
            why = _no_seconds(two)
            return row("not compared", why, unmet=not why.startswith((OTHER_DEVICE, OTHER_CONDITIONS)))
    lost = [k for k in had if k not in shared]
    missing = f"; without {len(lost)} of {len(had)}: {_named(now, lost, metric)}" if lost else ""
    gaps = [now[k].gaps.get(metric) for k in lost if k in now and now[k].frames_digest]
    if "failed" in gaps:
        return row("worse", f"the metric now fails on {gaps.count('failed')} of {len(had)} videos{missing}", n=len(shared))
    if not shared:
        # A mean over nothing cannot be worse, and a method that left nothing to measure is.
        gone = gaps.count("undefined") == len(had) > 1
        return row("worse" if gone else "not compared", f"no video has a number on both sides{missing}", unmet=not gone)
    a, b = ([side[k].values[metric] for k in shared] for side in (now, before))
    clip = [two.run.references[k[0]] for k in shared]
    means, gains = _means(a, b, clip, facts), replace(_gains(a, b, clip, facts, allowed), exact=two.exact(shared))
    if not lost and not facts.timing and all(_same(now[k], before[k], metric) for k in shared):
        clips = len({k[0] for k in shared})
        return row("identical", f"the same {len(shared)} videos and numbers", 0.0, n=len(shared), clips=clips, gains=gains)
    if facts.count:
        return counted(metric, two.label, gains, [f"{k[0]} seed {k[1]}" for k in shared], means, facts, missing)
    found = judged(metric, two.label, gains, means, facts, missing)
    return replace(found, verdict="unclear") if "undefined" in gaps and found.verdict in ("same", "better") else found


def _same(a: Video, b: Video, metric: str) -> bool:
    return a.frames_digest == b.frames_digest and a.values[metric] == b.values[metric]


def _no_metric(side: Measured, metric: str, label: str, words: str) -> str:
    if label not in side.methods:
        return f"{words} has no method of this name"
    return "" if metric in side.metrics else f"{words} was not scored with it"


def _not_alike(run: Measured, base: Measured, metric: str, label: str) -> str:
    if run.methods[label].preset != base.methods[label].preset:
        return f"another preset ({base.methods[label].preset} → {run.methods[label].preset})"
    a, b = base.metrics[metric].identity, run.metrics[metric].identity
    if base.metrics[metric].timing:  # old baselines hold the machine too, which is nothing of the metric's own
        a = {k: v for k, v in a.items() if k in b or k not in OF_THE_MACHINE}
    return f"another metric under this name: {_differing(a, b)}" if a != b else ""


def _timed_differently(run: Measured, base: Measured) -> str:
    """What besides the machine keeps seconds, memory and energy of two runs apart, or ""."""
    if run.timed is None or base.timed is None:
        return ""
    pairs = [(k, getattr(base.timed, k), getattr(run.timed, k)) for k in Timed.model_fields]
    found = [f"{k} {before} → {now}" for k, before, now in pairs if before != now]
    return f"timed differently: {', '.join(found)}" if found else ""


def _no_seconds(two: _Sides) -> str:
    now, before, had = two.now, two.before, two.had
    devices = [sorted({side[k].device for k in had if k in side and side[k].device}) for side in (before, now)]
    if devices[0] != devices[1] and devices[1]:
        return f"another device (baseline: {', '.join(devices[0])}; run: {', '.join(devices[1])})"
    if otherwise := next(filter(None, (two.otherwise(k) for k in had)), ""):
        return f"{OTHER_CONDITIONS} ({otherwise})"
    reasons = sorted({_gap(now.get(k), two.metric) for k in had})
    return f"no video has a number on both sides ({', '.join(reasons)})"


def _gap(video: Video | None, metric: str) -> str:
    """Why a video has no number, in a word or two."""
    if video is None:
        return NOT_IN_RUN
    if not video.frames_digest:
        return video.failed or NOT_MADE
    words = {"elsewhere": TAKEN_OVER, "missing": NOT_SCORED}
    gap = video.gaps.get(metric, "missing")
    return f"{OTHER_DEVICE} or {OTHER_CONDITIONS}" if metric in video.values else words.get(gap, gap)


def _gains(a: list[float], b: list[float], clips: list[str], facts: MetricFacts, allowed: Tolerance) -> Gains:
    """Run ``a`` over baseline ``b``. A relative tolerance of times is one of ratios, of scores one of the baseline's mean."""
    sign = facts.sign
    if allowed.relative is not None and facts.timing and min(*a, *b) > 0:
        values = tuple(sign * (math.log(x) - math.log(y)) for x, y in zip(a, b, strict=True))
        return Gains(values, tuple(clips), -sign * math.log1p(-sign * allowed.relative), log=True)
    share = 0.0 if allowed.relative is None else allowed.relative * abs(mean_interval(b, clips).value)
    values = tuple(sign * (x - y) for x, y in zip(a, b, strict=True))
    return Gains(values, tuple(clips), share if allowed.absolute is None else allowed.absolute)


def _means(a: list[float], b: list[float], clips: list[str], facts: MetricFacts) -> str:
    before, now = (f"{mean_interval(side, clips).value:.{facts.decimals}f}" for side in (b, a))
    return f"{before} → {now}{' ' + facts.unit if facts.unit else ''}"

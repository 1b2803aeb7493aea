"""Checks of the gate inside one run: speed-up of one method over another, and one method better than another.

Both sides of a ratio were made on one machine, so a floor under it holds on any; so does the comparison of the run's ratio with
the baseline's, as far as the two machines share a kind of device.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace

from fastvmt.errors import SpecError
from fastvmt.reports.gate.baseline import UNKNOWN, Key, Measured, MetricFacts, Video
from fastvmt.reports.gate.tolerances import Better, SpeedUp
from fastvmt.reports.gate.verdicts import Gains, Judgement, floored, judged
from fastvmt.reports.statistics import mean_interval


def _logs(side: Measured, asked: SpeedUp) -> dict[Key, float]:
    """By case and seed: logarithm of seconds of ``over`` by seconds of ``of``, both made on one device."""
    of, over = side.of_method(asked.of), side.of_method(asked.over)
    found = {}
    for key in of.keys() & over.keys():
        processor = asked.clock == "processor"
        a, b = of[key].seconds(asked.stage, processor), over[key].seconds(asked.over_stage or asked.stage, processor)
        if a and b and of[key].device == over[key].device:
            found[key] = math.log(b / a)
    return dict(sorted(found.items()))


def _nothing_left(run: Measured, label: str, metric: str = "") -> str:
    """What left a method of the run without anything to measure: failures of every video or, of a metric, no number; ""."""
    videos = run.of_method(label).values()
    ends = [v.failed or (v.gaps.get(metric, "") if metric not in v.values else "") for v in videos]
    if not ends or not all(v.failed or e in ("failed", "undefined") for v, e in zip(videos, ends, strict=True)):
        return ""
    reasons = ", ".join(sorted(set(ends)))
    return f"nothing of it is left to measure: {len(ends)} of {len(ends)} videos without a number ({reasons})"


def _lacking(run: Measured, base: Measured | None, labels: tuple[str, str], metric: str = "") -> int:
    """How many planned videos of two methods have no frames, or none of this number though it has one for them; what the
    baseline lacks as well is no news."""

    def there(v: Video | None) -> bool:
        return v is not None and bool(v.frames_digest) and v.gaps.get(metric) not in ("failed", "missing")

    before = {label: base.of_method(label) if base else {} for label in labels}
    return sum(
        not there(v) and not (k in before[m] and not there(before[m][k])) for m in labels for k, v in run.of_method(m).items()
    )


def _unpaired(run: Measured, base: Measured | None, label: str, here: Collection[Key], before: Collection[Key]) -> bool:
    """Whether a planned video is in no pair of the run's, though it may be in one of the baseline's."""
    known = base.of_method(label) if base else {}
    return any(k not in here and (k in before or k not in known) for k in run.of_method(label))


def _whole(found: Judgement, lacking: int, unpaired: bool) -> Judgement:
    """A check over a part of what was planned is none, unless that part is worse already."""
    if not lacking:
        return replace(found, unmet=found.unmet or unpaired)
    return replace(found, verdict=found.verdict if found.verdict == "worse" else "not compared", missing=True)


def _gains(
    run: Measured, values: dict[Key, float], tolerance: float = 0.0, log: bool = False, floor: float | None = None
) -> Gains:
    return Gains(tuple(values.values()), tuple(run.references[case] for case, _ in values), tolerance, log, floor)


def speed_up(run: Measured, base: Measured | None, asked: SpeedUp, why: str) -> list[Judgement]:
    here = _logs(run, asked)
    absent = [m for m in (asked.of, asked.over) if m not in run.methods]
    none = f"no pair has seconds of both{' in stage ' + asked.stage if asked.stage else ''}"
    if absent:
        none = f"the run has no method {' and no method '.join(absent)}"
    gone = _nothing_left(run, asked.of)
    lacking = len(absent) or _lacking(run, base, (asked.of, asked.over))
    unpaired = _unpaired(run, base, asked.of, here, _logs(base, asked) if base else ())
    rows = []
    if asked.at_least is not None:
        name = f"{asked.name}: floor"
        gains = _gains(run, here, log=True, floor=math.log(asked.at_least))
        words = f"speed-up {{}}, at least {asked.at_least:g} is asked for{_without(run, asked.of, len(here))}"
        row = floored(name, asked.of, gains, words, 2) if here else _not_made(name, asked.of, gone, none)
        rows.append(_whole(row, lacking, unpaired))
    if asked.relative is not None:
        name = f"{asked.name}: against baseline"
        row = _against(run, base, asked, here, why) if here or why else _not_made(name, asked.of, gone, none)
        rows.append(row if why else _whole(row, lacking, unpaired))
    return rows


def _not_made(name: str, label: str, gone: str, why: str) -> Judgement:
    """A check without a pair: worse where the method itself left nothing, else not compared although it was asked for."""
    return Judgement(name, label, "worse", gone) if gone else Judgement(name, label, "not compared", why, unmet=True)


def _against(run: Measured, base: Measured | None, asked: SpeedUp, here: dict[Key, float], why: str) -> Judgement:
    """The speed-up against the baseline's own one; the machine cancels out in each."""
    name, relative = f"{asked.name}: against baseline", asked.relative or 0.0
    if not why and base and run.device != base.device:
        why = f"another kind of device (baseline: {base.device}; run: {run.device})"
    before = _logs(base, asked) if base else {}
    shared = [k for k in here if k in before]
    if why:
        return Judgement(name, asked.of, "not compared", why)
    if not shared:
        why = "the baseline has no seconds of both methods for these cases"
        return Judgement(name, asked.of, "not compared", why, unmet=True)
    gains = _gains(run, {k: here[k] - before[k] for k in shared}, -math.log1p(-relative), log=True)
    a, b = (math.exp(mean_interval([side[k] for k in shared], gains.clips).value) for side in (here, before))
    facts = MetricFacts(identity={}, direction="up", timing=True, decimals=2)
    return judged(name, asked.of, gains, f"{b:.2f} → {a:.2f}", facts, "")


def better(run: Measured, base: Measured | None, asked: Better) -> Judgement:
    absent = [m for m in (asked.of, asked.than) if m not in run.methods]
    lacking = len(absent) or _lacking(run, base, (asked.of, asked.than), asked.metric)
    before = _values(base, asked) if base else ()
    unpaired = _unpaired(run, base, asked.of, _values(run, asked), before)
    return _whole(_better(run, asked, absent), lacking or asked.metric not in run.metrics, unpaired)


def _values(side: Measured, asked: Better) -> dict[Key, tuple[float, float]]:
    """By case and seed: the metric's value of ``of`` and of ``than``, where both have one."""
    of, than = side.of_method(asked.of), side.of_method(asked.than)
    both = [k for k in sorted(of.keys() & than.keys()) if asked.metric in of[k].values and asked.metric in than[k].values]
    return {k: (of[k].values[asked.metric], than[k].values[asked.metric]) for k in both}


def _better(run: Measured, asked: Better, absent: list[str]) -> Judgement:
    name = f"{asked.metric} over {asked.than}"
    if absent or asked.metric not in run.metrics:
        why = f"the run has no method {absent[0]}" if absent else f"the run was not scored with {asked.metric}"
        return _not_made(name, asked.of, _nothing_left(run, asked.of), why)
    facts = run.metrics[asked.metric]
    if facts.direction == "unknown":
        return _not_made(name, asked.of, "", UNKNOWN)
    if facts.direction == "none":
        raise SpecError(f"[[better]] metric '{asked.metric}': neither more nor less of it is better. Choose another metric.")
    pairs = _values(run, asked)
    if not pairs:
        than = any(asked.metric in v.values for v in run.of_method(asked.than).values())
        gone = _nothing_left(run, asked.of, asked.metric if than else "")
        return _not_made(name, asked.of, gone, "no case has a number of both methods")
    gains = _gains(run, {k: facts.sign * (of - than) for k, (of, than) in pairs.items()}, floor=asked.by)
    words = f"better by {{}}, at least {asked.by:g} is asked for{_without(run, asked.of, len(pairs))}"
    return floored(name, asked.of, replace(gains, exact=not facts.timing), words, facts.decimals)


def _without(run: Measured, label: str, pairs: int) -> str:
    """How many of a method's videos could not be paired: what failed must not go unsaid."""
    planned = len(run.of_method(label))
    return f"; without {planned - pairs} of {planned} videos" if pairs < planned else ""

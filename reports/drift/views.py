"""``bench drift``: every method of a sped-up run against itself in a run without, paired by case and seed.

The only place where rows of two profiles stand side by side; they do so under two names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fastvmt.core.screen.status_line import doing
from fastvmt.errors import DamagedFile, NotComparable
from fastvmt.jobs.growth import setting_differences
from fastvmt.jobs.run_config import RunConfig
from fastvmt.media.files import Frames, read_lossless
from fastvmt.model import Artefact
from fastvmt.records.same_setting import refuse_other_timing
from fastvmt.reports.drift.pixels import lpips, psnr
from fastvmt.reports.statistics import mean_interval
from fastvmt.reports.tables.compare import COLUMNS, chosen_metrics, metric_lines
from fastvmt.reports.tables.grid import sound
from fastvmt.reports.tables.render import render
from fastvmt.reports.tables.shared_cases import is_ceiling
from fastvmt.reports.tables.view import Cell, Column, Line, View
from fastvmt.reports.tables.views import ratio_cell, view_of
from fastvmt.reports.tidy import TEXTS, WORK, Tidy, Video, gather, videos_of
from fastvmt.store.layout import FRAMES

PIXELS = (
    Column("psnr", "PSNR", "dB", decimals=1), Column("lpips", "LPIPS", decimals=3), Column("same", "identical", decimals=0),
    Column("speed_up", "Speed-up", "×", decimals=2), Column("passes", "forward passes", "×", decimals=2),
)  # fmt: skip
PIXELS_SAY = (
    "PSNR: over all pixels of a video's frames, 255 the peak, of videos that differ; LPIPS: AlexNet, mean over frames; means "
    "over videos [95 % interval over reference clips]; Speed-up: seconds without over those with; forward passes: with over "
    "without"
)
METRICS = {"difference": "with - without", "p": "p", "base": "with", "other": "without", "pairs": "pairs"}
METRICS_SAY = (
    "with - without: mean paired difference over reference clips [95 % interval]; p: sign flips over clips, two-sided, of "
    "each metric and method alone"
)
APART = ("attention", "compiled")
"""Of a video's conditions, what a profile is there to change."""


@dataclass(frozen=True)
class Drift:
    """What a profile changes.

    Attributes:
        with_, without: the two profiles, in words.
        views: ``drift`` (pixels, seconds) and ``drift-metrics``.
    """

    with_: str
    without: str
    views: tuple[View, ...]

    def data(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"with": self.with_, "without": self.without} | {view.id: sound(view).data() for view in self.views}

    def text(self, form: str) -> str:
        """In one of ``render.FORMATS``."""
        return "\n\n".join(render(view, form).rstrip() for view in self.views)


def drift(one: Path, two: Path, metrics: Sequence[str] = ()) -> Drift:
    """Two runs against each other; the one without a profile, or the first, is what the other drifts from.

    Raises:
        NotComparable: where they differ in more than their profiles, or have no video in common.
        SpecError: for a metric that they have not scored.
    """
    runs = [gather([one]), gather([two])]
    if runs[0].setting.profile.identity() and not runs[1].setting.profile.identity():
        runs.reverse()
    before, after = runs
    _refuse(before, after)
    pairs = _pairs(before, after)
    joined, notes = _joined(before, after)
    timed = _timed_apart([pair for found in pairs.values() for pair in found])
    names = chosen_metrics(joined, metrics) if metrics else list(joined.metrics)
    names = [name for name in names if not (timed and joined.metrics[name].timing)]
    said = str(after.setting.profile), str(before.setting.profile)
    title = f"Drift: profile {said[0]} against {said[1]}"
    found = [_pixels(joined, pairs, title, notes, timed), _metrics(joined, names, title)]
    return Drift(*said, tuple(view for view in found if view.lines))


def _refuse(before: Tidy, after: Tidy) -> None:
    a, b = (tidy.stores[0].root.name for tidy in (before, after))
    plain = after.setting.model_copy(update={"profile": before.setting.profile})
    if differing := setting_differences(before.setting, plain):
        raise NotComparable(f"{a} and {b} differ in more than their profiles: {'; '.join(differing)}.")
    if before.setting.profile == after.setting.profile:
        raise NotComparable(
            f"{a} and {b} have the same profile ({before.setting.profile}), so nothing drifts. Give a run with another one, "
            "or use `bench compare`."
        )


# --- pairs ---------------------------------------------------------------------------------------------------------------


Pair = tuple[Video, Video]


def _pairs(before: Tidy, after: Tidy) -> dict[str, list[Pair]]:
    """By label, videos of the same method, case and seed, without and with; whether both are there or not.

    Raises:
        NotComparable: where there is none of both.
    """
    sides = [{_what(video): video for video in videos_of(tidy) if not video.job.method.ceiling} for tidy in (before, after)]
    found: dict[str, list[Pair]] = {}
    for key in (key for key in sides[1] if key in sides[0]):
        found.setdefault(sides[0][key].job.method.label, []).append((sides[0][key], sides[1][key]))
    if not any(a.artefact and b.artefact for pairs in found.values() for a, b in pairs):
        raise NotComparable(
            "the two runs have no video of the same method, case and seed. Run both with the same suite and --seeds."
        )
    return found


def _what(video: Video) -> tuple[Any, ...]:
    return video.job.method.label, str(video.job.method.identity()), video.job.case_id, video.job.case_digest, video.job.seed


def _joined(before: Tidy, after: Tidy) -> tuple[Tidy, list[str]]:
    """One frame of both, methods of the second under another name; and what of the metrics is left out."""
    import pandas as pd

    shared = [k for k in before.methods if k in after.methods and not is_ceiling(before, k)]
    shared = [k for k in shared if before.methods[k].identity() == after.methods[k].identity()]
    other = [
        k for k in before.own_identities if before.own_identities[k] != after.own_identities.get(k, before.own_identities[k])
    ]
    notes = [f"{name}: left out, because the two runs' records differ in what it says of itself." for name in other]
    frames = [tidy.frame[tidy.frame["label"].isin(shared) & ~tidy.frame["metric"].isin(other)] for tidy in (before, after)]
    frames[1] = frames[1].assign(label=frames[1]["label"].astype(str).map(_sped_up))
    frame = pd.concat([f.astype(dict.fromkeys(TEXTS, str)) for f in frames], ignore_index=True)
    keys = ["reference", "case", "seed", "metric"]
    twice = frame.assign(label=frame["label"].str.removesuffix(WITH)).duplicated([*keys, "label"], keep=False)
    frame = frame[twice].astype(dict.fromkeys(TEXTS, "category"))
    methods = {
        k: spec for label in shared for k, spec in ((label, before.methods[label]), (_sped_up(label), after.methods[label]))
    }
    told = tuple(dict.fromkeys([*before.notes, *after.notes]))
    metrics = {k: m for k, m in (before.metrics | after.metrics).items() if k in set(frame["metric"])}
    return replace(before, frame=frame, methods=methods, metrics=metrics, notes=told), notes


WITH = " (with)"


def _sped_up(label: str) -> str:
    return f"{label}{WITH}"


# --- views ---------------------------------------------------------------------------------------------------------------


def _pixels(tidy: Tidy, pairs: dict[str, list[Pair]], title: str, notes: list[str], timed: str) -> View:
    looks, absent = lpips()
    notes = [*filter(None, [absent, timed]), *notes]
    lines, damaged = [], 0
    for label, found in pairs.items():
        doing(f"comparing the videos of {label}")
        clips, values, same = [], [], 0
        for a, b in ((a, b) for a, b in found if a.artefact and b.artefact):
            try:
                one, two = _frames(a), _frames(b)
            except (DamagedFile, OSError):
                damaged += 1
                continue
            same += (equal := bool(np.array_equal(one, two)))
            clips.append(a.case.reference.frames_digest)
            values.append((psnr(one, two), (0.0 if equal else looks(one, two)) if looks else math.nan))
        cells = [_mean([v[n] for v in values], clips, len(found), "identical" if n == 0 and same else "–") for n in (0, 1)]
        cells.append(Cell(float(same), n=len(values), expected=len(found)))
        for metric, over in (("time", timed), (WORK, "")):
            ends = (label, _sped_up(label)) if metric == "time" else (_sped_up(label), label)
            cells.append(Cell(None, why="–") if over else ratio_cell(tidy, *ends, metric))
        lines.append(Line(label, label, tuple(cells)))
    notes += [f"{damaged} videos could not be read; `bench verify RUN` says which."] if damaged else []
    told = (*notes, "numbers of rows with this profile and without it must not share a table.", *tidy.notes)
    return view_of(tidy, "drift", title, PIXELS, lines, told, PIXELS_SAY)


def _frames(video: Video) -> Frames:
    assert video.artefact is not None
    return read_lossless(video.run.folder(video.job) / FRAMES, video.artefact.shape)


def _mean(values: list[float], clips: list[str], expected: int, why: str) -> Cell:
    kept = [(v, clip) for v, clip in zip(values, clips, strict=True) if math.isfinite(v)]
    if not kept:
        return Cell(None, expected=expected, why=why)
    found = mean_interval([v for v, _ in kept], [clip for _, clip in kept])
    low, high = (end if math.isfinite(end) else None for end in (found.low, found.high))
    return Cell(found.value, low, high, found.n, expected)


def _timed_apart(pairs: Sequence[Pair]) -> str:
    """Why seconds of the two runs say nothing of the profile; ""."""
    made = [(a.artefact, b.artefact) for a, b in pairs if a.artefact and b.artefact]
    configs: list[RunConfig] = [video.run.config() for video in pairs[0]]
    try:
        refuse_other_timing("the first run", configs[0], "the second", configs[1])
    except NotComparable as error:
        return f"no seconds: {error}"
    if any(_machine(a) != _machine(b) for a, b in made):
        return "no seconds: the two runs were made on other devices, with other software or under other conditions."
    return ""


def _machine(artefact: Artefact) -> tuple[Any, ...]:
    said = artefact.conditions.model_dump()
    return artefact.device, artefact.software, {k: v for k, v in said.items() if k not in APART}


def _metrics(tidy: Tidy, names: Sequence[str], title: str) -> View:
    lines: list[Line] = []
    for name in (name for name in names if name in tidy.metrics):
        for label in (k for k in tidy.methods if not k.endswith(WITH)):
            found = metric_lines(tidy, _sped_up(label), name, (label, _sped_up(label)))
            lines += [replace(line, key=f"{name} {label}", head=label) for line in found if line.cells[0].n]
    whole = view_of(tidy, "drift-metrics", title, COLUMNS, lines, (), METRICS_SAY).of(list(METRICS))
    return replace(whole, columns=tuple(replace(c, head=METRICS[c.key]) for c in whole.columns))

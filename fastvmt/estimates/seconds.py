"""Seconds of a job from what past jobs took: seconds = a x work + b, fitted for one class of device.

Work is floating-point operations: forward-equivalents (counted in every artefact) times those of one forward pass. The past is
the artefacts of this run folder and of those beside it, a sample of each. A device class is the device's name, the dtype and,
on a CPU, the threads; other classes never mix. Nearest evidence first: jobs of the same weights and size, then of the same
weights, then of the class. Residuals are relative and weighed as Huber does, so that one busy hour does not bend the line;
a and b are not negative. A method with three videos at this very setting is taken at their median instead.

Every prediction has an interval, which extrapolation widens (``_interval``) and is said by its name.

Every run writes what it expects to ``plan.json`` before it begins; the next plan says how far off that was.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import BaseModel, ConfigDict

from fastvmt.backbones import card as cards
from fastvmt.core.content_address import digest
from fastvmt.core.disk.atomic import plain_file, write_atomic
from fastvmt.errors import BenchError
from fastvmt.jobs.numbering import label_in, slug
from fastvmt.jobs.run_config import RunConfig
from fastvmt.model.fields import Amount, Count, Label
from fastvmt.model.fields import Line as Text
from fastvmt.plugins.method import Shape
from fastvmt.store import layout
from fastvmt.store.artefact_files import read_meta
from fastvmt.store.folder import Store

NOTE = layout.PREDICTION
FOLDERS, OF_A_METHOD = 12, 20
"""Run folders looked at, the newest first; videos read of each method in one."""
ENOUGH = 3
"""Videos from which there is a fit, and from which a method's own seconds are taken."""
SHARED = ("text", "encode", "train")
"""Stages that are charged to every video and happen once for a prompt or reference."""
ELSEWHERE = "a GPU elsewhere"
CLOSE = 0.05
"""Relative residual up to which a video counts in full; beyond it, less and less."""
FAR = 2.0
"""How many times outside the range of past videos a prediction is called an extrapolation."""
BEND = 1 / 3
"""From one size to another seconds grow as a power of work between 1 less and 1 more than this. At a thousand times the work of
``tiny``'s videos, a fit on them gave 231 s where 1584 s were measured: an exponent off by 0.28."""
OTHER_DEVICE = 3.0
"""Times slower or faster that a GPU may be than the one a prediction rests on."""


@dataclass(frozen=True)
class Sample:
    """One past video: device class, weights and size (width, height, frames), digest of the method, floating-point operations,
    seconds without loading, those of ``SHARED`` stages, loading, bytes of its files, when (s since 1970) and in which run."""

    device: str
    setting: tuple[str, int, int, int]
    method: str
    work: float
    seconds: float
    shared: float
    load: float
    bytes: int
    made: float
    run: str
    one_pass: float = 0.0
    """Floating-point operations of one forward pass, which weights and tokens decide; 0 where unknown."""


@dataclass(frozen=True)
class Line:
    """seconds = slope x work + base; ``spread``: median relative residual; ``n`` points."""

    slope: float
    base: float
    spread: float
    n: int

    def __call__(self, work: float) -> float:
        return self.slope * work + self.base


@dataclass(frozen=True)
class Prediction:
    """Seconds of one video by label, and what they rest on; empty where nothing is known.

    Attributes:
        shared: part of the seconds, by label, that happens once for a reference or prompt.
        load: seconds until a worker is ready.
        low, high: the interval of ``seconds``, by label.
        beyond: what makes it an extrapolation; "" where past videos are like those to make.
        outside: how many times the work of a video lies outside what was measured; 0 for videos of this very setting.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    basis: str = ""
    shared: dict[str, float] = field(default_factory=dict)
    load: float = 0.0
    low: dict[str, float] = field(default_factory=dict)
    high: dict[str, float] = field(default_factory=dict)
    beyond: str = ""
    outside: float = float("inf")


@dataclass(frozen=True)
class Outcome:
    """What was expected of the last run on this device, and what its videos took (s, without loading)."""

    run: str
    videos: int
    predicted: float
    took: float

    @property
    def off(self) -> float:
        """took / predicted - 1."""
        return self.took / self.predicted - 1


def work(card: cards.Card, shape: Shape) -> float:
    """Floating-point operations of one forward pass: two a weight and token, and self-attention's products."""
    f, h, w = shape.grid
    tokens = f * h * w
    return 2.0 * card.parameters * tokens + 4.0 * tokens**2 * card.heads * card.head_dim * (card.blocks + card.control_blocks)


def device_class(config: RunConfig, name: str | None = None) -> str:
    """What decides a job's seconds beside its work."""
    threads = f", {config.threads} threads" if config.device == "cpu" else ""
    return f"{name or _device_name(config.device)}, {config.setting.dtype}{threads}{_sped_up(config)}"


def _sped_up(config: RunConfig) -> str:
    profile = config.setting.profile
    return f", {profile}" if profile.identity() else ""


def likely_class(config: RunConfig, samples: Sequence[Sample], elsewhere: bool = False) -> str:
    """The class of the device that the run will have; on a GPU that is not here, that of the newest videos made on one.

    Args:
        elsewhere: the device is not here, whatever is.
    """
    own = device_class(config, ELSEWHERE if elsewhere and config.device.startswith("cuda") else None)
    if not own.startswith(f"{ELSEWHERE}, "):
        return own
    end = f", {config.setting.dtype}{_sped_up(config)}"  # a CPU's class ends with its threads, behind the dtype
    gpus = [s for s in samples if s.device.endswith(end)]
    return max(gpus, key=lambda s: s.made).device if gpus else own


def _device_name(device: str) -> str:
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name(0) if torch.cuda.is_available() else ELSEWHERE
    from fastvmt.core.stages import cpu_name

    return cpu_name()


# --- the past ------------------------------------------------------------------------------------------------------------


def past(folder: Path) -> list[Sample]:
    """Videos of this run folder and of those beside it, those of ``folder`` first; whatever cannot be read is passed over."""
    parent = folder.resolve().parent
    beside = [p for p in layout.runs_in(parent) if p != folder.resolve()]
    newest = sorted(beside, key=lambda p: -(p / layout.CONFIG).stat().st_mtime)
    runs = [p for p in (folder.resolve(), *newest) if layout.is_run(p)]
    return [sample for run in runs[:FOLDERS] for sample in _of_run(run)]


def _of_run(run: Path) -> Iterator[Sample]:
    try:
        config = Store.open(run).config()
        setting = config.setting
        card = cards.load(setting.backbone, texts=False)
        each = work(card, card.shape(setting.width, setting.height, setting.frames, setting.sigmas))
        identities = {slug(label): identity for label, identity in _identities(config).items()}
        names = _chosen(run / layout.ARTEFACTS)
    except (OSError, ValueError, KeyError, TypeError, BenchError):
        return
    key = (setting.weights_digest, setting.width, setting.height, setting.frames)
    where = f", {setting.dtype}" + (f", {config.threads} threads" if config.device == "cpu" else "") + _sped_up(config)
    for label, name in names:
        folder = run / layout.ARTEFACTS / name
        with suppress(OSError, ValueError):
            meta = read_meta(folder)
            stages = dict(meta.stages)
            load = stages.pop("load", 0.0)
            seconds = sum(stages.values())
            if meta.reused_from or seconds <= 0 or label not in identities:
                continue
            yield Sample(
                meta.device + where, key, identities[label], each * meta.forward_equivalents, seconds,
                sum(stages.get(s, 0.0) for s in SHARED), load, sum(f.bytes for f in meta.files.values()),
                (folder / layout.META).stat().st_mtime, run.name, each,
            )  # fmt: skip


def _chosen(place: Path) -> list[tuple[str, str]]:
    """Label (as in the folder's name) and name of some artefacts, evenly over each method's."""
    by_label: dict[str, list[str]] = {}
    for entry in os.scandir(place):
        if (label := label_in(entry.name)) is not None:
            by_label.setdefault(label, []).append(entry.name)
    return [
        (label, name) for label, names in by_label.items()
        for name in islice(sorted(names), 0, None, max(1, -(-len(names) // OF_A_METHOD)))
    ]  # fmt: skip


# --- the fit -------------------------------------------------------------------------------------------------------------


def fit(samples: Sequence[Sample]) -> Line | None:
    """A line through past videos, or None for fewer than three; where all have about the same work, one through the origin."""
    if len(samples) < ENOUGH:
        return None
    import numpy as np  # `bench status` need not wait for it
    from scipy.optimize import least_squares

    x, y = np.array([s.work for s in samples]), np.array([s.seconds for s in samples])
    if not x.any():
        slope, base = 0.0, float(np.median(y))
    elif np.ptp(x) < 1e-3 * x.max():
        slope, base = float(np.median(y / x)), 0.0
    else:
        rows, start = np.stack([x / x.max(), np.ones_like(x)], 1) / y[:, None], np.median(y)
        found = least_squares(
            lambda p: rows @ p - 1, [start] * 2, bounds=(0, np.inf), method="dogbox", x_scale=start, loss="huber", f_scale=CLOSE
        ).x
        slope, base = float(found[0] / x.max()), float(found[1])
    return Line(slope, base, float(np.median(np.abs((slope * x + base) / y - 1))), len(y))


def _outside(value: float, past: Iterable[float]) -> float:
    """How many times a value is outside the range of known ones; 1 inside, and where nothing is known."""
    known = [p for p in past if p > 0]
    return max(1.0, value / max(known), min(known) / value) if known and value > 0 else 1.0


def widened(seconds: Sequence[float], spread: float, outside: float) -> tuple[float, float]:
    """An interval around what was predicted: four times the spread (5 % at least), and more the further outside."""
    room = (1 + max(4 * spread, CLOSE)) * outside**BEND
    return round(min(seconds) / room, 3), round(max(seconds) * room, 3)


def _interval(line: Line, chosen: Sequence[Sample], work: float, outside: float) -> tuple[float, float]:
    """Outside the range nobody knows what part of the past's seconds grows with work: by the line, or all of it."""
    all_grow = median([s.seconds / s.work for s in chosen if s.work > 0] or [0.0]) * work
    return widened([line(work), all_grow] if outside > FAR and all_grow else [line(work)], line.spread, outside)


def predict(
    config: RunConfig, works: dict[str, float], samples: Iterable[Sample], elsewhere: bool = False, one_pass: float = 0.0
) -> Prediction:
    """Seconds of one video of each method.

    Args:
        works: floating-point operations of one video by label.
        one_pass: those of one forward pass; 0 where unknown.
        samples: of any device class; those of this one count.
        elsewhere: see ``likely_class``.
    """
    samples = list(samples)
    own = likely_class(config, samples, elsewhere)
    whose = "" if own == device_class(config) else " (the GPU of the newest videos)"
    mine = [s for s in samples if s.device == own]
    s = config.setting
    setting = (s.weights_digest, s.width, s.height, s.frames)
    same = [m for m in mine if m.setting == setting]
    near = [m for m in mine if m.setting[0] == setting[0]]
    choices = ((same, "of these weights and this size "), (near, "of these weights "), (mine, ""))
    fitted = [(line, chosen, words) for chosen, words in choices if (line := fit(chosen))]
    if not fitted:
        return Prediction()
    line, chosen, words = fitted[0]
    seconds, shared, low, high, measured = {}, {}, {}, {}, 0
    size = _outside(one_pass, [m.one_pass for m in chosen])
    farthest, strange = size, OTHER_DEVICE if whose else 1.0
    for spec in config.methods:
        if spec.ceiling:  # stored, and made by nobody
            seconds[spec.label] = shared[spec.label] = low[spec.label] = high[spec.label] = 0.0
            continue
        method = _identity(spec.method, spec.version, spec.params)
        own_past = [m for m in same if m.method == method]
        seconds[spec.label] = round(line(works[spec.label]), 3)
        outside = max(size, _outside(works[spec.label], [m.work for m in chosen]))
        ends = _interval(line, chosen, works[spec.label], outside)
        shared[spec.label] = float(median([m.shared / m.seconds for m in own_past or chosen]))
        if len(own_past) >= ENOUGH:
            measured += 1
            middle = seconds[spec.label] = round(float(median([m.seconds for m in own_past])), 3)
            outside, ends = 1.0, widened([middle], median([abs(m.seconds / middle - 1) for m in own_past]), 1.0)
        farthest = max(farthest, outside)
        low[spec.label], high[spec.label] = ends[0] / strange, ends[1] * strange
    basis = f"from {line.n} measured videos {words}on {own}{whose}"
    beyond = [f"{farthest:,.0f} times outside the work of those videos"] if farthest > FAR else []
    beyond += ["another device than the run's, as far as is known"] if whose else []
    basis += "" if beyond else f"; half of them within {line.spread:.0%} of the fit"
    if measured:
        basis += f"; {measured} of {len(seconds)} methods at their own median"
    load, away = float(median([m.load for m in chosen])), 0.0 if chosen is same and not beyond else farthest * strange
    return Prediction(seconds, basis, shared, load, low, high, " and ".join(beyond), away)


# --- how wrong it was ----------------------------------------------------------------------------------------------------


def remember(store: Store, config: RunConfig, prediction: Prediction, left: dict[str, int], device: str = "") -> None:
    """Write down what is expected of a run, before it begins; ``device`` is its class when it is not that of this machine."""
    facts = {"time": time.time(), "device": device or device_class(config), "seconds": prediction.seconds, "left": left,
             "basis": prediction.basis}  # fmt: skip
    write_atomic(store.root / NOTE, json.dumps(facts, indent=1) + "\n")


def last_time(folder: Path, device: str, samples: Sequence[Sample]) -> Outcome | None:
    """The newest run on this class of device that was predicted and has made a video since, over those in ``samples``."""
    notes = []
    for path in folder.resolve().parent.glob(f"*/{NOTE}"):
        facts = read_note(path.parent)
        if facts and facts.device == device and facts.seconds:
            notes.append((facts.time, path.parent, facts))
    for began, run, facts in sorted(notes, key=lambda n: -n[0]):
        made = [s for s in samples if s.run == run.name and s.made >= began]
        expected = _expected(run, facts.seconds)
        pairs = [(expected[s.method], s.seconds) for s in made if s.method in expected]
        if pairs:
            return Outcome(run.name, len(pairs), sum(p for p, _ in pairs), sum(t for _, t in pairs))
    return None


class Note(BaseModel):
    """``plan.json``: when, on which class of device, and seconds a video by method label."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    time: Amount
    device: Text
    seconds: dict[Label, Amount]
    left: dict[Label, Count]


def read_note(run: Path) -> Note | None:
    """What was expected of a run; None where nothing was written down or it cannot be read."""
    try:
        with open(run / NOTE, "rb", opener=plain_file) as file:
            return Note.model_validate_json(file.read())
    except (OSError, ValueError):
        return None


def _expected(run: Path, seconds: dict[str, float]) -> dict[str, float]:
    """Predicted seconds by method identity."""
    try:
        identities = _identities(Store.open(run).config())
        return {identities[k]: v for k, v in seconds.items() if k in identities}
    except (OSError, BenchError):
        return {}


def _identities(config: RunConfig) -> dict[str, str]:
    """Digests of a run's methods by label."""
    return {m.label: _identity(m.method, m.version, m.params) for m in config.methods}


def _identity(method: str, version: int, params: dict[str, Any]) -> str:
    return digest([method, version, params])

"""What a run would take: jobs, seconds, memory, disk and weights; seconds from past videos of this class of device, from a
calibration of it, or else estimated."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fastvmt.backbones import card as cards
from fastvmt.backbones.device import cores
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.core.spelling import gib
from fastvmt.errors import BenchError, UserError
from fastvmt.estimates import calibration, from_one_block
from fastvmt.estimates import seconds as costmodel
from fastvmt.estimates.advice import least, offers, smallest
from fastvmt.estimates.memory import Need, device_bytes, device_count, need, workers_when_unsaid
from fastvmt.estimates.seconds import Outcome, Prediction, Sample, work
from fastvmt.jobs.protocol import cost_of
from fastvmt.jobs.run_config import RunConfig
from fastvmt.plugins import labels
from fastvmt.plugins.method import Shape
from fastvmt.records.missing import made_by_label
from fastvmt.store import layout
from fastvmt.store.folder import Store

PUBLISHED = {"backbone": "wan2.1-1.3b", "method": "fastvmt", "seconds": 184.18, "width": 832, "height": 480, "frames": 33}
"""FastVMT, table 1: one video on an A100-80GB. The paper names neither the size of the model nor the length; its counted work
fits only 1.3B at 32 or 33 frames."""
LOSSLESS = 0.6
"""Bytes of a lossless video over its raw bytes."""


@dataclass(frozen=True)
class Estimate:
    """What a run would take.

    Attributes:
        jobs, done: videos, and how many of them are there (by the names of their folders).
        left: videos to make by method label.
        seconds: of all videos to make, one after another; None where nothing is known.
        seconds_each: of one video by itself, by label; ``seconds_basis`` says what they rest on.
        seconds_left: of all videos to make, by label; what they share is counted once, as in ``seconds``.
        seconds_interval: of ``seconds``, the least and the most; None where nothing is known.
        extrapolated: what makes it an extrapolation; "" where past videos are like those to make.
        wall_seconds: on ``workers`` workers.
        memory_bytes: of one job at its peak; ``memory`` holds what it is made of.
        disk_bytes, disk_free: what videos to make and references take, and what is free where the run folder is or will be.
        forward_equivalents: forward passes of one video, counted from the method's parameters.
        last: how far off the last prediction on this class of device was.
        problem: one sentence why the run cannot fit, with what would; "" when it can.
    """

    jobs: int
    done: int
    left: dict[str, int]
    seconds: float | None
    seconds_each: dict[str, float]
    seconds_basis: str
    wall_seconds: float | None
    workers: int
    memory_bytes: int
    memory_capacity: int
    memory: Need
    disk_bytes: int
    disk_free: int
    fetch: str
    forward_equivalents: dict[str, float]
    seconds_left: dict[str, float] = field(default_factory=dict)
    seconds_interval: tuple[float, float] | None = None
    extrapolated: str = ""
    last: Outcome | None = None
    problem: str = ""

    def data(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        found = asdict(self)
        found["memory_stages"] = self.memory.stages(self.memory_capacity)
        found["memory_peak"] = self.memory.peak(self.memory_capacity)[0]
        found["last"] = None if self.last is None else asdict(self.last) | {"off": round(self.last.off, 4)}
        return found


@dataclass(frozen=True)
class Conditions:
    """Where a run is to happen.

    Attributes:
        workers: at once; 0 for as many as ``workers_of`` says.
        device_bytes: plan for devices of so many bytes, one a worker, instead of this machine's; 0 for this machine's.
        elsewhere: the workers are not on this machine, so that its memory says nothing.
        remake: labels whose videos are made again where they are there.
        calibrate: time one block of the backbone here first; see ``calibration``.
    """

    workers: int = 0
    device_bytes: int = 0
    elsewhere: bool = False
    remake: tuple[str, ...] = ()
    calibrate: bool = False


def estimate(config: RunConfig, card: cards.Card, place: Path, where: Conditions | None = None) -> Estimate:
    """Count jobs and what is already there, and estimate seconds, memory and disk for the rest.

    Args:
        place: where the run folder is or will be.

    Raises:
        UserError: where a calibration is asked for and cannot be made here.
    """
    where = where or Conditions()
    if where.calibrate:
        _calibrate(config, card, where)
    store = Store.open(place) if layout.is_run(place) else None
    where = where if where.workers else replace(where, workers=1 if where.device_bytes else workers_of(config, card))
    per_method = len(config.suite.cases) * len(config.seeds)
    made = made_by_label(store, config) if store else {}
    made |= dict.fromkeys(made.keys() & set(where.remake), 0)
    left = {m.label: per_method - made.get(m.label, 0) for m in config.methods}
    passes = passes_of(config, card)[1]
    samples = costmodel.past(place)
    device = costmodel.likely_class(config, samples, bool(where.device_bytes))
    each = prediction_of(config, card, samples, bool(where.device_bytes))
    seconds_left = _seconds_left(config, each, left) if each.seconds else {}
    total: float | None = sum(seconds_left.values()) if each.seconds else None
    ends = [sum(_seconds_left(config, replace(each, seconds=end), left).values()) for end in (each.low, each.high) if end]
    if not any(left.values()):
        total, ends = 0.0, []
    disk = _disk(config, samples, sum(left.values())) + _references(config, store)
    found = Estimate(
        jobs=per_method * len(config.methods), done=sum(made.values()), left=left, seconds=total, seconds_each=each.seconds,
        seconds_left=seconds_left, seconds_interval=(ends[0], ends[1]) if ends else None,
        extrapolated=each.beyond if ends else "",
        seconds_basis=each.basis or (
            "unknown: no videos of this class of device in this folder or beside it yet; --calibrate times one block on it"
        ),
        wall_seconds=None if total is None else _wall(config, each, left, total, where), workers=where.workers,
        memory_bytes=0, memory_capacity=0, memory=_need(config, card), disk_bytes=disk, disk_free=_free(place),
        fetch=f"{card.download_gb:.1f} GB: hf download {card.hub}" if card.folder is None else "",
        forward_equivalents=passes, last=costmodel.last_time(place, device, samples),
    )  # fmt: skip
    capacity = _capacity(config, card, where)
    found = replace(found, memory_bytes=found.memory.expected(capacity), memory_capacity=capacity)
    return replace(found, problem=_problem(config, card, found, where))


def _calibrate(config: RunConfig, card: cards.Card, where: Conditions) -> None:
    if where.device_bytes or where.elsewhere:
        flag = "--device-memory" if where.device_bytes else "--executor"
        raise UserError(
            f"--calibrate times this machine, and with {flag} the run is on another: leave one of them out. A calibration that "
            "is made there is used by every plan there."
        )
    calibration.calibrate(config, card)


def refuse_what_cannot_fit(found: Estimate, force: bool) -> None:
    """Stop before anything is loaded.

    Raises:
        UserError: saying what does not fit and what would, unless ``force``.
    """
    if found.problem and not force:
        raise UserError(f"{found.problem} (--force tries it anyway.)")


def workers_of(config: RunConfig, card: cards.Card | None = None) -> int:
    """How many workers a run gets on this machine when nobody says; timed repeats are one after another on a CPU.

    Args:
        card: of its backbone; looked up when left out. A run whose backbone is nothing here is only scored.
    """
    device = "cuda" if config.device.startswith("cuda") else "cpu"
    if config.repeats and device == "cpu":
        return 1
    with suppress(BenchError):
        here = config.model_copy(update={"device": device})
        return workers_when_unsaid(
            device, config.threads, _need(here, card or cards.load(config.setting.backbone, texts=False)).least
        )
    return 1


def note_prediction(store: Store, config: RunConfig) -> None:
    """Write down what the run that begins now should take, for the next plan to compare; nothing where nothing is left."""
    made = made_by_label(store, config)
    per_method = len(config.suite.cases) * len(config.seeds)
    left = {m.label: per_method - made[m.label] for m in config.methods}
    if any(left.values()):
        card = cards.load(config.setting.backbone, texts=False)
        samples = costmodel.past(store.root)
        device = costmodel.likely_class(config, samples)
        costmodel.remember(store, config, prediction_of(config, card, samples), left, device)


def passes_of(config: RunConfig, card: cards.Card) -> tuple[Shape, dict[str, float]]:
    """What the methods know of the model, and forward passes of one video by label."""
    s = config.setting
    shape = card.shape(s.width, s.height, s.frames, s.sigmas)
    return shape, {spec.label: round(cost_of(spec, shape), 1) for spec in config.methods}


def prediction_of(config: RunConfig, card: cards.Card, samples: list[Sample], elsewhere: bool = False) -> Prediction:
    """Seconds of one video of each method, from past videos or a calibration, whichever is nearer, else from the published
    figure, else none."""
    shape, passes = passes_of(config, card)
    works = {k: n * work(card, shape) for k, n in passes.items()}
    found = costmodel.predict(config, works, samples, elsewhere, work(card, shape))
    if not elsewhere:
        found = min(from_one_block.predict(config, card, passes), found, key=lambda known: known.outside)
    here = config.device == "cpu" and card.folder is not None  # a GPU's seconds say nothing of it
    if found.seconds or here or card.parameters <= 10**9:
        return found
    each, one_pass = _published()
    seconds = {k: round(n * each, 3) for k, n in works.items()}
    size = work(card, shape)  # 0 where the weights are not there to say how large the model is
    outside = max(size / one_pass, one_pass / size) if size else 1.0
    ends = {
        k: costmodel.widened([s / costmodel.OTHER_DEVICE, s * costmodel.OTHER_DEVICE], 0, outside) for k, s in seconds.items()
    }
    return Prediction(
        seconds, "estimated: the paper's 184.18 s a video on an A100-80GB, scaled by counted work",
        low={k: e[0] for k, e in ends.items()}, high={k: e[1] for k, e in ends.items()},
        beyond="a published figure, of another machine and code",
    )  # fmt: skip


def _published() -> tuple[float, float]:
    """The published seconds over the work that we count for them, and the work of one of its forward passes."""
    facts: dict[str, Any] = PUBLISHED
    card = cards.load(facts["backbone"])
    sigmas = sigma_grid(card.defaults["steps"], card.defaults["shift"], 1.0)
    shape = card.shape(facts["width"], facts["height"], facts["frames"], sigmas)
    spec = labels.resolve(f"{facts['method']}:{labels.AS_WRITTEN}", shape, card.methods)
    return float(facts["seconds"] / (cost_of(spec, shape) * work(card, shape))), work(card, shape)


def _seconds_left(config: RunConfig, each: Prediction, left: dict[str, int]) -> dict[str, float]:
    """Seconds of all videos to make by label. Shared stages are charged to every video, done for the first of a reference;
    timed videos are made ``repeats`` times, and one more of each method is discarded."""
    references = len({c.reference.frames_digest for c in config.suite.cases})
    found = {}
    for label, n in left.items():
        shared = each.shared.get(label, 0.0)
        takes = n * config.repeats + 1 if config.repeats and n else n
        found[label] = each.seconds[label] * (takes * (1 - shared) + min(n, references) * shared)
    return found


def _wall(config: RunConfig, each: Prediction, left: dict[str, int], total: float, where: Conditions) -> float:
    """Seconds from start to end: loading once a worker, no job faster than itself."""
    if not any(left.values()):
        return 0.0
    longest = max(each.seconds[k] for k, n in left.items() if n) * max(1, config.repeats)
    return max(total / _at_once(config, where), longest) + each.load


def _at_once(config: RunConfig, where: Conditions) -> int:
    """Workers that do not take each other's time: one a GPU, and on a CPU as many as have cores of their own."""
    if config.device == "cuda" or where.device_bytes or where.elsewhere:
        return where.workers
    return max(1, min(where.workers, cores() // max(1, config.threads)))


# --- memory and disk -----------------------------------------------------------------------------------------------------


def _need(config: RunConfig, card: cards.Card) -> Need:
    s = config.setting
    how: dict[str, Any] = {"offload": config.offload, "device": config.device, "cache": s.profile.cache}
    return need(card, s.width, s.height, s.frames, s.dtype, config.methods, **how)


def _capacity(config: RunConfig, card: cards.Card, where: Conditions) -> int:
    """Bytes for one job; 0 where weights are not here, so that the run cannot be meant for this machine."""
    if where.device_bytes:
        return where.device_bytes
    if card.folder is None or where.elsewhere:
        return 0
    sharing = -(-where.workers // device_count(config.device))
    return device_bytes(config.device) // max(1, sharing)


def _disk(config: RunConfig, samples: list[Sample], videos: int) -> int:
    s = config.setting
    size = [m.bytes for m in samples if m.setting[1:] == (s.width, s.height, s.frames) and m.bytes]
    each = sum(size) / len(size) if size else s.width * s.height * s.frames * 3 * LOSSLESS
    return int(each * videos)


def _references(config: RunConfig, store: Store | None) -> int:
    """Bytes of the references' frames that are not stored yet. What trainings leave and caches hold is not counted."""
    s = config.setting
    names = {c.reference.frames_digest for c in config.suite.cases}
    new = [n for n in names if store is None or not store.reference_path(n).exists()]
    return int(len(new) * s.width * s.height * s.frames * 3 * LOSSLESS)


def _free(place: Path) -> int:
    place = place.resolve()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return 0


def _problem(config: RunConfig, card: cards.Card, found: Estimate, where: Conditions) -> str:
    if found.memory_capacity and found.memory.least > found.memory_capacity and sum(found.left.values()):
        would = _would_fit(config, card, found.memory_capacity, where)
        return (
            f"One job needs about {gib(found.memory.least)} (estimated: {found.memory.words()}) and "
            f"{_whose(config, where)} {gib(found.memory_capacity)}: {would}."
        )
    if found.disk_free and found.disk_bytes > found.disk_free:
        return (
            f"Videos and references need about {gib(found.disk_bytes)} (estimated), and {gib(found.disk_free)} "
            "are free: give --out on another disk, or fewer clips with --limit."
        )
    return ""


def _whose(config: RunConfig, where: Conditions) -> str:
    if where.device_bytes:
        return "the device has"
    if where.workers > device_count(config.device):
        return f"each of {where.workers} workers has"
    return "the GPU has" if config.device == "cuda" else "this machine has"


def _would_fit(config: RunConfig, card: cards.Card, capacity: int, where: Conditions) -> str:
    """What would, each with its number, in order of what it costs; fewer workers cost no video anything."""
    alone = device_bytes(config.device) if where.workers > 1 and not where.device_bytes else 0
    found = [f"--workers 1 ({gib(alone)} for it alone)"] if alone and least(config, card) <= alone else []
    found += offers(config, card, capacity)
    return f"{', or '.join(found)} would fit" if found else f"{smallest(config, card)}, so a larger device is needed"

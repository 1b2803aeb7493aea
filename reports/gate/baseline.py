"""What a run measured, as one small file that later runs are compared with: every value by method, case and seed.

    from fastvmt.reports.gate import baseline
    kept = baseline.of(gather([Path("runs/a")]))
    baseline.write(Path("baseline.json"), kept)
    baseline.read(Path("baseline.json")) == kept    # True

A gate compares two of these (``Measured``): one read from a file, one just made from a run. Means are never stored: pairs are
formed by case and seed, and what has no value keeps the reason.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast, get_args

from pydantic import Field, ValidationError

from fastvmt.core.disk.atomic import write_atomic
from fastvmt.core.reading import parse_json
from fastvmt.core.spelling import shown
from fastvmt.core.validation import first_problem
from fastvmt.errors import NotComparable, StoreError
from fastvmt.model import Artefact, Conditions, Frozen, Setting
from fastvmt.model.fields import Amount, Count, Facts, Hex, Label, Line, Number, Offload, Seed
from fastvmt.reports.tidy import Tidy, videos_of
from fastvmt.reports.tidy.gaps import trained_on

FORMAT = 1
NAMED = 5
"""Videos or cases named in a sentence; the rest are counted."""
Direction = Literal["up", "down", "none", "unknown"]
"""``unknown``: of a metric whose code was not there, in a run that does not say it."""
UNKNOWN = "which way is better is not known here; `bench score RUN --plugin FILE` writes it into the run"
Key = tuple[str, int]
"""Case and seed."""
T = TypeVar("T")


class MetricFacts(Frozen):
    """What a metric's numbers are: equal identities may be compared. Each video says the machine of its timings itself."""

    identity: Facts
    direction: Direction
    timing: bool
    count: bool = False
    unit: Line = ""
    decimals: Annotated[int, Field(ge=0, le=15)] = 3

    @property
    def sign(self) -> float:
        """What a difference is multiplied by to become a gain."""
        return -1.0 if self.direction == "down" else 1.0


class MethodFacts(Frozen):
    identity: Facts
    preset: Line = ""
    control: bool = False


class Video(Frozen):
    """One job. ``frames_digest`` is empty where there is no video; ``gaps`` says why a metric has no value."""

    method: Label
    case: Label
    seed: Seed
    frames_digest: Hex = ""
    device: Line = ""
    software: Annotated[int, Field(ge=-1)] = -1
    """Index into ``Measured.software``."""
    conditions: Annotated[int, Field(ge=-1, exclude_if=lambda index: index < 0)] = -1
    """Index into ``Measured.conditions``; -1 in baselines older than this field."""
    busy: bool = False
    """Other programs used the device meanwhile."""
    unsteady: bool = False
    """The same job gave other pixels when it was made again."""
    failed: Line = ""
    """The kind of failure, where there is no video for that reason."""
    values: dict[Label, Number] = {}
    gaps: dict[Label, Line] = {}
    stages: dict[Line, Amount] = {}
    """Seconds; empty for a video taken over from another run, or trained on another device: they belong elsewhere."""
    processor: dict[Line, Amount] = {}
    """Processor seconds of stages; empty likewise, on a GPU, and in runs older than this field."""

    def seconds(self, stage: str = "", processor: bool = False) -> float | None:
        """Of one stage, or of the whole video without loading; None where they are not known."""
        if stage:
            return (self.processor if processor else self.stages).get(stage)
        if "time" in self.values:
            return self.values["time"]
        return sum(v for k, v in self.stages.items() if k != "load") or None


class Timed(Frozen):
    """What seconds, memory and energy depend on besides the machine."""

    threads: Count
    """0 on a GPU, where they do not matter."""
    offload: Offload
    repeats: Count


class Measured(Frozen):
    """Everything of a run that a later one can be compared with."""

    format: int = FORMAT
    title: Line
    suite: Line
    suite_digest: Hex
    setting: Setting
    device: Line
    """``cpu`` or ``cuda``: ratios of times are compared only where it agrees; the device's name stands at each video."""
    timed: Timed | None = None
    """None in baselines older than this field, and where nothing was made here."""
    references: dict[Label, Hex]
    """By case: digest of the reference's frames, the unit of analysis."""
    metrics: dict[Label, MetricFacts]
    methods: dict[Label, MethodFacts]
    software: tuple[dict[Line, Line], ...] = ()
    conditions: tuple[Conditions, ...] = Field((), exclude_if=lambda known: not known)
    """What else seconds depend on."""
    videos: tuple[Video, ...]

    def of_method(self, label: str) -> dict[Key, Video]:
        return {(v.case, v.seed): v for v in self.videos if v.method == label}

    def incomplete(self) -> list[str]:
        """One phrase for every video that is not there and every number whose metric failed."""
        found = []
        for v in self.videos:
            name = f"{v.method} {v.case} seed {v.seed}"
            if not v.frames_digest:
                found.append(f"{name}: {f'failed ({v.failed})' if v.failed else 'not made'}")
            else:
                found += [f"{name}: {m} {why}" for m, why in v.gaps.items() if why in ("failed", "missing")]
        return found


def named(phrases: list[str]) -> str:
    """The first few phrases and how many more there are."""
    more = f" and {len(phrases) - NAMED} more" if len(phrases) > NAMED else ""
    return ", ".join(phrases[:NAMED]) + more


def of(tidy: Tidy) -> Measured:
    """What the gathered runs measured."""
    values, gaps = _numbers(tidy)
    software: list[dict[str, str]] = []
    conditions: list[Conditions] = []
    videos = []
    for video in videos_of(tidy):
        job, numbers = video.job, values.get(video.job.key, {})
        facts: dict[str, Any] = {"failed": video.failure.kind if video.failure else ""}
        if video.artefact:
            facts = _facts(video.artefact) | {"software": _place(video.artefact.software, software)}
            if video.artefact.conditions != Conditions():  # videos older than that field say none
                facts["conditions"] = _place(video.artefact.conditions, conditions)
        reasons = {k: w for k, w in gaps.get(job.key, {}).items() if k not in numbers}
        videos.append(Video(method=job.method.label, case=job.case_id, seed=job.seed, values=numbers, gaps=reasons, **facts))
    return Measured(
        title=tidy.title, suite=tidy.suite.name, suite_digest=tidy.suite.digest(), setting=tidy.setting.published(),
        device=tidy.device,
        timed=_timed(tidy),
        references={c.id: c.reference.frames_digest[:16] for c in tidy.cases.values()},
        metrics={
            k: MetricFacts(
                identity=tidy.own_identities.get(k) or m.identity(),
                direction=_direction(m.direction if tidy.traits.knows(k) else "unknown"),
                timing=m.timing, count=m.count, unit=m.unit, decimals=m.decimals,
            )
            for k, m in tidy.metrics.items()
        },
        methods={k: MethodFacts(identity=s.identity(), preset=s.preset, control=s.control) for k, s in tidy.methods.items()},
        software=tuple(software), conditions=tuple(conditions), videos=tuple(videos),
    )  # fmt: skip


def _direction(said: str) -> Direction:
    return cast(Direction, said) if said in get_args(Direction) else "unknown"


def _timed(tidy: Tidy) -> Timed | None:
    """Of the first run that made videos: ``gather`` refuses others beside it. Imported ones were not timed here."""
    for config in (store.config() for store in tidy.stores):
        if any(not m.imported for m in config.methods):
            threads = config.threads if config.device == "cpu" else 0
            return Timed(threads=threads, offload=config.offload, repeats=config.repeats)
    return None


def _numbers(tidy: Tidy) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, str]]]:
    """By job key: values by metric, and why a metric has none."""
    values: dict[str, dict[str, float]] = {}
    gaps: dict[str, dict[str, str]] = {}
    for metric in tidy.metrics:
        rows = tidy.of(metric)
        for job, value, status in zip(rows["job"], rows["value"], rows["status"], strict=True):
            if status == "ok" and math.isfinite(value):
                values.setdefault(job, {})[metric] = float(value)
            else:
                gaps.setdefault(job, {})[metric] = "undefined" if status == "ok" else str(status)
    return values, gaps


def _place(value: T, seen: list[T]) -> int:
    """Where a value stands among those seen; put there where it is new."""
    if value not in seen:
        seen.append(value)
    return seen.index(value)


def _facts(artefact: Artefact) -> dict[str, Any]:
    elsewhere = artefact.reused_from or trained_on(artefact)
    return {
        "frames_digest": artefact.frames_digest, "device": artefact.device,
        "stages": {} if elsewhere else artefact.stages, "processor": {} if elsewhere else artefact.processor,
        "busy": bool(artefact.busy and not artefact.reused_from), "unsteady": bool(artefact.log.get("repeats_differ")),
    }  # fmt: skip


def write(path: Path, measured: Measured) -> None:
    """Whole or not at all; a line for each video, so that two baselines can be compared by ``diff``."""
    data = measured.model_dump(mode="json")
    videos = [json.dumps(v.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False) for v in measured.videos]
    del data["videos"]
    head = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False).rstrip("\n}")
    body = ",\n  ".join(videos)
    try:
        write_atomic(path, f'{head},\n "videos": [\n  {body}\n ]\n}}\n')
    except OSError as error:
        raise StoreError(
            f"{path}: the baseline cannot be written ({error.strerror}). Name a file in a folder that exists."
        ) from None


def read(path: Path) -> Measured:
    """A stored baseline.

    Raises:
        NotComparable: when there is none.
        StoreError: when it is damaged or of another format.
    """
    try:
        raw = parse_json(path.read_bytes())
    except OSError as error:
        raise NotComparable(
            f"{path}: the baseline cannot be read ({error.strerror}); nothing was compared. "
            "Make one with `bench baseline write RUN --out FILE`."
        ) from None
    except ValueError as error:
        raise StoreError(f"{path}: not valid JSON ({error}). Restore the baseline, or write it again.") from None
    found = raw.get("format") if isinstance(raw, dict) else None
    if found != FORMAT:
        raise StoreError(
            f"{path}: a baseline of format {found}; this version reads {FORMAT}. Write it again with `bench baseline write`."
        )
    try:
        found = Measured.model_validate(raw)
    except ValidationError as error:
        raise StoreError(f"{path}: {first_problem(error)}. Restore the baseline, or write it again.") from None
    for (method, case, seed), times in Counter((v.method, v.case, v.seed) for v in found.videos).items():
        if times > 1:  # which of them is meant, nobody can tell
            twice = shown(f"{method} {case} seed {seed}", 120)
            raise StoreError(f"{path}: {twice} stands in it twice. Restore the baseline, or write it again.")
    return found

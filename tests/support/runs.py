"""Run folders made by hand, without a backbone: for tests of tables, pages, gates and whatever else reads a run.

    root = make_run(tmp_path / "r", cases=3, methods=("none", "fastvmt", "ditflow"), seeds=(0, 1))
    tidy = gather([root])

Everything is small and follows from the arguments alone: the same call makes the same numbers and the same digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.core.content_address import frames_digest
from fastvmt.jobs.run_config import RunConfig
from fastvmt.media.files import Frames, write_lossless
from fastvmt.model import CATEGORIES, Artefact, Case, Failure, Job, MethodSpec, MetricRecord, Reference, Setting, Suite
from fastvmt.plugins import labels, metric_labels
from fastvmt.plugins.method import Shape
from fastvmt.records.identity import key_of
from fastvmt.store.artefact_files import file_info
from fastvmt.store.folder import Store

Values = Callable[[str, Case, str, int], float | None]
"""(metric, case, label, seed) -> the number; None: undefined. May raise KeyError: no record at all."""
Paint = Callable[[Case | None, str, int, int, int, int], Frames]
"""(case, label, seed, frames, height, width) -> the clip; label "" is the reference."""
STAGES = {"text": 0.02, "reference": 0.07, "guidance": 4.0, "denoise": 1.5, "decode": 0.5}
METHODS = ("none", "sdedit", "fastvmt", "ditflow")
METRICS = ("motion_fidelity", "motion_fidelity_moving", "time", "peak_memory")
SECONDS = {"none": 2.0, "sdedit": 2.1, "fastvmt": 6.0, "ditflow": 20.0}


def share(*parts: Any) -> float:
    """A number in [0, 1) that follows from the arguments."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16) / 2**32


def values(metric: str, case: Case, label: str, seed: int) -> float | None:
    """Plausible numbers: fastvmt is faster than ditflow and about as faithful, the controls are neither."""
    jitter = share(metric, case.id, label, seed) - 0.5
    method = label.split(":")[0]
    if metric == "time":
        return SECONDS.get(method, 5.0) * (1 + 0.1 * jitter)
    if metric.startswith("peak"):
        return 1 + 0.2 * jitter
    return {"none": 0.3, "sdedit": 0.45, "fastvmt": 0.8, "ditflow": 0.78}.get(method, 0.6) + 0.1 * jitter


def paint(case: Case | None, label: str, seed: int, frames: int, height: int, width: int) -> Frames:
    """A disc on a ground whose colours follow from the names and whose red counts the frames."""
    key = (case.id if case else "", label, seed)
    t, y, x = np.meshgrid(np.arange(frames), np.arange(height), np.arange(width), indexing="ij")
    middle = width * (0.2 + 0.6 * t / max(1, frames - 1))
    disc = (x - middle) ** 2 + (y - height * (0.3 + 0.4 * share("y", *key))) ** 2 < (min(height, width) / 4) ** 2
    clip = np.zeros((frames, height, width, 3), np.uint8)
    clip[..., 0] = np.where(disc, 230, 40 + 2 * t)
    clip[..., 1] = np.where(disc, 255 * share("g", *key), 70)
    clip[..., 2] = np.where(disc, 255 * share("b", *key), 90)
    return clip


def make_cases(number: int, prompt: str = "", frames: tuple[int, int, int] = (5, 8, 8)) -> tuple[Case, ...]:
    """Cases of every category in turn. ``frames``: time, height, width."""
    found = []
    for n in range(number):
        category = CATEGORIES[n % len(CATEGORIES)]
        reference = Reference(
            frames_digest=hashlib.sha256(f"reference {n}".encode()).hexdigest(),
            width=frames[2], height=frames[1], frames=frames[0], source=f"drawn:fake/case-{n:04d}",
        )  # fmt: skip
        found.append(
            Case(id=f"case-{n:04d}", category=category, prompt=prompt or f"a red disc number {n}", caption=f"a disc, {n}",
                 reference=reference)
        )  # fmt: skip
    return tuple(found)


def make_setting(frames: tuple[int, int, int] = (5, 8, 8), steps: int = 4, **changes: Any) -> Setting:
    base = dict(
        backbone="tiny", weights_digest="d" * 64, width=frames[2], height=frames[1], frames=frames[0], steps=steps,
        guidance=3.0, sigmas=sigma_grid(steps, 3.0), dtype="float32", negative="",
    )  # fmt: skip
    return Setting(**(base | changes))


def make_spec(label: str, setting: Setting) -> MethodSpec:
    """A label resolved on a small model, without loading anything; clips of one frame, which no method takes, pass for longer."""
    shape = Shape(blocks=8, heads=4, grid=(max(2, (setting.frames + 3) // 4), 4, 4), sigmas=setting.sigmas)
    return labels.resolve(label, shape, {})


def make_run(
    folder: Path,
    cases: int | Sequence[Case] = 2,
    methods: Sequence[str | MethodSpec] = METHODS,
    seeds: Sequence[int] = (0,),
    frames: tuple[int, int, int] = (5, 8, 8),
    metrics: Sequence[str] = METRICS,
    values: Values = values,
    *,
    paint: Paint = paint,
    logs: Callable[[Case, str, int], dict[str, Any]] = lambda case, label, seed: {},
    failed: Mapping[tuple[str, str, int], Failure | str] | None = None,
    missing: Sequence[tuple[str, str, int]] = (),
    device: str = "a test's device",
    stages: Callable[[str], dict[str, float]] = lambda label: STAGES,
    suite: str = "fake",
    notes: Sequence[str] = (),
    setting: Setting | None = None,
    videos: bool = True,
) -> Path:
    """A finished run folder.

    Args:
        cases: how many, or the cases themselves (their digests are replaced by those of the painted references).
        frames: time, height, width of every clip.
        values: the number of every metric; see ``Values``.
        paint: the frames of every clip; see ``Paint``.
        logs: what a method wrote into its artefact.
        failed: (case id, label, seed) to a failure, or to its message; such a job has no video.
        missing: (case id, label, seed) of jobs that were never made.
        videos: False writes empty ``frames.mkv`` files: for tables of many records, where nobody looks at videos.
    """
    setting = setting or make_setting(frames)
    listed = make_cases(cases, frames=frames) if isinstance(cases, int) else tuple(cases)
    clips = _Clips(frames, videos)
    painted = {c.id: clips.encode(paint(c, "", 0, *frames) if videos else None, f"{c.id}") for c in listed}
    listed = tuple(
        c.model_copy(update={"reference": c.reference.model_copy(update={"frames_digest": painted[c.id][0]})}) for c in listed
    )
    resolved = tuple(m if isinstance(m, MethodSpec) else make_spec(m, setting) for m in methods)
    config = RunConfig(
        suite=Suite(name=suite, cases=listed), setting=setting, methods=resolved, seeds=tuple(seeds), metrics=tuple(metrics),
        device=device, notes=tuple(notes),
    )  # fmt: skip
    store = Store.create(folder, config)
    for case in listed:
        store.reference_path(case.reference.frames_digest).write_bytes(painted[case.id][1])
    identities = {m: metric_labels.build(m).identity() for m in metrics}
    by_id, records, failures = {c.id: c for c in listed}, [], []
    for job in config.jobs():
        at = (job.case_id, job.method.label, job.seed)
        if failed and at in failed:
            why = failed[at]
            failures.append(
                why.model_copy(update={"job_key": job.key})
                if isinstance(why, Failure)
                else Failure(job_key=job.key, kind="error", stage="denoise", message=why, traceback=f"Traceback …\n{why}")
            )
            continue
        if at in missing:
            continue
        case = by_id[job.case_id]
        label = job.method.label
        made, raw = clips.encode(paint(case, label, job.seed, *frames) if videos else None, job.key)
        place = store.folder(job)
        place.mkdir(parents=True)
        (place / "frames.mkv").write_bytes(raw)
        artefact = Artefact(
            key=job.key, frames_digest=made, width=frames[2], height=frames[1], frames=frames[0], fps_num=15, fps_den=1,
            files={"frames.mkv": file_info(place / "frames.mkv")}, stages=stages(label), peak_memory_bytes=10**9,
            forward_equivalents=10.0, device=device, software={"torch": "2"}, timing_key="7", log=logs(case, label, job.seed),
        )  # fmt: skip
        (place / "meta.json").write_text(artefact.model_dump_json(indent=1))
        records += _records(job, case, artefact, identities, values)
    (folder / "records.jsonl").write_text("".join(r.model_dump_json() + "\n" for r in records))
    (folder / "failures.jsonl").write_text("".join(f.model_dump_json() + "\n" for f in failures))
    return folder


def _records(
    job: Job, case: Case, artefact: Artefact, identities: Mapping[str, dict[str, Any]], values: Values
) -> list[MetricRecord]:
    found = []
    for metric, identity in identities.items():
        try:
            value = values(metric, case, job.method.label, job.seed)
        except KeyError:
            continue
        key = key_of(metric_labels.build(metric), artefact, case)
        details = {} if value is not None else {"why": "a test says so"}
        status = "ok" if value is not None else "undefined"
        found.append(MetricRecord(key=key, job_key=job.key, metric=metric, identity=identity, status=status, value=value, details=details))  # fmt: skip
    return found


class _Clips:
    """Encodes every distinct clip once: most of the time of a large fake run would go there."""

    def __init__(self, frames: tuple[int, int, int], videos: bool) -> None:
        self.found: dict[str, bytes] = {}
        self.videos = videos
        self.frames = frames

    def encode(self, clip: Frames | None, name: str) -> tuple[str, bytes]:
        if clip is None:
            return hashlib.sha256(json.dumps(name).encode()).hexdigest(), b""
        assert clip.shape == (*self.frames, 3) and clip.dtype == np.uint8
        key = frames_digest(clip)
        if key not in self.found:
            import tempfile

            with tempfile.TemporaryDirectory() as place:
                write_lossless(Path(place) / "c.mkv", clip, Fraction(15))
                self.found[key] = (Path(place) / "c.mkv").read_bytes()
        return key, self.found[key]

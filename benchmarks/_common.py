"""What the benchmarks share: calls timed in turns, fresh processes, suites and run folders of any size without a video."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

METHODS = ("none", "sdedit", "fastvmt", "fastvmt:no-window", "fastvmt:no-window-loss", "fastvmt:no-step-skip", "fastvmt:span=3",
           "fastvmt:span=7", "fastvmt:block=1", "ditflow")  # fmt: skip
LINKS = 50_000
"""Names of one file: file systems have a limit, ext4 one of 65,000."""


def interleaved(
    calls: dict[str, Callable[[], object]], runs: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each call, taken in turns after one warm-up each."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for n in range(runs + 1):
        for name, call in calls.items():
            start = clock()
            call()
            if n:
                seconds[name].append(clock() - start)
    return seconds


def ratio(first: Sequence[float], second: Sequence[float]) -> str:
    """Median of the paired ratios, quartiles in brackets."""
    found = [a / b for a, b in zip(first, second, strict=True)]
    low, _, high = statistics.quantiles(found, n=4) if len(found) > 1 else (found[0],) * 3
    return f"{statistics.median(found):.2f} [{low:.2f}, {high:.2f}]"


def fresh(command: list[str]) -> tuple[float, str]:
    """Seconds and output of a fresh process."""
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:6])} ended with {done.returncode}")
    return time.perf_counter() - began, done.stdout


def write_suite(folder: Path, clips: int) -> None:
    """A suite whose lists are complete; the clips themselves are one small file under many names."""
    folder.mkdir()
    (folder / "0.mp4").write_bytes(b"never opened")
    for n in range(1, clips):
        os.link(folder / "0.mp4", folder / f"{n}.mp4")
    rows = [{"id": f"c{n}", "path": f"{n}.mp4", "frames": 99, "sha256": f"{n:064x}"} for n in range(clips)]
    texts = [{"clip": f"c{n}", "id": "p1", "text": f"subject {n} walks"} for n in range(clips)]
    for name, table in (("clips.jsonl", rows), ("prompts.jsonl", texts)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in table))
    (folder / "suite.toml").write_text('schema = "vmt-suite/1"\nid = "large"\n')


def write_run(root: Path, jobs: int, metrics: tuple[str, ...] = ("time",), finished: bool = True) -> None:
    """A run folder of so many jobs of ``METHODS``; finished, each has an artefact (without frames) and drawn numbers."""
    from fastvmt.backbones import card as cards
    from fastvmt.backbones.noise_levels import sigma_grid
    from fastvmt.core.content_address import canonical_json, digest
    from fastvmt.jobs.run_config import RunConfig
    from fastvmt.model import Artefact, Case, MetricRecord, Reference, Setting, Suite
    from fastvmt.plugins import labels
    from fastvmt.plugins.metric_labels import build
    from fastvmt.records.identity import machine, record_key
    from fastvmt.store.checked_lines import with_check
    from fastvmt.store.folder import Store

    card, sigmas, rng = cards.load("tiny"), sigma_grid(10, 3.0), random.Random(0)
    size = {"width": 64, "height": 64, "frames": 33}
    shape = card.shape(64, 64, 33, sigmas)
    suite = tuple(
        Case(id=f"case-{n:05d}", category=("camera", "single_object")[n % 2], prompt=f"prompt {n}",
             reference=Reference(frames_digest=digest(n), source="drawn", **size))
        for n in range(-(-jobs // len(METHODS)))
    )  # fmt: skip
    setting = Setting(backbone="tiny", weights_digest="0", steps=10, guidance=3.0, sigmas=sigmas, dtype="float32", negative="",
                      **size)  # fmt: skip
    methods = tuple(labels.resolve(m, shape, card.methods) for m in METHODS)
    config = RunConfig(suite=Suite(name="many", cases=suite), setting=setting, methods=methods, seeds=(0,), metrics=metrics)
    store = Store.create(root, config)
    if not finished:
        return
    said = [(m, identity := m.identity(), canonical_json(identity)) for m in map(build, metrics)]
    artefact = Artefact(
        key="", frames_digest="", fps_num=15, fps_den=1, files={"frames.mkv": {"bytes": 5, "sha256": "0" * 64}},
        stages={"guidance": 1.0, "denoise": 1.0, "load": 1.0}, peak_memory_bytes=1 << 30, forward_equivalents=20.0,
        device="a device", software={"torch": "0"}, timing_key="2" * 64, **size,
    )  # fmt: skip
    device, software = machine(artefact)
    with open(root / "records.jsonl", "w") as records, open(root / "events.jsonl", "w") as events:
        for n, job in enumerate(config.jobs()):
            made = artefact.model_copy(update={"key": job.key, "frames_digest": digest(job.key)})
            folder = store.folder(job)
            folder.mkdir()
            (folder / "meta.json").write_text(made.model_dump_json(indent=1))
            if n % LINKS == 0:
                (frames := root / f"frames-{n // LINKS}").write_bytes(b"lossy")
            os.link(frames, folder / "frames.mkv")
            for metric, identity, text in said:
                key = record_key(text, metric.timing, made, suite[n // len(METHODS)].reference.frames_digest).hex()
                of_device = {"device": device, "software": software} if metric.timing else {}
                row = MetricRecord(key=key, job_key=job.key, metric=metric.label, identity=identity, status="ok",
                                   value=rng.gauss(0.5, 0.1), **of_device)  # fmt: skip
                records.write(with_check(row.model_dump_json()) + "\n")
            for kind in ("generating", "made"):
                events.write(json.dumps({"event": kind, "key": job.key, "attempt": 1, "seconds": 1.0}) + "\n")

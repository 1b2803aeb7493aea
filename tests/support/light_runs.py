"""Run folders of light jobs, planned and with nothing made, and what their logs and processes say."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from fastvmt.core.content_address import frames_digest
from fastvmt.jobs.run_config import RunConfig
from fastvmt.media.files import write_lossless
from fastvmt.model import MethodSpec, Suite
from fastvmt.plugins import labels, registry, trust
from fastvmt.plugins.method import Shape
from fastvmt.store.folder import Store
from support.places import SUPPORT
from support.runs import make_cases, make_setting

PLUGIN = SUPPORT / "light.py"
SIZE = (5, 32, 32)
"""Frames, height and width of the references of ``make_light``."""


_LOADING = threading.Lock()
"""Loading a file anew forgets its names for a moment, and the fault list makes runs in two threads."""


def quick(label: str = "quick", method: str = "quick", **params: Any) -> MethodSpec:
    return MethodSpec(label=label, method=method, version=1, params={"work": 0.0, "do": "", "mark": ""} | params)


def make_quick(
    folder: Path, cases: int = 4, methods: Sequence[MethodSpec] = (), seeds: Sequence[int] = (0,), **config: Any
) -> Path:
    """Jobs without codecs: all references are one black clip."""
    given = {"metrics": ("nibble",), "plugins": (str(PLUGIN),), "setting": make_setting()} | config
    suite = Suite(name="quick", cases=make_cases(cases))
    clips = {c.reference.frames_digest: np.zeros((5, 8, 8, 3), np.uint8) for c in suite.cases}
    return _create(folder, clips, suite=suite, methods=tuple(methods or [quick()]), seeds=tuple(seeds), **given)


def make_light(
    folder: Path, cases: int = 4, methods: Sequence[str] = ("light", "light:at=2"), seeds: Sequence[int] = (0,),
    plugins: Sequence[Path] = (), metrics: Sequence[str] = ("difference",),
) -> Path:  # fmt: skip
    """Jobs with real clips of noise.

    Args:
        plugins: loaded before the light one, so that they may break what it uses.
    """
    shape = Shape(blocks=2, heads=2, grid=(2, 4, 4), sigmas=make_setting(SIZE).sigmas)
    found, clips = [], {}
    for number, case in enumerate(make_cases(cases, frames=SIZE)):
        clip = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        clips[frames_digest(clip)] = clip
        reference = case.reference.model_copy(update={"frames_digest": frames_digest(clip)})
        found.append(case.model_copy(update={"reference": reference}))
    return _create(
        folder, clips, suite=Suite(name="light", cases=tuple(found)), setting=make_setting(SIZE), seeds=tuple(seeds),
        methods=_resolved(methods, shape), metrics=tuple(metrics),
        plugins=(*map(str, plugins), str(PLUGIN)), device="cpu",
    )  # fmt: skip


def _resolved(methods: Sequence[str], shape: Shape) -> tuple[MethodSpec, ...]:
    with _LOADING:
        registry.load_plugin(str(PLUGIN))
        return tuple(labels.resolve(m, shape, {}) for m in methods)


def _create(folder: Path, clips: dict[str, Any], **config: Any) -> Path:
    for path in map(Path, config.get("plugins", ())):  # as if the user had given them, for runners in other processes
        trust.remember(path.resolve(), sha256(path.read_bytes()).hexdigest())
    with _LOADING:
        registry.load_plugin(str(PLUGIN))  # for runners in this process
    store, made = Store.create(folder, RunConfig(**config)), {}
    for key, clip in clips.items():
        path = store.reference_path(key)
        if raw := made.get(clip.tobytes()):
            path.write_bytes(raw)
        else:
            write_lossless(path, clip, Fraction(15))
            made[clip.tobytes()] = path.read_bytes()
    return folder


def events(folder: Path, kind: str = "") -> list[dict[str, Any]]:
    """Whole lines of the event logs of all writers, of one kind or of all."""
    found = []
    for log in (folder / "events.jsonl", *sorted((folder / "events").glob("*.jsonl"))):
        with contextlib.suppress(FileNotFoundError):
            for line in log.read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
    return [e for e in found if kind in ("", e.get("event"))]


def times(folder: Path, kind: str) -> Counter[str]:
    """How often it happened to each job."""
    return Counter(e["key"] for e in events(folder, kind))


def finished(folder: Path) -> set[str]:
    return {p.parent.name for p in (folder / "artefacts").glob("[!.]*/meta.json")}


def children(pid: int) -> list[int]:
    """Processes started by a process, as the kernel lists them."""
    with contextlib.suppress(OSError):
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def comes(found: Callable[[], object], seconds: float = 120.0) -> bool:
    """Look until it is so; false when it never was."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found():
            return True
        time.sleep(0.01)
    return False


def wait_for(found: Callable[[], object], seconds: float = 60.0) -> None:
    assert comes(found, seconds), "waited in vain"

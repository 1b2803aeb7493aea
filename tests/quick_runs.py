"""Run folders of quick jobs, planned and with nothing made, and what their logs say."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from fake_runs import make_cases, make_setting

from fastvmt.media.files import write_lossless
from fastvmt.model import MethodSpec, Suite
from fastvmt.plugins import registry
from fastvmt.store.folder import RunConfig, Store

PLUGIN = Path(__file__).with_name("quick.py")
registry.load_plugin(str(PLUGIN))  # for runners in this process


def quick(label: str = "quick", **params: Any) -> MethodSpec:
    return MethodSpec(label=label, method="quick", version=1, params={"work": 0.0, "do": "", "mark": ""} | params)


def make_quick(
    folder: Path, cases: int = 4, methods: Sequence[MethodSpec] = (), seeds: Sequence[int] = (0,), **config: Any
) -> Path:
    given = {"metrics": ("nibble",), "plugins": (str(PLUGIN),)} | config
    suite = Suite(name="quick", cases=tuple(make_cases(cases)))
    run = RunConfig(suite=suite, setting=make_setting(), methods=tuple(methods or [quick()]), seeds=tuple(seeds), **given)
    store = Store.create(folder, run)
    write_lossless(folder / "clip.mkv", np.zeros((5, 8, 8, 3), np.uint8), Fraction(15))
    for case in suite.cases:
        shutil.copyfile(folder / "clip.mkv", store.reference_path(case.reference.frames_digest))
    return folder


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    """Of all writers; torn lines left out."""
    lines = [n for p in Store.open(folder).logs("events") if p.exists() for n in p.read_text().splitlines() if n.endswith("}")]
    return [e for e in map(json.loads, lines) if e["event"] == kind]


def times(folder: Path, kind: str) -> Counter[str]:
    """How often it happened to each job."""
    return Counter(e["key"] for e in events(folder, kind))

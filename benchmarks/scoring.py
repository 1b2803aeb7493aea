"""How long one large clip takes to score by every metric that needs no weights: ``python benchmarks/scoring.py``.

Draws two clips (81 frames, width 832, height 480: a texture under a moving camera, a disc before it), then scores one against
the other in a fresh process as ``bench score`` does: one worker, each clip decoded once, what metrics share computed once.
Printed: seconds a metric in the order in which they ran, the first of a kind with what it loads; then the whole.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from types import SimpleNamespace

import cv2
import numpy as np
from _common import fresh
from numpy.typing import NDArray

SHAPES = ":clip=tiny-shapes", ":backend=tiny-shapes"
METRICS = (
    *(f"motion_fidelity{form}" for form in (
        "", "@smm-script", "_backward", "_both", "_local", "_moving", "_tracked", "@det", "@det-hybrid", "@ivebench",
    )),
    "camera_agreement", "object_agreement", f"text_similarity{SHAPES[0]}", f"temporal_consistency{SHAPES[0]}",
    f"appearance_leakage{SHAPES[0]}",
    *(f"vbench:{name}{SHAPES[1]}" for name in (
        "subject_consistency", "background_consistency", "motion_smoothness", "dynamic_degree", "temporal_flickering",
    )),
)  # fmt: skip


def drawn(speed: float, frames: int, width: int, height: int) -> NDArray[np.uint8]:
    """A clip (frames, height, width, 3) whose camera moves by ``speed`` pixels a frame."""
    noise = np.random.default_rng(0).integers(0, 255, (height + frames, width + int(speed * frames) + 1, 3), np.uint8)
    ground = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), noise, 0, 255, cv2.NORM_MINMAX)
    clip = np.stack([ground[t // 2 : t // 2 + height, int(speed * t) :][:, :width] for t in range(frames)])
    for t, frame in enumerate(clip):
        cv2.circle(frame, (width // 4 + 4 * t, height // 2), height // 8, (200, 30, 30), -1)
    return clip


def score(frames: int, width: int, height: int) -> None:
    generated, reference = (drawn(speed, frames, width, height) for speed in (2.0, 2.3))
    start = time.perf_counter()
    from fastvmt.core.content_address import frames_digest
    from fastvmt.plugins.metric import Scored
    from fastvmt.plugins.metric_labels import build

    case = SimpleNamespace(prompt="a red disc", reference=SimpleNamespace(frames_digest=frames_digest(reference)))
    scored = Scored(generated, reference, case, SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
    took = []
    for label in METRICS:
        before = time.perf_counter()
        found = build(label).score(scored)
        took.append((label, time.perf_counter() - before, found.value))
    print(json.dumps({"took": took, "whole": time.perf_counter() - start, "processor": time.process_time()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--width", type=int, default=832)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--here", action="store_true", help="in this process (used by the fresh one)")
    asked = parser.parse_args()
    size = asked.frames, asked.width, asked.height
    if asked.here:
        score(*size)
        return
    given = [f"--{name}={value}" for name, value in zip(("frames", "width", "height"), size, strict=True)]
    found = json.loads(fresh([sys.executable, __file__, "--here", *given])[1])
    print("| metric | s | value |\n|---|---|---|")
    for label, seconds, value in found["took"]:
        print(f"| {label} | {seconds:.2f} | {'undefined' if value is None else f'{value:.3f}'} |")
    print(f"\nthe whole: {found['whole']:.1f} s, {found['processor']:.1f} s of processor time, imports included")


if __name__ == "__main__":
    main()

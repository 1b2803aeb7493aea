"""DeT's form of motion fidelity against loops that follow its definition word by word."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.clips import scored

from fastvmt.datasets.drawn.scene import draw
from fastvmt.datasets.drawn.shapes import make_scene, stream
from fastvmt.metrics.motion.det_hybrid import DRAWN, SEED, MotionFidelityDeT, hybrid_parts, kept_frames
from fastvmt.metrics.trackers.lk import track
from fastvmt.plugins.metric_labels import build


def by_loops(gen: np.ndarray, ref: np.ndarray) -> tuple[float, float]:
    """Both parts from tracklets (n, T, 2) already divided by width and height, in plain Python."""

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        total = 0.0
        for k in range(len(a)):
            u = a[0] if k == 0 else a[k] - a[k - 1]
            v = b[0] if k == 0 else b[k] - b[k - 1]
            lengths = math.hypot(*u) * math.hypot(*v)
            total += (u[0] * v[0] + u[1] * v[1]) / lengths if lengths else 0.0
        return total / len(a)

    def closeness(a: np.ndarray, b: np.ndarray) -> float:
        return 1 / (1 + sum(math.dist(p, q) for p in a for q in b) / (len(a) * len(b)))

    first = sum(max(cosine(a, b) for b in ref) for a in gen) / len(gen)
    ids = np.random.default_rng(SEED).integers(0, min(len(gen), len(ref)), DRAWN)
    table = {(i, j): closeness(gen[i], ref[j]) for i in set(ids.tolist()) for j in set(ids.tolist())}
    return first, sum(max(table[i, j] for j in ids.tolist()) for i in ids.tolist()) / DRAWN


@pytest.mark.parametrize(("n", "m", "frames", "seed"), [(4, 4, 5, 0), (7, 3, 4, 1), (3, 6, 2, 2)])
def test_both_parts_are_those_of_plain_loops(n: int, m: int, frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gen, ref = (0.5 + rng.normal(0, 0.05, (k, frames, 2)).cumsum(1) for k in (n, m))
    gen[0, 1] = gen[0, 0]  # a step of no length adds 0
    assert hybrid_parts(gen, ref) == pytest.approx(by_loops(gen, ref), abs=1e-12)


def test_the_longer_clip_is_thinned_not_cut() -> None:
    np.testing.assert_array_equal(kept_frames(9, 5), [0, 2, 4, 6, 8])
    np.testing.assert_array_equal(kept_frames(8, 5), [0, 1, 3, 5, 7])
    rng = np.random.default_rng(0)
    long, short = rng.random((4, 9, 2)).cumsum(1), rng.random((4, 5, 2)).cumsum(1)
    assert hybrid_parts(long, short) == hybrid_parts(long[:, [0, 2, 4, 6, 8]], short)


def test_the_metric_divides_by_width_and_height_and_repeats() -> None:
    clip, other = (draw(make_scene(stream("heldout", n), ("linear",), "pan", 9)) for n in (40, 41))
    found = build("motion_fidelity@det-hybrid").score(scored(clip[:, 8:56], other))
    again = MotionFidelityDeT().score(scored(clip[:, 8:56], other))
    assert found == again and found.value is not None
    g, r = track(clip[:, 8:56]).points / [64, 48], track(other).points / 64
    assert (found.details["cosine"], found.details["distance_part"]) == pytest.approx(hybrid_parts(g, r, 1e-6 / 64))
    assert found.value == pytest.approx((found.details["cosine"] + found.details["distance_part"]) / 2)
    assert "seed 0" in MotionFidelityDeT().identity()["distance_part"]

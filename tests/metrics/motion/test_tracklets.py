"""Properties of motion fidelity that hold for any tracklets, all policies; fixed values stand in ``tests/metrics/motion/test_numbers.py``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastvmt.metrics.motion import tracklets
from fastvmt.metrics.motion.tracklets import fidelity

POLICIES = ("zero", "nan", "mask", "mask50", "match", "live")
FINITE = ("zero", "mask", "mask50", "match", "live")
LOOK = ("mask", "mask50", "live")
few = settings(max_examples=15, deadline=None)


@st.composite
def two_sets(draw: Any, still: bool = True) -> dict[str, Any]:
    """Two sets of walks on a fine grid, some steps standing still and some points unseen."""
    n, m, frames, seed = (draw(st.integers(*span)) for span in ((1, 6), (1, 6), (2, 8), (0, 10**6)))
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for name, count in (("generated", n), ("reference", m)):
        steps = rng.normal(size=(count, frames, 2))
        if still:
            steps *= rng.random((count, frames, 1)) < 0.7
        found[name] = 10 * rng.random((count, 1, 2)) + steps.cumsum(1)
    found["visible"] = (rng.random((n, frames)) < 0.8, rng.random((m, frames)) < 0.8)
    return found


def values(sets: dict[str, Any], policy: str, **more: Any) -> list[float | None]:
    found = fidelity(**(sets | more), policy=policy)
    return [found.forward, found.backward]


def same(a: list[float | None], b: list[float | None]) -> bool:
    pairs = [(np.nan if x is None else x, np.nan if y is None else y) for x, y in zip(a, b, strict=True)]
    return all(math.isclose(x, y, abs_tol=1e-9) or (math.isnan(x) and math.isnan(y)) for x, y in pairs)


def loops(sets: dict[str, Any], policy: str, radius: float | None) -> list[float | None]:
    """The definition in plain Python, tracklet by tracklet and step by step."""
    gen, ref, (seen_a, seen_b) = sets["generated"], sets["reference"], sets["visible"]
    table: list[list[float | None]] = []
    for i, a in enumerate(gen):
        table.append([])
        for j, b in enumerate(ref):
            total, used, both_still, shown, live, count = 0.0, 0, 0, 0, 0, len(a) - 1
            for k in range(count):
                u, v = a[k + 1] - a[k], b[k + 1] - b[k]
                in_view = all((seen_a[i][k], seen_a[i][k + 1], seen_b[j][k], seen_b[j][k + 1])) or policy not in LOOK
                shown += in_view
                live += in_view and (math.hypot(*u) > 0 or math.hypot(*v) > 0)
                if math.hypot(*u) > 0 and math.hypot(*v) > 0 and in_view:
                    total += (u[0] * v[0] + u[1] * v[1]) / math.hypot(*u) / math.hypot(*v)
                    used += 1
                both_still += math.hypot(*u) == 0 == math.hypot(*v)
            used = live if policy == "live" else used
            need = {"mask": 1, "mask50": math.ceil(count / 2), "live": math.ceil(count / 4)}.get(policy, 0)
            value = total / max(used, 1) if policy in LOOK else (total + both_still * (policy == "match")) / count
            far = radius is not None and math.dist(a[0], b[0]) > radius
            table[-1].append(None if far or used < need or (policy == "live" and shown < math.ceil(count / 2)) else value)
    best = []
    for rows in (table, list(zip(*table, strict=True))):
        tops = [max(x for x in row if x is not None) for row in rows if any(x is not None for x in row)]
        best.append(sum(tops) / len(tops) if tops else None)
    return best


@few
@given(two_sets(), st.sampled_from(FINITE), st.sampled_from([None, 3.0]))
def test_the_matrix_product_is_the_plain_loop(sets: dict[str, Any], policy: str, radius: float | None) -> None:
    assert same(values(sets, policy, radius=radius), loops(sets, policy, radius))


@few
@given(two_sets(), st.floats(0.1, 20))
def test_never_nan_but_under_its_own_policy(sets: dict[str, Any], radius: float) -> None:
    for policy in FINITE:
        for near in (None, radius):
            found = values(sets, policy, radius=near, tau=0.5)
            assert all(v is None or -1 - 1e-12 <= v <= 1 + 1e-12 for v in found), (policy, found)
        assert policy in LOOK or None not in values(sets, policy)
    stands = (np.diff(sets["generated"], axis=1) == 0).all(2).any() or (np.diff(sets["reference"], axis=1) == 0).all(2).any()
    assert bool(np.isnan(fidelity(sets["generated"], sets["reference"], "nan").forward or 0)) == stands


@few
@given(two_sets(), st.sampled_from(POLICIES), st.integers(1, 5))
def test_blocks_change_no_maximum(sets: dict[str, Any], policy: str, size: int) -> None:
    whole = values(sets, policy, radius=4.0), values(sets, policy)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracklets, "BLOCK", size)
        assert all(same(a, b) for a, b in zip((values(sets, policy, radius=4.0), values(sets, policy)), whole, strict=True))

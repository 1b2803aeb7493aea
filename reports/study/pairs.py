"""``bench study make --pairs``: which two videos stand beside each other, and pairs with a known answer.

Every pair of methods comes about as often as every other, on as many clips as there are. A check shows the reference itself
beside its own first frame, standing still: who looks says that the first moves as the reference moves.
"""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations

from fastvmt.media.files import read_lossless
from fastvmt.model import Case, Job
from fastvmt.store.folder import Store

MOVING, STILL = "check: the reference", "check: its first frame"
LEAST_CHECKS, PAIRS_A_CHECK = 4, 8
LEAST_MOTION = 0.5
"""Of 255: a mean difference to the first frame that is seen."""

Pair = tuple[Case, dict[str, Job]]


def pairs_of(
    jobs: dict[Case, dict[str, Job]], picked: list[Case], methods: tuple[str, ...], wanted: int, seed: int
) -> list[Pair]:
    """So many pairs at the most, each case and pair of methods once.

    Args:
        picked: cases in the order in which they are to be used.
    """
    chance = random.Random(seed)
    left = {two: chance.sample(picked, len(picked)) for two in combinations(methods, 2)}
    found: list[Pair] = []
    used: Counter[str] = Counter()
    while len(found) < wanted and any(left.values()):
        for two in chance.sample(list(left), len(left)):
            if len(found) < wanted and left[two]:
                case = min(left[two], key=lambda c: used[c.id])
                left[two].remove(case)
                used[case.id] += 1
                found.append((case, {label: jobs[case][label] for label in two}))
    return found


def checks_of(store: Store, picked: list[Case], pairs: int) -> list[Case]:
    """The cases whose references move the most, for checks among so many pairs; none where nothing moves."""
    wanted = max(LEAST_CHECKS, -(-pairs // PAIRS_A_CHECK))
    motion = [(c, _motion(store, c)) for c in {c.reference.frames_digest: c for c in picked}.values()]
    moving = [c for c, much in sorted(motion, key=lambda m: -m[1]) if much >= LEAST_MOTION]
    return [moving[n % len(moving)] for n in range(wanted)] if moving else []


def _motion(store: Store, case: Case) -> float:
    """Mean absolute difference to the first frame."""
    reference = case.reference
    frames = read_lossless(store.reference_path(reference.frames_digest), reference.shape).astype("int16")
    return float(abs(frames - frames[:1]).mean())

"""The generated subject's path against the reference's known one; only for drawn clips with one mover.

The subject is found by colour: a pixel is the subject's when its colour is nearer to one of the subject's two tones
than to either tone of the ground. A clip that loses its subject scores 0, so that a failure is not left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastvmt.datasets.drawn.scene import GROUND_COLOURS, SUBJECT_COLOURS
from fastvmt.datasets.drawn.shapes import Pair, suite_pairs, truth
from fastvmt.datasets.drawn.suites import find_pair
from fastvmt.media.files import Frames
from fastvmt.media.framing import fit_points
from fastvmt.model import Case
from fastvmt.plugins.metric import Metric, Scored, Value

EVERY, MIN_AREA_SHARE, MIN_STEP_SHARE = 4, 0.006, 0.008


def subject_mask(frames: Frames, caption: str) -> NDArray[np.bool_]:
    """(T, H, W): where the one subject that the caption names is seen.

    Raises:
        KeyError: when the caption is not of the drawn suites' form.
    """
    words = caption.split()
    subject = np.array(SUBJECT_COLOURS[words[1]], float)
    ground = np.array(GROUND_COLOURS[words[words.index("on") + 2]], float)
    tones = np.stack([subject, subject * 0.62, subject * 0.8, ground, ground * 0.6, ground * 0.8])
    out = np.empty(frames.shape[:3], bool)
    for frame, seen in zip(frames, out, strict=True):  # one at a time: all distances of a large clip take gigabytes
        seen[:] = np.linalg.norm(frame[..., None, :].astype(float) - tones, axis=-1).argmin(-1) < 3
    return out


def centroids(mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """(T, 2) mean (x, y) of the mask in px; None when it is lost in some frame."""
    area = mask.sum((1, 2))
    if area.min() < MIN_AREA_SHARE * mask.shape[1] * mask.shape[2]:
        return None
    rows, columns = np.arange(mask.shape[1])[None, :, None], np.arange(mask.shape[2])[None, None, :]
    return np.stack([(mask * columns).sum((1, 2)) / area, (mask * rows).sum((1, 2)) / area], -1)


def path_cosine(found: NDArray[np.float64], known: NDArray[np.float64], width: int) -> float | None:
    """Mean cosine between displacements over ``EVERY`` frames where the known path moves; None when it never does."""
    a, b = np.diff(found[::EVERY], axis=0), np.diff(known[::EVERY], axis=0)
    moves = np.linalg.norm(b, axis=1) > MIN_STEP_SHARE * width
    if not moves.any():
        return None
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = (a * b).sum(1) / np.maximum(norms, 1e-9)
    return float(cosine[moves].mean())


class Trajectory(Metric):
    """Mean cosine between the generated subject's steps and the reference's known ones, -1 to 1; chance is 0.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> pair = {"source": "drawn:shapes/single-object-100", "prompt": caption}
    >>> [round(score_clip("trajectory", g, frames, **pair).value) for g in (frames, frames[::-1])]
    [1, -1]
    """

    id = "trajectory"
    summary = "path of the subject (by colour) against the known path, single drawn movers only"
    source = "this package; drawn clips have known motion"
    needs = ("known motion",)
    backend = "colour-mask"

    def applies(self, case: Case) -> bool:
        pair = find_pair(case.reference.source, case.reference.frames)
        return bool(pair and pair.category == "single_object")

    def judged_against(self, case: Case) -> Pair:
        """The pair whose reference's path is the known one."""
        pair = find_pair(case.reference.source, case.reference.frames)
        assert pair is not None
        return pair

    def score(self, scored: Scored) -> Value:
        pair = self.judged_against(scored.case)
        known = truth(pair.reference).centroids[0]
        found = centroids(subject_mask(scored.generated, scored.case.prompt))
        if found is None:
            return Value(0.0, {"lost": True})
        height, width = scored.generated.shape[1:3]
        own = (pair.reference.width, pair.reference.height)
        known = fit_points(known + 0.5, own, (width, height)) - 0.5
        shared = min(len(found), len(known))
        found, known = found[:shared], known[:shared]
        error = (found - found.mean(0)) - (known - known.mean(0))
        spread = max(float(np.linalg.norm(known - known.mean(0))), 1e-9)
        return Value(
            path_cosine(found, known, width),
            {"relative_error": round(float(np.linalg.norm(error) / spread), 4)},
        )


class TrajectoryWrong(Trajectory):
    """The control of the measure: the same clip against the path of the next single-object pair of its suite.

    What does not depend on the reference (an easy suite, a habit of the model) shows here as much as in ``trajectory``.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> pair = {"source": "drawn:shapes/single-object-100", "prompt": caption}
    >>> abs(score_clip("trajectory_wrong", frames, frames, **pair).value) < 0.5
    True
    """

    id = "trajectory_wrong"
    summary = "control: path of the subject against the path of another pair's reference"
    direction = "none"

    def judged_against(self, case: Case) -> Pair:
        own = super().judged_against(case)
        suite = case.reference.source.partition(":")[2].partition("/")[0]
        single = [p for p in suite_pairs(suite, case.reference.frames) if p.category == "single_object"]
        return single[([p.name for p in single].index(own.name) + 1) % len(single)]

"""The motion of a generated drawn-suite clip against the motion that its reference is known to have.

Every category has the score: places, sizes and angles of all subjects, under a still or a moving camera. Subjects are found by
the colours that the prompt names (``movers.py``), and steps are compared in length as well as in direction (``agreement.py``).
A clip that is frozen, blank or noise has nothing in common with the reference: 0.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from fastvmt.datasets.drawn.scene import GROUND_COLOURS, Described, Scene, read_caption
from fastvmt.datasets.drawn.shapes import Pair, suite_pairs
from fastvmt.datasets.drawn.suites import SIDE, find_pair
from fastvmt.media.files import Frames
from fastvmt.media.framing import fit_frames
from fastvmt.metrics.motion import ground
from fastvmt.metrics.motion.agreement import EVERY, agreement, asked
from fastvmt.metrics.motion.movers import find, known, owners
from fastvmt.model import Case
from fastvmt.plugins.method import Params
from fastvmt.plugins.metric import Metric, Scored, Value

Part = Literal["all", "direction", "size", "path", "turn_grow", "in_order", "ground", "seen"]


class TrajectoryParams(Params):
    part: Part = Field("all", description="show one part of the score as a column of its own")


class Trajectory(Metric):
    """Agreement of the subjects' motion with the reference's known one, -1 to 1; no motion in common is 0.

    It is ``direction`` (cosine of all steps over four frames) times ``size`` (2|a||b| / (|a|^2 + |b|^2): too little and too
    much motion cost alike) times ``seen`` (share of frames that show each subject, once). Subjects are matched to the
    reference's in the order that agrees best; ``in_order`` is the score if the caption's order had to hold. Only the
    coordinates that move in the reference count: place, size, angle. ``turn_grow`` is the agreement of size and angle,
    ``path`` the mean cosine of the place's steps, ``ground`` the agreement of the ground with a camera that moves (not part
    of the score). ``trajectory:part=path`` shows a part as a column. With several subjects chance lies above 0, because the
    best order is taken: read it beside ``trajectory_wrong``.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> pair = {"source": "drawn:shapes/single-object-100", "prompt": caption}
    >>> still = frames[:1].repeat(len(frames), axis=0)
    >>> [round(score_clip("trajectory", g, frames, **pair).value, 1) for g in (frames, frames[::-1], still)]
    [1.0, -0.8, 0.0]
    """

    id = "trajectory"
    version = 2
    summary = "motion of the subjects (by colour) against the known motion of a drawn reference"
    source = "this package; drawn clips have known motion"
    needs = ("known motion",)
    backend = "colour-mask"
    Params = TrajectoryParams

    def applies(self, case: Case) -> bool:
        pair, named = find_pair(case.reference.source, case.reference.frames), read_caption(case.prompt)
        if pair is None or named is None or len(named.subjects) != len(pair.reference.movers):
            return False
        return self._shown_by(self.judged_against(case).reference, named.pattern)

    def judged_against(self, case: Case) -> Pair:
        """The pair whose reference's motion is the known one."""
        pair = find_pair(case.reference.source, case.reference.frames)
        assert pair is not None
        return pair

    def _shown_by(self, scene: Scene, pattern: str) -> bool:
        """Whether a reference, and the ground that the prompt names, have the part that is asked for."""
        states, _ = known(scene, scene.width, scene.height)
        wanted = asked(states, scene.width)
        if self.params.part == "turn_grow":
            return bool(wanted[:, 2:].any())
        if self.params.part == "in_order":
            return len(states) > 1
        if self.params.part == "path":
            return bool(wanted[:, :2].any())
        return _moves(scene, pattern) if self.params.part == "ground" else bool(wanted.any())

    def score(self, scored: Scored) -> Value:
        scene, key = self.judged_against(scored.case).reference, f"motion:{self.id}"
        if key not in scored.cache:
            scored.cache[key] = parts(scored.generated, scored.case.prompt, scene)
        found: dict[str, Any] = dict(scored.cache[key])
        value = found.get("value" if self.params.part == "all" else self.params.part)
        return Value(value, {k: v for k, v in found.items() if k != "value"})


def parts(frames: Frames, caption: str, scene: Scene) -> dict[str, Any]:
    """The score and its parts, of a clip (T, H, W, 3) whose caption names as many subjects as a scene has.

    A shorter clip is judged by its frames; what is cut off counts as not seen. ``value`` is None where nothing known moves.

    Raises:
        ValueError: for another caption.
    """
    named, (height, width) = read_caption(caption), frames.shape[1:3]
    if named is None or len(named.subjects) != len(scene.movers):
        raise ValueError(f"{caption!r} must name as many drawn subjects as the scene has movers ({len(scene.movers)}).")
    states, radius = known(scene, width, height)
    shared = min(len(frames), scene.frames)
    found = find(frames[:shared], named, radius)
    agreed = agreement(found.state, states[:, :shared], width)
    if agreed is None:
        return {"value": None}
    seen = float(found.seen.sum() / (len(states) * scene.frames))
    out: dict[str, Any] = {
        "value": agreed.value * seen,
        "direction": agreed.direction,
        "size": agreed.size,
        "seen": seen,
        "copies": float(found.copies.mean()),
        "path": None if agreed.path is None else agreed.path * seen,
        "turn_grow": None if agreed.turn_grow is None else agreed.turn_grow * seen,
    }
    if len(states) > 1:
        out |= {"in_order": agreed.in_order * seen, "order": list(agreed.assignment)}
    if _moves(scene, named.pattern):
        out["ground"] = _ground(frames[:shared], named, scene)
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in out.items() if v is not None}


def _moves(scene: Scene, pattern: str) -> bool:
    """Whether the scene's camera moves in a way that a ground of this pattern can show."""
    columns = list(ground.visible(pattern))
    return bool(columns and np.ptp(ground.known(scene)[:, columns], axis=0).max(initial=0.0) > 1.5)


def _ground(frames: Frames, named: Described, scene: Scene) -> float:
    """Agreement of the ground's motion with the camera's, -1 to 1."""
    height, width = frames.shape[1:3]
    scale = SIDE / max(height, width)
    frames = fit_frames(frames, max(1, round(width * scale)), max(1, round(height * scale)), "stretch")
    colour = np.array(GROUND_COLOURS[named.ground], np.float32)
    light = frames.astype(np.float32) @ colour / float(colour @ colour)
    columns = list(ground.visible(named.pattern))
    track = ground.found(light, owners(frames, named) < 0, named.pattern)[:, columns]
    should = ground.known(scene)[: len(track), columns]
    span = min(EVERY, len(track) - 1)
    a, b = track[span:] - track[:-span], should[span:] - should[:-span]
    both = float((a * a).sum() + (b * b).sum())
    return 2 * float((a * b).sum()) / both if both else 0.0


class TrajectoryWrong(Trajectory):
    """The control of the score: the same clip against the known motion of the next pair of its category.

    What does not depend on the reference (an easy suite, a habit of the model, the best of several orders) shows here as much
    as in ``trajectory``.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> pair = {"source": "drawn:shapes/single-object-100", "prompt": caption}
    >>> abs(score_clip("trajectory_wrong", frames, frames, **pair).value) < 0.5
    True
    """

    id = "trajectory_wrong"
    summary = "control: motion of the subjects against the known motion of another pair's reference"
    direction = "none"

    def judged_against(self, case: Case) -> Pair:
        own = super().judged_against(case)
        suite = case.reference.source.partition(":")[2].partition("/")[0]
        kind = [p for p in suite_pairs(suite, case.reference.frames) if p.category == own.category]
        return kind[([p.name for p in kind].index(own.name) + 1) % len(kind)]

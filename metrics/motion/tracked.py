"""Motion fidelity over live tracks, and its control: what a tracker lost and what left the frame has no vote."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from fastvmt.metrics.motion.fidelity import (
    MIN_TRACKS,
    AgainstNext,
    MotionFidelity,
    MovingParams,
    defined,
    moving_steps,
    seen_steps,
    shares,
)
from fastvmt.metrics.motion.tracklets import fidelity
from fastvmt.plugins.method import Params
from fastvmt.plugins.metric import Value
from fastvmt.plugins.tracker import Tracks


class TrackedParams(MovingParams):
    tracker: str = Field("lk-live", description="`bench list trackers`")
    near: float = Field(
        0.1, ge=0, le=10, description="compare only tracks that start so near each other, in widths of the frame; 0 for any"
    )


class MotionFidelityTracked(MotionFidelity):
    """The headline over live tracks that move: what a tracker lost, what left the frame and what stands still is in no sum.

    A pair of tracks is compared over the steps that both are seen at and one at least moves at; where one stands still, the
    step adds 0. Tracks count that are seen in half of the steps and move in a quarter, of which each side needs 8: undefined
    where the reference has fewer, 0 where only the generated clip has. Steps up to ``moving_px`` are static. A track is held
    against those that start within ``near`` of it: motion must be at its place, which brings chance near 0. Range -1 to 1.
    Formula: policy ``live`` in ``tracklets.py``.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> stops = frames[[*range(17), *[16] * 16]]
    >>> label = "motion_fidelity_tracked"
    >>> same, stopped, still, back = (score_clip(label, g, frames).value for g in (frames, stops, stops[16:], frames[::-1]))
    >>> same > 0.9 > 0.8 > stopped > still == 0 >= back
    True
    """

    id = "motion_fidelity_tracked"
    summary = "motion fidelity over tracks that move, while they are seen: lost and outside points are in no sum"
    Params: ClassVar[type[Params]] = TrackedParams
    policy: ClassVar[dict[str, Any]] = {"policy": "live", "direction": "forward", "least_tracks": MIN_TRACKS}

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"tau_px_at_512": self.params.moving_px, "near": self.params.near}

    def counted(self, tracks: Tracks, height: int, width: int) -> Tracks:
        """What lies outside the frame is not seen, whatever the tracker says."""
        on = ((tracks.points >= -0.5) & (tracks.points < np.array([width, height]) - 0.5)).all(-1)
        return Tracks(tracks.points, tracks.visible & on, tracks.subject)

    def compare(self, g: Tracks, r: Tracks, width: int) -> Value:
        tau, steps = self.params.moving_px * width / 512, min(g.points.shape[1], r.points.shape[1]) - 1
        lasting = [seen_steps(t)[:, :steps].sum(axis=1) >= -(-steps // 2) for t in (g, r)]
        chosen = [last & (moving_steps(t, tau, steps) >= -(-steps // 4)) for t, last in zip((g, r), lasting, strict=True)]
        facts: dict[str, Any] = {
            "lasting_tracks": [int(x.sum()) for x in lasting],
            "moving_tracks": [int(x.sum()) for x in chosen],
        }
        facts |= shares(g, r)
        for side, whose, value in ((1, "reference", None), (0, "generated clip", 0.0)):
            if (count := facts["moving_tracks"][side]) < MIN_TRACKS:
                last, all_of = facts["lasting_tracks"][side], len((g, r)[side].points)
                why = f"of {all_of} tracks of the {whose} {last} are seen in half of the steps, {count} of them move: too few"
                return Value(value, facts | {"why": why})
        (a, seen_a), (b, seen_b) = ((t.points[x], t.visible[x]) for t, x in zip((g, r), chosen, strict=True))
        found = fidelity(a, b, "live", tau, (seen_a, seen_b), radius=self.params.near * width or None)
        sides = {"backward": found.backward, "both": found.both}
        return defined(found.forward, facts | sides, "is seen together with one of the reference in half of the steps")


class MotionFidelityTrackedWrong(AgainstNext, MotionFidelityTracked):
    """Control: the form over live tracks against another case's reference.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> other, _ = clip("single-object-101")
    >>> score_clip("motion_fidelity_tracked_wrong", frames, frames, other=other).value < 0.4
    True
    """

    id = "motion_fidelity_tracked_wrong"
    summary = "control: motion fidelity over live tracks against another case's reference"
    policy: ClassVar[dict[str, Any]] = MotionFidelityTracked.policy | {"reference": "next case"}

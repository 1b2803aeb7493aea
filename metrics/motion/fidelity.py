"""Motion fidelity with any tracker: the headline, the published scripts' form, diagnostics, and controls.

Every class is one formula (``tracklets.py``) under one ``policy``; the tracker is a parameter. What the reference lacks makes
a number undefined, for every method alike. What the generated clip lacks is a 0: no row gains by clips that show nothing.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from fastvmt.core.sealed import sealed
from fastvmt.errors import SpecError
from fastvmt.media.files import Frames
from fastvmt.metrics.motion.tracklets import chance_floor, fidelity, script_form
from fastvmt.plugins import registry
from fastvmt.plugins.method import Params
from fastvmt.plugins.metric import Metric, Scored, Value
from fastvmt.plugins.tracker import Tracker, Tracks, get

STATIC_PX = 1e-6
MOVING_PX_AT_512 = 0.1
LOCAL_RADIUS = 0.1
MIN_TRACKS = 8


class FidelityParams(Params):
    tracker: str = Field("lk", description="`bench list trackers`")

    @field_validator("tracker")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            registry.trackers.get(value)
        except SpecError as error:
            raise ValueError(str(error)) from None
        return value


class MovingParams(FidelityParams):
    moving_px: float = Field(
        MOVING_PX_AT_512,
        gt=0,
        le=1e6,
        description="steps up to this are static (px at 512 px width); set it above the jitter of still points",
    )


_REFERENCES: dict[tuple[str, str], Tracks] = {}
"""Tracks of references already seen by this process: every method of a case is scored against the same clip."""


def _reference_tracks(tracker: Tracker, digest: str, frames: Frames) -> Tracks:
    key = (tracker.id, digest)
    if key not in _REFERENCES:
        if len(_REFERENCES) >= 128:
            _REFERENCES.clear()
        _REFERENCES[key] = sealed(copy.deepcopy(tracker.track(frames)))  # nobody's but ours
    return _REFERENCES[key]


class MotionFidelity(Metric):
    """Mean over generated tracklets of the best correlation with a reference tracklet (forward, static steps add 0).

    Range -1 to 1. Far above 0 by chance, because every tracklet takes a maximum: read it beside the control rows and
    the record's ``chance_floor`` (as many tracklets, moving at the same steps, with random directions).
    Source: Yatim et al., CVPR 2024; formula in ``tracklets.py``.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> other, _ = clip("single-object-101")
    >>> same, wrong = (score_clip("motion_fidelity", g, frames).value for g in (frames, other))
    >>> same > 0.7 > 0.4 > wrong
    True
    """

    id = "motion_fidelity"
    summary = "tracklets of the generated clip against the reference's (Yatim et al.), forward, zero-safe"
    source = "Yatim et al., CVPR 2024"
    backend = "tracker"
    Params: ClassVar[type[Params]] = FidelityParams
    policy: ClassVar[dict[str, Any]] = {"policy": "zero", "tau_px": STATIC_PX, "direction": "forward"}

    @property
    def tracker(self) -> Tracker:
        return get(self.params.tracker)

    def missing(self) -> str:
        return self.tracker.missing()

    def identity(self) -> dict[str, Any]:
        return super().identity() | self.tracker.identity() | self.policy

    def generated(self, scored: Scored) -> Tracks | None:
        """Tracks of the judged clip, once per job."""
        key = ("tracks", self.tracker.id)
        if key not in scored.cache:
            scored.cache[key] = self.tracker.track(scored.generated)
        found: Tracks = scored.cache[key]
        return found

    def reference(self, scored: Scored) -> Tracks | None:
        """Tracks of the clip it is judged against; None when there is none."""
        return _reference_tracks(self.tracker, scored.case.reference.frames_digest, scored.reference)

    def score(self, scored: Scored) -> Value:
        g, r = self.generated(scored), self.reference(scored)
        if g is None or r is None:
            return Value(None, {"why": "every case has the same reference"})
        g, r = (self.counted(t, *scored.generated.shape[1:3]) for t in (g, r))
        found = self._found(g, r, scored.generated.shape[2])
        return Value(found.value, found.details | {"live": _live_share(g, r)})

    def counted(self, tracks: Tracks, height: int, width: int) -> Tracks:
        """What of a tracker's tracks counts, in a clip of this size: all of them here."""
        return tracks

    def _found(self, g: Tracks, r: Tracks, width: int) -> Value:
        if min(g.points.shape[1], r.points.shape[1]) < 2:
            return Value(None, {"why": "one frame has no motion"})
        if len(r.points) < MIN_TRACKS:
            return Value(None, {"why": f"fewer than {MIN_TRACKS} tracks in the reference"})
        if len(g.points) < MIN_TRACKS:
            return Value(0.0, {"why": f"fewer than {MIN_TRACKS} tracks in the generated clip"})
        return self.compare(g, r, width)

    def compare(self, g: Tracks, r: Tracks, width: int) -> Value:
        """The number for two sets of tracks in clips ``width`` px wide."""
        radius = self.policy.get("radius_of_width")
        found = fidelity(g.points, r.points, "zero", STATIC_PX, radius=radius and radius * width)
        floor = round(chance_floor(g.points, r.points, STATIC_PX), 4)
        facts = {"backward": found.backward, "both": found.both, "chance_floor": floor} | shares(g, r)
        return defined(getattr(found, self.policy["direction"]), facts, "near one of the reference")


def defined(value: float | None, facts: dict[str, Any], where: str) -> Value:
    """0 where no pair of tracks could be compared, though the reference has tracks for it."""
    return Value(0.0, facts | {"why": f"no track of the generated clip {where}"}) if value is None else Value(value, facts)


def _live_share(g: Tracks, r: Tracks) -> float:
    """Share of places at which a track is seen, mean of both clips: what of a number is not a guess."""
    shares = [float(t.visible.mean()) if t.visible.size else 0.0 for t in (g, r)]
    return round(sum(shares) / 2, 4)


def shares(g: Tracks, r: Tracks) -> dict[str, Any]:
    return {
        "tracks": [len(g.points), len(r.points)],
        "invisible": [round(float(1 - t.visible.mean()), 4) for t in (g, r)],
        "static": [round(float((_steps(t) <= STATIC_PX).mean()), 4) for t in (g, r)],
    }


def _steps(tracks: Tracks) -> NDArray[np.float64]:
    return np.linalg.norm(np.diff(tracks.points, axis=1), axis=2)


def moving_steps(tracks: Tracks, tau: float, steps: int | None = None) -> NDArray[np.int64]:
    """(N,) how many of the first steps of each track move and are seen at both ends."""
    seen: NDArray[np.bool_] = (_steps(tracks) > tau) & seen_steps(tracks)
    return np.asarray(seen[:, :steps].sum(axis=1), np.int64)


def seen_steps(tracks: Tracks) -> NDArray[np.bool_]:
    """(N, T-1) steps that are seen at both ends."""
    return tracks.visible[:, 1:] & tracks.visible[:, :-1]


class MotionFidelityScript(MotionFidelity):
    """The number the published scripts print: the identity is subtracted before the maximum, so that a point may not
    match the same grid index. Static steps add 0 here, where the scripts would return NaN.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> label = "motion_fidelity@smm-script"  # below the headline: no point may match itself
    >>> score_clip(label, frames, frames).value < score_clip("motion_fidelity", frames, frames).value
    True
    """

    id = "motion_fidelity@smm-script"
    summary = "motion fidelity as the published scripts print it (identity subtracted)"
    policy: ClassVar[dict[str, Any]] = MotionFidelity.policy | {"minus_identity": True}

    def compare(self, g: Tracks, r: Tracks, width: int) -> Value:
        found = script_form(g.points, r.points, "zero", tau=STATIC_PX)
        return Value(found, {} if found is not None else {"why": "the scripts need equally many tracks on both sides"})


class MotionFidelityBackward(MotionFidelity):
    """Recall to the headline's precision: mean over reference tracklets of the best generated one.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> other, _ = clip("single-object-101")
    >>> forward = score_clip("motion_fidelity", other, frames).value
    >>> score_clip("motion_fidelity_backward", frames, other).value == forward
    True
    """

    id = "motion_fidelity_backward"
    summary = "motion fidelity from the reference's side: is all of its motion there?"
    policy: ClassVar[dict[str, Any]] = MotionFidelity.policy | {"direction": "backward"}


class MotionFidelityBoth(MotionFidelity):
    """Mean of forward and backward: a pan, which matches some part of every zoom, cannot pass for one here.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> other, _ = clip("single-object-101")
    >>> sides = [score_clip(f"motion_fidelity{side}", other, frames).value for side in ("", "_backward")]
    >>> score_clip("motion_fidelity_both", other, frames).value == sum(sides) / 2
    True
    """

    id = "motion_fidelity_both"
    summary = "motion fidelity, mean of both directions"
    policy: ClassVar[dict[str, Any]] = MotionFidelity.policy | {"direction": "both"}


class MotionFidelityLocal(MotionFidelity):
    """A tracklet is compared only with those that start within a tenth of the width: motion must be at its place.

    The only form here that tells a zoom in from a zoom out. Both clips are taken at one size, as the run makes them.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> same, reversed_ = (score_clip("motion_fidelity_local", g, frames).value for g in (frames, frames[::-1]))
    >>> same > 0.7 > 0.2 > reversed_
    True
    """

    id = "motion_fidelity_local"
    summary = "motion fidelity among tracklets that start near each other"
    policy: ClassVar[dict[str, Any]] = MotionFidelity.policy | {"radius_of_width": LOCAL_RADIUS}


class MotionFidelityMoving(MotionFidelity):
    """Only steps that move and are visible in both count, and a pair needs half of them.

    Undefined where the reference does not move; 0 where the generated clip does not, or never while the reference does.

    The headline cannot tell a small object's path from its reverse over a static ground; this can, as long as what counts
    as moving lies above the jitter that a VAE gives to still points (``moving_px``; see docs/results/metrics.md).

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> same, reversed_ = (score_clip("motion_fidelity_moving", g, frames).value for g in (frames, frames[::-1]))
    >>> same > 0.9 > -0.5 > reversed_
    True
    """

    id = "motion_fidelity_moving"
    version = 3
    summary = "motion fidelity over moving, visible points only"
    Params: ClassVar[type[Params]] = MovingParams
    policy: ClassVar[dict[str, Any]] = {"policy": "mask50", "tau_px_at_512": MOVING_PX_AT_512, "direction": "forward"}

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"tau_px_at_512": self.params.moving_px}

    def compare(self, g: Tracks, r: Tracks, width: int) -> Value:
        tau = self.params.moving_px * width / 512
        moving = [moving_steps(t, tau) for t in (g, r)]
        counts: dict[str, Any] = {"moving_tracks": [int((m > 0).sum()) for m in moving]}
        of_generated, of_reference = counts["moving_tracks"]
        if of_reference < MIN_TRACKS:
            return Value(None, counts | {"why": f"fewer than {MIN_TRACKS} moving tracks in the reference"})
        if 2 * moving[1].max() < min(g.points.shape[1], r.points.shape[1]) - 1:
            return Value(None, counts | {"why": "no track of the reference moves in half of its steps"})
        if of_generated < MIN_TRACKS:
            return Value(0.0, counts | {"why": f"fewer than {MIN_TRACKS} moving tracks in the generated clip"})
        (a, seen_a), (b, seen_b) = ((t.points[m > 0], t.visible[m > 0]) for t, m in zip((g, r), moving, strict=True))
        found = fidelity(a, b, "mask50", tau, (seen_a, seen_b))
        facts = counts | {"backward": found.backward, "both": found.both}
        return defined(getattr(found, self.policy["direction"]), facts, "moves with one of the reference in half of the steps")


class AgainstNext(MotionFidelity):
    """The same formula as if another case's reference were this one's own: what it scores is what any motion would."""

    direction = "none"

    def reference(self, scored: Scored) -> Tracks | None:
        if "wrong" not in scored.cache:
            scored.cache["wrong"] = scored.wrong_reference()
        other = scored.cache["wrong"]
        return other and _reference_tracks(self.tracker, *other)


class MotionFidelityWrong(AgainstNext):
    """Control: the headline against another case's reference.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> other, _ = clip("single-object-101")
    >>> score_clip("motion_fidelity_wrong", frames, frames, other=other).value < 0.4
    True
    >>> score_clip("motion_fidelity_wrong", frames, frames).details["why"]
    'every case has the same reference'
    """

    id = "motion_fidelity_wrong"
    summary = "control: motion fidelity against another case's reference"
    policy: ClassVar[dict[str, Any]] = MotionFidelity.policy | {"reference": "next case"}


class MotionFidelityMovingWrong(AgainstNext, MotionFidelityMoving):
    """Control: the moving form against another case's reference.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> other, _ = clip("single-object-101")
    >>> score_clip("motion_fidelity_moving_wrong", frames, frames, other=other).value < 0.5
    True
    """

    id = "motion_fidelity_moving_wrong"
    summary = "control: motion fidelity over moving points against another case's reference"
    policy: ClassVar[dict[str, Any]] = MotionFidelityMoving.policy | {"reference": "next case"}


class MotionFidelityFrozen(MotionFidelity):
    """Control: the headline of a still, the generated clip's first frame held. A tracker that jitters scores above 0.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> score_clip("motion_fidelity_frozen", frames, frames).value
    0.0
    """

    id = "motion_fidelity_frozen"
    summary = "control: motion fidelity of the clip's first frame, held"
    direction = "none"
    policy: ClassVar[dict[str, Any]] = MotionFidelity.policy | {"generated": "first frame, held"}

    def generated(self, scored: Scored) -> Tracks | None:
        return self.tracker.track(np.repeat(scored.generated[:1], len(scored.generated), axis=0))

"""Motion fidelity with the offline tracker: headline, the published scripts' form, and moving points only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from fastvmt.metrics import lk
from fastvmt.metrics.tracklets import fidelity, script_form

from fastvmt.metric import Metric, Scored, Value
from fastvmt.video import Frames

STATIC_PX = 1e-6
MOVING_PX_AT_512 = 0.1
LOCAL_RADIUS = 0.1


def tracks(scored: Scored) -> tuple[lk.Tracks, lk.Tracks]:
    """Tracks of the generated clip and of the reference, computed once per job."""
    if "lk" not in scored.cache:
        scored.cache["lk"] = (lk.track(scored.generated), _reference_tracks(scored))
    found: tuple[lk.Tracks, lk.Tracks] = scored.cache["lk"]
    return found


_REFERENCES: dict[str, lk.Tracks] = {}
"""Tracks of references already seen by this process: every method of a case is scored against the same clip."""


def _reference_tracks(scored: Scored) -> lk.Tracks:
    return _tracks_of(scored.case.reference.frames_digest, scored.reference)


def _tracks_of(key: str, reference: Frames) -> lk.Tracks:
    if key not in _REFERENCES:
        if len(_REFERENCES) >= 128:
            _REFERENCES.clear()
        _REFERENCES[key] = lk.track(reference)
    return _REFERENCES[key]


def _against_wrong(scored: Scored) -> Scored | None:
    """The same job as if another case's reference were its own; None when there is no other."""
    if "wrong" not in scored.cache:
        other = scored.wrong_reference()
        scored.cache["wrong"] = other and replace(scored, cache={"lk": (tracks(scored)[0], _tracks_of(*other))})
    found: Scored | None = scored.cache["wrong"]
    return found


def _shares(scored: Scored) -> dict[str, Any]:
    g, r = tracks(scored)
    return {
        "tracks": [len(g.points), len(r.points)],
        "invisible": [round(float(1 - t.visible.mean()), 4) for t in (g, r)],
        "static": [round(float((np.linalg.norm(np.diff(t.points, axis=1), axis=2) <= STATIC_PX).mean()), 4) for t in (g, r)],
    }


class MotionFidelity(Metric):
    """Mean over generated tracklets of the best correlation with a reference tracklet (forward, static steps add 0).

    Range -1 to 1. Far above 0 by chance, because every tracklet takes a maximum: read it beside the control rows.
    Source: Yatim et al., CVPR 2024; formula in ``tracklets.py``.
    """

    id = "motion_fidelity"
    summary = "tracklets of the generated clip against the reference's (Yatim et al.), forward, zero-safe"
    source = "Yatim et al., CVPR 2024"
    backend = "opencv-lk"
    policy: ClassVar[dict[str, Any]] = {"policy": "zero", "tau_px": STATIC_PX, "direction": "forward"}

    def identity(self) -> dict[str, Any]:
        return super().identity() | lk.identity() | self.policy

    def score(self, scored: Scored) -> Value:
        g, r = tracks(scored)
        found = fidelity(g.points, r.points, "zero", STATIC_PX)
        return Value(found.forward, {"backward": found.backward, "both": found.both} | _shares(scored))


class MotionFidelityScript(MotionFidelity):
    """The number the published scripts print: the identity is subtracted before the maximum, so that a point may not
    match the same grid index. Static steps add 0 here, where the scripts would return NaN."""

    id = "motion_fidelity@smm-script"
    summary = "motion fidelity as the published scripts print it (identity subtracted)"
    policy: ClassVar[dict[str, Any]] = {"policy": "zero", "tau_px": STATIC_PX, "direction": "forward", "minus_identity": True}

    def score(self, scored: Scored) -> Value:
        g, r = tracks(scored)
        return Value(script_form(g.points, r.points, "zero", tau=STATIC_PX))


class MotionFidelityBackward(MotionFidelity):
    """Recall to the headline's precision: mean over reference tracklets of the best generated one."""

    id = "motion_fidelity_backward"
    summary = "motion fidelity from the reference's side: is all of its motion there?"
    policy: ClassVar[dict[str, Any]] = {"policy": "zero", "tau_px": STATIC_PX, "direction": "backward"}

    def score(self, scored: Scored) -> Value:
        g, r = tracks(scored)
        return Value(fidelity(g.points, r.points, "zero", STATIC_PX).backward)


class MotionFidelityBoth(MotionFidelity):
    """Mean of forward and backward: a pan cannot pass for a zoom here (forward 0.96, both 0.6 on drawn clips)."""

    id = "motion_fidelity_both"
    summary = "motion fidelity, mean of both directions"
    policy: ClassVar[dict[str, Any]] = {"policy": "zero", "tau_px": STATIC_PX, "direction": "both"}

    def score(self, scored: Scored) -> Value:
        g, r = tracks(scored)
        return Value(fidelity(g.points, r.points, "zero", STATIC_PX).both)


class MotionFidelityLocal(MotionFidelity):
    """A tracklet is compared only with those that start within a tenth of the width: motion must be at its place.

    The only form here that tells a zoom in from a zoom out. Both clips are taken at one size, as the run makes them.
    """

    id = "motion_fidelity_local"
    summary = "motion fidelity among tracklets that start near each other"
    policy: ClassVar[dict[str, Any]] = {
        "policy": "zero", "tau_px": STATIC_PX, "direction": "forward", "radius_of_width": LOCAL_RADIUS,
    }  # fmt: skip

    def score(self, scored: Scored) -> Value:
        g, r = tracks(scored)
        found = fidelity(g.points, r.points, "zero", STATIC_PX, radius=LOCAL_RADIUS * scored.generated.shape[2])
        return Value(found.forward, {"backward": found.backward})


class MotionFidelityMoving(MotionFidelity):
    """Only steps that move and are visible in both count, and a pair needs half of them; undefined when nothing moves.

    The headline cannot tell a small object's path from its reverse over a static ground; this can.
    """

    id = "motion_fidelity_moving"
    summary = "motion fidelity over moving, visible points only"
    policy: ClassVar[dict[str, Any]] = {"policy": "mask50", "tau_px_at_512": MOVING_PX_AT_512, "direction": "forward"}

    def score(self, scored: Scored) -> Value:
        g, r = tracks(scored)
        tau = MOVING_PX_AT_512 * scored.generated.shape[2] / 512
        moving = [np.linalg.norm(np.diff(t.points, axis=1), axis=2).max(1) > 10 * tau for t in (g, r)]
        counts = {"moving_tracks": [int(m.sum()) for m in moving]}
        if min(int(m.sum()) for m in moving) < lk.MIN_TRACKS:
            return Value(None, counts | {"why": f"fewer than {lk.MIN_TRACKS} moving tracks on one side"})
        points, visible = (
            [t.points[m] for t, m in zip((g, r), moving, strict=True)],
            [t.visible[m] for t, m in zip((g, r), moving, strict=True)],
        )
        found = fidelity(points[0], points[1], "mask50", tau, (visible[0], visible[1]))
        return Value(found.forward, counts | {"backward": found.backward, "both": found.both})


class MotionFidelityWrong(MotionFidelity):
    """Control: the headline against another case's reference. What it scores is what any motion would."""

    id = "motion_fidelity_wrong"
    summary = "control: motion fidelity against another case's reference"
    direction = "none"
    policy: ClassVar[dict[str, Any]] = MotionFidelity.policy | {"reference": "next case"}

    def score(self, scored: Scored) -> Value:
        other = _against_wrong(scored)
        return Value(None, {"why": "every case has the same reference"}) if other is None else super().score(other)


class MotionFidelityMovingWrong(MotionFidelityMoving):
    """Control: the moving form against another case's reference."""

    id = "motion_fidelity_moving_wrong"
    summary = "control: motion fidelity over moving points against another case's reference"
    direction = "none"
    policy: ClassVar[dict[str, Any]] = MotionFidelityMoving.policy | {"reference": "next case"}

    def score(self, scored: Scored) -> Value:
        other = _against_wrong(scored)
        return Value(None, {"why": "every case has the same reference"}) if other is None else super().score(other)

"""Camera and object motion, each by itself: a pan, which most tracks show, cannot hide what the objects do, nor the reverse.

Both are 2<a, b> / (|a|^2 + |b|^2) of the generated clip's steps a and the reference's b (``agreement.py``): 1 for the same
motion, 0 for none or motion by chance, 0.2 for a tenth of it, -1 for the way back. How the two are told apart: ``camera.py``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastvmt.metrics.motion import camera
from fastvmt.metrics.motion.agreed import LEAST_SPREAD
from fastvmt.metrics.motion.agreement import EVERY, LEAST_EXTENT_SHARE, agreement
from fastvmt.metrics.motion.fidelity import MIN_TRACKS, AgainstNext, MotionFidelity
from fastvmt.plugins.metric import Scored, Value
from fastvmt.plugins.tracker import Tracks

_FIT: dict[str, Any] = {
    "fit": "similarity by RANSAC", "frames_of_a_step": EVERY, "tolerance_of_width": camera.TOLERANCE,
    "least_spread": LEAST_SPREAD, "least_extent_of_width": LEAST_EXTENT_SHARE,
}  # fmt: skip


class CameraAgreement(MotionFidelity):
    """Agreement of the camera's motion with the reference's: shift, zoom and turn of the frame, -1 to 1.

    The camera is what most tracks of a step agree on (a similarity, by RANSAC); objects that move over it do not count. Of its
    four coordinates those count that move in the reference, by 2.3 % of the width or more (zoom and turn: at a third of the
    width from the centre). Undefined where the reference's camera stands still or cannot be seen; 0 where only the generated
    clip's does. ``direction``, ``size``, ``path`` (shift alone) and ``turn_grow`` (zoom and turn alone) stand in the details.
    Chance is near 0 over many cases; references that share a motion lift it: read it beside ``camera_agreement_wrong``.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("camera-44", "shapes-64")
    >>> still = frames[:1].repeat(len(frames), axis=0)
    >>> [round(score_clip("camera_agreement", g, frames).value, 1) for g in (frames, frames[::-1], still)]
    [1.0, -1.0, 0.0]
    """

    id = "camera_agreement"
    summary = "motion of the camera (what most tracks agree on) against the reference's"
    source = "this package"
    policy: ClassVar[dict[str, Any]] = _FIT | {"radius_of_width": round(camera.RADIUS, 4)}

    def generated(self, scored: Scored) -> Tracks | None:
        return _centred(super().generated(scored), scored.generated.shape)

    def reference(self, scored: Scored) -> Tracks | None:
        return _centred(super().reference(scored), scored.reference.shape)

    def compare(self, g: Tracks, r: Tracks, width: int) -> Value:
        """The number for two sets of ``centred`` tracks."""
        return self.agree(camera.told_apart(g), camera.told_apart(r))

    def agree(self, found: camera.Told, known: camera.Told) -> Value:
        steps = min(len(found.fitted), len(known.fitted))
        facts: dict[str, Any] = {"fitted": [round(float(t.fitted.mean()), 4) for t in (found, known)]}
        if not known.fitted[:steps].any():
            return Value(None, facts | {"why": "too few tracks over the frame of the reference to see its camera"})
        told = known.fitted[:steps]
        agreed = agreement(found.way(told), known.way(told), 1)
        if agreed is None:
            return Value(None, facts | {"why": "the camera of the reference stands still"})
        parts = {k: getattr(agreed, k) for k in ("direction", "size", "path", "turn_grow")}
        return Value(agreed.value, facts | {k: round(v, 4) for k, v in parts.items() if v is not None})


def _centred(tracks: Tracks | None, shape: tuple[int, ...]) -> Tracks | None:
    return tracks and camera.centred(tracks, shape[2], shape[1])


class ObjectAgreement(CameraAgreement):
    """Agreement of the objects' motion with the reference's, the camera's taken away from both, -1 to 1.

    Objects are the tracks whose own motion, after the camera's, covers 2.3 % of the width or more. A hundred of each clip are
    matched one to one so that they differ least; where they are does not count. Undefined where the reference has fewer than
    8 such tracks; 0 where only the generated clip has. The best matching is taken, so chance lies above 0: read it beside
    ``object_agreement_wrong``.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> still = frames[:1].repeat(len(frames), axis=0)
    >>> same, back, none = (score_clip("object_agreement", g, frames).value for g in (frames, frames[::-1], still))
    >>> same > 0.9 > 0.0 > back, none
    (True, 0.0)
    """

    id = "object_agreement"
    summary = "motion of the objects, the camera's taken away, against the reference's"
    policy: ClassVar[dict[str, Any]] = _FIT | {"matched": camera.MATCHED}

    def agree(self, found: camera.Told, known: camera.Told) -> Value:
        counts = [len(told.movers()) for told in (found, known)]
        facts = {"moving_tracks": counts, "fitted": [round(float(np.mean(t.fitted)), 4) for t in (found, known)]}
        if counts[1] < MIN_TRACKS:
            return Value(None, facts | {"why": f"fewer than {MIN_TRACKS} tracks of the reference move by themselves"})
        if counts[0] < MIN_TRACKS:
            return Value(0.0, facts | {"why": f"fewer than {MIN_TRACKS} tracks of the generated clip move by themselves"})
        product, length, should = camera.matched(found, known)
        return Value(2 * product / (length + should), facts)


class CameraAgreementWrong(CameraAgreement, AgainstNext):
    """Control: the camera's motion against that of another case's reference.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> (frames, _), (other, _) = clip("camera-44", "shapes-64"), clip("camera-43", "shapes-64")
    >>> score_clip("camera_agreement_wrong", frames, frames, other=other).value < 0.5
    True
    """

    id = "camera_agreement_wrong"
    summary = "control: motion of the camera against another case's reference"
    policy: ClassVar[dict[str, Any]] = CameraAgreement.policy | {"reference": "next case"}


class ObjectAgreementWrong(ObjectAgreement, AgainstNext):
    """Control: the objects' motion against that of another case's reference.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> (frames, _), (other, _) = clip("single-object-100"), clip("single-object-101")
    >>> score_clip("object_agreement_wrong", frames, frames, other=other).value < 0.5
    True
    """

    id = "object_agreement_wrong"
    summary = "control: motion of the objects against another case's reference"
    policy: ClassVar[dict[str, Any]] = ObjectAgreement.policy | {"reference": "next case"}

"""Point tracks of a reference for methods that train on them: exact ones from the suite that drew it, else a tracker's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastvmt.errors import MissingWeights, SuiteError
from fastvmt.media.files import Frames
from fastvmt.model import Reference
from fastvmt.plugins import registry


@dataclass(frozen=True)
class PointTracks:
    """Points followed from the first frame.

    Attributes:
        points: (N, T, 2) as (x, y) in px of the reference's frames, the centre of the top left pixel at (0, 0).
        visible: (N, T) bool.
        subject: (N,) bool, on a mover and not on the ground; None where nobody knows.
    """

    points: NDArray[np.float64]
    visible: NDArray[np.bool_]
    subject: NDArray[np.bool_] | None = None


def _suite_of(reference: Reference) -> str:
    """The drawn suite that knows the clip's tracks, or ""."""
    kind, _, rest = reference.source.partition(":")
    suite = rest.partition("/")[0]
    known = kind == "drawn" and suite in registry.suites.names() and hasattr(registry.suites.get(suite), "tracks")
    return suite if known else ""


def tracks_origin(reference: Reference, tracker: str) -> str:
    """Where ``tracks_of`` takes a reference's tracks from: ``suite``, or the tracker's name. Part of a key."""
    return "suite" if _suite_of(reference) else tracker


def tracks_of(reference: Reference, frames: Frames, tracker: str, points: int) -> PointTracks:
    """Tracks of a reference.

    Args:
        frames: the reference's, uint8 RGB (T, H, W, 3).
        tracker: a registered tracker, used where the suite has no tracks; its points are its own, over the whole frame.
        points: about how many are wanted on each mover of a drawn clip.

    Raises:
        MissingWeights: when the tracker has to be fetched first.
        SuiteError: when a drawn suite does not know the clip that bears its name.
    """
    suite = _suite_of(reference)
    if suite:
        known: PointTracks | None = registry.suites.get(suite)().tracks(reference, points)
        if known is None:
            raise SuiteError(f"{reference.source}: {suite} has no such clip, so its tracks are unknown. Use another --suite.")
        return known
    follower = registry.trackers.get(tracker)()
    missing = follower.missing()
    if missing:
        raise MissingWeights(missing)
    found = follower.track(frames)
    return PointTracks(found.points, found.visible)

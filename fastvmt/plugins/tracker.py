"""What a point tracker is: frames in, tracks out, and an identity that stands in every record made with it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastvmt.core.sealed import sealed
from fastvmt.errors import MissingWeights, SuiteError
from fastvmt.media.files import Frames
from fastvmt.model import Reference
from fastvmt.plugins import registry
from fastvmt.plugins.blame import blamed, guard, is_ours, need

F64 = NDArray[np.float64]
FARTHEST_PX = 1e6
"""Of a visible point: farther out is no place in a clip, and squares of steps stay numbers."""


@dataclass(frozen=True)
class Tracks:
    """Points followed from the first frame.

    Attributes:
        points: (N, T, 2) as (x, y) in px of the given frames, the centre of the top left pixel at (0, 0); anything, NaN too,
            where a track is not visible.
        visible: (N, T) bool; what is lost, hidden or outside the frame is not visible.
        subject: (N,) bool, on a mover and not on the ground; None where nobody knows.
    """

    points: F64
    visible: NDArray[np.bool_]
    subject: NDArray[np.bool_] | None = None


class Tracker:
    """Base of all trackers; making one loads nothing.

    Attributes:
        id: registered name.
        summary, source, licence: one line each.
    """

    id: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    source: ClassVar[str] = ""
    licence: ClassVar[str] = ""

    def identity(self) -> dict[str, Any]:
        """Everything that another number could come from: versions, weights digest, grid, chunks."""
        raise NotImplementedError

    def missing(self) -> str:
        """What has to be fetched first: one sentence with size and command, or ""."""
        return ""

    def track(self, frames: Frames, queries: F64 | None = None) -> Tracks:
        """Follow points of the first frame.

        Args:
            frames: uint8 RGB (T, H, W, 3).
            queries: (N, 2) points (x, y) of the first frame, px; the tracker's own grid when None.
        """
        raise NotImplementedError


def make(name: str) -> Tracker:
    """A new tracker of that name, whose tracks are checked, and as read-only as the frames that it is given.

    Raises:
        SpecError: for an unknown name, or one that cannot be made.
    """
    return _made(name, registry.trackers.get(name))


def _made(name: str, cls: type[Tracker]) -> Tracker:
    whose = f"Tracker '{name}'"
    with blamed(cls, f"{whose}, when it is made"):
        tracker = guard(cls(), whose, "missing", "identity", "track")
    if not is_ours(cls):
        tracker.track = partial(_track, tracker.track, cls, f"{whose}: track")  # type: ignore[method-assign]
    return tracker


def _track(track: Callable[..., Any], cls: type[Tracker], doing: str, frames: Frames, queries: F64 | None = None) -> Tracks:
    found = track(sealed(frames.copy()), sealed(copy.copy(queries)))  # torch writes into what is read-only
    return _checked(cls, doing, found, len(frames), None if queries is None else len(queries))


def _checked(cls: type, doing: str, found: Any, frames: int, asked: int | None = None) -> Tracks:
    """What somebody else's code says are tracks of so many points (None: of its own choice)."""
    need(cls, doing, found, isinstance(found, Tracks), "Tracks")
    points, visible = np.asarray(found.points), np.asarray(found.visible)
    n = len(points) if asked is None and points.ndim else asked or 0
    need(cls, f"{doing}: points", points, points.shape == (n, frames, 2), f"of shape ({n}, {frames}, 2)")
    need(cls, f"{doing}: visible", visible, visible.shape == (n, frames), f"of shape ({n}, {frames})")
    need(cls, f"{doing}: points", points, points.dtype.kind in "fiu", "numbers")
    seen: NDArray[np.bool_] = np.asarray(visible == 1)
    need(cls, f"{doing}: visible", visible, bool((seen | (visible == 0)).all()), "booleans")
    places = points.astype(np.float64)
    usable: NDArray[np.bool_] = np.asarray(np.abs(places) <= FARTHEST_PX)
    bad = places[seen[..., None] & ~usable]
    need(
        cls,
        f"{doing}: points",
        float(bad[0]) if len(bad) else None,
        not len(bad),
        "finite px where a track is visible (else visible=False)",
    )
    return Tracks(_held(places, np.asarray(usable.all(-1))), seen, found.subject)


def _held(points: F64, usable: NDArray[np.bool_]) -> F64:
    """Points whose unusable places are the last usable one of their track, else the first: an unseen point stands still."""
    frames = np.arange(points.shape[1])
    last = np.maximum.accumulate(np.where(usable, frames, -1), axis=1)
    last = np.where(last < 0, usable.argmax(axis=1)[:, None], last) if points.shape[1] else last
    held = np.take_along_axis(points, last[..., None], axis=1)
    return np.where(np.asarray(usable.any(axis=1))[:, None, None], held, 0.0)


def get(name: str) -> Tracker:
    """The tracker of that name, one per process (it may hold a network).

    Raises:
        SpecError: for an unknown name.
    """
    return _only(name, registry.trackers.get(name))


_only = cache(_made)  # by the class: a file that was loaded anew has another one


def _suite_of(reference: Reference, what: str = "tracks") -> str:
    """The drawn suite that knows the clip's tracks, or masks; or ""."""
    kind, _, rest = reference.source.partition(":")
    suite = rest.partition("/")[0]
    known = kind == "drawn" and suite in registry.suites.names() and hasattr(registry.suites.get(suite), what)
    return suite if known else ""


def _known(reference: Reference, what: str, *given: Any) -> Any:
    """
    Raises:
        SuiteError: when a drawn suite does not know the clip that bears its name.
    """
    suite = _suite_of(reference, what)
    source = registry.suites.get(suite)
    with blamed(source, f"Suite '{suite}', in {what}"):
        known = getattr(source(), what)(reference, *given)
    if known is None:
        raise SuiteError(f"{reference.source}: {suite} has no such clip, so its {what} are unknown. Use another --suite.")
    return known


def masks_of(reference: Reference) -> NDArray[np.bool_] | None:
    """Where a reference's subjects are, (T, H, W) at its size; None where its suite does not know.

    Raises:
        SuiteError: when a drawn suite does not know the clip that bears its name.
    """
    suite = _suite_of(reference, "masks")
    if not suite:
        return None
    found, size = _known(reference, "masks"), reference.shape
    good = isinstance(found, np.ndarray) and found.dtype == bool and found.shape == size
    need(registry.suites.get(suite), f"Suite '{suite}': masks", found, good, f"booleans of shape {size}")
    masks: NDArray[np.bool_] = found
    return masks


def tracks_origin(reference: Reference, tracker: str) -> str:
    """Where ``tracks_of`` takes a reference's tracks from: ``suite``, or the tracker's name. Part of a key."""
    return "suite" if _suite_of(reference) else tracker


def tracks_of(reference: Reference, frames: Frames, tracker: str, points: int) -> Tracks:
    """Tracks of a reference.

    Args:
        frames: the reference's, uint8 RGB (T, H, W, 3).
        tracker: a registered tracker, used where the suite has no tracks; its points are its own, over the whole frame.
        points: about how many are wanted on each mover of a drawn clip.

    Raises:
        MissingWeights: when the tracker has to be fetched first.
        SuiteError: when a drawn suite does not know the clip that bears its name.
    """
    if suite := _suite_of(reference):
        found: Tracks = _known(reference, "tracks", points)
        source = registry.suites.get(suite)
        return found if is_ours(source) else _checked(source, f"Suite '{suite}': tracks", found, len(frames))
    follower = make(tracker)
    if missing := follower.missing():
        raise MissingWeights(missing)
    return follower.track(frames)

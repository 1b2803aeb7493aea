"""What every tracker has to hold."""

from __future__ import annotations

import cv2
import numpy as np

from fastvmt.core.spelling import value_shown
from fastvmt.media.files import Frames
from fastvmt.plugins.tracker import F64, Tracker, Tracks
from fastvmt.testing.checked import Checked, DoesNotApply, all_of, all_spelt, need_steady, returned

COUNT, HEIGHT, WIDTH = 9, 64, 96
PAN = (2, 1)
"""Px a frame, to the right and down, by which the camera of the second clip moves over its texture."""
FOLLOWS_PX = 2.0
"""A tracker follows a pan when half of its visible points end nearer to their true places than this."""


def panned(step: tuple[int, int] = PAN) -> Frames:
    """A camera over a drawn texture, uint8 (9, 64, 96, 3); a point at (x, y) of frame 0 is at (x, y) - t * step in frame t."""
    coarse = np.random.default_rng(0).integers(0, 256, (24, 24, 3)).astype(np.uint8)
    texture = cv2.resize(coarse, (192, 192), interpolation=cv2.INTER_CUBIC)
    corners = [(t * step[0], t * step[1]) for t in range(COUNT)]
    return np.stack([texture[y : y + HEIGHT, x : x + WIDTH] for x, y in corners])


def queries() -> F64:
    """(12, 2) points (x, y) well inside the first frame."""
    return np.array([(x, y) for y in (24.0, 36.0, 48.0) for x in (30.0, 46.0, 62.0, 78.0)])


def it_says_what_it_is(cls: type[Tracker]) -> None:
    """A name, and an identity of plain data that is the same each time: it stands in every record made with it."""
    all_spelt(cls, Tracker)
    assert cls.id, f"{cls.__name__}: id is {value_shown(cls.id)}, expected a name"
    need_steady(cls.id, _made(cls).identity(), cls().identity())


def tracks_have_the_frames_shape(cls: type[Tracker]) -> None:
    """Points (N, T, 2) and visibility (N, T), on the tracker's own grid."""
    _whole(cls, _made(cls).track(panned()), None)


def queries_are_answered_in_order(cls: type[Tracker]) -> None:
    """One track for each query, which begins where it was asked for."""
    asked = queries()
    found = _made(cls).track(panned(), asked)
    _whole(cls, found, len(asked))
    apart = float(np.abs(found.points[:, 0] - asked).max())
    assert apart <= 1, f"{cls.id}: track returned points {apart:.1f} px from their queries in frame 0, expected them there"


def a_still_clip_and_a_pan_are_followed(cls: type[Tracker]) -> None:
    """By half of the visible points, within ``FOLLOWS_PX``; (x, y) and not (row, column)."""
    for step in ((0, 0), PAN):
        found = _made(cls).track(panned(step), queries())
        seen = found.visible[:, -1]
        assert seen.any(), f"{cls.id}: track returned no visible point in the last frame of a clip that loses none"
        true = queries() - (COUNT - 1) * np.array(step)
        error = float(np.median(np.linalg.norm(found.points[:, -1] - true, axis=-1)[seen]))
        said = f"{cls.id}: track returned points {error:.1f} px from their true places after a pan of {step} px a frame"
        assert error <= FOLLOWS_PX, f"{said}, expected at most {FOLLOWS_PX:g} for half of them"


def tracks_repeat_and_frames_stay(cls: type[Tracker]) -> None:
    """The same tracks from the same frames, which are left as they are."""
    frames = panned()
    first, again = _made(cls).track(frames, queries()), cls().track(frames, queries())
    same = np.array_equal(first.points, again.points) and np.array_equal(first.visible, again.visible)
    assert same, f"{cls.id}: track returned other tracks the second time, expected the same"
    assert np.array_equal(frames, panned()), f"{cls.id}: track changed the frames it was given, expected them as they were"


def _made(cls: type[Tracker]) -> Tracker:
    if why := cls().missing():
        raise DoesNotApply(why)
    return cls()


def _whole(cls: type[Tracker], found: Tracks, count: int | None) -> None:
    returned(cls.id, "track", found, isinstance(found, Tracks), "Tracks")
    points, visible = np.asarray(found.points), np.asarray(found.visible)
    n = len(points) if count is None else count
    good = n > 0 and points.shape == (n, COUNT, 2) and points.dtype.kind == "f" and bool(np.isfinite(points).all())
    wanted = f"finite numbers of shape ({'N' if count is None else n}, {COUNT}, 2)"
    assert good, f"{cls.id}: track returned points: {value_shown(points)}, expected {wanted}"
    seen = visible.shape == (n, COUNT) and visible.dtype == np.bool_
    assert seen, f"{cls.id}: track returned visible: {value_shown(visible)}, expected bool of shape ({n}, {COUNT})"


CHECKS = (
    it_says_what_it_is, tracks_have_the_frames_shape, queries_are_answered_in_order, a_still_clip_and_a_pan_are_followed,
    tracks_repeat_and_frames_stay,
)  # fmt: skip


def check_tracker(cls: type[Tracker]) -> Checked:
    """Every check on a tracker, on a drawn texture of 96 x 64 px that stands still and that a camera moves over.

    Returns:
        Which checks hold, and which do not apply and why; it prints as a list.

    Raises:
        AssertionError: naming the hook, what it returned and what was expected.
    """
    return all_of(cls.id, CHECKS, cls)

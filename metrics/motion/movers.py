"""Where the subjects of a drawn-suite clip are, frame by frame: found by their named colours, or known from the scene.

A *state* is (x, y, r log s, r a): place in px, size s and angle a, both in px along the rim by the mean radius r, so that all
four can be added. Size and angle are known up to a constant, which steps do not see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fastvmt.datasets.drawn.scene import GROUND_COLOURS, SUBJECT_COLOURS, Described, Scene
from fastvmt.media.files import Frames
from fastvmt.media.framing import fit_points

F64 = NDArray[np.float64]
MIN_AREA_SHARE = 0.006
"""Of the frame; a smaller patch of the subject's colour is no subject."""
COPY_SHARE = 0.5
"""A second patch of the subject's colour at least this large beside the first is a second subject."""
_SUBJECT_TONES, _GROUND_TONES = (1.0, 0.8, 0.62), (1.0, 0.8, 0.6)
_LIGHT_ABOVE = 0.81  # of the subject's colour: between its light and its dark half
_DIAGONAL = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Found:
    """The subjects of a clip. ``state`` (movers, T, 4), filled in where one is not seen; ``seen`` (movers, T) in 0..1: 1 where
    the subject is there once, half where it is there twice, 0 where it is not; ``copies``: (movers, T) bool."""

    state: F64
    seen: F64
    copies: NDArray[np.bool_]


def owners(frames: Frames, named: Described) -> NDArray[np.int8]:
    """(T, H, W): index of the named subject whose tones a pixel is nearest to, or -1 for the ground."""
    colours = [(np.array(SUBJECT_COLOURS[c], float), _SUBJECT_TONES) for c, _ in named.subjects]
    colours.append((np.array(GROUND_COLOURS[named.ground], float), _GROUND_TONES))
    tones = np.stack([colour * tone for colour, several in colours for tone in several])
    index = np.repeat([*range(len(named.subjects)), -1], 3).astype(np.int8)
    out = np.empty(frames.shape[:3], np.int8)
    for frame, owner in zip(frames, out, strict=True):  # one at a time: all distances of a large clip take gigabytes
        pixels = frame.reshape(-1, 3).astype(np.float64)
        owner[:] = index[((tones**2).sum(1) - 2 * pixels @ tones.T).argmin(1)].reshape(owner.shape)
    return out


def find(frames: Frames, named: Described, radius: F64) -> Found:
    """The subjects that a caption names, in a clip (T, H, W, 3).

    Args:
        radius: (movers,) px by which size and angle are weighed: the known ones'.
    """
    owner = owners(frames, named)
    count, length = len(named.subjects), len(frames)
    state, seen = np.full((count, length, 4), np.nan), np.zeros((count, length))
    copies = np.zeros((count, length), bool)
    for n, (colour, _) in enumerate(named.subjects):
        for t in range(length):
            patch, second = _patches(owner[t] == n)
            if patch is None:
                continue
            state[n, t] = _state(frames[t], patch, np.array(SUBJECT_COLOURS[colour], float))
            copies[n, t], seen[n, t] = second, 0.5 if second else 1.0
        state[n] = _filled(state[n])
    state[:, :, 2:] *= radius[:, None, None]
    return Found(state, seen, copies)


def known(scene: Scene, width: int, height: int) -> tuple[F64, F64]:
    """States (movers, T, 4) of a scene fitted to a clip's size, and the mean radius (movers,) of each mover in px."""
    own = (scene.width, scene.height)
    rim = fit_points(np.array([[0.0, 0.0], [1.0, 0.0]]), own, (width, height))
    scale = float(rim[1, 0] - rim[0, 0])
    states, radii = [], []
    for m in scene.movers:
        place = fit_points(np.stack(scene.to_screen(m.x, m.y), -1) + 0.5, own, (width, height)) - 0.5
        size = m.radius * scene.zoom * scale
        radii.append(float(size.mean()))
        states.append(np.column_stack([place, radii[-1] * np.log(size), radii[-1] * m.angle]))
    return np.stack(states), np.array(radii)


def _patches(mask: NDArray[np.bool_]) -> tuple[NDArray[np.bool_] | None, bool]:
    """The largest patch of a mask, or None where it is too small; and whether a second one is nearly as large."""
    labels, count = ndimage.label(mask, _DIAGONAL)
    if not count:
        return None, False
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-areas, kind="stable")
    if areas[order[0]] < MIN_AREA_SHARE * mask.size:
        return None, False
    second = count > 1 and areas[order[1]] >= max(COPY_SHARE * areas[order[0]], MIN_AREA_SHARE * mask.size)
    return labels == order[0] + 1, bool(second)


def _state(frame: NDArray[np.uint8], patch: NDArray[np.bool_], colour: F64) -> F64:
    """(x, y, log size, angle) of one patch; the angle points from its dark half to its light one."""
    rows, columns = np.nonzero(patch)
    place = np.array([columns.mean(), rows.mean()])
    light = frame[rows, columns].astype(float) @ colour / float(colour @ colour) > _LIGHT_ABOVE
    angle = np.nan
    if light.any() and not light.all():
        towards = np.array([columns[light].mean() - columns[~light].mean(), rows[light].mean() - rows[~light].mean()])
        angle = float(np.arctan2(towards[1], towards[0]))
    return np.array([*place, 0.5 * np.log(len(rows)), angle])


def _filled(state: F64) -> F64:
    """A track (T, 4) without gaps: straight between what was seen, held before and after; zeros if nothing was."""
    times = np.arange(len(state))
    filled = np.zeros_like(state)
    for k in range(4):
        there = np.isfinite(state[:, k])
        if there.any():
            values = np.unwrap(state[there, k]) if k == 3 else state[there, k]
            filled[:, k] = np.interp(times, times[there], values)
    return filled

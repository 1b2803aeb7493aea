"""The same motion with other looks, and other motions with the same looks: pairs whose right answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fastvmt.datasets.drawn.scene import GROUND_COLOURS, PATTERNS, SHAPES, SUBJECT_COLOURS, Scene


def redraw(scene: Scene, caption: str) -> Scene:
    """The scene with its paths and camera kept, but the subjects and the ground that a caption names.

    Args:
        scene: as many movers as the caption has subjects.
        caption: of the drawn suites' form, e.g. ``a red circle and a blue ring on a gray plain background``.

    Raises:
        ValueError: for a caption of another form or with another number of subjects.
    """
    names, _, ground = caption.removesuffix(" background").rpartition(" on a ")
    looks = [tuple(part.split()[1:]) for part in names.split(" and ") if part != "an empty scene"]
    colour, _, pattern = ground.partition(" ")
    known = all(len(x) == 2 and x[0] in SUBJECT_COLOURS and x[1] in SHAPES for x in looks)
    if not known or len(looks) != len(scene.movers) or colour not in GROUND_COLOURS or pattern not in PATTERNS:
        raise ValueError(f"'{caption}' is no caption of a drawn scene with {len(scene.movers)} subjects")
    movers = tuple(replace(m, colour=c, shape=s) for m, (c, s) in zip(scene.movers, looks, strict=True))
    return replace(scene, movers=movers, ground=colour, pattern=pattern)


def backwards(scene: Scene) -> Scene:
    """The scene played from its last frame to its first."""
    return played(scene, np.arange(scene.frames)[::-1])


def played(scene: Scene, order: NDArray[np.intp]) -> Scene:
    """The scene's frames in another order: (T',) indices of its own."""
    movers = tuple(replace(m, x=m.x[order], y=m.y[order], angle=m.angle[order], radius=m.radius[order]) for m in scene.movers)
    return replace(scene, movers=movers, pan_x=scene.pan_x[order], pan_y=scene.pan_y[order], zoom=scene.zoom[order])

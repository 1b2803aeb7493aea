"""The drawn suites as the run sees them: references drawn at the size asked for, and their truth for metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fastvmt.datasets.drawn.scene import draw
from fastvmt.datasets.drawn.shapes import Pair, suite_pairs, truth
from fastvmt.errors import SuiteError
from fastvmt.media.files import Frames
from fastvmt.media.framing import fit_masks, fit_points
from fastvmt.model import Case, Reference
from fastvmt.plugins.tracker import Tracks
from fastvmt.suites.cases import Wanted, case_of_frames

FPS = 15
SIDE = 64


class Drawn:
    """Base of the drawn suites; a subclass names one of ``shapes.suite_pairs``."""

    name = ""
    summary = ""
    size = "nothing to fetch: the clips are drawn when they are needed"
    licence = "the clips are drawn by this package (Apache-2.0)"

    def cases(self, wanted: Wanted) -> Iterator[tuple[Case, Frames]]:
        """Pairs of the suite. Clips are drawn at 64x64 px and fitted to other sizes like any clip.

        Raises:
            SuiteError: for a stride, which drawn clips have no use for.
        """
        if wanted.stride != 1:
            raise SuiteError(f"{self.name}: drawn clips have no stride; leave --stride out.")
        for pair in suite_pairs(self.name, wanted.frames):
            yield case_of_frames(
                pair.name, draw(pair.reference), replace(wanted, fit="crop"), pair.target, caption=pair.reference.caption(),
                category=pair.category, fps=FPS, source=f"drawn:{self.name}/{pair.name}",
            )  # fmt: skip

    def tracks(self, reference: Reference, points: int) -> Tracks | None:
        """Exact tracks of one of the clips, with about so many points on each mover; None for a clip of another suite."""
        pair = find_pair(reference.source, reference.frames)
        if pair is None:
            return None
        scene = pair.reference
        known = truth(scene, points_per_mover=points)
        size = (reference.width, reference.height)
        placed = fit_points(known.tracks + 0.5, (scene.width, scene.height), size) - 0.5
        inside = ((placed >= -0.5) & (placed < np.array(size) - 0.5)).all(-1)
        return Tracks(placed, known.visible & inside, known.owner >= 0)

    def masks(self, reference: Reference) -> NDArray[np.bool_] | None:
        """(T, H, W) at the reference's size: pixels of its subjects; None for a clip of another suite."""
        pair = find_pair(reference.source, reference.frames)
        if pair is None:
            return None
        return fit_masks(np.asarray(truth(pair.reference).masks.any(0)), reference.width, reference.height)


class Shapes(Drawn):
    name = "shapes"
    summary = "16 drawn clips with known motion: 8 single-object, 4 multiple objects, 2 camera, 2 complex; the offline default"


class Shapes64(Drawn):
    name = "shapes-64"
    summary = "64 drawn clips with known motion: 40 single-object, 8 each of camera, multiple objects, complex"


def find_pair(source: str, frames: int) -> Pair | None:
    """The drawn pair behind a reference's ``source``, or None for other references; a run folder may say anything there.

    >>> find_pair("drawn:elsewhere/camera-102", 33), find_pair("drawn:shapes/camera-102", 33).name
    (None, 'camera-102')
    """
    kind, _, rest = source.partition(":")
    suite, _, name = rest.partition("/")
    if kind != "drawn" or suite not in (Shapes.name, Shapes64.name):
        return None
    return next((p for p in suite_pairs(suite, frames) if p.name == name), None)


def clip(name: str, suite: str = "shapes", frames: int = 33) -> tuple[Frames, str]:
    """A drawn reference by its pair's name, uint8 RGB (frames, 64, 64, 3), and its caption.

    Raises:
        SuiteError: when the suite has no such pair.

    >>> clip("single-object-100")[0].shape
    (33, 64, 64, 3)
    """
    pair = find_pair(f"drawn:{suite}/{name}", frames)
    if pair is None:
        raise SuiteError(f"{suite} has no pair {name}.")
    return draw(pair.reference), pair.reference.caption()

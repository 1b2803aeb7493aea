"""The right motion made worse by a known amount: drawn clips for judging metrics, as what each of them shows is known.

All begin on the frame that the right clip begins on and have the looks that the pair's caption names, so that nothing but the
motion can tell them from each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fastvmt.datasets.drawn.redraw import backwards, played, redraw
from fastvmt.datasets.drawn.scene import GROUND_COLOURS, Mover, Scene, draw
from fastvmt.datasets.drawn.shapes import Pair
from fastvmt.media.files import Frames

RIGHT = "right"
AMPLITUDES, DELAYS, DRIFTS = (0.75, 0.5, 0.25, 0.1), (0.25, 0.5), (0.5, 1.0)
"""Shares of the path; of the clip's length; of the subjects' largest extent in px."""
CREEP_PX, GRAIN = 0.02, 8.0
"""Px a frame, of what nearly stands still; standard deviation of a pixel's noise, of 255."""


@dataclass(frozen=True)
class Degraded:
    """One clip.

    Attributes:
        kind: what was done to the right motion; name: the same with its strength.
        scene: whose motion the clip has; None where it has none.
        frames: uint8 RGB (T, H, W, 3).
    """

    kind: str
    name: str
    scene: Scene | None
    frames: Frames


def degraded(pair: Pair, other: Pair) -> Iterator[Degraded]:
    """The right clip, then worse ones.

    Args:
        other: a pair with as many movers, whose path is the wrong one.
    """
    asked = redraw(pair.reference, pair.target)
    wrong = redraw(other.reference, pair.target)
    for kind, name, scene in _scenes(asked, wrong):
        yield Degraded(kind, name, scene, draw(scene))
    rng, still = np.random.default_rng(0), shortened(asked, 0)
    yield Degraded("still", "blank", None, blank(asked))
    yield Degraded("still", "noise", None, noise(asked))
    yield Degraded("grain", "right, with grain", asked, _grainy(draw(asked), rng))
    yield Degraded("grain", "frozen, with grain", still, _grainy(draw(still), rng))


def _scenes(asked: Scene, wrong: Scene) -> Iterator[tuple[str, str, Scene]]:
    yield RIGHT, RIGHT, asked
    yield from (("amplitude", f"amplitude {share:g}", shortened(asked, share)) for share in AMPLITUDES)
    yield from (("delay", f"delay {share:g}", delayed(asked, share)) for share in DELAYS)
    yield from (("drift", f"drift {share:g}", drifting(asked, share)) for share in DRIFTS)
    if len(asked.movers) > 1:
        yield "swap", "subjects swapped", swapped(asked)
    yield "reversal", "reversed", backwards(asked)
    yield "path", "another path", wrong
    yield "still", "frozen", shortened(asked, 0)
    yield "still", "creeping", creeping(asked)


def shortened(scene: Scene, share: float) -> Scene:
    """All motion, of subjects and camera, at a share of its size."""
    movers = tuple(_along(m, {k: getattr(m, k)[0] + share * _since(getattr(m, k)) for k in _PATHS}) for m in scene.movers)
    pan_x, pan_y = (pan[0] + share * _since(pan) for pan in (scene.pan_x, scene.pan_y))
    return replace(scene, movers=movers, pan_x=pan_x, pan_y=pan_y, zoom=scene.zoom[0] * (scene.zoom / scene.zoom[0]) ** share)


def delayed(scene: Scene, share: float) -> Scene:
    """The motion begins after this share of the clip, and its end is cut off."""
    return played(scene, np.maximum(0, np.arange(scene.frames) - round(share * scene.frames)))


def drifting(scene: Scene, share: float) -> Scene:
    """The camera drifts as well, by this share of the subjects' largest extent on the screen, towards where there is room."""
    places = np.stack([np.stack(scene.to_screen(m.x, m.y), -1) for m in scene.movers])  # (movers, T, 2)
    reach = float(np.linalg.norm(np.ptp(places, axis=1), axis=-1).max())
    room = np.array([scene.width - 1, scene.height - 1]) / 2 - places.mean((0, 1))
    way = room / (float(np.linalg.norm(room)) or 1.0) * share * reach
    t = np.linspace(0, 1, scene.frames)
    return replace(scene, pan_x=scene.pan_x + way[0] * t, pan_y=scene.pan_y + way[1] * t)


def swapped(scene: Scene) -> Scene:
    """Every subject begins where it should and takes the next one's way."""
    nexts = (*scene.movers[1:], scene.movers[0])
    pairs = zip(scene.movers, nexts, strict=True)
    return replace(
        scene, movers=tuple(_along(m, {k: getattr(m, k)[0] + _since(getattr(n, k)) for k in _PATHS}) for m, n in pairs)
    )


def creeping(scene: Scene) -> Scene:
    """A still scene whose subjects creep by ``CREEP_PX``, which only a metric of directions takes for motion."""
    still, along = shortened(scene, 0), CREEP_PX * np.arange(scene.frames)
    return replace(still, movers=tuple(_along(m, {"x": m.x + along, "y": m.y + along}) for m in still.movers))


def blank(scene: Scene) -> Frames:
    """Nothing but a colour."""
    return np.full((scene.frames, scene.height, scene.width, 3), GROUND_COLOURS["gray"], np.uint8)


def noise(scene: Scene) -> Frames:
    """Every pixel of every frame drawn by itself."""
    return np.random.default_rng(0).integers(0, 256, (scene.frames, scene.height, scene.width, 3)).astype(np.uint8)


_PATHS = ("x", "y", "angle", "radius")


def _since(path: NDArray[np.float64]) -> NDArray[np.float64]:
    return path - path[0]


def _along(mover: Mover, paths: dict[str, NDArray[np.float64]]) -> Mover:
    return replace(mover, **paths)  # type: ignore[arg-type]


def _grainy(frames: Frames, rng: np.random.Generator) -> Frames:
    return np.clip(np.rint(frames + rng.normal(0, GRAIN, frames.shape)), 0, 255).astype(np.uint8)

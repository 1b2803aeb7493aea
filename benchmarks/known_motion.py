"""What the trajectory score says of drawings whose motion is known, and of what might fool it.

``python benchmarks/known_motion.py``: all 64 pairs of ``shapes-64``; no model is asked. *As asked* is the reference's motion in
the looks that the prompt names, which is what a perfect method would make.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fastvmt.datasets.drawn.scene import GROUND_COLOURS, Mover, Scene, draw, read_caption
from fastvmt.datasets.drawn.shapes import CATEGORIES, Pair, suite_pairs
from fastvmt.metrics.motion.trajectory import parts

Frames = NDArray[np.uint8]
PAIRS = suite_pairs("shapes-64")


def as_asked(pair: Pair) -> Scene:
    named = read_caption(pair.target)
    assert named is not None
    looks = zip(pair.reference.movers, named.subjects, strict=True)
    movers = tuple(replace(m, shape=shape, colour=colour) for m, (colour, shape) in looks)
    return replace(pair.reference, ground=named.ground, pattern=named.pattern, movers=movers)


def _with_movers(pair: Pair, change: Callable[[list[Mover]], list[Mover]]) -> Frames:
    scene = as_asked(pair)
    return draw(replace(scene, movers=tuple(change(list(scene.movers)))))


def _short(m: Mover, share: float) -> Mover:
    return replace(m, **{k: (v := getattr(m, k))[0] + share * (v - v[0]) for k in ("x", "y", "angle", "radius")})


def _short_path(share: float) -> Callable[[Pair], Frames]:
    def make(pair: Pair) -> Frames:
        scene = as_asked(pair)
        camera = {k: share * getattr(scene, k) for k in ("pan_x", "pan_y")} | {"zoom": scene.zoom**share}
        return draw(replace(scene, movers=tuple(_short(m, share) for m in scene.movers), **camera))

    return make


def _swapped(movers: list[Mover]) -> list[Mover]:
    paths = movers[1:] + movers[:1]
    return [replace(m, x=p.x, y=p.y, angle=p.angle, radius=p.radius) for m, p in zip(movers, paths, strict=True)]


def _lost(count: int) -> Callable[[Pair], Frames]:
    def make(pair: Pair) -> Frames:
        scene = as_asked(pair)
        frames = draw(scene)
        frames[8 : 8 + count] = GROUND_COLOURS[scene.ground]
        return frames

    return make


def _noise(pair: Pair) -> Frames:
    return np.random.default_rng(0).integers(0, 256, (pair.reference.frames, 64, 64, 3)).astype(np.uint8)


def _drift(pair: Pair) -> Frames:
    """A still clip whose subjects move by 0.02 px a frame."""
    along = 0.02 * np.arange(pair.reference.frames)
    held = [replace(_short(m, 0.0), x=m.x[0] + along, y=m.y[0] + along) for m in as_asked(pair).movers]
    scene = as_asked(pair)
    zero, one = np.zeros(scene.frames), np.ones(scene.frames)
    return draw(replace(scene, movers=tuple(held), pan_x=zero, pan_y=zero, zoom=one))


CLIPS: dict[str, Callable[[Pair], Frames]] = {
    "as asked": lambda p: draw(as_asked(p)),
    "backwards": lambda p: draw(as_asked(p))[::-1],
    "half the motion": _short_path(0.5),
    "a tenth of the motion": _short_path(0.1),
    "frozen": lambda p: draw(as_asked(p))[:1].repeat(p.reference.frames, axis=0),
    "drift of 0.02 px a frame": _drift,
    "blank": lambda p: np.full((p.reference.frames, 64, 64, 3), GROUND_COLOURS["gray"], np.uint8),
    "noise": _noise,
    "one frame lost": _lost(1),
    "a third of the frames lost": _lost(11),
    "subjects swapped": lambda p: _with_movers(p, _swapped),
}


def wrong(pair: Pair) -> Pair:
    kind = [p for p in PAIRS if p.category == pair.category]
    return kind[(kind.index(pair) + 1) % len(kind)]


def main() -> None:
    print("| clip | " + " | ".join(CATEGORIES) + " |\n|---" + "|---:" * len(CATEGORIES) + "|")
    for name, make in CLIPS.items():
        rows = {c: [parts(make(p), p.target, p.reference) for p in PAIRS if p.category == c] for c in CATEGORIES}
        print(
            f"| {name} | " + " | ".join(f"{np.mean([r['value'] for r in rows[c]]):.3f}" for c in CATEGORIES) + " |", flush=True
        )
        if name in ("as asked", "subjects swapped"):
            several = np.mean([r["in_order"] for r in rows["multiple_objects"]])
            print(f"| {name}, in the caption's order | | | {several:.3f} | |")
    rows = {c: [parts(draw(as_asked(p)), p.target, wrong(p).reference) for p in PAIRS if p.category == c] for c in CATEGORIES}
    cells = []
    for c in CATEGORIES:
        values = [r["value"] for r in rows[c]]
        cells.append(f"{np.mean(values):.3f} ± {np.std(values, ddof=1) / len(values) ** 0.5:.3f}")
    print("| as asked, judged against another clip (chance) | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

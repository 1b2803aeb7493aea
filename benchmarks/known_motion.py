"""What the trajectory score says of drawings whose motion is known, and of what might fool it.

``python benchmarks/known_motion.py``: all 64 pairs of ``shapes-64``; no model is asked. *As asked* is the reference's motion in
the looks that the prompt names, which is what a perfect method would make.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fastvmt.datasets.drawn.degraded import blank, creeping, noise, shortened
from fastvmt.datasets.drawn.redraw import backwards, redraw
from fastvmt.datasets.drawn.scene import GROUND_COLOURS, Scene, draw
from fastvmt.datasets.drawn.shapes import CATEGORIES, Pair, suite_pairs
from fastvmt.metrics.motion.trajectory import parts

Frames = NDArray[np.uint8]
PAIRS = suite_pairs("shapes-64")


def as_asked(pair: Pair) -> Scene:
    return redraw(pair.reference, pair.target)


def _drawn(change: Callable[[Scene], Scene]) -> Callable[[Pair], Frames]:
    return lambda pair: draw(change(as_asked(pair)))


def _exchanged(scene: Scene) -> Scene:
    """Every subject on the whole path of the next one, its beginning as well."""
    paths = (*scene.movers[1:], scene.movers[0])
    movers = [replace(m, x=p.x, y=p.y, angle=p.angle, radius=p.radius) for m, p in zip(scene.movers, paths, strict=True)]
    return replace(scene, movers=tuple(movers))


def _lost(count: int) -> Callable[[Pair], Frames]:
    def make(pair: Pair) -> Frames:
        scene = as_asked(pair)
        frames = draw(scene)
        frames[8 : 8 + count] = GROUND_COLOURS[scene.ground]
        return frames

    return make


CLIPS: dict[str, Callable[[Pair], Frames]] = {
    "as asked": _drawn(lambda scene: scene),
    "backwards": _drawn(backwards),
    "half the motion": _drawn(partial(shortened, share=0.5)),
    "a tenth of the motion": _drawn(partial(shortened, share=0.1)),
    "frozen": _drawn(partial(shortened, share=0)),
    "drift of 0.02 px a frame": _drawn(creeping),
    "blank": lambda p: blank(p.reference),
    "noise": lambda p: noise(p.reference),
    "one frame lost": _lost(1),
    "a third of the frames lost": _lost(11),
    "subjects swapped": _drawn(_exchanged),
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

"""How well a CLIP tells drawn clips apart: held-out clips that neither it nor the video model was trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from fastvmt.datasets.drawn.scene import GROUND_COLOURS, PATTERNS, SHAPES, SUBJECT_COLOURS, Scene, draw
from fastvmt.datasets.drawn.shapes import random_scene, stream
from fastvmt.metrics.formulas import F64, unit_rows
from fastvmt.metrics.text.clip import Model

from ..data import FULL_FRAMES

FIRST, SPREAD = 500_000, 1000
"""Numbers of the held-out clips: draw k starts at ``FIRST + k * SPREAD``."""
CHOICES = {
    "subject_colour": tuple(SUBJECT_COLOURS),
    "subject_shape": SHAPES,
    "ground_colour": tuple(GROUND_COLOURS),
    "ground_pattern": PATTERNS,
}


def distinct_scenes(draw_number: int, count: int) -> list[Scene]:
    """Held-out scenes with different captions."""
    found: dict[str, Scene] = {}
    number = FIRST + draw_number * SPREAD
    while len(found) < count:
        scene = random_scene(stream("heldout", number), FULL_FRAMES)
        found.setdefault(scene.caption(), scene)
        number += 1
    return list(found.values())


def altered(scene: Scene, part: str) -> list[tuple[str, str]]:
    """(word, caption) for every value that one part of a single-subject scene could have."""
    mover = scene.movers[0]
    out = []
    for word in CHOICES[part]:
        if part.startswith("subject"):
            moved = replace(mover, colour=word) if part == "subject_colour" else replace(mover, shape=word)
            changed = replace(scene, movers=(moved,))
        else:
            changed = replace(scene, ground=word) if part == "ground_colour" else replace(scene, pattern=word)
        out.append((word, changed.caption()))
    return out


def swapped(scene: Scene) -> str:
    """The caption of a two-subject scene with the colours changed over."""
    a, b = scene.movers
    return replace(scene, movers=(replace(a, colour=b.colour), replace(b, colour=a.colour))).caption()


def check(folder: Path, draws: int = 8, captions: int = 32) -> Iterator[dict[str, object]]:
    """Rows to print: retrieval among so many captions per draw and in all; each attribute among its values, with the most
    frequent confusions (true, taken, times); and which subject has which colour."""
    model = Model(f"local-dir:{folder}")
    texts: dict[str, F64] = {}

    def best(image: F64, offered: list[str]) -> int:
        for text in offered:
            if text not in texts:
                texts[text] = unit_rows(model.text(text)[0])[0]
        return int(np.argmax(np.stack([texts[t] for t in offered]) @ image))

    right: list[float] = []
    asked, wrong, bound = Counter[str](), Counter[tuple[str, str, str]](), []
    for number in range(draws):
        scenes = distinct_scenes(number, captions)
        images = [unit_rows(model.images(draw(s))).mean(0) for s in scenes]
        offered = [s.caption() for s in scenes]
        right.append(float(np.mean([best(image, offered) == n for n, image in enumerate(images)])))
        yield {"draw": number, "captions": captions, "top1": round(right[-1], 4)}
        for scene, image in zip(scenes, images, strict=True):
            if len(scene.movers) == 2:
                bound.append(best(image, [scene.caption(), swapped(scene)]) == 0)
            for part in CHOICES if len(scene.movers) == 1 else ():
                options = altered(scene, part)
                taken = options[best(image, [c for _, c in options])]
                true = next(word for word, caption in options if caption == scene.caption())
                asked[part] += 1
                wrong[part, true, taken[0]] += taken[0] != true
    yield {"clips": draws * captions, "top1_mean": round(float(np.mean(right)), 4), "top1_worst_draw": round(min(right), 4)}
    for part, n in asked.items():
        errors = Counter({k: c for k, c in wrong.items() if k[0] == part and c})
        most = [[*pair[1:], times] for pair, times in errors.most_common(4)]
        yield {"part": part, "of": len(CHOICES[part]), "clips": n, "right": round(1 - errors.total() / n, 4), "most": most}
    yield {"part": "which subject has which colour", "of": 2, "clips": len(bound), "right": round(float(np.mean(bound)), 4)}

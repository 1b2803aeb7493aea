"""How well a CLIP tells drawn clips apart: held-out clips that neither it nor the video model was trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fastvmt.datasets.drawn.scene import GROUND_COLOURS, PATTERNS, SHAPES, SUBJECT_COLOURS, Scene, draw
from fastvmt.datasets.drawn.shapes import random_scene, stream
from fastvmt.metrics.formulas import F64, unit_rows
from fastvmt.metrics.text.clip import Model

from .data import FULL_FRAMES

FIRST, SPREAD = 500_000, 1000
"""Numbers of the held-out clips: draw k starts at ``FIRST + k * SPREAD``."""


def _subject(scene: Scene, **changes: Any) -> Scene:
    return replace(scene, movers=(replace(scene.movers[0], **changes),))


PARTS: dict[str, Callable[[Scene], list[Scene]]] = {
    "subject colour": lambda s: [_subject(s, colour=c) for c in SUBJECT_COLOURS],
    "subject shape": lambda s: [_subject(s, shape=c) for c in SHAPES],
    "ground colour": lambda s: [replace(s, ground=c) for c in GROUND_COLOURS],
    "ground pattern": lambda s: [replace(s, pattern=c) for c in PATTERNS],
}
"""Every form that a scene with one subject could have, by the part that is changed."""
WHICH = "which subject has which colour"


def distinct_scenes(draw_number: int, count: int) -> list[Scene]:
    """Held-out scenes with different captions."""
    found: dict[str, Scene] = {}
    number = FIRST + draw_number * SPREAD
    while len(found) < count:
        scene = random_scene(stream("heldout", number), FULL_FRAMES)
        found.setdefault(scene.caption(), scene)
        number += 1
    return list(found.values())


def swapped(scene: Scene) -> Scene:
    """A two-subject scene with the colours changed over."""
    a, b = scene.movers
    return replace(scene, movers=(replace(a, colour=b.colour), replace(b, colour=a.colour)))


def check(folder: Path, draws: int = 8, captions: int = 32) -> Iterator[dict[str, object]]:
    """Rows to print: the share of right captions among so many, for each draw and over all; of each part among its values;
    and of which subject has which colour."""
    model = Model(f"local-dir:{folder}")
    texts: dict[str, F64] = {}

    def best(image: F64, offered: list[Scene]) -> str:
        names = [s.caption() for s in offered]
        for name in names:
            if name not in texts:
                texts[name] = unit_rows(model.text(name)[0])[0]
        return names[int(np.argmax(np.stack([texts[n] for n in names]) @ image))]

    retrieved: list[float] = []
    right: dict[str, list[bool]] = {name: [] for name in (*PARTS, WHICH)}
    for number in range(draws):
        scenes = distinct_scenes(number, captions)
        images = [unit_rows(model.images(draw(s))).mean(0) for s in scenes]
        retrieved.append(float(np.mean([best(i, scenes) == s.caption() for i, s in zip(images, scenes, strict=True)])))
        yield {"draw": number, "captions": captions, "top1": round(retrieved[-1], 4)}
        for scene, image in zip(scenes, images, strict=True):
            asked = {WHICH: [scene, swapped(scene)]} if len(scene.movers) == 2 else {}
            if len(scene.movers) == 1:
                asked = {name: forms(scene) for name, forms in PARTS.items()}
            for name, offered in asked.items():
                right[name].append(best(image, offered) == scene.caption())
    yield {
        "clips": draws * captions,
        "top1_mean": round(float(np.mean(retrieved)), 4),
        "top1_worst_draw": round(min(retrieved), 4),
    }
    for name, found in right.items():
        yield {"part": name, "clips": len(found), "right": round(float(np.mean(found)), 4)}

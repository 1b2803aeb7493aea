"""Does a drawn-suite clip show what its prompt names? Judged from pixels against the drawing rules, by no trained model.

A pixel belongs to the palette colour it is nearest to, over all tones that the drawn suites use; nothing is told about
the prompt before the verdict. The shape is the template (6 shapes, turned and scaled to the mask's area) with the
largest overlap. Nine frames are judged and vote. On drawn clips themselves every verdict is right and `outline` is its
own ceiling (``tests/metrics/test_looks.py``).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fastvmt.datasets.drawn.scene import (
    GROUND_COLOURS,
    PATTERNS,
    SHAPES,
    SUBJECT_COLOURS,
    pattern_weight,
    read_caption,
    signed_distance,
)  # fmt: skip
from fastvmt.datasets.drawn.suites import SIDE
from fastvmt.media.files import Frames, fit_frames
from fastvmt.model import Case
from fastvmt.plugins.metric import Metric, Scored, Value

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]
JUDGED_FRAMES, PATCH, ANGLES, PHASES = 9, 41, 24, 16
PLAIN_BELOW = 0.07
"""A ground whose brightness varies less than this share of its colour is plain; patterned ones vary by 0.13 and more."""


@dataclass(frozen=True)
class Named:
    """What a caption of the drawn suites names."""

    colour: str
    shape: str
    ground: str
    pattern: str


@dataclass(frozen=True)
class Seen(Named):
    """What a clip shows; ``outline`` is the overlap of consecutive subject masks when their movement is taken out."""

    outline: float


def named_in(caption: str) -> Named | None:
    """The one subject and ground that a caption names; None for several subjects or another form of caption."""
    found = read_caption(caption)
    if found is None or len(found.subjects) != 1:
        return None
    return Named(*found.subjects[0], found.ground, found.pattern)


def nearest_colours(frames: Frames) -> NDArray[np.int64]:
    """(T, H, W) index into subject colours, then ground colours, of the nearest tone."""
    subjects, grounds = (np.array(list(c.values()), np.float32) for c in (SUBJECT_COLOURS, GROUND_COLOURS))
    tones = np.concatenate([subjects * s for s in (1, 0.8, 0.62)] + [grounds * s for s in (1, 0.8, 0.6)])
    owner = np.concatenate([np.tile(np.arange(8), 3), np.tile(8 + np.arange(6), 3)])
    flat = frames.reshape(-1, 3).astype(np.float32)
    distance = (tones**2).sum(1) - 2 * flat @ tones.T
    out: NDArray[np.int64] = owner[distance.argmin(1)].reshape(frames.shape[:3])
    return out


def judge(frames: Frames) -> Seen:
    """What a clip (T, H, W, 3) shows. Colours are those of most pixels; a clip without a subject has colour and shape "".

    A clip of another size is judged at the scale at which the suites are drawn, for which the templates are made: drawn
    clips are squares that a crop fits to a run's size, so that scale is the one at which the longer side is ``SIDE`` px.
    """
    height, width = frames.shape[1:3]
    if (longer := max(height, width)) != SIDE:
        across, down = (max(1, round(side * SIDE / longer)) for side in (width, height))
        frames = fit_frames(frames, across, down, "stretch")
    index = nearest_colours(frames)
    votes = np.bincount(index.ravel(), minlength=14)
    ground = int(votes[8:].argmax())
    chosen = np.unique(np.linspace(0, len(frames) - 1, JUDGED_FRAMES).round().astype(int))
    light = frames[chosen].astype(np.float32) @ np.array(list(GROUND_COLOURS.values())[ground], np.float32)
    light /= float(np.square(list(GROUND_COLOURS.values())[ground]).sum())
    pattern = _pattern(light, index[chosen] == 8 + ground)
    if votes[:8].sum() < 0.004 * index.size:
        return Seen("", "", list(GROUND_COLOURS)[ground], pattern, 0.0)
    mask = index < 8
    shape = SHAPES[int(np.sum([shape_overlaps(m) for m in mask[chosen]], axis=0).argmax())]
    return Seen(list(SUBJECT_COLOURS)[int(votes[:8].argmax())], shape, list(GROUND_COLOURS)[ground], pattern, _outline(mask))


@cache
def _templates(area: int) -> F32:
    """(shapes, angles, PATCH, PATCH) covered share of shapes of about ``area`` px, centroid in the middle."""
    axis = np.arange(PATCH, dtype=np.float32) - PATCH // 2
    turn = (np.arange(ANGLES) * 2 * np.pi / ANGLES).astype(np.float32)[:, None, None]
    cos, sin = np.cos(turn), np.sin(turn)
    y, x = axis[None, :, None], axis[None, None, :]
    out = []
    for shape in SHAPES:
        unit = float((signed_distance(shape, x[0] / 16, y[0] / 16, np.ones((1, 1), np.float32)) < 0).sum()) / 256
        radius = np.full((1, 1), (area / unit) ** 0.5, np.float32)
        upright = signed_distance(shape, x[0], y[0], radius) < 0
        cx, cy = (float((upright * a).sum() / max(1, upright.sum())) for a in (x[0], y[0]))
        u, v = (a.astype(np.float32) for a in (cos * x + sin * y + cx, cos * y - sin * x + cy))
        out.append(np.clip(0.5 - signed_distance(shape, u, v, radius) / 2, 0, 1))
    return np.stack(out).astype(np.float32)


def shape_overlaps(mask: Mask) -> NDArray[np.float64]:
    """(6,) best overlap (intersection over union) of one frame's mask with each shape; zeros for an empty mask."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return np.zeros(len(SHAPES))
    top, left = (round(float(v.mean())) - PATCH // 2 for v in (rows, columns))
    patch = np.zeros((PATCH, PATCH), np.float32)
    keep = (rows >= top) & (rows < top + PATCH) & (columns >= left) & (columns < left + PATCH)
    patch[rows[keep] - top, columns[keep] - left] = 1
    templates = _templates(max(16, round(len(rows) / 8) * 8))
    overlap = np.minimum(templates, patch).sum((2, 3)) / np.maximum(templates, patch).sum((2, 3))
    best: NDArray[np.float64] = overlap.max(1).astype(float)
    return best


def _outline(mask: Mask) -> float:
    """Mean over frame pairs of the overlap of the two subject masks at the best shift within 3 px of their centroids'."""
    values = []
    for before, after in itertools.pairwise(mask):
        if not before.any() or not after.any():
            values.append(0.0)
            continue
        dy, dx = (round(float(a.mean() - b.mean())) for a, b in zip(np.nonzero(after), np.nonzero(before), strict=True))
        values.append(max(_overlap(np.roll(before, (dy + v, dx + u), (0, 1)), after) for v in (-1, 0, 1) for u in (-1, 0, 1)))
    return float(np.mean(values)) if values else float("nan")


def _overlap(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


@cache
def _ground_templates(height: int, width: int) -> F32:
    """(patterns but plain, PHASES * PHASES, H * W) pattern weights at every phase."""
    x, y = np.arange(width, dtype=np.float32) / 16, np.arange(height, dtype=np.float32) / 16
    shift = np.arange(PHASES, dtype=np.float32) / PHASES
    out = []
    for name in PATTERNS[1:]:
        grid = [pattern_weight(name, (x + u)[None, None], (y + v)[None, :, None]).ravel() for v in shift for u in shift]
        out.append(np.stack(grid))
    return np.stack(out).astype(np.float32)


def _pattern(light: F32, ground: Mask) -> str:
    """Pattern of the ground from its brightness (T, H, W) in units of its colour, where ``ground`` is seen."""
    total = np.zeros(len(PATTERNS))
    templates = _ground_templates(*light.shape[1:])
    for value, seen in zip(light, ground, strict=True):
        y, m = value.ravel(), seen.ravel().astype(np.float32)
        n = max(1.0, float(m.sum()))
        y = (y - float((y * m).sum()) / n) * m
        if float(np.square(y).sum() / n) ** 0.5 < PLAIN_BELOW:
            total[0] += 1
            continue
        weights = templates @ m
        spread = np.square(templates) @ m - weights**2 / n
        fit = -(templates @ y) / np.sqrt(np.maximum(spread, 1e-6))  # darker where the weight is 1
        total[1 + int(fit.max(1).argmax())] += 1
    return PATTERNS[int(total.argmax())]


class Looks(Metric):
    """Base: 1 where the verdict agrees with the prompt, 0 where not; only prompts that name one drawn subject."""

    source = "this package; drawn clips follow known rules"
    needs = ("a prompt of the drawn suites with one subject",)
    range = (0.0, 1.0)
    backend = "palette-and-templates"
    part: ClassVar[str] = ""

    def applies(self, case: Case) -> bool:
        return case.reference.source.startswith("drawn:") and named_in(case.prompt) is not None

    def score(self, scored: Scored) -> Value:
        named, seen = named_in(scored.case.prompt), seen_in(scored)
        assert named is not None
        found = getattr(seen, self.part)
        return Value(float(found == getattr(named, self.part)), {"seen": found})


def seen_in(scored: Scored) -> Seen:
    """The verdict on a clip, once per job."""
    if "looks" not in scored.cache:
        scored.cache["looks"] = judge(scored.generated)
    found: Seen = scored.cache["looks"]
    return found


def _agreement(id: str, part: str, summary: str, doc: str, other: str) -> type[Looks]:
    """The metric that compares one part of the verdict with the prompt; ``other`` is another look, for the example."""
    example = f"""
    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> source = "drawn:shapes/single-object-100"
    >>> asked = (caption, "a {other} background")
    >>> [score_clip("{id}", frames, prompt=p, source=source).value for p in asked]
    [1.0, 0.0]
    """
    name = id.title().replace("_", "")
    facts = {"id": id, "part": part, "summary": summary, "binary": True, "__doc__": f"{doc}\n{example}", "__module__": __name__}
    return type(name, (Looks,), facts | {"__qualname__": name})


SubjectColour = _agreement(
    "subject_colour", "colour", "share of clips whose subject has the prompt's colour",
    "The subject's colour is that of most pixels nearest to a subject colour.", "red circle on a teal checker",
)  # fmt: skip
SubjectShape = _agreement(
    "subject_shape",
    "shape",
    "share of clips whose subject has the prompt's shape, by template overlap",
    "The subject's shape is the template with the largest overlap, turned and scaled as fits best.",
    "white star on a teal checker",
)
GroundColour = _agreement(
    "ground_colour", "ground", "share of clips whose ground has the prompt's colour",
    "The ground's colour is that of most pixels nearest to a ground colour.", "white circle on a navy checker",
)  # fmt: skip
GroundPattern = _agreement(
    "ground_pattern",
    "pattern",
    "share of clips whose ground has the prompt's pattern",
    "The ground's pattern is the template that its brightness follows best; plain when it hardly varies.",
    "white circle on a teal plain",
)


class Outline(Looks):
    """How still the subject's edges hold: overlap of consecutive masks, movement taken out; the ceiling is
    what drawn clips themselves reach.

    >>> from fastvmt import score_clip
    >>> from fastvmt.datasets.drawn.suites import clip
    >>> frames, caption = clip("single-object-100")
    >>> source = "drawn:shapes/single-object-100"
    >>> 0.9 < score_clip("outline", frames, prompt=caption, source=source).value <= 1
    True
    """

    id, summary = "outline", "overlap of the subject's outline from frame to frame, movement taken out"

    def score(self, scored: Scored) -> Value:
        return Value(seen_in(scored).outline)

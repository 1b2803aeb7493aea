"""How well a tracker follows points whose tracks are known: drawn clips, by motion, or a TAP-Vid data set.

Every point that is visible in the first frame is asked for and judged in all later frames, as TAP-Vid's "first" mode does:

    error       distance to the true place in px of a 256 x 256 clip, where the point is truly visible (median, mean)
    within d    share of those closer than d px; their mean over 1, 2, 4, 8 and 16 px is TAP-Vid's delta
    visibility  share of points and frames whose visibility is told right (occlusion accuracy)
    jaccard     true positives / (truly visible + falsely told to be there), averaged over the same distances (AJ)

What that means for a score: motion fidelity of pairs whose motion is the same, or reversed, from the tracker's tracks and
from the true ones, at the same points.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastvmt.datasets.drawn.motion import TRAVEL
from fastvmt.datasets.drawn.redraw import backwards, redraw
from fastvmt.datasets.drawn.scene import Scene, draw
from fastvmt.datasets.drawn.shapes import make_scene, stream, truth
from fastvmt.errors import MissingWeights, SpecError
from fastvmt.media.files import fit_frames
from fastvmt.metrics.motion.fidelity import MotionFidelity, MotionFidelityBoth, MotionFidelityLocal, MotionFidelityMoving
from fastvmt.metrics.motion.tracked import MotionFidelityTracked
from fastvmt.metrics.trackers import tapvid
from fastvmt.plugins import tracker as trackers
from fastvmt.plugins.tracker import F64, Tracker, Tracks

THRESHOLDS = (1, 2, 4, 8, 16)
SHOWN = (1, 2, 4, 8)
KINDS: dict[str, tuple[tuple[str, ...], str]] = {
    **{m: ((m,), "still") for m in (*TRAVEL, "rotate", "grow", "shrink")},
    "two subjects": (("linear", "circle"), "still"),
    **{camera.replace("_", " "): (("static",), camera) for camera in ("pan", "zoom_in", "zoom_out")},
    "pan and rotate": (("rotate",), "pan"),
}
"""Motions of the subjects and of the camera, by the name of the row."""
FORMS = (MotionFidelity, MotionFidelityBoth, MotionFidelityLocal, MotionFidelityMoving, MotionFidelityTracked)
PAIRED = ("linear", "circle", "pan", "zoom in")
FIRST_CLIP = 20_000
LEAST_SIDE = 8
"""Px; smaller drawn clips lose their subjects."""


Judged = list[tuple[F64, NDArray[np.bool_], NDArray[np.bool_]]]
"""Points and frames of one row: error px at 256, truly visible, told visible; parts of one shape each."""


def accuracy(judged: Judged) -> dict[str, float | int | None]:
    """The row's numbers; ``judged`` alone where nothing is visible."""
    error, visible, told = (np.concatenate([part.ravel() for part in parts]) for parts in zip(*judged, strict=True))
    if not visible.any():
        return {"judged": 0}
    seen, within, jaccard = error[visible], {}, []
    for d in THRESHOLDS:
        close = error < d
        within[f"within_{d}"] = float((seen < d).mean())
        wrong = told & ~(visible & close)
        jaccard.append(float((close & visible & told).sum() / (visible.sum() + wrong.sum())))
    return {
        "judged": int(visible.sum()), "median_px": float(np.median(seen)), "mean_px": float(seen.mean()), **within,
        "delta": float(np.mean(list(within.values()))), "visibility": float((visible == told).mean()),
        "jaccard": float(np.mean(jaccard)),
    }  # fmt: skip


@dataclass(frozen=True)
class TrackerCheck:
    """What was found: ``rows`` by motion (or clip), ``pairs`` of motion fidelity with the tracker's and the true tracks."""

    identity: dict[str, Any]
    size: tuple[int, int, int]
    rows: dict[str, dict[str, float | int | None]]
    pairs: list[dict[str, Any]]

    def data(self) -> dict[str, Any]:
        return asdict(self)


def check(
    name: str, width: int = 64, height: int = 64, frames: int = 33, clips: int = 2, tapvid_file: Path | None = None
) -> TrackerCheck:
    """Judge a registered tracker.

    Args:
        width, height, frames: of the clips; drawn clips are drawn at 64 x 64 px and fitted, as in the suites.
        clips: drawn clips of each motion (stream ``tune``).
        tapvid_file: judge on this TAP-Vid pickle instead; see ``tapvid.read``.

    Raises:
        SpecError: for an unknown tracker, a single frame, a side below ``LEAST_SIDE`` px, or sides beyond 2 to 1.
        MissingWeights: when its weights are not here.
        UserError: for a TAP-Vid file that cannot be used.
    """
    tracker = trackers.get(name)
    sentence = tracker.missing()
    if sentence:
        raise MissingWeights(sentence)
    if tapvid_file is not None:
        return _on_tapvid(tracker, tapvid_file)
    for option, value, least in (("width", width, LEAST_SIDE), ("height", height, LEAST_SIDE), ("frames", frames, 2)):
        if value < least:
            raise SpecError(f"--{option} {value}: at least {least} is needed to judge a tracker by.")
    if max(width, height) > 2 * min(width, height):
        raise SpecError(
            f"--width {width} --height {height}: less than half of the square clips would be kept; use sides of at most 2 to 1."
        )
    rows: dict[str, Judged] = {k: [] for k in (*KINDS, "on subjects", "on the ground")}
    for kind, number in ((k, n) for k in KINDS for n in range(clips)):
        scene = _scene(kind, FIRST_CLIP + number, frames)
        known, owner = true_tracks(scene, width, height)
        found = tracker.track(fit_frames(draw(scene), width, height), known.points[:, 0])
        for row, part in ((kind, slice(None)), ("on subjects", owner >= 0), ("on the ground", owner < 0)):
            rows[row] += _judge(found, known, part, (width, height))
    rows["all"] = [part for kind in KINDS for part in rows[kind]]
    pairs = [_pair(tracker, kind, reverse, (width, height), frames) for kind in PAIRED for reverse in (False, True)]
    return TrackerCheck(tracker.identity(), (frames, height, width), {k: accuracy(v) for k, v in rows.items()}, pairs)


def _scene(kind: str, number: int, frames: int) -> Scene:
    motions, camera = KINDS[kind]
    return make_scene(stream("tune", number + 100 * list(KINDS).index(kind)), motions, camera, frames)


def true_tracks(scene: Scene, width: int, height: int) -> tuple[Tracks, NDArray[np.int64]]:
    """Tracks of the points visible in the first frame, in px of the fitted clip, and whose they are (-1: the ground)."""
    known = truth(scene)
    scale = max(width / scene.width, height / scene.height)
    kept = np.array([min(scene.width, round(width / scale)), min(scene.height, round(height / scale))])
    corner = (np.array([scene.width, scene.height]) - kept) // 2
    points = (known.tracks + 0.5 - corner) * np.array([width, height]) / kept - 0.5
    visible = known.visible & ((points > -0.5) & (points < np.array([width, height]) - 0.5)).all(-1)
    first = visible[:, 0]
    return Tracks(points[first], visible[first]), known.owner[first]


def _judge(found: Tracks, known: Tracks, part: Any, size: tuple[int, int]) -> Judged:
    apart = (found.points[part, 1:] - known.points[part, 1:]) * tapvid.SIDE / np.array(size)
    return [(np.sqrt((apart * apart).sum(-1)), known.visible[part, 1:], found.visible[part, 1:])]


def _pair(tracker: Tracker, kind: str, reverse: bool, size: tuple[int, int], frames: int) -> dict[str, Any]:
    """Motion fidelity of a clip with other looks and the same path, or its reverse, by both sets of tracks."""
    reference = _scene(kind, FIRST_CLIP, frames)
    words = make_scene(stream("tune", FIRST_CLIP + 90), ("static",), "still", 1, avoid=reference.caption()).caption()
    generated = redraw(backwards(reference) if reverse else reference, words)
    both = []
    for scene in (generated, reference):
        known, _ = true_tracks(scene, *size)
        both.append((tracker.track(fit_frames(draw(scene), *size), known.points[:, 0]), known))
    row: dict[str, Any] = {"pair": f"{kind}, {'reversed' if reverse else 'same'}"}
    for form in FORMS:
        tracked, true = (form().compare(both[0][k], both[1][k], size[0]).value for k in (0, 1))
        row[form.id] = {"tracker": tracked, "truth": true}
    return row


def _on_tapvid(tracker: Tracker, path: Path) -> TrackerCheck:
    side, found, frames = tapvid.SIDE, {}, 0
    for name, clip in tapvid.read(path).items():
        first = clip.visible[:, 0]
        known = Tracks(clip.tracks[first], clip.visible[first])
        tracks = tracker.track(clip.frames, known.points[:, 0]) if first.any() else known
        found[name] = accuracy(_judge(tracks, known, slice(None), (side, side)))
        frames = max(frames, len(clip.frames))
    used = [v for v in found.values() if v["judged"]]
    if used:
        found["mean of clips"] = {k: float(np.mean([v[k] for v in used])) for k in used[0]}  # type: ignore[misc]
    return TrackerCheck(tracker.identity(), (frames, side, side), found, [])


def as_lines(found: TrackerCheck) -> str:
    """The tables as Markdown."""
    frames, height, width = found.size
    settings = ", ".join(f"{k} {v}" for k, v in found.identity.items())
    columns = {
        "points": "judged", "median px": "median_px", "mean px": "mean_px", **{f"within {d} px": f"within_{d}" for d in SHOWN},
        "delta": "delta", "visibility": "visibility", "jaccard": "jaccard",
    }  # fmt: skip
    lines = [f"{settings}; clips of {frames} frames, {width} x {height} px; errors in px of 256 x 256", ""]
    lines += [f"| points of | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, row in found.rows.items():
        lines.append(f"| {name} | {' | '.join(_number(row.get(k)) for k in columns.values())} |")
    if found.pairs:
        lines += ["", "motion fidelity from the tracker's tracks / from the true ones:"]
        lines += [f"| pair | {' | '.join(f.id for f in FORMS)} |", "|---" * (len(FORMS) + 1) + "|"]
    for pair in found.pairs:
        cells = [f"{_number(pair[f.id]['tracker'])} / {_number(pair[f.id]['truth'])}" for f in FORMS]
        lines.append(f"| {pair['pair']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)

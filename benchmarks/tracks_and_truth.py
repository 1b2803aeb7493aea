"""Whether what motion fidelity sums over is true: ``python benchmarks/tracks_and_truth.py [FOLDER]``, tables as Markdown.

``lk`` with all its points, as ``motion_fidelity`` counts them, beside ``lk-live`` while it sees them, as
``motion_fidelity_tracked`` does. Clips whose motion is known: drawn ones of 64 px, and the first frames of the videos in FOLDER
(or of noise, without one) under exact pans, turns and zooms. Then the videos themselves: each in other colours with noise,
against itself and against the next one.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fastvmt.datasets.drawn.scene import draw
from fastvmt.datasets.drawn.shapes import suite_pairs
from fastvmt.media.files import Frames, fit_frames, read_clip
from fastvmt.metrics.motion.fidelity import MotionFidelity, MotionFidelityLocal
from fastvmt.metrics.motion.tracked import MotionFidelityTracked, TrackedParams
from fastvmt.metrics.trackers.check import true_tracks
from fastvmt.plugins import tracker
from fastvmt.plugins.tracker import F64, Tracks

FRAMES, EDGE, FEWEST_PX = 33, 1.25, 0.02
"""Frames of a clip; how much larger than a clip the frame is that is warped; slower true steps have no direction."""
WARPS: dict[str, Callable[[float, float], tuple[float, float, float]]] = {
    "pan, 2.3 px a frame at 832": lambda t, width: (2.3 * t * width / 832, 0.0, 1.0),
    "pan, 9.2 px a frame at 832": lambda t, width: (9.2 * t * width / 832, 0.0, 1.0),
    "turn, 0.5° a frame": lambda t, width: (0.0, np.deg2rad(0.5 * t), 1.0),
    "turn, 2° a frame": lambda t, width: (0.0, np.deg2rad(2 * t), 1.0),
    "zoom in, 0.5 % a frame": lambda t, width: (0.0, 0.0, 1.005**t),
    "zoom in, 2 % a frame": lambda t, width: (0.0, 0.0, 1.02**t),
    "zoom out, 2 % a frame": lambda t, width: (0.0, 0.0, 0.98**t),
}
"""Shift to the left (px), angle (rad) and factor at a frame."""
Row = list[tuple[F64, F64, F64, float]]
"""Of each clip: cosines with the true step, its length over the true one, errors of places (px), share counted."""


def warped(frame: NDArray[np.uint8], name: str, width: int, height: int) -> tuple[Frames, F64]:
    """A still under an exact motion about the clip's middle, and the maps (T, 2, 3) of points of its first frame."""
    maps, clip, middle = [], [], np.array([(width - 1) / 2, (height - 1) / 2])
    away = (np.array(frame.shape[1::-1]) - [width, height]) / 2
    for t in range(FRAMES):
        shift, angle, factor = WARPS[name](t, width)
        turn = factor * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        maps.append(np.column_stack([turn, middle - turn @ middle - [shift, 0]]))
        moved = maps[-1] @ np.vstack([np.column_stack([np.eye(2), -away]), [0, 0, 1]])
        clip.append(cv2.warpAffine(frame, moved, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT))
    return np.stack(clip).astype(np.uint8), np.stack(maps)


def judged(found: Tracks, true: F64, shown: NDArray[np.bool_] | bool, live: bool) -> tuple[F64, F64, F64, float]:
    """What a form that counts all points, or live steps alone, sums over; ``shown``: where truth is known."""
    step, should = np.diff(found.points, axis=1), np.diff(true, axis=1)
    length, wanted = np.linalg.norm(step, axis=-1), np.linalg.norm(should, axis=-1)
    counted = found.visible[:, 1:] & found.visible[:, :-1] if live else np.ones_like(length, bool)
    moves = counted & (wanted > FEWEST_PX) & shown
    cosine = (step * should).sum(-1) / np.maximum(length * wanted, 1e-9)
    apart = np.linalg.norm(found.points - true, axis=-1)[:, 1:]
    return cosine[moves], length[moves] / wanted[moves], apart[counted & shown], float(counted.mean())


def printed(title: str, rows: dict[str, dict[str, Row]]) -> None:
    print(
        f"| {title} | "
        + " | ".join(f"{n}: {c}" for n in ("lk", "lk-live") for c in ("counted", "direction", "length", "px"))
        + " |"
    )
    print("|---" * 9 + "|")
    for name, sides in rows.items():
        cells = []
        for found in sides.values():
            cosine, ratio, apart = (np.concatenate([f[k] for f in found]) for k in (0, 1, 2))
            low, middle, high = np.percentile(ratio, [5, 50, 95])
            cells += [f"{statistics.mean(f[3] for f in found):.2f}", f"{cosine.mean():.3f}"]
            cells += [f"{middle:.2f} [{low:.2f}, {high:.2f}]", f"{np.median(apart):.2f}, {apart.mean():.2f}"]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print()


def drawn() -> dict[str, dict[str, Row]]:
    """8 references of ``shapes-64``, cameras and others, at the points whose tracks are known."""
    rows: dict[str, dict[str, Row]] = {}
    pairs = suite_pairs("shapes-64", FRAMES)
    cameras = [p for p in pairs if p.category == "camera"][:4]
    for name, chosen in (("camera", cameras), ("subjects", [p for p in pairs if p.category != "camera"][::14][:4])):
        for pair in chosen:
            true, _ = true_tracks(pair.reference, 64, 64)
            for side in ("lk", "lk-live"):
                found = tracker.get(side).track(draw(pair.reference), true.points[:, 0])
                shown = true.visible[:, 1:] & true.visible[:, :-1]
                rows.setdefault(name, {}).setdefault(side, []).append(judged(found, true.points, shown, side != "lk"))
    return rows


def stills(frames: list[NDArray[np.uint8]], width: int, height: int) -> dict[str, dict[str, Row]]:
    rows: dict[str, dict[str, Row]] = {}
    for name in WARPS:
        for frame in frames:
            clip, maps = warped(fit_frames(frame[None], round(width * EDGE), round(height * EDGE))[0], name, width, height)
            for side in ("lk", "lk-live"):
                found = tracker.get(side).track(clip)
                true = np.einsum("tij,nj->nti", maps[:, :, :2], found.points[:, 0]) + maps[:, :, 2]
                rows.setdefault(name, {}).setdefault(side, []).append(judged(found, true, True, side != "lk"))
    return rows


def other_looks(clip: Frames, seed: int) -> Frames:
    """The same motion in other colours: channels in another order, dark for light, with noise of 6 of 255."""
    noise = np.random.default_rng(seed).normal(0, 6, clip.shape)
    return np.clip(255 * ((255 - clip[..., [2, 0, 1]]) / 255.0) ** 1.3 + noise, 0, 255).astype(np.uint8)


def videos(clips: dict[str, Frames], near: float) -> None:
    """Each video in other looks against itself (right) and against the next one (wrong)."""
    forms = {"lk": (MotionFidelity(), MotionFidelityLocal()), "lk-live": (MotionFidelityTracked(TrackedParams(near=near)),)}
    tracks = {
        name: {side: [tracker.get(side).track(c) for c in (other_looks(clip, n), clip)] for side in forms}
        for n, (name, clip) in enumerate(clips.items())
    }
    print("| video | seen, last frame | " + " | ".join(f.id for fs in forms.values() for f in fs) + " |\n|---|---|---|---|---|")
    names, found = list(clips), []
    for n, name in enumerate(names):
        wrong, size = names[(n + 1) % len(names)], clips[name].shape[1:3]
        row = [
            _value(form, tracks[name][side][0], tracks[other][side][1], *size)
            for side, all_of in forms.items() for form in all_of for other in (name, wrong)
        ]  # fmt: skip
        found.append(row)
        live = tracks[name]["lk-live"][1].visible
        print(f"| {name} | {live.mean():.2f}, {live[:, -1].mean():.2f} | {_cells(row)} |")
    columns = [[v for v in column if v is not None] for column in zip(*found, strict=True)]
    means = [statistics.mean(values) if values else None for values in columns]
    print(f"| mean, right / wrong | | {_cells(means)} |")


def _value(form: MotionFidelity, generated: Tracks, reference: Tracks, height: int, width: int) -> float | None:
    return form.compare(*(form.counted(t, height, width) for t in (generated, reference)), width).value


def _cells(values: list[float | None]) -> str:
    shown = ["–" if v is None else f"{v:.2f}" for v in values]
    return " | ".join(f"{right} / {wrong}" for right, wrong in zip(shown[::2], shown[1::2], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="a folder of videos of 33 frames and more")
    parser.add_argument("--width", type=int, default=832)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--near", type=float, default=TrackedParams().near, help="of motion_fidelity_tracked")
    args = parser.parse_args()
    files = sorted(args.folder.glob("*.mp4")) if args.folder else []
    clips = {f.stem: fit_frames(read_clip(f, f.stem).frames[:FRAMES], args.width, args.height) for f in files}
    noise = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (args.height, args.width, 3)).astype(np.uint8), (0, 0), 2
    )
    first = [c[0] for c in clips.values()] or [np.asarray(noise, np.uint8)]
    printed("drawn, 64 x 64 px", drawn())
    printed("warped, 64 x 64 px", stills(first, 64, 64))
    printed(f"warped, {args.width} x {args.height} px", stills(first[:2], args.width, args.height))
    if clips:
        videos(clips, args.near)


if __name__ == "__main__":
    main()

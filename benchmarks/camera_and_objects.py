"""What ``camera_agreement`` and ``object_agreement`` say of clips whose camera and objects are known.

``python benchmarks/camera_and_objects.py`` draws clips with a textured ground. ``--clips FOLDER`` takes real pictures instead,
moved in a known way: the reference from one picture, the generated clip from another. Every clip has a camera and an object; in
each row one of them, or both, does what the reference's does not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fastvmt import score_clip
from fastvmt.datasets.drawn.redraw import redraw
from fastvmt.datasets.drawn.scene import Scene, draw
from fastvmt.datasets.drawn.shapes import make_scene, stream
from fastvmt.media.files import read_clip

Frames = NDArray[np.uint8]
Make = Callable[[int, int, float, float], Frames]
FRAMES = 17
LOOKS = ("a red circle on a gray dotted background", "a blue star on a navy checker background")
ROWS = {
    "both as in the reference": (1, 1), "camera back, object as it is": (-1, 1), "camera as it is, object back": (1, -1),
    "camera still, object as it is": (0, 1), "camera as it is, object still": (1, 0), "half the camera": (0.5, 1),
    "half the object": (1, 0.5), "frozen": (0, 0),
}  # fmt: skip


def drawn(camera: str) -> Make:
    """Looks 0 or 1, pair number, shares of the camera's and of the object's motion (-1 is the way back)."""

    def make(looks: int, number: int, of_camera: float, of_object: float) -> Frames:
        scene: Scene = redraw(make_scene(stream("tune", 30_000 + number), ("linear",), camera, FRAMES), LOOKS[looks])
        mover = scene.movers[0]
        x, y = (v.mean() + of_object * (v - v.mean()) for v in (mover.x, mover.y))
        pans = {k: of_camera * getattr(scene, k) for k in ("pan_x", "pan_y")}
        zoom = scene.zoom**of_camera
        return draw(replace(scene, movers=(replace(mover, x=x, y=y),), zoom=zoom, **pans))

    return make


def real(pictures: list[Frames], camera: str) -> Make:
    """A picture under a camera, with a disc of the next picture that goes over it."""

    def make(looks: int, number: int, of_camera: float, of_object: float) -> Frames:
        ground, other = (pictures[(number + looks + k) % len(pictures)] for k in (0, 1))
        height, width = ground.shape[:2]
        rng = np.random.default_rng(number)
        sign, way = rng.choice([-1, 1]), rng.uniform(0, 2 * np.pi)
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        centre, frames = np.array([width / 2, height / 2]), []
        for t in np.arange(FRAMES) - FRAMES // 2:
            turn, zoom = {"turn": (sign * of_camera * t, 1.0), "zoom": (0, 1.01 ** (sign * of_camera * t))}.get(
                camera, (0, 1.0)
            )
            motion = np.asarray(cv2.getRotationMatrix2D(tuple(centre), float(turn), float(zoom)))
            motion[0, 2] += sign * of_camera * 0.008 * width * t * (camera == "pan")
            at = motion[:, :2] @ centre + motion[:, 2] + of_object * 0.012 * width * t * np.array([np.cos(way), np.sin(way)])
            frame = cv2.warpAffine(ground, motion, (width, height), borderMode=cv2.BORDER_REFLECT_101)
            carried = np.array([[1, 0, at[0] - centre[0]], [0, 1, at[1] - centre[1]]])
            disc = np.hypot(x - at[0], y - at[1]) < height / 5
            frame[disc] = cv2.warpAffine(other, carried, (width, height), borderMode=cv2.BORDER_REFLECT_101)[disc]
            frames.append(frame)
        return np.stack(frames)

    return make


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--clips", type=Path)
    reader.add_argument("--size", default="416x240")
    reader.add_argument("--tracker", default="lk")
    reader.add_argument("--pairs", type=int, default=3, help="of each camera")
    asked = reader.parse_args()
    if asked.clips:
        size = tuple(map(int, asked.size.split("x")))
        stills = [read_clip(p, p.name).frames[0] for p in sorted(asked.clips.glob("*.mp4"))]
        pictures = [np.asarray(cv2.resize(s, size, interpolation=cv2.INTER_AREA), np.uint8) for s in stills]
        makers = [real(pictures, camera) for camera in ("pan", "zoom", "turn")]
    else:
        makers = [drawn(camera) for camera in ("pan", "zoom_in")]
    labels = ["camera_agreement", "object_agreement", "motion_fidelity", "motion_fidelity_moving:moving_px=1.5"]
    labels = [label if label.startswith("motion") else f"{label}:tracker={asked.tracker}" for label in labels]
    print(f"| generated ({len(makers) * asked.pairs} pairs) | {' | '.join(labels)} |\n{'|---' * (len(labels) + 1)}|")
    for name, (of_camera, of_object) in ROWS.items():
        found: dict[str, list[float]] = {label: [] for label in labels}
        for make in makers:
            for number in range(asked.pairs):
                reference, generated = make(0, number, 1, 1), make(1, number, of_camera, of_object)
                for label in labels:
                    value = score_clip(label, generated, reference).value
                    found[label] += [] if value is None else [value]
        cells = [f"{np.mean(v):.2f} (n={len(v)})" if v else "undefined" for v in found.values()]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

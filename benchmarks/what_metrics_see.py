"""What each form of motion fidelity can and cannot see: ``python benchmarks/what_metrics_see.py [--tracker lk]``.

Pairs of drawn clips of known motion (64 x 64 px, 33 frames by default), scored in every form, as a Markdown table. The clips
are exact and OpenCV's tracker searches every point by itself, so the table does not depend on how busy the machine is.

With ``--through tiny`` the generated clips pass through that backbone's VAE first, as every generated video has: then still
points jitter, and the second table's oracle, copy, shuffled and frozen say what a form is worth on such clips.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from fastvmt.core.content_address import frames_digest
from fastvmt.datasets.drawn.redraw import backwards, redraw
from fastvmt.datasets.drawn.scene import Mover, Scene, draw
from fastvmt.datasets.drawn.shapes import suite_pairs
from fastvmt.media.files import Frames
from fastvmt.plugins.metric import Scored
from fastvmt.plugins.metric_labels import build

FORMS = (
    "motion_fidelity", "motion_fidelity_both", "motion_fidelity_local", "motion_fidelity_moving",
    "motion_fidelity_moving:moving_px=1.5", "motion_fidelity@det-hybrid", "motion_fidelity_wrong",
)  # fmt: skip
GROUNDS = (("navy", "checker", (0.25, 0.5)), ("maroon", "dotted", (0.625, 0.125)))


def scene(frames: int, ground: int, **paths: Any) -> Scene:
    """A patterned ground; with ``x`` and ``y`` (px) a disc that moves, ``turn`` (rad over the clip) turns a large cross."""
    t = np.linspace(0, 1, frames)
    zero, colour = np.zeros(frames), ("yellow", "cyan")[ground]
    movers: tuple[Mover, ...] = ()
    if "x" in paths:
        movers = (Mover("circle", colour, paths["x"], paths["y"], zero, zero + 11),)
    if "turn" in paths:
        movers = (Mover("cross", colour, zero + 31.5, zero + 31.5, paths["turn"] * t, zero + 27),)
    pan_x, pan_y, zoom = (paths.get(k, d) for k, d in (("pan_x", zero), ("pan_y", zero), ("zoom", zero + 1)))
    name, pattern, phase = GROUNDS[ground]
    return Scene(64, 64, name, pattern, phase, movers, pan_x, pan_y, zoom)


def pairs(frames: int) -> dict[str, tuple[Scene, Scene]]:
    """Generated and reference scene by what is compared; looks always differ."""
    t = np.linspace(0, 1, frames)
    pan = {"pan_x": 20 * (t - 0.5), "pan_y": 6 * (t - 0.5)}
    zoom, disc = {"zoom": 1.5 ** (t - 0.5)}, {"x": 16 + 30 * t, "y": 22 + 18 * t}
    fast = {"x": 31 + 30 * (t - 0.5), "y": 31 + 18 * (t - 0.5)}
    slow = {"x": 31 + 15 * (t - 0.5), "y": 31 + 9 * (t - 0.5)}

    def both(generated: dict[str, Any], reference: dict[str, Any], reverse: bool = False) -> tuple[Scene, Scene]:
        made = scene(frames, 1, **generated)
        return (backwards(made) if reverse else made), scene(frames, 0, **reference)

    return {
        "disc, same path, other texture": both(disc, disc),
        "disc, reversed path": both(disc, disc, reverse=True),
        "disc, half the speed": both(slow, fast),
        "pan, same, other texture": both(pan, pan),
        "pan against reversed pan": both(pan, pan, reverse=True),
        "pan against zoom in": both(pan, zoom),
        "zoom in, same, other texture": both(zoom, zoom),
        "zoom out against zoom in": both(zoom, zoom, reverse=True),
        "turning left against left": both({"turn": 1.5}, {"turn": 1.5}),
        "turning right against left": both({"turn": -1.5}, {"turn": 1.5}),
        "static against pan": both({}, pan),
        "static against static": both({}, {}),
    }


def scores(generated: Frames, reference: Frames, wrong: Frames, forms: tuple[str, ...], tracker: str) -> list[float | None]:
    """The value of each form, None where it is undefined."""
    case = SimpleNamespace(reference=SimpleNamespace(frames_digest=frames_digest(reference)))
    scored = Scored(generated, reference, case, SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
    scored.wrong_reference = lambda: (frames_digest(wrong), wrong)
    ask = [f if tracker == "lk" else f"{f}:tracker={tracker}" for f in forms]
    return [build(f).score(scored).value for f in ask]


def printed(title: str, forms: tuple[str, ...], rows: dict[str, list[str]]) -> None:
    print(f"| {title} | " + " | ".join(forms) + " |")
    print("|---" * (len(forms) + 1) + "|")
    for name, cells in rows.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


def number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"


def known_motions(frames: int, tracker: str, through: Callable[[Frames], Frames]) -> None:
    found = {name: (draw(a), draw(b)) for name, (a, b) in pairs(frames).items()}
    references = [b for _, b in found.values()]
    rows = {}
    for n, (name, (generated, reference)) in enumerate(found.items()):
        others = (*references[n + 1 :], *references[:n])
        wrong = next(r for r in others if not np.array_equal(r, reference))
        rows[name] = [number(v) for v in scores(through(generated), reference, wrong, FORMS, tracker)]
    printed("generated against reference", FORMS, rows)


def toys(
    frames: int, tracker: str, through: Callable[[Frames], Frames], shuffle: Callable[[Frames], Frames], cases: int
) -> None:
    """Mean over cases of what the toy methods make, each passed through the VAE; n where some are undefined."""
    forms = FORMS[:-1]
    values: dict[str, list[list[float | None]]] = {}
    chosen = suite_pairs("shapes-64", frames)[: 64 : max(1, 64 // cases)]
    for n, pair in enumerate(chosen):
        reference, wrong = draw(pair.reference), draw(chosen[n - 1].reference)
        other = redraw(pair.reference, pair.target)
        clips = {
            "oracle": through(draw(other)), "copy": through(reference), "shuffled": shuffle(reference),
            "oracle, reversed": through(draw(backwards(other))),
            "frozen": through(np.repeat(through(reference)[:1], frames, axis=0)),
        }  # fmt: skip
        for name, clip in clips.items():
            values.setdefault(name, []).append(scores(clip, reference, wrong, forms, tracker))
    rows = {}
    for name, found in values.items():
        cells = []
        for column in zip(*found, strict=True):
            there = [v for v in column if v is not None]
            short = "" if len(there) == len(column) else f" (n={len(there)})"
            cells.append((number(statistics.mean(there)) if there else "undefined") + short)
        rows[name] = cells
    printed(f"mean of {len(chosen)} cases", forms, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracker", default="lk")
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--through", help="a backbone, e.g. tiny: pass generated clips through its VAE")
    parser.add_argument("--cases", type=int, default=16, help="cases of the toys' table")
    args = parser.parse_args()
    if not args.through:
        known_motions(args.frames, args.tracker, lambda clip: clip)
        return
    import torch

    from fastvmt.backbones import card
    from fastvmt.backbones.wan import Backbone

    backbone = Backbone(card.load(args.through))

    def through(clip: Frames) -> Frames:
        return backbone.decode(backbone.encode_video(clip))

    def shuffle(clip: Frames) -> Frames:
        latent = backbone.encode_video(clip)
        order = torch.randperm(latent.shape[2], generator=torch.Generator().manual_seed(0))
        return backbone.decode(latent[:, :, order])

    known_motions(args.frames, args.tracker, through)
    print()
    toys(args.frames, args.tracker, through, shuffle, args.cases)


if __name__ == "__main__":
    main()

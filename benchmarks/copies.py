"""What tells a copy of the reference from everything else: likeness of altered references, other clips and a run's videos.

    python benchmarks/copies.py                    # 16 drawn references
    python benchmarks/copies.py --run RUN          # a run's references and the videos of its methods
    python benchmarks/copies.py --clips FOLDER     # videos of a folder, 33 frames at 416 x 240

Prints a Markdown table: smallest, mean and largest ``repeated`` (which decides), SSIM and histogram intersection.
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from pathlib import Path

import av
import numpy as np

from fastvmt.datasets.drawn.scene import draw
from fastvmt.datasets.drawn.shapes import suite_pairs
from fastvmt.media.files import Frames, fit_frames, list_videos, read_clip, read_lossless
from fastvmt.metrics.copies import repeated, shrunk
from fastvmt.metrics.leakage import LONGER_SIDE, histogram, ssim
from fastvmt.store.folder import Store
from fastvmt.store.layout import FRAMES


def x264(frames: Frames, crf: int) -> Frames:
    """Frames through libx264, yuv420p, and back."""
    raw = io.BytesIO()
    with av.open(raw, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=15, options={"crf": str(crf)})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        for picture in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    with av.open(io.BytesIO(raw.getvalue())) as found:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in found.decode(video=0)])


def altered(clip: Frames) -> dict[str, tuple[Frames, Frames]]:
    """A clip as a video and as its reference, by what was done to it."""
    height, width = clip.shape[1:3]
    noise = np.random.default_rng(0).normal(0, 8, clip.shape)
    small = fit_frames(fit_frames(clip, width // 2, height // 2), width, height)
    return {
        **{f"copy, x264 at CRF {crf}": (x264(clip, crf), clip) for crf in (23, 35, 45)},
        "copy, half the size and back": (small, clip),
        "copy, noise of 8 levels": (np.clip(clip + noise, 0, 255).astype(np.uint8), clip),
        "copy, a tenth brighter": (np.clip(clip * 1.1, 0, 255).astype(np.uint8), clip),
        "copy, 1 frame late": (clip[:-1], clip[1:]),
        "8 frames late": (clip[:-8], clip[8:]),
        "backwards": (clip[::-1], clip),
        "first frame, held": (clip[:1].repeat(len(clip), axis=0), clip),
    }


def of_run(folder: Path) -> tuple[dict[str, Frames], list[tuple[str, Frames, Frames]]]:
    """References by case, and (method, video, reference) of every video."""
    store = Store.open(folder)
    config = store.config()
    clips = {c.id: store.reference(c.reference) for c in config.suite.cases}
    made = [(job, found) for job in config.jobs() if (found := store.artefact(job))]
    videos = [(j.method.label, read_lossless(store.folder(j) / FRAMES, a.shape), clips[j.case_id]) for j, a in made]
    return clips, videos


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--run", type=Path)
    asked.add_argument("--clips", type=Path)
    given = asked.parse_args()
    videos: list[tuple[str, Frames, Frames]] = []
    if given.run:
        clips, videos = of_run(given.run)
    elif given.clips:
        clips = {p.stem: fit_frames(read_clip(p, p.name).frames[:33], 416, 240) for p in list_videos(given.clips)}
    else:
        clips = {p.name: draw(p.reference) for p in suite_pairs("shapes", 33)}
    names = list(clips)
    videos += [(what, *pair) for clip in clips.values() for what, pair in altered(clip).items()]
    videos += [("another clip", clips[b], clips[a]) for a, b in zip(names, names[1:] + names[:1], strict=True)]
    found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for what, video, reference in videos:
        if (share := repeated(video, reference)) is not None:
            a, b = (shrunk(frames, LONGER_SIDE)[::4] for frames in (video, reference))
            found[what].append((share, ssim(a, b), histogram(a, b)))
    print("| video | n | repeated: least | mean | most | ssim: least | mean | most | histogram: least | mean | most |")
    print(f"|---|{'---:|' * 10}")
    for what, rows in found.items():
        table = np.array(rows)
        cells = [f"{v:.2f}" for at in range(3) for v in (table[:, at].min(), table[:, at].mean(), table[:, at].max())]
        print(f"| {what} | {len(rows)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

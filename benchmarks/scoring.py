"""Seconds to score one full-size clip: ``python benchmarks/scoring.py [--clip FILE.mp4] [--frames 33]``.

A run folder with one finished video, width 832, height 480, is made first; timed is ``bench score`` on it as a user calls it,
a fresh process that starts, loads a CLIP ViT-B/32 (of random weights, which cost as much as real ones), decodes the
video and its reference once each, and writes the records. Seconds are this machine's, at this moment.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

from fastvmt import Request
from fastvmt.core.content_address import frames_digest
from fastvmt.datasets.drawn.suites import clip
from fastvmt.media.files import fit_frames, read_lossless, write_lossless
from fastvmt.model import Artefact
from fastvmt.runner.plan import resolve
from fastvmt.store.artefact_files import file_info
from fastvmt.store.folder import Store

WIDTH, HEIGHT, CLIP = 832, 480, "ViT-B-32-quickgelu"


def random_clip(folder: Path) -> Path:
    """A file of random weights in the real layout, about 0.6 GB."""
    import open_clip
    from safetensors.torch import save_file

    path = folder / "random.safetensors"
    save_file({k: v.contiguous() for k, v in open_clip.create_model(CLIP).state_dict().items()}, path)
    return path


def finished_run(folder: Path, source: Path, frames: int) -> Store:
    """A run folder whose one video is its own reference, mirrored: there is something to track and to compare."""
    request = Request(
        methods=("none",), controls=False, suite=str(source), prompt="a disc on a checkered ground",
        width=WIDTH, height=HEIGHT, frames=frames,
    )  # fmt: skip
    plan = resolve(request)
    store = plan.open_store(folder / "run")
    job, case = plan.config.jobs()[0], plan.config.suite.cases[0]
    video = read_lossless(store.reference_path(case.reference.frames_digest))[:, :, ::-1].copy()
    made = store.new_folder()
    write_lossless(made / "frames.mkv", video, Fraction(15))
    artefact = Artefact(
        key=job.key, frames_digest=frames_digest(video), width=WIDTH, height=HEIGHT, frames=frames, fps_num=15, fps_den=1,
        files={"frames.mkv": file_info(made / "frames.mkv")}, stages={}, peak_memory_bytes=0, forward_equivalents=0,
        device="cpu", software={}, timing_key="benchmark",
    )  # fmt: skip
    store.publish(made, job, artefact)
    return store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="a video; a drawn clip, enlarged, when left out")
    parser.add_argument("--frames", type=int, default=33)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = args.clip
        if source is None:
            source = folder / "drawn.mkv"
            drawn = clip("single-object-100", frames=args.frames)[0]
            write_lossless(source, fit_frames(drawn, WIDTH, HEIGHT), Fraction(15))
        weights = random_clip(folder)
        store = finished_run(folder, source, args.frames)
        spec = f"clip={CLIP}/{weights}"
        groups = {
            "flicker": ["vbench:temporal_flickering:backend=native"],
            "flicker and motion fidelity (LK)": ["vbench:temporal_flickering:backend=native", "motion_fidelity"],
            "flicker, motion fidelity (LK) and both CLIP scores": [
                "vbench:temporal_flickering:backend=native", "motion_fidelity",
                f"text_similarity:{spec}", f"temporal_consistency:{spec}",
            ],
        }  # fmt: skip
        groups["the same again (the weights' digest is remembered)"] = list(groups.values())[-1]
        print(f"one video, width {WIDTH}, height {HEIGHT}, {args.frames} frames; seconds of `bench score`, start to end\n")
        for title, labels in groups.items():
            command = [sys.executable, "-m", "fastvmt.cli", "score", str(store.root), "--again", "--metrics", ",".join(labels)]
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            print(f"{time.perf_counter() - began:6.1f} s  {title}")
        print("\n" + "\n".join(f"{r.metric.partition(':clip')[0]}: {r.value}" for r in store.records().values()))


if __name__ == "__main__":
    main()

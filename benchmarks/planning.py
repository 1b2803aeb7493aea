"""Seconds and memory to plan a large suite: ``python benchmarks/planning.py [--clips 10000]``.

A suite folder of so many clips is written first; timed is ``bench plan`` on it as a user calls it, a fresh process from start
to end, beside the same command on the eight drawn clips. Seconds are this machine's, at this moment. Linux only (``/proc``).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def write_suite(folder: Path, clips: int) -> None:
    """A suite whose lists are complete; the clips themselves are one small file under many names."""
    (folder / "0.mp4").write_bytes(b"never opened")
    for n in range(1, clips):
        os.link(folder / "0.mp4", folder / f"{n}.mp4")
    rows = [{"id": f"c{n}", "path": f"{n}.mp4", "frames": 99, "sha256": f"{n:064x}"} for n in range(clips)]
    texts = [{"clip": f"c{n}", "id": "p1", "text": f"subject {n} walks"} for n in range(clips)]
    for name, table in (("clips.jsonl", rows), ("prompts.jsonl", texts)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in table))
    (folder / "suite.toml").write_text('schema = "vmt-suite/1"\nid = "large"\n')


def timed(suite: str) -> tuple[float, float]:
    """Seconds, and the largest resident size in MB, of one ``bench plan``."""
    command = [sys.executable, "-m", "fastvmt.cli", "plan", "--suite", suite, "--methods", "none"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, code, used = os.wait4(process.pid, 0)
    if code:
        raise SystemExit("bench plan failed")
    return time.perf_counter() - began, used.ru_maxrss / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=10_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        write_suite(Path(name), args.clips)
        for title, suite in (("8 drawn clips", "shapes"), (f"{args.clips} clips", name)):
            seconds, megabytes = timed(suite)
            print(f"{title}: {seconds:.1f} s, {megabytes:.0f} MB")


if __name__ == "__main__":
    main()

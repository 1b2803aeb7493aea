"""A run folder on the random Wan whose methods train for a few steps, and a process that trains and may be killed."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

LABELS = ("motion_inversion:steps=12:lr=0.05", "motion_director:steps=12:rank=2", "det:steps=12:lr=0.001:middle=8")
"""Twelve steps: checkpoints after every one of them."""


def make_store(xs: Path, out: Path, labels: tuple[str, ...] = LABELS, seeds: tuple[int, ...] = (0,)):
    from fastvmt.runner.plan import resolve
    from fastvmt.runner.settings import Request

    request = Request(methods=labels, backbone=str(xs), limit=1, seeds=seeds, controls=False, threads=1, metrics=("time",))
    return resolve(request).open_store(out)


def open_generator(root: Path):
    from fastvmt.runner.generate import Generator
    from fastvmt.store.folder import Store

    store = Store.open(root)
    return Generator(store, store.config())


def main() -> None:
    """Arguments: run folder, number of the job, and ``kill N`` (die at step N), ``hold`` (wait at the first step) or ``go``."""
    root, number, what, *rest = sys.argv[1:]
    generator = open_generator(Path(root))

    def tick(step: int, steps: int) -> None:
        if what == "kill" and step == int(rest[0]):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "hold" and step == 0:
            print("training", flush=True)
            sys.stdin.readline()

    generator.prepare(generator.config.jobs()[int(number)], tick, lambda stage: None)


if __name__ == "__main__":
    main()

"""What the runner itself costs: ``python benchmarks/runner.py [--jobs 200] [--ray]``.

Toy jobs (``tests/support/light.py``: no backbone, no codec, a copied file for a video) go through the real runner, workers,
store and leases. Timed is from the first job given out to the end of the run: the start of workers or of a cluster does not
count. Jobs that do nothing show the overhead a job, jobs of a given CPU time what a second worker is worth. Ratios are within
one run of this file; seconds are this machine's, at this moment.

Printed beside each figure is its limit; exit code 1 when one is missed. The limit of the overhead is on the runner's own time
(``scale.py`` puts the same one on the clock, with a worker that does nothing); what the disk and Ray cost is theirs, and is
printed without one. Two workers need two free cores.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.light_runs import make_quick, quick

from fastvmt.runner.runner import Runner
from fastvmt.runner.settings import Options
from fastvmt.store.folder import Store

OVERHEAD_MS = 5.0
"""At most, of the runner's CPU time, a job that does nothing."""
SECOND_WORKER = 1.8
"""At least: how many times faster two workers are than one."""


class Timed(Runner):
    """A runner with a stopwatch."""

    began = used = 0.0

    def _give(self, worker: Any, task: Any) -> None:
        self.began, self.used = self.began or time.perf_counter(), self.used or time.process_time()
        super()._give(worker, task)


def seconds(place: Path, jobs: int, work: float, **options: Any) -> tuple[float, float]:
    """Of so many jobs, each busy for ``work`` s of CPU time: seconds on the clock, and the runner's own CPU seconds."""
    folder = Path(tempfile.mkdtemp(dir=place))
    store = Store.open(make_quick(folder / "run", jobs, [quick(work=work)]))
    store.lock()
    runner = Timed(store, store.config(), Options(style="none", reuse=False, **options))
    outcome = runner.run()
    ended, used = time.perf_counter(), time.process_time()
    store.unlock()
    if outcome.made != jobs:
        raise SystemExit(f"{outcome.made} of {jobs} jobs were made")
    return ended - runner.began, used - runner.used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--work", type=float, default=0.05, help="CPU seconds of a job in the comparison of workers")
    parser.add_argument("--ray", action="store_true", help="also in a Ray cluster that is started for it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        local, used = seconds(place, args.jobs, 0.0, workers=1)
        overhead = 1000 * used / args.jobs
        print(
            f"local: {1000 * local / args.jobs:.2f} ms a job, everything counted ({args.jobs} jobs that do nothing)   no limit;"
        )
        print(
            f"  of it {overhead:.2f} ms are the runner's CPU time   {_limit('at most', OVERHEAD_MS, overhead > OVERHEAD_MS)};"
        )
        print("  the rest is the worker's, and the disk's")
        one, two = (seconds(place, args.jobs, args.work, workers=n)[0] for n in (1, 2))
        print(f"two workers: {one / two:.2f} times one worker ({args.jobs} jobs of {1000 * args.work:g} ms)", end="")
        print(f"   {_limit('at least', SECOND_WORKER, one / two < SECOND_WORKER)}")
        if args.ray:
            ray, _ = seconds(place, args.jobs, 0.0, workers=1, executor="ray")
            print(f"ray: {1000 * ray / args.jobs:.2f} ms a job, {ray / local:.1f} times local   no limit: it is Ray's")
    print(f"largest resident size of the runner: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB   no limit")
    raise SystemExit(1 if overhead > OVERHEAD_MS or one / two < SECOND_WORKER else 0)


def _limit(which: str, limit: float, missed: bool) -> str:
    return f"limit {which} {limit:g}{'  MISSED' if missed else ''}"


if __name__ == "__main__":
    main()

"""Where the work is done: worker processes here, in a Ray cluster, or runners that SLURM starts.

An executor knows how to start a worker, give it a line, and end it; what a line means is the runner's. Nothing but small
reports comes back: videos and records are in the run folder, which every worker sees.
"""

from __future__ import annotations

import importlib.util
import os
import queue
import re
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from fastvmt.errors import SpecError

if TYPE_CHECKING:
    from fastvmt.jobs.run_config import RunConfig
    from fastvmt.runner.runner import Options, Outcome
    from fastvmt.store.folder import Store

NAMES = ("local", "ray", "slurm")
LIBRARIES = {"ray": "ray", "slurm": "submitit"}
Inbox = queue.Queue[tuple["Hand", dict[str, Any]]]
"""Reports as they come, each with its worker. The last one of a worker is ``{"report": "gone", "how": …, "clean": …}``."""


class Hand(Protocol):
    """One worker process, wherever it is."""

    number: int

    def give(self, line: bytes) -> None:
        """Hand it a task. That it is gone is reported, not raised."""

    def let_go(self) -> None:
        """No more tasks: it ends by itself, and this returns when it has."""

    def kill(self) -> None:
        """End it with everything it has started."""


class Executor(Protocol):
    """Starts workers."""

    slots: int
    """How many workers it starts when nobody says."""

    def start(self, number: int, inbox: Inbox) -> Hand:
        """A new worker, which reports ``ready`` in its own time."""

    def close(self) -> None:
        """After the last worker has ended."""


def run(
    store: Store, config: RunConfig, options: Options, generate: bool = True, metrics: tuple[str, ...] | None = None,
    rescore: bool = False,
) -> Outcome:  # fmt: skip
    """Do what a run folder lacks, as its driver; see ``Runner.run``."""
    from fastvmt.runner.runner import Runner

    if options.executor == "slurm" and generate:
        from fastvmt.runner.executors.on_slurm import Crew

        return Crew(store, config, options).run()
    return Runner(store, config, options).run(generate, metrics, rescore)


def join(store: Store, config: RunConfig, options: Options) -> Outcome:
    """Do what is left of a run folder beside its driver, with logs of our own."""
    from fastvmt.runner.runner import Runner

    runner = Runner(store, config, replace(options, reuse=False))  # what can be taken over from other runs, the driver took
    host = re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname())[:40]
    store.join(f"{host}-{os.getpid()}-{runner.share.leases.token[:6]}")
    return runner.run()


def new(store: Store, config: RunConfig, options: Options) -> Executor:
    """The executor that the options name, for runners that hold their workers themselves.

    Raises:
        SpecError: when it cannot start or reach its workers.
    """
    if options.executor == "ray":
        from fastvmt.runner.executors.on_ray import RayExecutor

        return RayExecutor(store, config, options)
    from fastvmt.runner.executors.local import LocalExecutor

    return LocalExecutor(store, config, options.workers)


def check(options: Options) -> None:
    """Refuse options that contradict each other.

    Raises:
        SpecError: naming them, or a library that is not installed.
    """
    if options.executor not in NAMES:
        raise SpecError(f"--executor {options.executor}: use one of {', '.join(NAMES)}.")
    if options.address and options.executor != "ray":
        raise SpecError(f"--address {options.address} belongs to --executor ray; add that, or leave the address out.")
    if (options.slurm or not options.wait) and options.executor != "slurm":
        raise SpecError("--slurm and --no-wait belong to --executor slurm; add that, or leave them out.")
    if options.executor in LIBRARIES:
        need(LIBRARIES[options.executor], options.executor)


def words(options: Options) -> list[str]:
    """The executor as options of the command line; none for workers on this machine."""
    if options.executor == "local":
        return []
    found = ["--executor", options.executor]
    found += ["--address", options.address] if options.address else []
    found += ["--workers", str(options.workers)] if options.workers else []
    return found + [word for key, value in options.slurm for word in ("--slurm", f"{key}={value}")]


def need(library: str, extra: str) -> None:
    """
    Raises:
        SpecError: when the library of an optional executor is not installed.
    """
    if importlib.util.find_spec(library) is None:
        raise SpecError(f"--executor {extra} needs {library}, which is not installed: pip install 'fastvmt-bench[{extra}]'.")

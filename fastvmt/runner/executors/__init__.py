"""Where the work is done: worker processes here, in a Ray cluster, or runners that SLURM starts.

An executor knows how to start a worker, give it a line, and end it; what a line means is the runner's. Nothing but small
reports comes back: videos and records are in the run folder, which every worker sees.
"""

from __future__ import annotations

import importlib.util
import queue
from typing import Any, Protocol

from fastvmt.errors import SpecError
from fastvmt.runner.settings import Options

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


def check(options: Options) -> None:
    """
    Raises:
        SpecError: when the library of an optional executor is not installed.
    """
    name, library = options.executor, LIBRARIES.get(options.executor)
    if library and importlib.util.find_spec(library) is None:
        raise SpecError(f"--executor {name} needs {library}, which is not installed: pip install 'fastvmt-bench[{name}]'.")

"""Where the time goes, and how much memory it took.

Stages are exclusive: an inner stage's time is not counted in the outer one, so their sum is the whole. On CUDA the
device is synchronised at every border.
"""

from __future__ import annotations

import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass
class Stages:
    """A job's clock.

    Attributes:
        seconds: wall-clock seconds by stage.
        processor: processor seconds of this process by stage, which waiting for others does not add to.
        listener: called with the stage's name at each entry, for progress and for a failure's stage.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    processor: dict[str, float] = field(default_factory=dict)
    listener: Callable[[str], None] = lambda name: None
    synchronise: Callable[[], None] = lambda: None
    _open: list[str] = field(default_factory=list)
    _since: tuple[float, float] = (0.0, 0.0)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self._turn()
        self._open.append(name)
        self.listener(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()
            if self._open:
                self.listener(self._open[-1])

    @property
    def current(self) -> str:
        return self._open[-1] if self._open else ""

    def _turn(self) -> None:
        self.synchronise()
        now = time.perf_counter(), time.process_time()
        if self._open:
            name = self._open[-1]
            for clock, ends, began in zip((self.seconds, self.processor), now, self._since, strict=True):
                clock[name] = clock.get(name, 0.0) + ends - began
        self._since = now


def reset_peak() -> None:
    """Begin a new peak of resident memory, so that one job's does not stand in the next one's record (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_process_bytes() -> int:
    """Largest resident size of this process since ``reset_peak`` (since its start where that is not to be had)."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        return names[0] if names else platform.machine()
    except OSError:
        return platform.processor() or platform.machine()


def software() -> dict[str, str]:
    """Versions of what decides speed and numbers."""
    found = {"python": platform.python_version()}
    for name in ("torch", "diffusers", "transformers", "fastvmt-bench"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found

"""Worker processes on this machine: one for each GPU, or as many as are asked for."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastvmt.backbones import card as cards
from fastvmt.backbones import device
from fastvmt.core.children import python_environment
from fastvmt.core.disk.atomic import own_file
from fastvmt.errors import SpecError
from fastvmt.estimates.plan_estimate import workers_of
from fastvmt.jobs.run_config import RunConfig
from fastvmt.runner import code
from fastvmt.runner.executors import Hand, Inbox
from fastvmt.runner.texts import not_encoded
from fastvmt.store.folder import Store
from fastvmt.store.layout import WORKERS

NOWHERE = os.path.abspath(os.sep)  # noqa: PTH100
"""Where workers run: no stranger writes to it, as he may to a run folder. Libraries read settings, weights and shared objects
from the folder that they run in."""


def require_device(config: RunConfig, root: Path, why: str = "") -> None:
    """Refuse to begin where every video would fail: workers are here, and weights or GPUs elsewhere.

    Raises:
        MissingWeights, SpecError: one sentence on what is not here.
    """
    cards.require_weights(cards.load(config.setting.backbone, texts=bool(not_encoded(root, config))))
    if config.device.startswith("cuda") and not device.has_cuda():
        raise SpecError(
            f"{root} is a run on CUDA{why}, and torch sees no CUDA device here: use a machine that has one, or "
            "--executor ray or slurm."
        )


def worker_environment(config: RunConfig, crowded: bool, gpu: str | None = None) -> dict[str, str]:
    """What a worker's environment adds to ours: its CPU threads, and whose code it may load.

    Args:
        config: its ``plugins`` are loaded here.
        crowded: other workers share the cores. Waiting threads spin unless told to sleep: right for one worker on idle cores,
            ruinous when several share them.
        gpu: the only one it shall see; None leaves that as it is.
    """
    found = {"OMP_NUM_THREADS": str(config.threads), "PYTHONUNBUFFERED": "1"} | code.as_environment(config.plugins)
    if crowded:
        found["OMP_WAIT_POLICY"] = "PASSIVE"
    if gpu is not None:
        found |= {"CUDA_VISIBLE_DEVICES": gpu, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # numbers then mean what NVML means by them
    return found


class Child:
    """A worker's process, and the thread that reads its reports."""

    def __init__(
        self, root: Path, name: str, holder: str, more: dict[str, str], take: Callable[[dict[str, Any]], None]
    ) -> None:
        self.log = root / WORKERS / f"worker-{name}.log"
        with open(self.log, "ab", opener=own_file) as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fastvmt.runner.worker", str(root.resolve()), holder],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=python_environment() | more, cwd=NOWHERE,
                start_new_session=True,
            )  # fmt: skip
        self._take = take
        threading.Thread(target=self._bury, daemon=True).start()
        threading.Thread(target=self._read, daemon=True).start()

    def _bury(self) -> None:
        """What the worker started must not outlive it, nor hold its pipe open."""
        self.process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            try:
                self._take(json.loads(line))
            except ValueError:
                continue  # a library wrote to the pipe; the worker's log has what matters
        self.process.stdout.close()
        code = self.process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._take({"report": "gone", "how": how, "clean": code >= 0, "log": tail(self.log)})

    def give(self, line: bytes) -> None:
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError, ValueError):  # its reader reports it gone
            self.process.stdin.write(line)
            self.process.stdin.flush()

    def let_go(self) -> None:
        """Close its input, at which a worker ends by itself, and wait."""
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()

    def kill(self) -> None:
        """End the whole process group, so that no grandchild keeps anything open."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.let_go()


def tail(log: Path) -> str:
    """The end of what a worker printed."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4000))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


class LocalHand(Child, Hand):
    """A child of this process; ``gpu`` is the only one it sees, None for all."""

    def __init__(
        self, number: int, inbox: Inbox, gpu: str | None, root: Path, name: str, holder: str, more: dict[str, str]
    ) -> None:
        self.number, self.gpu = number, gpu
        super().__init__(root, name, holder, more, lambda report: inbox.put((self, report)))


class LocalExecutor:
    """Workers as children of this process; with several GPUs the n-th worker sees the n-th one alone."""

    def __init__(self, store: Store, config: RunConfig, workers: int) -> None:
        self.store, self.config = store, config
        self.gpus = visible_gpus() if config.device.startswith("cuda") else []
        self.slots = workers or len(self.gpus) or workers_of(config)
        self._hands: list[LocalHand] = []

    def start(self, number: int, inbox: Inbox) -> Hand:
        self._hands = [h for h in self._hands if h.process.poll() is None]
        gpu = min(self.gpus, key=lambda g: sum(h.gpu == g for h in self._hands), default=None)
        more = worker_environment(self.config, self.slots > 1, gpu)
        name = f"{self.store.writer}-{number}".lstrip("-")
        self._hands.append(LocalHand(number, inbox, gpu, self.store.root, name, self.store.holder, more))
        return self._hands[-1]

    def close(self) -> None:
        pass


def visible_gpus() -> list[str]:
    """Names of the GPUs that torch would see, as ``CUDA_VISIBLE_DEVICES`` takes them."""
    import torch

    count = torch.cuda.device_count()
    given = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return given[:count] if given else [str(n) for n in range(count)]

"""Backend ``package``: asks a worker process in VBench's own environment, one per scoring process.

A clip goes there as an mp4 that is lossless (H.264 in RGB, qp 0); the worker decodes it with both of VBench's readers and
refuses it when the frames are not those that were written.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

from fastvmt.core.caches import seconds, torch_home
from fastvmt.core.content_address import frames_digest
from fastvmt.errors import JobError
from fastvmt.media.files import Frames, write_exact_mp4
from fastvmt.metrics.vbench import files
from fastvmt.plugins.environments import find, require
from fastvmt.plugins.metric import Scored, Value

SCRIPT = Path(__file__).with_name("worker.py")
SECONDS = 3600.0
"""So long one number may take; RAFT on a CPU takes many minutes for a large clip. ``$FASTVMT_VBENCH_SECONDS`` changes it."""
LIVES = 2
"""A request whose worker died is asked once more."""


def missing(name: str) -> str:
    return files.no_environment() or files.lacking(files.NEEDED[name])


def identity(name: str, device: str) -> dict[str, Any]:
    """The package, what it runs on, its weights by SHA-256, and how clips reach it."""
    environment = find(files.RECIPE.name)
    packages = environment.packages if environment else {}
    versions = {
        p: packages.get(p, "absent") for p in ("vbench", "torch", "torchvision", "pyiqa", "timm", "openai-clip", "numpy")
    }
    clip = {"codec": "libx264rgb qp 0 mp4", "fps": files.FPS}
    return {"packages": versions, "device": device, "clip": clip, "weights": files.digests(files.NEEDED[name])}


def score(name: str, scored: Scored, device: str) -> Value:
    """One number from the worker.

    Raises:
        JobError: one sentence, when the worker died twice, took too long, or VBench itself failed.
    """
    paths = {n: str(files.located(n)) for n in files.NEEDED[name]}
    reply = worker().ask(name, scored.generated, device, paths)
    return Value(float(reply["value"]))


class Worker:
    """The process in VBench's environment; started at the first request, ended with this process."""

    def __init__(self, python: Path, script: Path = SCRIPT) -> None:
        self.python, self.script = python, script
        self.process: subprocess.Popen[bytes] | None = None
        self.folder = Path()
        self.replies: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._count = 0

    def ask(self, name: str, frames: Frames, device: str, weights: dict[str, str]) -> dict[str, Any]:
        """The reply to one request.

        Args:
            name: VBench's name of a dimension.
            frames: uint8 RGB (T, H, W, 3).
            device: ``cpu`` or ``cuda``.
            weights: place in VBench's cache to path.

        Raises:
            JobError: see ``score``.
        """
        how = ""
        for _ in range(LIVES):
            process = self.process or self._start()
            self._count += 1
            request = {"id": self._count, "dimension": name, "device": device, "files": weights, **self._clip(frames)}
            if self._send(process, request):
                reply = self._wait(name)
                if reply is not None:
                    if "error" in reply:
                        raise JobError(f"VBench's {name} failed: {reply['error']}")
                    return reply
            how = self._ended(process)
            self.close()
        raise JobError(
            f"VBench's worker process died {LIVES} times over {name} ({how}); its last words are in the worker's log"
        )

    def _start(self) -> subprocess.Popen[bytes]:
        self.folder = Path(tempfile.mkdtemp(prefix="fastvmt-vbench-"))
        self.process = subprocess.Popen(
            [str(self.python), str(self.script), str(self.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=worker_environment(), cwd=self.folder,
        )  # fmt: skip
        self.replies = queue.Queue()
        threading.Thread(target=_read, args=(self.process, self.replies), daemon=True).start()
        return self.process

    def _clip(self, frames: Frames) -> dict[str, str]:
        """The clip as a file, written once per clip; only the latest is kept."""
        mark = frames_digest(frames)
        path = self.folder / f"{mark[:16]}.mp4"
        if not path.exists():
            for old in self.folder.glob("*.mp4"):
                old.unlink()
            write_exact_mp4(path, frames, Fraction(files.FPS))
        return {"video": str(path), "frames": mark}

    def _send(self, process: subprocess.Popen[bytes], request: dict[str, Any]) -> bool:
        assert process.stdin
        try:
            process.stdin.write((json.dumps(request) + "\n").encode())
            process.stdin.flush()
        except BrokenPipeError:
            return False
        return True

    def _wait(self, name: str) -> dict[str, Any] | None:
        """The reply, or None when the process ended without one."""
        limit = seconds("FASTVMT_VBENCH_SECONDS", SECONDS)
        try:
            while True:
                reply = self.replies.get(timeout=limit)
                if reply is None or reply.get("id") == self._count:
                    return reply
        except queue.Empty:
            self.close()
            raise JobError(
                f"VBench's {name} took longer than {limit:g} s for one clip and was stopped; set FASTVMT_VBENCH_SECONDS to "
                "allow more"
            ) from None

    def _ended(self, process: subprocess.Popen[bytes]) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(10)
            return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return "it closed its pipe"

    def close(self) -> None:
        """End the process and remove its folder; the next request starts another."""
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _read(process: subprocess.Popen[bytes], replies: queue.Queue[dict[str, Any] | None]) -> None:
    assert process.stdout
    with contextlib.suppress(ValueError, OSError):  # closed under us
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                reply = json.loads(line)
                if isinstance(reply, dict):
                    replies.put(reply)
    replies.put(None)


def worker_environment() -> dict[str, str]:
    """The worker's environment: VBench reads its cache's place at import, and torch.load refuses AMT's file otherwise."""
    passed = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    return passed | {
        "VBENCH_CACHE_DIR": str(files.root()),
        "TORCH_HOME": str(torch_home()),
        "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        "MPLBACKEND": "Agg",
        "PYTHONWARNINGS": "ignore",
        "PYTHONSAFEPATH": "1",
    }


_workers: dict[Path, Worker] = {}


def worker() -> Worker:
    """This process's worker in the environment that is configured now."""
    python = require(files.RECIPE.name).python
    if python not in _workers:
        _workers[python] = Worker(python)
        atexit.register(_workers[python].close)
    return _workers[python]

"""What else the device is doing, and the energy it has used: NVML or ``nvidia-smi`` on a GPU, the load average on a CPU."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NODES = ("nvidia*", "nvgpu*", "nvhost*", "dxg", "kfd")
"""What Linux has in /dev for a GPU that torch can use: NVIDIA's driver, Jetson's, WSL's, AMD's."""


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_cuda() -> bool:
    """Whether torch would run on CUDA. Without a driver's device file the answer is known without loading torch."""
    if sys.platform == "linux" and not any(any(Path("/dev").glob(n)) for n in NODES):
        return False
    import torch

    return torch.cuda.is_available()


def number(device: str) -> int:
    """Torch's number of a GPU.

    >>> number("cuda"), number("cuda:1")
    (0, 1)
    """
    return int(device.partition(":")[2] or 0)


def driver_name(index: int) -> str:
    """What the driver calls torch's GPU: it counts every GPU of the machine, torch those of ``CUDA_VISIBLE_DEVICES``."""
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return visible[index] if index < len(visible) else str(index)


def nvidia_smi(query: str, index: int) -> list[list[str | None]]:
    """Rows that ``nvidia-smi --query-...`` prints of a GPU; None for what the card does not tell, no row without the program.

    Args:
        query: ``gpu=`` or ``compute-apps=`` and fields, with commas between.
        index: torch's number of the GPU.
    """
    command = ["nvidia-smi", f"--query-{query}", "--format=csv,noheader,nounits", "-i", driver_name(index)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=20, check=True)
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.strip()]
    return [[None if not cell or "N/A" in cell or "Not Supported" in cell else cell for cell in row] for row in rows]


def _nvml(index: int) -> tuple[Any, Any] | None:
    """The NVML module and a device handle; None without driver or binding. ``index`` is torch's."""
    try:
        import pynvml

        pynvml.nvmlInit()
        name = driver_name(index)
        if name.isdecimal():
            return pynvml, pynvml.nvmlDeviceGetHandleByIndex(int(name))
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(name)
    except Exception:  # noqa: BLE001 - the binding raises its own classes, which exist only where it is installed
        return None


def energy_joules(device: str) -> float | None:
    """Energy that the GPU has used since its driver was loaded, J; None where it cannot be read.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:1``.
    """
    found = _nvml(number(device)) if device.startswith("cuda") else None
    if found is None:
        return None
    nvml, handle = found
    try:
        return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000  # the counter is in mJ
    except Exception:  # noqa: BLE001 - older cards have no counter
        return None


def others(device: str, threads: int = 1) -> str:
    """Who else uses the device: a few words for the record, or "" where nobody waits for it (or that cannot be known).

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        threads: CPU threads that we are about to use.
    """
    if device.startswith("cuda"):
        try:
            running = _gpu_processes(number(device))
        except Exception:  # noqa: BLE001 - not supported on some virtual GPUs: then it cannot be known
            return ""
        # In a container the driver counts processes by the host's numbers, ours among them: those say nothing.
        pids = [pid for pid in running if pid != os.getpid() and Path(f"/proc/{pid}").exists()]
        return f"{len(pids)} other processes on the GPU" if pids else ""
    return busy_cpu(min(_running(pause) for pause in (0.0, 0.01, 0.01)), os.cpu_count() or 1, threads)


def _gpu_processes(index: int) -> list[int]:
    """Ids of the processes on a GPU, by NVML or, without its binding, by ``nvidia-smi``."""
    if found := _nvml(index):
        nvml, handle = found
        return [p.pid for p in nvml.nvmlDeviceGetComputeRunningProcesses(handle)]
    return [int(row[0]) for row in nvidia_smi("compute-apps=pid", index) if row[0] and row[0].isdecimal()]


def _running(pause: float) -> int:
    """Threads running or waiting for a core after a pause (s), this one not counted; 0 where it cannot be known."""
    time.sleep(pause)
    try:
        with open("/proc/loadavg") as file:
            return int(file.read().split()[3].partition("/")[0]) - 1
    except (OSError, ValueError, IndexError):
        return 0


def busy_cpu(running: int, cores: int, ours: int) -> str:
    """Others that leave our threads no core of their own.

    >>> busy_cpu(1, 2, ours=1), busy_cpu(1, 2, ours=2)
    ('', '1 other thread running on 2 cores')
    """
    if running < 1 or running + ours <= cores:
        return ""
    return f"{running} other thread{'s' if running > 1 else ''} running on {cores} cores"

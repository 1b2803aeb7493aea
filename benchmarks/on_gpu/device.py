"""The measured device: every call that a GPU alone knows, and beside it what stands in for it on a CPU."""

from __future__ import annotations

import gc
import os
import subprocess
import time
from collections.abc import Callable
from typing import Any

import torch

from fastvmt.backbones.device import cores
from fastvmt.core.stages import cpu_name, peak_process_bytes, reset_peak, software
from fastvmt.estimates.memory import device_bytes

ASKED = ("driver_version", "power.limit", "clocks.max.sm", "clocks.sm", "pcie.link.gen.current")


class Device:
    """``cuda`` (the first GPU) or ``cpu``."""

    def __init__(self, kind: str) -> None:
        self.kind, self.gpu = kind, kind == "cuda"

    def synchronise(self) -> None:
        """Wait for what was launched; a CPU has done it."""
        if self.gpu:
            torch.cuda.synchronize()

    def seconds(self, call: Callable[[], object]) -> tuple[float, object]:
        """Wall-clock seconds of a call between two synchronised moments, and what it returned."""
        self.synchronise()
        began = time.perf_counter()
        found = call()
        self.synchronise()
        return time.perf_counter() - began, found

    def reset_peak(self, give_back: bool = False) -> None:
        """Begin a new peak.

        Args:
            give_back: blocks that torch keeps too, so that what is taken is this call's own; asking for them anew takes time.
        """
        self.synchronise()
        if give_back:
            self.collect()
        if self.gpu:
            torch.cuda.reset_peak_memory_stats()
        else:
            reset_peak()

    def peaks(self) -> dict[str, int]:
        """Bytes since ``reset_peak``: of tensors, and taken from the device, CUDA's own included; a CPU's process has one."""
        if not self.gpu:
            return dict.fromkeys(("tensors", "taken"), peak_process_bytes())
        self.synchronise()
        free, whole = torch.cuda.mem_get_info()
        beside = whole - free - torch.cuda.memory_reserved()
        return {"tensors": torch.cuda.max_memory_allocated(), "taken": torch.cuda.max_memory_reserved() + beside}

    def collect(self) -> None:
        """What the released code does once per call of its ``clean_memory``, half of it."""
        gc.collect()
        if self.gpu:
            torch.cuda.empty_cache()

    def facts(self) -> dict[str, Any]:
        """What decides the numbers. What differs between two sessions is never in one file."""
        known: dict[str, Any] = {"card": cpu_name(), "driver": "none", "power_limit_w": "none", "cores": cores()}
        if self.gpu:
            card = torch.cuda.get_device_properties(0)
            told = _ask_driver(str(card.uuid))
            known |= {"card": card.name, "driver": told["driver_version"], "power_limit_w": told["power.limit"],
                      "max_clock_mhz": told["clocks.max.sm"], "capability": f"{card.major}.{card.minor}"}  # fmt: skip
        cuda, cudnn = (torch.version.cuda, torch.backends.cudnn.version()) if self.gpu else (None, None)
        return known | {"bytes": device_bytes(self.kind), "cuda": cuda, "cudnn": cudnn, "threads": torch.get_num_threads(),
                        **software()}  # fmt: skip


def _ask_driver(uuid: str) -> dict[str, str]:
    """Answers of ``nvidia-smi``, which comes with the driver; ``unknown`` where there is none or it does not know the card."""
    name = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
    command = ["nvidia-smi", f"--query-gpu={','.join(ASKED)}", "--format=csv,noheader,nounits", "-i", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, env=os.environ | {"LC_ALL": "C"})
        line = done.stdout.splitlines()[0] if done.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired, IndexError):
        line = ""
    values = [v.strip() for v in line.split(",")]
    return dict(zip(ASKED, values if len(values) == len(ASKED) else ["unknown"] * len(ASKED), strict=True))

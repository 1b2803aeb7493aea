"""What a device has free, and how what is let go of comes back to it."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from pathlib import Path

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's ``mallopt``."""


def free_bytes(device: torch.device) -> int:
    """Memory still free on the device."""
    if device.type == "cuda":  # blocks that torch keeps for its next tensor are free as well, whatever ran before
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + kept)
    try:
        text = Path("/proc/meminfo").read_text()
        return int(text.split("MemAvailable:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return 8 << 30


def give_back(device: torch.device) -> None:
    """Memory of what nobody holds any more, to whoever asks next."""
    gc.collect()
    trim(device)


def trim(device: torch.device) -> None:
    """What torch, or on Linux the C library, keeps of freed memory."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library has no such call
            ctypes.CDLL(None).malloc_trim(0)


def let_go_of_large_blocks() -> None:
    """Have the C library of Linux hand blocks of 8 MiB and more back as they are freed.

    By itself it does so from 32 MiB on. What guidance of a large model frees then stays as holes of the heap, 5 GiB of them for
    1.3B at width 832 and height 480, into which a decode's own tensors break up.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            for what, size in ((M_MMAP_THRESHOLD, 8 << 20), (M_TRIM_THRESHOLD, 64 << 20)):
                ctypes.CDLL(None).mallopt(what, size)

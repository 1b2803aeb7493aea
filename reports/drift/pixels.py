"""How far one video is from another: PSNR, and LPIPS where its weights are."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from fastvmt.core.caches import torch_home
from fastvmt.media.files import Frames

TRUNK = "alexnet-owt-7be5be79.pth"
"""Of torchvision's AlexNet, as ``torch.hub`` keeps it."""
FRAMES = 8
"""Taken together by LPIPS."""


def psnr(a: Frames, b: Frames) -> float:
    """In dB, of the squared error over all pixels of all frames; infinite for equal videos.

    >>> black = np.zeros((2, 4, 4, 3), np.uint8)
    >>> round(psnr(black, black + 255), 1), round(psnr(black, black + 16), 1), psnr(black, black)
    (0.0, 24.0, inf)
    """
    error = float(np.square(a.astype(np.float32) - b.astype(np.float32)).mean(dtype=np.float64))
    return 10 * float(np.log10(255**2 / error)) if error else float("inf")


def lpips() -> tuple[Callable[[Frames, Frames], float] | None, str]:
    """LPIPS (AlexNet, version 0.1) of two videos, the mean over their frames; or None and the sentence why not."""
    trunk = torch_home() / "hub" / "checkpoints" / TRUNK
    if importlib.util.find_spec("lpips") is None or not trunk.is_file():
        return (
            None,
            f"LPIPS is left out: it needs the package lpips (`pip install lpips`) and torchvision's {TRUNK} in {trunk.parent}.",
        )
    import torch

    model: Any = importlib.import_module("lpips").LPIPS(net="alex", version="0.1", verbose=False).eval()

    def of(a: Frames, b: Frames) -> float:
        found = []
        for start in range(0, len(a), FRAMES):
            pair = (torch.tensor(v[start : start + FRAMES]).permute(0, 3, 1, 2) / 127.5 - 1 for v in (a, b))
            with torch.no_grad():
                found += model(*pair).flatten().tolist()
        return float(np.mean(found))

    return of, ""

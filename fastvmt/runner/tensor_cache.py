"""Text embeddings and reference latents, which jobs share: computed once a run and kept in its ``cache/``."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fastvmt.core.stages import Stages
from fastvmt.runner.texts import tensor_file

KEPT = 32
"""Tensors that a worker holds; cases come one after another, so that a few are enough."""


class TensorCache:
    """Tensors on one device.

    The seconds of each are stored beside it and charged to every job that uses it, so that a job's time does not depend on
    which job came first.
    """

    def __init__(
        self, folder: Path, identity: tuple[str, ...], device: torch.device, synchronise: Callable[[], None] = lambda: None
    ) -> None:
        self.folder, self.identity, self.device, self.synchronise = folder, identity, device, synchronise
        self._held: dict[str, tuple[Tensor, float]] = {}

    def get(self, name: str, make: Callable[[], Tensor], stage: str, stages: Stages) -> Tensor:
        """The tensor of that name, made by ``make`` where nobody has yet; its seconds are added to ``stage`` of ``stages``.

        The caller's own: what is written into it reaches nobody else.
        """
        path = tensor_file(self.folder, self.identity, name)
        key = path.stem
        found = self._held.pop(key, None) or _read(path)
        if found is None:
            clock = Stages(synchronise=self.synchronise)
            with stages("shared"), clock(stage):
                value = make()
            stages.seconds.pop("shared", None)
            found = value, clock.seconds[stage]
            _write(path, *found)
        tensor, seconds = self._held[key] = found[0].to(self.device), found[1]  # used last, at the end
        if len(self._held) > KEPT:
            del self._held[next(iter(self._held))]
        stages.seconds[stage] = stages.seconds.get(stage, 0.0) + seconds
        return tensor.clone()


def _write(path: Path, tensor: Tensor, seconds: float) -> None:
    partial, whole = path.with_suffix(f".{secrets.token_hex(4)}.part"), tensor.cpu().contiguous()
    save_file({"x": whole}, partial, {"seconds": str(seconds), "sha256": _sha256(whole, str(seconds))})
    partial.replace(path)


def _read(path: Path) -> tuple[Tensor, float] | None:
    """A tensor from the disk and the seconds it took; None when it is not there, or not what was written."""
    try:
        with safe_open(path, framework="pt") as file:
            tensor, facts = file.get_tensor("x"), file.metadata() or {}
        return (tensor, float(facts["seconds"])) if facts["sha256"] == _sha256(tensor, facts["seconds"]) else None
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def _sha256(tensor: Tensor, seconds: str) -> str:
    hasher = hashlib.sha256(f"{tuple(tensor.shape)} {tensor.dtype} {seconds}".encode())
    hasher.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()

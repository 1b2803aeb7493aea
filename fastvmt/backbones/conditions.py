"""What decides seconds besides the device's name and the software: the state of a GPU, and how the model is run."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fastvmt.backbones.device import number, nvidia_smi
from fastvmt.model import Conditions
from fastvmt.model.fields import Placing

FIELDS = ("driver_version", "power.limit", "clocks.max.sm", "clocks.applications.graphics")


def conditions(device: str, model: Any, busy: str, offload: Placing = "text") -> Conditions:
    """The conditions under which a video is made now.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        model: the transformer, a ``torch.nn.Module``.
        busy: what ``device.others`` said.
        offload: of the run.
    """
    gpu = {**_gpu(number(device)), "shared": bool(busy)} if device.startswith("cuda") else {}
    return Conditions(attention=_attention(model), compiled=_compiled(model), offload=offload, **gpu)


@lru_cache
def _gpu(index: int) -> dict[str, Any]:
    """What does not change while a worker runs."""
    import torch

    rows = [row for row in nvidia_smi(f"gpu={','.join(FIELDS)}", index) if len(row) == len(FIELDS)]
    driver, power, most, applied = rows[0] if rows else [None] * len(FIELDS)
    memory = torch.cuda.get_device_properties(index).total_memory
    return {
        "memory_bytes": int(memory), "driver": driver, "cuda": torch.version.cuda, "power_limit": power, "clock": most,
        "clock_set": applied,
    }  # fmt: skip


def _attention(model: Any) -> str:
    """Names of diffusers' attention backends in use: a block's own, or the one that all take."""
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry

    whole = _AttentionBackendRegistry.get_active_backend()[0]
    processors = [p for m in model.modules() if (p := getattr(m, "processor", None)) is not None]
    own = {getattr(p, "_attention_backend", None) or whole for p in processors} or {whole}
    return ", ".join(sorted(str(getattr(backend, "value", backend)) for backend in own))


def _compiled(model: Any) -> bool:
    """Whether the model, or any block of it, was given to ``torch.compile``."""
    return any(hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) is not None for m in model.modules())

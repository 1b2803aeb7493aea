"""Wan's VAE from a folder: read, and made to run as fast and in as little memory as it can."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from fastvmt.backbones.frame_by_frame import take_frames_one_by_one
from fastvmt.backbones.pipeline_folder import loading


def read_vae(folder: Path) -> nn.Module:
    """In fp32: its decoder loses detail otherwise."""
    from diffusers import AutoencoderKLWan

    with loading(folder / "vae"):
        found: nn.Module = AutoencoderKLWan.from_pretrained(folder, subfolder="vae", dtype=torch.float32, use_safetensors=True)
    take_frames_one_by_one(found)
    return found


def use_direct_convolutions(vae: nn.Module) -> None:
    """Send 3D convolutions to oneDNN, which torch's own choice avoids for one small clip: a decode is three times faster."""
    if not torch.backends.mkldnn.is_available():
        return

    def direct(module: nn.Conv3d) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        settings = (module.padding, module.stride, module.dilation, module.groups)
        return lambda x, weight, bias: torch.ops.aten.mkldnn_convolution(x, weight, bias, *settings)

    for module in vae.modules():
        if isinstance(module, nn.Conv3d):
            module._conv_forward = direct(module)  # type: ignore[method-assign, assignment]

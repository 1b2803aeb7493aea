"""Wan's VAE with the memory of one frame at full size, where diffusers' takes four at once: the same numbers.

Its convolutions are causal and keep the last two frames of their input, so that a chunk may have any length. Only the layers
that join or split frames need a whole chunk (four frames of video, one of the latent); the others take one frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class _FrameByFrame(nn.Module):
    """Layers one after another, given a frame at a time; with a head behind them where the chunk would be widest."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, feat_cache: list[Any], feat_idx: list[int], **more: Any) -> Tensor:
        """(1, C, T, H, W) to (1, C', T, H', W'); ``feat_cache``, ``feat_idx``: what convolutions keep, and whose turn it is."""
        first, found = feat_idx[0], []
        for frame in x.split(1, 2):
            feat_idx[0] = first
            for layer in self.layers:
                frame = layer(frame, feat_cache=feat_cache, feat_idx=feat_idx, **more)
            found.append(frame)
        return torch.cat(found, 2)


class _Head(nn.Module):
    """The decoder's last three layers as one that keeps what its convolution needs of the frames before."""

    def __init__(self, norm: nn.Module, nonlinearity: nn.Module, conv: nn.Module) -> None:
        super().__init__()
        self.norm, self.nonlinearity, self.conv = norm, nonlinearity, conv

    def forward(self, x: Tensor, feat_cache: list[Any], feat_idx: list[int], **more: Any) -> Tensor:
        x, before = self.nonlinearity(self.norm(x)), feat_cache[feat_idx[0]]
        feat_cache[feat_idx[0]] = x if before is None else torch.cat([before[:, :, -1:], x], 2)
        feat_idx[0] += 1
        found: Tensor = self.conv(x, before)
        return found


class _Same(nn.Module):
    def forward(self, x: Tensor, *more: Any) -> Tensor:
        return x


def take_frames_one_by_one(vae: Any) -> None:
    """Change a loaded ``AutoencoderKLWan`` so; its ``encode`` and ``decode`` stay as they are called."""
    down, up = vae.encoder.down_blocks, vae.decoder.up_blocks
    joins = next((n for n, layer in enumerate(down) if _changes_length(layer)), len(down))
    if joins:
        vae.encoder.down_blocks = nn.ModuleList([_FrameByFrame(down[:joins]), *down[joins:]])
    whole = max((n + 1 for n, layer in enumerate(up) if _changes_length(layer)), default=0)
    decoder = vae.decoder
    head = _Head(decoder.norm_out, decoder.nonlinearity, decoder.conv_out)
    decoder.up_blocks = nn.ModuleList([*up[:whole], _FrameByFrame([*up[whole:], head])])
    decoder.norm_out = decoder.nonlinearity = decoder.conv_out = _Same()
    vae._cached_conv_counts["decoder"] += 1  # the place of the convolution that is in the head now: diffusers counts it anew


def _changes_length(layer: nn.Module) -> bool:
    return any(str(getattr(part, "mode", "")).endswith("3d") for part in layer.modules())


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

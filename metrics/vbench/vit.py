"""The vision transformers behind two VBench dimensions, run from their published weight files with torch alone.

DINO ViT-B/16 (Caron et al., 2021) and the image towers of OpenAI's CLIP (Radford et al., 2021) are the same pre-norm
transformer: they differ in activation, a norm in front, a projection behind, and how position embeddings meet other sizes.
Sizes are read from the weights; a head is 64 wide in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

HEAD_WIDTH = 64
Weights = dict[str, Tensor]
_CLIP_NAMES = {
    "ln_1": "norm1", "ln_2": "norm2", "attn.in_proj_": "attn.qkv.", "attn.out_proj": "attn.proj", "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2", "transformer.resblocks": "blocks", "conv1": "patch_embed.proj", "ln_pre": "norm_pre",
    "ln_post": "norm", "class_embedding": "cls_token", "positional_embedding": "pos_embed",
}  # fmt: skip


@dataclass(frozen=True)
class VisionTransformer:
    """Weights under DINO's names, and what they do not say: the norms' epsilon, whether the activation is CLIP's."""

    weights: Weights
    epsilon: float
    quick: bool

    def __call__(self, images: Tensor) -> Tensor:
        """Feature (N, D) of the class token for normalised images (N, 3, H, W), sides of at least one patch."""
        w = self.weights
        patches = w["patch_embed.proj.weight"]
        x = F.conv2d(images, patches, w.get("patch_embed.proj.bias"), stride=patches.shape[-1])
        rows, columns = x.shape[-2:]
        x = torch.cat([w["cls_token"].reshape(1, 1, -1).expand(len(x), -1, -1), x.flatten(2).mT], 1)
        x = x + self._positions(rows, columns, images.shape[-2] == images.shape[-1])
        if "norm_pre.weight" in w:
            x = self._norm(x, "norm_pre")
        for n in range(sum(k.endswith("norm1.weight") for k in w)):
            x = x + self._attention(self._norm(x, f"blocks.{n}.norm1"), f"blocks.{n}.attn")
            h = self._linear(self._norm(x, f"blocks.{n}.norm2"), f"blocks.{n}.mlp.fc1")
            x = x + self._linear(h * torch.sigmoid(1.702 * h) if self.quick else F.gelu(h), f"blocks.{n}.mlp.fc2")
        x = self._norm(x[:, 0], "norm")
        return x @ w["proj"] if "proj" in w else x

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], self.epsilon)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _attention(self, x: Tensor, name: str) -> Tensor:
        n, tokens, width = x.shape
        packed = self._linear(x, f"{name}.qkv").reshape(n, tokens, 3, width // HEAD_WIDTH, HEAD_WIDTH).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(packed[0], packed[1], packed[2])
        return self._linear(mixed.transpose(1, 2).reshape(n, tokens, width), f"{name}.proj")

    def _positions(self, rows: int, columns: int, square: bool) -> Tensor:
        """(1, 1 + rows * columns, D) position embeddings; DINO resamples its square grid, scaled by (side + 0.1) / grid,
        even to its own size where the image is not square."""
        own = self.weights["pos_embed"].reshape(1, -1, self.weights["pos_embed"].shape[-1])
        side = round((own.shape[1] - 1) ** 0.5)
        if square and rows == side:
            return own
        grid = own[:, 1:].mT.reshape(1, -1, side, side)
        scale = ((rows + 0.1) / side, (columns + 0.1) / side)  # DINO's own guard against rounding; it moves the samples too
        grid = F.interpolate(grid, scale_factor=scale, mode="bicubic")
        return torch.cat([own[:, :1], grid.flatten(2).mT], 1)


def load_dino(path: Path, device: str = "cpu") -> VisionTransformer:
    """DINO's weights as published: a plain state dict."""
    state: Weights = torch.load(path, map_location=device, weights_only=True)
    return VisionTransformer({k: v.float() for k, v in state.items()}, 1e-6, quick=False)


def load_clip(path: Path, device: str = "cpu") -> VisionTransformer:
    """The image tower of OpenAI's CLIP from its TorchScript archive.

    Weights of convolutions and linear maps are rounded to half precision and back, as ``clip.load`` does on the way; the
    published files hold halves already.
    """
    state = torch.jit.load(path, map_location=device).state_dict()
    weights: Weights = {}
    for key, value in state.items():
        if not key.startswith("visual."):
            continue
        name = key.removeprefix("visual.")
        for theirs, ours in _CLIP_NAMES.items():
            name = name.replace(theirs, ours)
        exact = "norm" in name or name in ("cls_token", "pos_embed")
        weights[name] = value.float() if exact else value.half().float()
    return VisionTransformer(weights, 1e-5, quick=True)

"""Vectors of the original Wan implementation, for ``bench doctor --backbone X --parity``.

    python tools/backbones/parity_vectors.py --source ~/Wan2.2 --weights ~/Wan2.2-TI2V-5B --out parity.npz
    bench doctor --backbone wan2.2-ti2v-5b --parity --vectors parity.npz

Where the authors' repository (Wan2.1 or Wan2.2) and their own checkpoint are; only ``wan/modules`` of it is imported. What kind
of model it is, the checkpoint's files say. Inputs are small and drawn from a seed. Without --bfloat16 all is float32, attention
by torch instead of FlashAttention; a GPU is not needed. Video-to-video checkpoints (VACE) are not read.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

FRAMES, SIDE, WORDS, LEVELS = 5, 64, 512, (0.95, 0.5)
VAES = {"Wan2.1_VAE.pth": ("vae", "WanVAE", 8), "Wan2.2_VAE.pth": ("vae2_2", "Wan2_2_VAE", 16)}
"""Module, class and stride by the file that a checkpoint holds. Wan2.2's repository calls the first ones vae2_1, Wan2_1_VAE."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="the authors' repository, which holds wan/modules")
    parser.add_argument("--weights", type=Path, required=True, help="the authors' checkpoint, with the VAE's .pth in it")
    parser.add_argument("--out", type=Path, required=True, help="the .npz to write")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--bfloat16", action="store_true", help="the transformer as the authors run it")
    asked = parser.parse_args()
    dtype = torch.bfloat16 if asked.bfloat16 else torch.float32
    open_package(asked.source)
    with torch.no_grad():
        made = vectors(asked.weights, asked.device, dtype)
    name = str(dtype).removeprefix("torch.")
    np.savez(asked.out, dtype=name, source=f"{asked.source.name}, {asked.weights.name}", **made)
    print(f"{asked.out}: " + ", ".join(f"{k} {v.shape}" for k, v in made.items()))


def open_package(source: Path) -> None:
    """``wan.modules`` without what their ``__init__`` files import, which needs more than a model."""
    if not (source / "wan" / "modules" / "model.py").is_file():
        sys.exit(f"{source}: wan/modules/model.py is not there; give the authors' repository.")
    for name, folder in (("wan", source / "wan"), ("wan.modules", source / "wan" / "modules")):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package


def vectors(weights: Path, device: str, dtype: torch.dtype) -> dict[str, np.ndarray]:
    file = next((name for name in VAES if (weights / name).is_file()), None)
    if file is None:
        sys.exit(f"{weights}: none of {', '.join(VAES)} is there; give the authors' checkpoint, not the one for diffusers.")
    module, kind, stride = VAES[file]
    made = coded(open_vae(module, kind, weights / file, device), stride, device)
    experts = [weights / name for name in ("high_noise_model", "low_noise_model") if (weights / name).is_dir()] or [weights]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(made["encoded"].shape, generator=generator)
    said, text = [], None
    for n, level in enumerate(LEVELS):
        model = open_model(experts[min(n, len(experts) - 1)], device, dtype)
        if text is None:
            text = torch.randn(1, WORDS, model.text_dim, generator=generator)
        said.append(passed(model, x, text, level, device, dtype).cpu().numpy())
        del model
    return made | {"sigmas": np.array(LEVELS), "x": x.numpy(), "text": text.numpy(), "velocity": np.stack(said)}


def open_vae(module: str, kind: str, file: Path, device: str) -> Any:
    try:
        return getattr(importlib.import_module(f"wan.modules.{module}"), kind)(vae_pth=str(file), device=device)
    except ModuleNotFoundError as error:
        if error.name != "wan.modules.vae":
            raise
        return importlib.import_module("wan.modules.vae2_1").Wan2_1_VAE(vae_pth=str(file), device=device)


def coded(vae: Any, stride: int, device: str) -> dict[str, np.ndarray]:
    """A clip of soft noise through the encoder, and a latent through the decoder."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(1, 3, 2, 4, 4, generator=generator)
    clip = torch.nn.functional.interpolate(small, size=(FRAMES, SIDE, SIDE), mode="trilinear", align_corners=True)[0]
    frames = (clip.permute(1, 2, 3, 0) * 255).round().to(torch.uint8)
    encoded = vae.encode([(frames.permute(3, 0, 1, 2).float() / 127.5 - 1).to(device)])[0]
    decoded = (vae.decode([encoded])[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0)
    assert encoded.shape[-1] * stride == SIDE
    shown = (decoded * 255).round().to(torch.uint8).cpu().numpy()
    latent = encoded[None].cpu().numpy()
    return {"frames": frames.numpy(), "encoded": latent, "latent": latent, "decoded": shown}


def open_model(folder: Path, device: str, dtype: torch.dtype) -> Any:
    module = importlib.import_module("wan.modules.model")
    if dtype is torch.float32:
        module.flash_attention = attention  # theirs takes half precision on a GPU alone
    return module.WanModel.from_pretrained(str(folder)).eval().requires_grad_(False).to(device, dtype)


def attention(q: Any, k: Any, v: Any, **ignored: Any) -> Any:
    """(B, S, heads, d); at these sizes nothing is padded, so lengths say nothing."""
    return torch.nn.functional.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (q, k, v))).transpose(1, 2)


def passed(model: Any, x: torch.Tensor, text: torch.Tensor, level: float, device: str, dtype: torch.dtype) -> torch.Tensor:
    f, h, w = (n // p for n, p in zip(x.shape[2:], model.patch_size, strict=True))
    time = torch.tensor([level], dtype=torch.float32, device=device) * 1000
    with torch.autocast("cuda", dtype=dtype, enabled=device != "cpu" and dtype is not torch.float32):
        return model([x[0].to(device, dtype)], t=time, context=[text[0].to(device, dtype)], seq_len=f * h * w)[0].float()


if __name__ == "__main__":
    main()

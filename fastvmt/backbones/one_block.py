"""One block of a transformer, and a VAE, with random weights: what a calibration times. Only configs are read.

Numbers in the weights do not change how long a product takes, so that no weights have to be here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastvmt.backbones.card import Card
from fastvmt.core.reading import parse_json
from fastvmt.model.profile import Profile

TEXT_TOKENS, TEXT_DIM = 512, 4096
"""Of Wan's texts, for a backbone whose files are not here."""
TRANSFORMER = ("num_attention_heads", "attention_head_dim", "num_layers", "ffn_dim", "text_dim", "in_channels", "patch_size")
VAE: dict[str, Any] = {"base_dim": 96, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "is_residual": False}
"""What decides the VAE's seconds, as Wan2.1 has it."""
NEWER: dict[str, Any] = VAE | {
    "base_dim": 160, "decoder_base_dim": 256, "z_dim": 48, "is_residual": True, "in_channels": 12, "out_channels": 12,
    "patch_size": 2, "scale_factor_spatial": 16, "latents_mean": [0.0] * 48, "latents_std": [1.0] * 48,
}  # fmt: skip
"""Of Wan2.2's small model."""
KNOWN = {(16, 8): VAE, (48, 16): NEWER}
"""By latent channels and stride."""
PIXELS = 1 << 10
"""Of the first slice that the VAE is tried on."""


@dataclass(frozen=True)
class Layout:
    """A backbone's configs: what there is to build, and what two backbones of the same seconds have in common."""

    transformer: dict[str, Any]
    vae: dict[str, Any] | None
    """None where nobody knows how it is made."""
    text_tokens: int = TEXT_TOKENS

    def facts(self) -> dict[str, Any]:
        """What decides seconds, the same for a folder and for the card of the model in it."""
        found: dict[str, Any] = {k: self.transformer[k] for k in TRANSFORMER} | {"text_tokens": self.text_tokens}
        return found | {"patch_size": list(found["patch_size"]), "vae": self.vae and {k: self.vae.get(k, VAE[k]) for k in VAE}}


def layout_of(card: Card) -> Layout:
    """From the folder's configs, or from what its card says.

    Raises:
        ValueError, KeyError, OSError: for configs that do not say it.
    """
    if card.folder is None:
        transformer = {
            "num_attention_heads": card.heads, "attention_head_dim": card.head_dim, "num_layers": card.blocks,
            "ffn_dim": _feed_forward(card), "text_dim": TEXT_DIM, "in_channels": card.latent_channels,
            "out_channels": card.latent_channels, "patch_size": card.patch,
        }  # fmt: skip
        return Layout(transformer, KNOWN.get((card.latent_channels, card.vae_spatial)))
    transformer, vae = (dict(parse_json((card.folder / part / "config.json").read_bytes())) for part in ("transformer", "vae"))
    tokens = card.folder / "tokenizer" / "tokenizer_config.json"
    limit = parse_json(tokens.read_bytes()).get("model_max_length", TEXT_TOKENS) if tokens.is_file() else TEXT_TOKENS
    return Layout(transformer, vae, min(int(limit), TEXT_TOKENS))


def operations(parameters: int, tokens: int, text_tokens: int, card: Card) -> float:
    """Floating-point operations of one block: two a weight and token, of which two square matrices see the text's; and the
    products of both attentions."""
    width = card.heads * card.head_dim
    weights = 2.0 * (parameters - 2 * width**2) * tokens + 4.0 * width**2 * text_tokens
    return weights + 4.0 * tokens * (tokens + text_tokens) * width


def _feed_forward(card: Card) -> int:
    """Width of the feed-forward part, from the parameters that a card counts: what eight square matrices a block, the time's
    and the text's embedding leave of them. Wan's are multiples of 256."""
    width = card.heads * card.head_dim
    once = width * (TEXT_DIM + width) + width * (256 + 7 * width)
    left = (card.parameters - once) / card.blocks - 8 * width**2
    return max(256, round(left / (2 * width) / 256) * 256)


@dataclass(frozen=True)
class Coding:
    """Seconds a pixel of the VAE's two ways, on a slice of so many pixels: of the first frame, of each latent frame behind."""

    pixels: int = 1
    encode: tuple[float, float] = (0.0, 0.0)
    decode: tuple[float, float] = (0.0, 0.0)


class OneBlock:
    """A transformer with one block and a VAE on a device, and a clock for their parts.

    Args:
        device: ``cpu`` or ``cuda``.
        dtype: torch's name of the transformer's.
        threads: of the CPU.
        profile: of the run; its attention backend and compiler are used here, too.
    """

    def __init__(self, card: Card, device: str, dtype: str, threads: int, profile: Profile) -> None:
        import torch

        self.card, self.layout, self.device = card, layout_of(card), torch.device(device)
        self.dtype, self.threads, self.profile = getattr(torch, dtype), threads, profile

    @cached_property
    def transformer(self) -> Any:
        """Parts that diffusers keeps in fp32 are in fp32."""
        import torch
        from diffusers import WanTransformer3DModel

        from fastvmt.backbones.acceleration import accelerate

        config = {k: v for k, v in self.layout.transformer.items() if not k.startswith("_")}
        with torch.device(self.device):
            model = WanTransformer3DModel.from_config(config | {"num_layers": 1}).requires_grad_(False).eval()
        kept = set(model._keep_in_fp32_modules or ())
        for name, tensor in model.named_parameters():
            if not kept & set(name.split(".")):
                tensor.data = tensor.data.to(self.dtype)
        accelerate([model], self.profile)
        return model

    @cached_property
    def vae(self) -> Any:
        import torch
        from diffusers import AutoencoderKLWan

        from fastvmt.backbones.frame_by_frame import take_frames_one_by_one
        from fastvmt.backbones.vae import use_direct_convolutions

        with torch.device(self.device):
            vae = AutoencoderKLWan.from_config(self.layout.vae).requires_grad_(False).eval()
        if self.device.type == "cpu":
            use_direct_convolutions(vae)
        take_frames_one_by_one(vae)
        return vae

    @property
    def parameters(self) -> int:
        """Of the block."""
        return sum(p.numel() for p in self.transformer.blocks[0].parameters())

    def operations(self, tokens: int) -> float:
        """See ``operations``."""
        return operations(self.parameters, tokens, self.layout.text_tokens, self.card)

    def now(self) -> float:
        """Seconds of a clock that others on the machine disturb least: of this process on one CPU thread, else of the wall."""
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.device)
        return time.process_time() if self.device.type == "cpu" and self.threads == 1 else time.perf_counter()

    def timed(self, call: Callable[[], object]) -> float:
        """Seconds of a call."""
        began = self.now()
        call()
        return self.now() - began

    def latent(self, width: int, height: int, frames: int) -> Any:
        """Noise of the shape of a video's latent."""
        import torch

        return torch.randn(self.card.latent_shape(width, height, frames), device=self.device)

    def forward(self, x: Any) -> tuple[float, float]:
        """Seconds in the block, and those of the rest of one pass."""
        import torch

        borders: list[float] = []
        block = self.transformer.blocks[0]
        hooks = [block.register_forward_pre_hook(lambda *_: borders.append(self.now())),
                 block.register_forward_hook(lambda *_: borders.append(self.now()))]  # fmt: skip
        with torch.no_grad():
            whole = self.timed(lambda: self._run(x))
        for hook in hooks:
            hook.remove()
        return borders[1] - borders[0], whole - borders[1] + borders[0]

    def gradient(self, x: Any) -> float:
        """Seconds of one pass and its way back to the latent."""
        import torch

        x = x.clone().requires_grad_(True)
        with torch.enable_grad():
            return self.timed(lambda: torch.autograd.grad(self._run(x).float().sum(), x))

    def _run(self, x: Any) -> Any:
        import torch

        size = 1, self.layout.text_tokens, self.layout.transformer["text_dim"]
        text = torch.zeros(size, device=self.device, dtype=self.dtype)
        moment, x = torch.full((1,), 500.0, device=self.device), x.to(self.dtype)
        return self.transformer(hidden_states=x, timestep=moment, encoder_hidden_states=text, return_dict=False)[0]

    def coding(self, width: int, height: int, seconds: float, most: int) -> Coding:
        """Seconds of the VAE.

        Args:
            width, height: of the video, px; a slice of it is taken, as large as ``seconds`` and ``most`` pixels allow.
        """
        pixels = min(PIXELS, width * height)
        self._slices(width, height, 1)  # what is only slow once is nobody's
        took = self._slices(width, height, pixels)
        while pixels < min(width * height, most) and 4 * pixels * sum(took) < seconds:
            pixels = min(4 * pixels, width * height, most)
            took = self._slices(width, height, pixels)
        return Coding(pixels, (took[0], max(0.0, took[1] - took[0])), (took[2], max(0.0, took[3] - took[2])))

    def _slices(self, width: int, height: int, pixels: int) -> list[float]:
        """Seconds a pixel to encode one frame and one with a group behind it, and to decode them."""
        share, step = math.sqrt(pixels / (width * height)), self.card.multiple
        w, h = (max(step, round(n * share / step) * step) for n in (width, height))
        return [self._coded(name, w, h, n) / (w * h) for name in ("encode", "decode") for n in (1, 1 + self.card.vae_temporal)]

    def _coded(self, name: str, width: int, height: int, frames: int) -> float:
        import torch

        if name == "encode":
            given, way = torch.zeros(1, 3, frames, height, width, device=self.device), self.vae.encode
        else:
            given, way = self.latent(width, height, frames), self.vae.decode
        with torch.no_grad():
            return self.timed(lambda: way(given))

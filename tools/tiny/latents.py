"""The encoder of ``tiny``: a linear space-time code, fitted in closed form and written into an ``AutoencoderKLWan``.

Four frames by four by four pixels (192 values) become 24 numbers by principal components, in the two causal stages
that Wan's encoder has (space to depth and a Haar pair in time, twice). Fitting instead of training gives latents whose
scale does not drift along the clip, and lets the transformer be trained before any decoder exists. The decoder is
trained (``vae.py``).

Everything the network's non-linear parts would do is switched off exactly (zero residual branches) or kept in its
linear range: a constant ``OFFSET`` in every channel makes the final RMS norm and SiLU linear to about 1e-3 of a
latent's standard deviation, which a test checks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

Z, ENCODER_DIM, LOW, HIGH = 24, 96, 40, 24
FIRST_FREE = 27  # slots 0..23 hold stage one, 24..26 RGB; stage two must not share them with the average shortcut
OFFSET, GAIN = 100.0, 12.0
CODE_FILE = "code.safetensors"

VAE_CONFIG: dict[str, object] = {
    "base_dim": ENCODER_DIM,
    "decoder_base_dim": 32,
    "z_dim": Z,
    "dim_mult": [1, 1, 1],
    "num_res_blocks": 0,
    "attn_scales": [],
    "temperal_downsample": [True, True],
    "is_residual": True,
    "scale_factor_spatial": 4,
    "scale_factor_temporal": 4,
}


@dataclass(frozen=True)
class Code:
    """The fitted linear code.

    Attributes:
        half: (LOW, 96) orthonormal rows: principal components of half a group (2 frames of 4x4 px).
        fast: (HIGH, LOW) orthonormal rows: components of the difference of the two halves.
        mix: (Z, LOW + HIGH) orthonormal rows: the joint components kept.
        mean, std: (Z,) latent normalisation; std is the geometric mean of a channel's own and the largest one, so
            that faint channels stay faint and do not cost the transformer as much as the strong ones.
    """

    half: NDArray[np.float64]
    fast: NDArray[np.float64]
    mix: NDArray[np.float64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def matrix(self) -> NDArray[np.float64]:
        """(192, Z): raw latent = cells(video) @ matrix."""
        eye = np.eye(192)
        return _slow_and_fast(_halves(eye), self.half, self.fast) @ self.mix.T

    def save(self, folder: Path) -> None:
        save_file({k: torch.from_numpy(v) for k, v in self.__dict__.items()}, folder / CODE_FILE)

    @classmethod
    def load(cls, folder: Path) -> Code:
        """From a training folder, or from beside the weights of a pipeline folder."""
        return cls(**{k: v.numpy() for k, v in load_file(folder / CODE_FILE).items()})


def cells(video: Tensor) -> Tensor:
    """(N, 4k+1, H, W, 3) to (N, k+1, H/4, W/4, 192); the first frame stands four times, as Wan's encoder sees it."""
    n, t, h, w, _ = video.shape
    first = video[:, :1].expand(-1, 4, -1, -1, -1)
    groups = torch.cat([first, video[:, 1:]], 1).reshape(n, (t + 3) // 4, 4, h // 4, 4, w // 4, 4, 3)
    return groups.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(n, (t + 3) // 4, h // 4, w // 4, 192)


def _halves(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 192) to (n, 2, 96): per half, 2x2 blocks of [12 slow, 12 fast] channels, an orthonormal change of basis.

    Order inside a half: block row, block column, then slow and fast of (pixel row, pixel column, colour).
    """
    n = len(rows)
    x = rows.reshape(n, 2, 2, 2, 2, 2, 2, 3)  # half, frame, block row, pixel row, block column, pixel column, colour
    x = x.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(n, 2, 2, 2, 2, 12)
    slow, fast = (x[..., 0, :] + x[..., 1, :]) / 2**0.5, (x[..., 1, :] - x[..., 0, :]) / 2**0.5
    out: NDArray[np.float64] = np.concatenate([slow, fast], -1).reshape(n, 2, 96)
    return out


def _slow_and_fast(halves: NDArray[np.float64], half: NDArray[np.float64], fast: NDArray[np.float64]) -> NDArray[np.float64]:
    m = halves @ half.T
    out: NDArray[np.float64] = np.concatenate([(m[:, 0] + m[:, 1]) / 2**0.5, (m[:, 1] - m[:, 0]) / 2**0.5 @ fast.T], -1)
    return out


def _components(samples: NDArray[np.float64], keep: int) -> NDArray[np.float64]:
    _, vectors = np.linalg.eigh(np.cov(samples.T))
    return np.ascontiguousarray(vectors[:, ::-1][:, :keep].T)


def fit(video: Tensor) -> Code:
    """Fit the code on clips in [-1, 1] of shape (N, 4k+1, H, W, 3)."""
    rows = cells(video).reshape(-1, 192).double().numpy()
    halves = _halves(rows)
    half = _components(halves.reshape(-1, 96), LOW)
    m = halves @ half.T
    fast = _components((m[:, 1] - m[:, 0]) / 2**0.5, HIGH)
    both = _slow_and_fast(halves, half, fast)
    mix = _components(both, Z)
    z = both @ mix.T
    own = z.std(0)
    return Code(half, fast, mix, z.mean(0), np.sqrt(own * own.max()))


class LinearEncoder:
    """What the written encoder computes, as one matrix product; used to feed training."""

    def __init__(self, code: Code) -> None:
        self.weight = torch.from_numpy(code.matrix() / code.std).float()
        self.mean, self.std = torch.from_numpy(code.mean).float(), torch.from_numpy(code.std).float()
        self.bias = torch.from_numpy(-code.mean / code.std).float()
        self.colour = torch.from_numpy(code.matrix().T.reshape(Z, 64, 3).mean(1)).float()

    def raw_scale(self) -> tuple[Tensor, Tensor]:
        """Mean and std, each (1, Z, 1, 1, 1): raw latent = normalised * std + mean."""
        return self.mean.view(1, -1, 1, 1, 1), self.std.view(1, -1, 1, 1, 1)

    def __call__(self, video: Tensor) -> Tensor:
        """(N, 4k+1, H, W, 3) in [-1, 1] to normalised latents (N, Z, k+1, H/4, W/4)."""
        return (cells(video) @ self.weight + self.bias).permute(0, 4, 1, 2, 3).contiguous()

    def brightness(self, latent: Tensor) -> Tensor:
        """Largest of a cell's mean red, green and blue, about 0 to 255, of normalised latents: (N, F, h, w)."""
        mean, std = self.raw_scale()
        colour = torch.einsum("nzfhw,zc->nfhwc", latent * std + mean, self.colour)
        return (colour.amax(-1) + 1) * 127.5


def new_vae(code: Code) -> AutoencoderKLWan:
    """A VAE whose encoder is the code and whose decoder is freshly initialised."""
    vae = AutoencoderKLWan(**VAE_CONFIG, latents_mean=code.mean.tolist(), latents_std=code.std.tolist())
    write_encoder(vae, code)
    return vae


@torch.no_grad()
def write_encoder(vae: AutoencoderKLWan, code: Code) -> None:
    """Put the code into the encoder's weights (see the module's docstring)."""
    encoder = vae.encoder
    for parameter in encoder.parameters():
        parameter.zero_()
    for name, parameter in encoder.named_parameters():
        if name.endswith("gamma"):
            parameter.fill_(1.0)
    encoder.conv_in.weight[24:27, :, 2, 1, 1] = torch.eye(3)
    one, two = encoder.down_blocks[0].downsampler, encoder.down_blocks[1].downsampler
    root, half_scale = 2**0.5, 0.5
    for row in range(2):
        for column in range(2):
            for colour in range(3):
                one.resample[1].weight[(row * 2 + column) * 3 + colour, 24 + colour, row, column] = root
    for c in range(12):
        one.time_conv.weight[c, c, 1:, 0, 0] = torch.tensor([half_scale, half_scale])
        one.time_conv.weight[12 + c, c, 1:, 0, 0] = torch.tensor([-half_scale, half_scale])
    half = torch.from_numpy(code.half).float().reshape(LOW, 2, 2, 24)
    low, high = slice(FIRST_FREE, FIRST_FREE + LOW), slice(FIRST_FREE + LOW, FIRST_FREE + LOW + HIGH)
    two.resample[1].weight[low, :24, :2, :2] = half.permute(0, 3, 1, 2) * root
    two.resample[1].bias.fill_(OFFSET)
    two.time_conv.bias.fill_(OFFSET)
    two.time_conv.bias[low] = 0.0
    two.time_conv.weight[low, low, 1, 0, 0] = two.time_conv.weight[low, low, 2, 0, 0] = torch.eye(LOW) * half_scale
    fast = torch.from_numpy(code.fast).float() * half_scale
    two.time_conv.weight[high, low, 1, 0, 0], two.time_conv.weight[high, low, 2, 0, 0] = -fast, fast
    encoder.norm_out.gamma.fill_(GAIN)
    mix = torch.from_numpy(code.mix).float() * (OFFSET / GAIN)
    encoder.conv_out.weight[:Z, FIRST_FREE : FIRST_FREE + LOW + HIGH, 2, 1, 1] = mix
    encoder.conv_out.weight[:Z, ENCODER_DIM - 1, 2, 1, 1] = -mix.sum(1)
    encoder.conv_out.bias[Z:] = -20.0  # log variance: the posterior is a point
    vae.quant_conv.weight.copy_(torch.eye(2 * Z).reshape(2 * Z, 2 * Z, 1, 1, 1))
    vae.quant_conv.bias.zero_()

"""Train the decoder of ``tiny`` against the fixed linear encoder.

The stock decoder runs one latent frame at a time with a cache; ``decode_whole`` computes the same function on the whole
clip at once, which trains about twice as fast.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor, nn

from .attention import fast_products
from .data import draw_scenes, fastest, paint
from .latents import LinearEncoder
from .muon import Muon
from .state import Progress, Run

MOVING_WEIGHT, SQUARE_WEIGHT = 6.0, 16.0
"""What a moving pixel weighs beyond 1, and a squared error beside an absolute one."""


def decode_whole(vae: AutoencoderKLWan, latent: Tensor) -> Tensor:
    """Raw latents (N, Z, F, h, w) to unclamped video (N, 3, 4F-3, 4h, 4w); equals the stock chunked decode."""
    decoder = vae.decoder
    x = decoder.mid_block(decoder.conv_in(vae.post_quant_conv(latent)))
    for block in decoder.up_blocks:
        shortcut = x
        for resnet in block.resnets:
            x = resnet(x)
        if block.upsampler is not None:
            x = _upsample(block.upsampler, x) + block.avg_shortcut(shortcut, first_chunk=True)
    out: Tensor = decoder.conv_out(decoder.nonlinearity(decoder.norm_out(x)))
    return out


def _upsample(upsampler: Any, x: Tensor) -> Tensor:
    n, c, _, h, w = x.shape
    if x.shape[2] > 1:
        later = upsampler.time_conv(x[:, :, 1:]).reshape(n, 2, c, -1, h, w)
        later = torch.stack((later[:, 0], later[:, 1]), 3).reshape(n, c, -1, h, w)
        x = torch.cat([x[:, :, :1], later], 2)
    frames = x.shape[2]
    flat = upsampler.resample(x.permute(0, 2, 1, 3, 4).reshape(n * frames, c, h, w))
    return flat.view(n, frames, *flat.shape[1:]).permute(0, 2, 1, 3, 4)


def moving_pixels(video: Tensor) -> Tensor:
    """(N, T, H, W, 3) in [-1, 1] to bool (N, T-1, H, W): colour changes by more than 0.2 of the range."""
    return (video[:, 1:] - video[:, :-1]).abs().amax(-1) > 0.4


def reconstruction_psnr(vae: AutoencoderKLWan, encode: LinearEncoder, video: Tensor) -> dict[str, float]:
    """PSNR in dB by the stock decode.

    Returns:
        ``overall`` and ``last8`` (the last 8 frames): mean over clips. ``moving`` and ``last8_moving``: of all clips' moving
        pixels together, so that a clip in which the whole ground moves weighs what its pixels weigh. ``moving_clips``: mean
        over the clips that have moving pixels, each with its own.
    """
    mean, std = encode.raw_scale()
    with torch.no_grad():
        parts = [vae.decode(encode(v[None]) * std + mean).sample for v in video]
    out = torch.cat(parts).permute(0, 2, 3, 4, 1)
    error, moving = ((out - video) / 2).square().mean(-1), moving_pixels(video)
    moved = error[:, 1:]

    def db(x: Tensor) -> float:
        return float((-10 * torch.log10(x)).mean())

    return {
        "overall": db(error.mean((1, 2, 3))),
        "moving": db(moved[moving].mean()),
        "moving_clips": db(torch.stack([e[m].mean() for e, m in zip(moved, moving, strict=True) if m.any()])),
        "last8": db(error[:, -8:].mean((1, 2, 3))),
        "last8_moving": db(error[:, -8:][moving[:, -8:]].mean()),
    }


def _optimisers(decoder: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the kernels between the decoder's first and last convolution, AdamW for the rest."""
    ends = ("0.conv_in", "0.conv_out", "1.")  # 1 is the post-quantisation convolution
    named = decoder.named_parameters()
    kernels = [p for n, p in named if p.dim() >= 4 and p[0].numel() > 1 and not n.startswith(ends)]
    held = {id(p) for p in kernels}
    rest = [p for p in decoder.parameters() if id(p) not in held]
    return [torch.optim.AdamW(rest, lr=1.0, betas=(0.9, 0.98), weight_decay=1e-4), Muon(kernels, lr=1.0, weight_decay=1e-2)]


def train_decoder(run: Run, vae: AutoencoderKLWan, encode: LinearEncoder, hours: float) -> None:
    """Train until ``hours`` of training time are used; checkpoints and resumes through ``run``."""
    decoder = nn.ModuleList([vae.decoder, vae.post_quant_conv])
    for module in vae.decoder.modules():
        if isinstance(module, nn.Conv3d):  # the layout in which the CPU's convolutions are fastest
            module.to(memory_format=torch.channels_last_3d)
    mean, std = encode.raw_scale()
    progress = Progress(run, "vae", decoder, _optimisers(decoder), hours, base_lr=2e-3, average=0.997)
    clip_number = progress.restore()
    while progress.share < 1:
        start = time.time()
        long, whole = progress.step % 3 == 0, progress.share > 0.85
        frames, count = (33 if long else 17), (1 if whole else (2 if long else 4))
        video = paint(fastest(draw_scenes(clip_number, 2 * count, frames)))
        clip_number += 2 * count
        if not whole:
            generator = torch.Generator().manual_seed(progress.step)
            top, left = (int(v) * 4 for v in torch.randint(0, 9, (2,), generator=generator))
            video = video[:, :, top : top + 32, left : left + 32]
        latent = encode(video)
        noisy = latent + 0.04 * torch.randn(latent.shape)
        with fast_products("cpu"):
            out = decode_whole(vae, noisy * std + mean)
        weight = torch.ones(video.shape[:-1])
        weight[:, 1:] += MOVING_WEIGHT * moving_pixels(video)
        error = out.float().permute(0, 2, 3, 4, 1) - video
        loss = ((error.abs() + SQUARE_WEIGHT * error.square()).mean(-1) * weight).mean()
        progress.update(loss, start, clip_number)
    progress.finish(clip_number)

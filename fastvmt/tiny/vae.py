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

from fastvmt.tiny.data import draw_batch
from fastvmt.tiny.latents import LinearEncoder
from fastvmt.tiny.state import Progress, Run


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
    """Mean clip PSNR, PSNR on moving pixels and on the last 8 frames, in dB, by the stock decode."""
    mean, std = encode.raw_scale()
    with torch.no_grad():
        parts = [vae.decode(encode(v[None]) * std + mean).sample for v in video]
    out = torch.cat(parts).permute(0, 2, 3, 4, 1)
    error = ((out - video) / 2).square()
    moving = moving_pixels(video)
    last_moving = moving[:, -8:]

    def db(x: Tensor) -> float:
        return float(-10 * torch.log10(x))

    return {
        "overall": float((-10 * torch.log10(error.mean((1, 2, 3, 4)))).mean()),
        "moving": db(error[:, 1:].mean(-1)[moving].mean()),
        "last8": float((-10 * torch.log10(error[:, -8:].mean((1, 2, 3, 4)))).mean()),
        "last8_moving": db(error[:, -8:].mean(-1)[last_moving].mean()),
    }


def train_decoder(run: Run, vae: AutoencoderKLWan, encode: LinearEncoder, hours: float) -> None:
    """Train until ``hours`` of training time are used; checkpoints and resumes through ``run``."""
    decoder = nn.ModuleList([vae.decoder, vae.post_quant_conv])
    for module in vae.decoder.modules():
        if isinstance(module, nn.Conv3d):  # the layout in which the CPU's convolutions are fastest
            module.to(memory_format=torch.channels_last_3d)
    mean, std = encode.raw_scale()
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=1.0, betas=(0.9, 0.98), weight_decay=1e-4)
    progress = Progress(run, "vae", decoder, optimiser, hours, base_lr=2e-3, average=0.997)
    clip_number = progress.restore()
    while progress.share < 1:
        start = time.time()
        long, whole = progress.step % 3 == 0, progress.share > 0.85
        frames, count = (33 if long else 17), (1 if whole else (2 if long else 4))
        video, _ = draw_batch(clip_number, count, frames)
        clip_number += count
        if not whole:
            generator = torch.Generator().manual_seed(progress.step)
            top, left = (int(v) * 4 for v in torch.randint(0, 9, (2,), generator=generator))
            video = video[:, :, top : top + 32, left : left + 32]
        latent = encode(video)
        noisy = latent + 0.04 * torch.randn(latent.shape)
        out = decode_whole(vae, noisy * std + mean).permute(0, 2, 3, 4, 1)
        weight = torch.ones(video.shape[:-1])
        weight[:, 1:] += 3.0 * moving_pixels(video)
        error = out - video
        loss = ((error.abs() + 2 * error.square()).mean(-1) * weight).mean()
        progress.update(loss, time.time() - start, clip_number)
    progress.finish(clip_number)

"""Write the trained parts as a ``WanPipeline`` folder that diffusers loads by itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, WanPipeline

from .data import FULL_FRAMES, draw_batch
from .latents import CODE_FILE, Code, LinearEncoder, new_vae
from .parts import new_scheduler, new_text_encoder, new_tokenizer, new_transformer
from .vae import reconstruction_psnr


def assemble(out: Path, code: Code) -> WanPipeline:
    """The pipeline with the averaged weights of the training folder ``out``; parts not yet trained stay as drawn."""
    torch.manual_seed(0)
    tokenizer = new_tokenizer()
    vae, text, transformer = new_vae(code), new_text_encoder(tokenizer), new_transformer()
    decoder = torch.nn.ModuleList([vae.decoder, vae.post_quant_conv])
    for stage, module in (("vae", decoder), ("flow", torch.nn.ModuleDict({"text": text, "transformer": transformer}))):
        if (weights := _newest(out, stage)) is not None:
            module.load_state_dict(weights)
    return WanPipeline(tokenizer=tokenizer, text_encoder=text, vae=vae, transformer=transformer, scheduler=new_scheduler())


def _newest(out: Path, stage: str) -> dict[str, torch.Tensor] | None:
    """Averaged weights of a stage, else those it was to start from, else none."""
    for name, key in ((f"{stage}.pt", "average"), (f"{stage}.warm.pt", "warm")):
        if (out / name).exists():
            found: dict[str, torch.Tensor] = torch.load(out / name, weights_only=True)[key]
            return found
    return None


def export(out: Path, code: Code, to: Path) -> None:
    """Replace the weights in folder ``to``; its card (``bench.toml``) and other files of ours stay."""
    pipe = assemble(out, code)
    pipe.transformer.to(torch.bfloat16)
    pipe.text_encoder.to(torch.bfloat16)
    to.mkdir(parents=True, exist_ok=True)
    for part in ("vae", "text_encoder", "tokenizer", "transformer", "scheduler"):
        shutil.rmtree(to / part, ignore_errors=True)
    pipe.save_pretrained(to, safe_serialization=True)
    code.save(to)
    for config in to.rglob("*.json"):  # no machine's paths in shipped files
        facts = json.loads(config.read_text())
        if isinstance(facts, dict) and facts.pop("_name_or_path", None) is not None:
            config.write_text(json.dumps(facts, indent=2) + "\n")


def unpack(folder: Path, out: Path) -> None:
    """Make a training folder whose stages start from a pipeline folder's weights, as ``train --warm`` asks for.

    Raises:
        FileExistsError: when the training folder already holds a stage.
    """
    for stage in ("vae", "flow"):
        if (out / f"{stage}.pt").exists():
            raise FileExistsError(f"{out}/{stage}.pt is there already; leave --warm out, or give another --out")
    shutil.copy(folder / CODE_FILE, out)
    pipe = WanPipeline.from_pretrained(folder, dtype=torch.float32)
    decoder = torch.nn.ModuleList([pipe.vae.decoder, pipe.vae.post_quant_conv])
    model = torch.nn.ModuleDict({"text": pipe.text_encoder, "transformer": pipe.transformer})
    for stage, module in (("vae", decoder), ("flow", model)):
        torch.save({"warm": module.state_dict()}, out / f"{stage}.warm.pt")


def measure(folder: Path, clips: int = 24) -> dict[str, float]:
    """PSNR in dB of a pipeline folder's VAE on held-out 33-frame clips: all, moving pixels, last 8 frames."""
    vae = AutoencoderKLWan.from_pretrained(folder, subfolder="vae")
    video, _ = draw_batch(0, clips, FULL_FRAMES, "heldout")
    return reconstruction_psnr(vae, LinearEncoder(Code.load(folder)), video)

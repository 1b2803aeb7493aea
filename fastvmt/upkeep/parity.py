"""``bench doctor --backbone X --parity``: is this the model that others run?

``none`` against diffusers' own pipeline, bit for bit, on random texts: needs the weights alone. (In half precision that sums
guidance in it, and the denoise loop in float32; here both do the latter.) One forward pass, one encoding and one decoding
against what the original implementation made of the same inputs: needs a file of them, which
``tools/backbones/parity_vectors.py`` makes where that implementation is.

A file of vectors is an .npz of plain arrays; T, H, W frames, rows, columns of a video, F, h, w of its latent:

    sigmas (n,)      levels          x (1, C, F, h, w)        latent           text (1, m, d)     embeddings
    velocity (n, C, F, h, w)         what the model said of them
    frames (T, H, W, 3) uint8        encoded (1, C, F, h, w)  its normalised latent
    latent (1, C, F, h, w)           decoded (T, H, W, 3) uint8
    dtype, source    of the original: ``float32`` or ``bfloat16``, and what it was
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastvmt.backbones.card import Card, require_weights
from fastvmt.backbones.noise_levels import sigma_grid
from fastvmt.backbones.wan import Backbone
from fastvmt.core.spelling import shown
from fastvmt.core.stages import Stages
from fastvmt.denoise import denoise
from fastvmt.errors import UserError
from fastvmt.plugins.method import Context, Method, Params
from fastvmt.upkeep.doctor import Finding

VECTORS = "parity.npz"
"""Beside the weights; no part of their digest."""
CLOSE = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 3e-2}
"""Of a velocity or latent: the most that the difference may be of the whole, as root mean squares, by the coarser dtype."""
LEVELS = 1.0
"""Of decoded frames: the most that they may differ in the mean, in levels of 255. The VAE is fp32 on both sides."""
FRAMES, STEPS, SIDE, SHIFT, SCALES = 5, 2, 64, 3.0, (3.0, 1.5)
SHAPES = {
    "forward": ("sigmas", "x", "text", "velocity"), "encode": ("frames", "encoded"), "decode": ("latent", "decoded"),
}  # fmt: skip


def look(card: Card, device: str, dtype: torch.dtype, vectors: Path | None = None) -> Iterator[Finding]:
    """A finding for each check.

    Args:
        vectors: a file of them; without, the one beside the weights, if it is there.

    Raises:
        MissingWeights: when the weights are not here.
        UserError: for a file of vectors that cannot be read, or is of another model.
    """
    place = vectors or require_weights(card) / VECTORS
    stored = read(place) if vectors or place.is_file() else None
    backbone = Backbone(card, device, dtype)
    yield _none(backbone)
    if stored is None:
        yield Finding("vectors", "warn", f"none of the original implementation in {place}",
                      "make them where it is installed: python tools/backbones/parity_vectors.py --help")  # fmt: skip
        return
    yield from _against(backbone, stored, place)


# --- diffusers' own pipeline ---------------------------------------------------------------------------------------------


@torch.no_grad()
def _none(backbone: Backbone) -> Finding:
    side = -(-SIDE // backbone.card.multiple) * backbone.card.multiple
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(backbone.card.latent_shape(side, side, FRAMES), generator=generator)
    width = next(iter(backbone.experts)).config.text_dim
    texts = {name: torch.randn(1, 512, width, generator=generator) for name in ("target", "negative")}
    noise, *embeds = (t.to(backbone.device) for t in (noise, *texts.values()))
    texts = dict(zip(texts, embeds, strict=True))
    sigmas = sigma_grid(STEPS, SHIFT)
    ctx = Context(backbone, sigmas, noise, lambda: noise, texts, Stages())
    second = SCALES[1] if backbone.card.boundary is not None else None
    found = denoise(Method(Params()), ctx, backbone.card.scale(SCALES[0], second))
    with ExitStack() as stack:
        for expert in backbone.experts:  # the pipeline sums guidance in the model's dtype, the denoise loop in float32
            stack.callback(expert.register_forward_hook(lambda module, args, out: (out[0].float(),)).remove)
        wanted = pipeline_of(backbone, sigmas)(
            prompt_embeds=texts["target"], negative_prompt_embeds=texts["negative"], height=side, width=side, num_frames=FRAMES,
            num_inference_steps=STEPS, guidance_scale=SCALES[0], latents=noise.clone(), output_type="latent",
            **({} if second is None else {"guidance_scale_2": second}),
        ).frames  # fmt: skip
    own = str(backbone.dtype).removeprefix("torch.")
    what, size = "none", f"{FRAMES} frames of {side} x {side} px, {STEPS} steps, {own}"
    size += "" if own == "float32" else ", its guidance summed in float32"
    if torch.equal(found, wanted):
        return Finding(what, "ok", f"diffusers' pipeline bit for bit ({size})")
    return Finding(what, "problem", f"differs from diffusers' pipeline by {_apart(found, wanted):.2g} of it ({size})",
                   "compare the versions of diffusers and torch with constraints.txt")  # fmt: skip


def pipeline_of(backbone: Backbone, sigmas: tuple[float, ...]) -> Any:
    """diffusers' pipeline of a backbone's own parts, without a text encoder, on noise levels as ``sigma_grid`` gives them."""
    card, experts = backbone.card, tuple(backbone.experts)
    said: dict[str, Any] = {"boundary_ratio": card.boundary, "transformer_2": experts[1] if len(experts) > 1 else None}
    if not card.control_blocks:
        said["expand_timesteps"] = card.per_token
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=SHIFT)
    plain, linear = scheduler.set_timesteps, np.linspace(1, 0, len(sigmas))[:-1]  # its own path is shifted twice
    scheduler.set_timesteps = lambda n, device=None: plain(sigmas=linear, device=device)
    kind = diffusers.WanVACEPipeline if card.control_blocks else diffusers.WanPipeline
    pipe: Any = kind(tokenizer=None, text_encoder=None, vae=backbone.vae, transformer=experts[0], scheduler=scheduler, **said)
    pipe.set_progress_bar_config(disable=True)
    return pipe


# --- the original implementation -----------------------------------------------------------------------------------------


def read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file of vectors. Nothing in it is run.

    Raises:
        UserError: naming what is wrong with it.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file. tools/backbones/parity_vectors.py makes one.") from None
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: no .npz of plain arrays ({type(error).__name__}). tools/backbones/parity_vectors.py makes one."
        ) from None


@torch.no_grad()
def _against(backbone: Backbone, stored: dict[str, NDArray[Any]], path: Path) -> Iterator[Finding]:
    _refuse_strange(backbone, stored, path)
    own = str(backbone.dtype).removeprefix("torch.")
    theirs = str(stored.get("dtype", "float32"))
    source = f"{shown(stored.get('source', 'the original'), 80)}, {shown(theirs)}"
    close = max(CLOSE[own], CLOSE.get(theirs, 0.0))
    given = {
        k: torch.from_numpy(np.ascontiguousarray(v)).to(backbone.device) for k, v in stored.items() if v.dtype.kind in "fu"
    }
    for what, names in SHAPES.items():
        if not given.keys() >= {*names}:
            yield Finding(
                what, "warn", f"the vectors have no {', '.join(n for n in names if n not in given)}", "make them anew"
            )
        elif what == "forward":
            for n, sigma in enumerate(stored["sigmas"].tolist()):
                found = backbone.velocity(given["x"].float(), sigma, given["text"].float())
                yield _finding(
                    f"forward at {sigma:.4g}", _apart(found[0], given["velocity"][n].float()), close, "of it", source
                )
        elif what == "encode":
            apart = _apart(backbone.encode_video(stored["frames"]), given["encoded"].float())
            yield _finding(what, apart, CLOSE["float32"], "of it", source)
        else:
            off = np.abs(backbone.decode(given["latent"].float()).astype(float) - stored["decoded"]).mean()
            yield _finding(what, float(off), LEVELS, "levels of 255", source)


def _finding(what: str, apart: float, close: float, unit: str, source: str) -> Finding:
    words = f"{apart:.2g} {unit} from {source}; {close:g} may be"
    if apart <= close:  # NaN is not
        return Finding(what, "ok", words)
    return Finding(what, "problem", words, "these are not the weights that the vectors are of, or they are run otherwise")


def _apart(found: Tensor, wanted: Tensor) -> float:
    """Root mean square of the difference over that of what is wanted."""
    return float((found - wanted).norm() / wanted.norm())


def _refuse_strange(backbone: Backbone, stored: dict[str, NDArray[Any]], path: Path) -> None:
    card = backbone.card
    channels, space, time = card.latent_channels, card.vae_spatial, card.vae_temporal

    def latent(name: str, lead: int = 1) -> tuple[int, ...]:
        found = stored[name].shape
        if len(found) != 5 or found[0] != lead or found[1] != channels or any(n < 1 for n in found):
            raise UserError(f"{path}: {name} has shape {found}; of {card.id} it is {lead} x {channels} x F x h x w.")
        return found[2:]

    def video(name: str, of: tuple[int, ...]) -> None:
        wanted = ((of[0] - 1) * time + 1, of[1] * space, of[2] * space, 3)
        if stored[name].shape != wanted or stored[name].dtype != np.uint8:
            raise UserError(
                f"{path}: {name} is {stored[name].dtype} {stored[name].shape}; beside its latent it is uint8 {wanted}."
            )

    if {*SHAPES["forward"]} <= stored.keys():
        levels, size, text = stored["sigmas"].size, latent("x"), stored["text"].shape
        if stored["sigmas"].shape != (levels,) or size != latent("velocity", levels):
            raise UserError(f"{path}: sigmas, x and velocity do not fit together: a velocity like x is needed for each sigma.")
        if any(n % p for n, p in zip(size, card.patch, strict=True)):
            raise UserError(f"{path}: x has {size} places, which patches of {card.patch} do not divide.")
        width = next(iter(backbone.experts)).config.text_dim
        if len(text) != 3 or text[0] != 1 or text[2] != width:
            raise UserError(f"{path}: text has shape {text}; of {card.id} it is 1 x m x {width}.")
    for inner, outer in (("encoded", "frames"), ("latent", "decoded")):
        if {inner, outer} <= stored.keys():
            video(outer, latent(inner))

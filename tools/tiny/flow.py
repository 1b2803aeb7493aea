"""Train the text encoder and the transformer of ``tiny`` by flow matching on latents of drawn clips.

Target velocity = noise - latent, timestep = 1000 sigma, as Wan. Sigma is logit-normal, shifted by 3 for clips and 2 for
single frames. One caption in ten is empty. From nothing: 1, then 5, then 9 latent frames; warm:
9 and, every third step until near the end, single frames (``match``: every second step to the end).
"""

from __future__ import annotations

import hashlib
import time
from typing import Any

import torch
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from torch import Tensor, nn

from fastvmt.datasets.drawn.scene import Scene

from .attention import TrainingSelfAttention, fast_products
from .correspond import Targets, correspondence_loss, targets
from .data import draw_scenes, paint
from .latents import LinearEncoder
from .muon import Muon
from .parts import TEXT_LENGTH, embed, new_text_encoder, new_tokenizer, new_transformer
from .state import Progress, Run

AFTER_FIRST_RUN = 2 * 10**7
SUBJECT_WEIGHT = 6.0
MATCH_WEIGHT = 0.05  # of the correspondence loss beside the velocity's
GROUND_BELOW, SUBJECT_ABOVE = 118.0, 135.0  # the brightest channel: grounds reach 115, the darkest subject tone is 124
PIPELINE_LENGTH = 512  # WanPipeline pads captions to this many tokens unless told otherwise


class PaddedCrossAttention(WanAttnProcessor):
    """Cross-attention in which the zero tokens behind a caption weigh as many as a longer padding would have.

    ``bias`` has shape (B, 1, 1, TEXT_LENGTH); with it, 24 tokens act exactly as 512 do.
    """

    bias: Tensor | None = None

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, rotary_emb=None):  # type: ignore[no-untyped-def]
        return super().__call__(attn, hidden_states, encoder_hidden_states, self.bias, rotary_emb)


def draw_sigma(count: int, shift: float, generator: torch.Generator) -> Tensor:
    u = torch.sigmoid(1.1 * torch.randn(count, generator=generator))
    return shift * u / (1 + (shift - 1) * u)


def stage_of(share: float, warm: bool, step: int, match: bool = False) -> tuple[int, int]:
    """(frames, clips a batch over all processes) by share of the training time."""
    if warm:  # single frames, which show eight times as many subjects in the time, in turn with whole clips
        every = 2 if match else 3
        return (1, 64) if step % every == every - 1 and (match or share < 0.85) else (33, 8)
    if share < 0.10:
        return 1, 64
    if share < 0.25:
        return 17, 16
    return 33, 8


def first_clip(model: nn.Module) -> int:
    """Where a warm run starts in the training stream: a place drawn from the weights, so that every run sees other clips."""
    parts = hashlib.sha256()
    for value in model.state_dict().values():
        parts.update(value.numpy().tobytes())
    return AFTER_FIRST_RUN + int(parts.hexdigest()[:4], 16) * 10**6


def _optimisers(model: Any, rank: int = 0, world: int = 1) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for the rest; ``lr`` holds each one's factor on the base rate."""
    matrices = [p for n, p in model["transformer"].blocks.named_parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    muon = Muon(matrices, lr=1.0, weight_decay=0.01, rank=rank, world=world)
    return [muon, torch.optim.AdamW(rest, lr=1.0, betas=(0.9, 0.98), weight_decay=0.0)]


def train_flow(run: Run, encode: LinearEncoder, hours: float, match: bool = False) -> None:
    """Train until ``hours`` are used; with ``run.world`` > 1, gradients are averaged over the processes.

    ``match`` is for a last long run: half of the steps on single frames with hard shapes more often and more of the high noise
    levels where shapes are decided, and the last block's queries and keys are taught where things go (``correspond.py``).
    """
    torch.manual_seed(0)
    trained = Trained(encode)
    model = trained.model
    progress = Progress(run, "flow", model, _optimisers(model, run.rank, run.world), hours, 2e-3, 0.997)
    number = progress.restore()
    if progress.warm and not number:
        number = first_clip(model)
    while progress.share < 1:
        began = time.time()
        frames, batch = stage_of(progress.share, progress.warm, progress.step, match)
        share = batch // run.world
        scenes = draw_scenes(number + run.rank * share, share, frames, favour=match)
        number += batch
        generator = torch.Generator().manual_seed(progress.step * 64 + run.rank)
        shift = 3.0 if frames > 1 or match else 2.0
        loss = trained.loss(scenes, generator, shift, targets(scenes) if match and frames > 1 else None)
        apart = {} if trained.matched is None else {"correspondence": round(trained.matched, 4)}
        progress.update(loss, began, number, frames=frames, **apart)
    progress.finish(number)


class Trained:
    """Text encoder and transformer as they are trained: attention that is fast on CPUs, products in bfloat16."""

    def __init__(self, encode: LinearEncoder) -> None:
        self.encode, self.tokenizer = encode, new_tokenizer()
        self.model: Any = nn.ModuleDict({"text": new_text_encoder(self.tokenizer), "transformer": new_transformer()})
        self.cross, self.guided = PaddedCrossAttention(), TrainingSelfAttention()
        self.matched: float | None = None
        """The correspondence loss, smoothed over steps, when it was asked for."""
        blocks: Any = self.model["transformer"].blocks
        for block in blocks:
            block.attn1.set_processor(self.guided if block is blocks[-1] else TrainingSelfAttention())
            block.attn2.set_processor(self.cross)

    def _text(self, captions: list[str], generator: torch.Generator) -> Tensor:
        """Embeddings; ``cross`` is told how much padding to feign."""
        count = len(captions)
        text, lengths = embed(self.tokenizer, self.model["text"], captions)
        padded = PIPELINE_LENGTH if torch.rand(1, generator=generator) < 0.3 else TEXT_LENGTH
        behind = torch.arange(TEXT_LENGTH) >= lengths[:, None]
        extra = ((padded - lengths) / (TEXT_LENGTH - lengths).clamp(min=1)).log()
        self.cross.bias = (behind * extra[:, None]).view(count, 1, 1, TEXT_LENGTH)
        return text

    def loss(self, scenes: list[Scene], generator: torch.Generator, shift: float, wanted: Targets | None = None) -> Tensor:
        """Mean squared error of the velocity on drawn scenes, and of their correspondence if its ``Targets`` are given.

        Cells in which the model itself believes a subject weigh more: few cells hold the shapes. A weight that looked at the
        true place instead would pull subjects everywhere while their place is still open.
        With ``wanted``, the first clip of every other batch is shown clean and without a caption, as methods show a reference;
        it has no velocity to learn.
        """
        count, latent = len(scenes), self.encode(paint(scenes))
        drop = torch.rand(count, generator=generator) < 0.1
        sigma, noise = draw_sigma(count, shift, generator), torch.randn(latent.shape, generator=generator)
        counts = torch.ones(count)
        if wanted is not None and torch.rand(1, generator=generator) < 0.5:
            drop[0], sigma[0], counts[0] = True, 0.0, 0.0
        text = self._text(["" if d else s.caption() for d, s in zip(drop.tolist(), scenes, strict=True)], generator)
        s = sigma.view(-1, 1, 1, 1, 1)
        noisy = latent * (1 - s) + noise * s
        with fast_products(latent.device.type):
            predicted = self.model["transformer"](noisy, sigma * 1000, text, return_dict=False)[0].float()
        subject = believed_subject(self.encode, noisy - s * predicted.detach())[:, None]
        weight = (1 + SUBJECT_WEIGHT * subject) * counts.view(s.shape)
        loss = ((predicted - (noise - latent)).square() * weight / weight.mean()).mean()
        if wanted is None:
            return loss
        assert self.guided.seen is not None
        matched = correspondence_loss(*self.guided.seen, wanted, latent.shape[2])
        now = float(matched.detach())
        self.matched = now if self.matched is None else 0.95 * self.matched + 0.05 * now
        return loss + MATCH_WEIGHT * matched


def believed_subject(encode: LinearEncoder, clean: Tensor) -> Tensor:
    """Where a predicted clean latent shows a subject, its rim included: (B, F, h, w) in 0..1.

    Subjects are brighter than every ground. The rim is the cells around: a cell that a subject only touches is dark.
    """
    bright = ((encode.brightness(clean) - GROUND_BELOW) / (SUBJECT_ABOVE - GROUND_BELOW)).clamp(0, 1)
    return nn.functional.max_pool2d(bright, 3, stride=1, padding=1)

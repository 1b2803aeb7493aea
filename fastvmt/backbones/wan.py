"""The only code that knows Wan: any diffusers ``WanPipeline`` or ``WanVACEPipeline`` folder behind a small face.

Shapes: B = 1; C latent channels; (F, H, W) latent frames, rows, columns; (F, h, w) tokens, P = h*w a frame.
Flow matching: x_s = (1-s) x0 + s eps, velocity v = eps - x0, Euler step x_next = x + (s_next - s) v.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor, nn

from fastvmt.backbones.acceleration import Sampled, accelerate
from fastvmt.backbones.card import Card, require_texts, require_weights
from fastvmt.backbones.control import Control
from fastvmt.backbones.experts import Experts
from fastvmt.backbones.memory import free_bytes, give_back, let_go_of_large_blocks, trim
from fastvmt.backbones.offload import placed
from fastvmt.backbones.pipeline_folder import loading
from fastvmt.backbones.token_grid import GRADIENT_COST, TAP_SHARE, VELOCITY, fits_kept, kept_activations, share_of
from fastvmt.backbones.vae import read_vae, use_direct_convolutions
from fastvmt.model.profile import Profile

Hook = Callable[..., Any]


class _Reached(Exception):
    """Raised inside the last tapped module: nothing behind it is needed."""


class Taps(dict[str, Tensor]):
    """What ``Backbone.taps`` returns: tensors by name, e.g. ``q@14``."""


class TextEncoder:
    """Texts to embeddings: that part of a model alone, on one device, before or without the rest.

    Raises:
        MissingWeights, UserError: when it is not on this machine.
    """

    def __init__(self, card: Card, device: str | torch.device, dtype: torch.dtype, offload: str = "text"):
        self.device = torch.device(device)
        self._pipe = _read_pipeline(require_texts(card), dtype, transformer=None, transformer_2=None, vae=None)
        self.module = self._pipe.text_encoder.requires_grad_(False).eval()
        self._blocks = placed(self.module, "encoder.block", self.device, offload == "block")

    @torch.no_grad()
    def __call__(self, prompt: str) -> Tensor:
        """(1, n, d) embeddings, zero behind the text, as ``WanPipeline`` makes them; n is the tokenizer's limit."""
        limit = min(int(self._pipe.tokenizer.model_max_length), 512)
        with self._blocks or nullcontext():
            embeds, _ = self._pipe.encode_prompt(
                prompt, do_classifier_free_guidance=False, max_sequence_length=limit, device=self.device
            )
        return embeds.to(self.device)


def encoded(
    card: Card, device: str, dtype: torch.dtype, texts: Iterable[str], offload: str = "text"
) -> dict[str, Tensor]:  # fmt: skip
    """Embeddings of these texts, by an encoder that is gone before anything else is loaded."""
    encoder = TextEncoder(card, device, dtype, offload)
    found = {text: encoder(text) for text in dict.fromkeys(texts)}
    del encoder
    give_back(torch.device(device))
    return found


class Backbone:
    """A loaded model on one device, but for its text encoder, which is loaded when it is first asked.

    Args:
        card: what to load; see ``fastvmt.backbones.card``.
        device: ``cpu`` or ``cuda``.
        dtype: of the transformer and text encoder; the VAE stays fp32.
        offload: ``vae`` keeps the VAE, a text encoder that was asked, and of two transformers the idle one on the CPU between
            uses; ``block`` the transformers' blocks too, each until its turn comes (gradients are the same to the bit).
        profile: how passes through the transformer are sped up.

    Raises:
        MissingWeights: when the weights are not on this machine.
    """

    def __init__(
        self, card: Card, device: str = "cpu", dtype: torch.dtype = torch.float32, offload: str = "text",
        profile: Profile = Profile(),  # noqa: B008 - it is immutable
    ):  # fmt: skip
        folder = require_weights(card)
        self.card, self.device, self.dtype, self.offload = card, torch.device(device), dtype, offload
        single: dict[str, None] = {} if card.boundary is not None else {"transformer_2": None}
        pipe = _read_pipeline(folder, dtype, vae=read_vae(folder), text_encoder=None, tokenizer=None, **single)
        self.experts = Experts(pipe.transformer, pipe.transformer_2, self.device, offload)
        self.transformer, self.vae = self.experts.module, pipe.vae.requires_grad_(False).eval()
        self._texts: TextEncoder | None = None
        self.cache = accelerate([*self.experts], profile)
        if self.device.type == "cpu":
            use_direct_convolutions(self.vae)
            let_go_of_large_blocks()
        self.vae.to("cpu" if self._moves else self.device)
        self.forward_equivalents = 0.0
        self._foretold: tuple[int, int, float, int, Tensor, Tensor] | None = None
        self.control = Control(card, dtype, self.encode_raw, self.latent_scale)

    # --- texts and pictures -------------------------------------------------------------------------------------

    def encode_text(self, prompt: str) -> Tensor:
        """As ``TextEncoder`` does, which stays beside the model from then on."""
        if self._texts is None:
            self._texts = TextEncoder(self.card, self.device, self.dtype, self.offload)
        with self._on_device(self._texts.module):
            return self._texts(prompt)

    @torch.no_grad()
    def encode_video(self, frames: NDArray[np.uint8]) -> Tensor:
        """(T, H, W, 3) uint8 RGB to the normalised latent (1, C, F, H/stride, W/stride), fp32: the posterior's mode."""
        video = torch.tensor(np.ascontiguousarray(frames)).to(self.device).permute(3, 0, 1, 2)[None]
        mean, std = self.latent_scale()
        return ((self.encode_raw(video.float() / 127.5 - 1) - mean) / std).float()

    def encode_raw(self, video: Tensor) -> Tensor:
        """(1, 3, T, H, W) from -1 to 1 to the posterior's mode, not normalised."""
        trim(self.device)
        with self._on_device(self.vae):
            found: Tensor = self.vae.encode(video).latent_dist.mode()
        return found

    @torch.no_grad()
    def decode(self, latent: Tensor) -> NDArray[np.uint8]:
        """Normalised latent to (T, H, W, 3) uint8 RGB, T = 4F-3."""
        mean, std = self.latent_scale()
        trim(self.device)
        with self._on_device(self.vae):
            video = self.vae.decode((latent.float() * std + mean).to(self.vae.dtype), return_dict=False)[0]
        video = (video.float() / 2 + 0.5).clamp(0, 1)
        out: NDArray[np.uint8] = (video[0].permute(1, 2, 3, 0) * 255).round().to(torch.uint8).cpu().numpy()
        return out

    def latent_scale(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the VAE's channels, (1, C, 1, 1, 1)."""
        config = self.vae.config
        mean, std = (
            torch.tensor(v, device=self.device).view(1, -1, 1, 1, 1) for v in (config.latents_mean, config.latents_std)
        )
        return mean, std

    @property
    def _moves(self) -> bool:
        return self.offload in ("vae", "block")

    @contextmanager
    def _on_device(self, module: nn.Module) -> Iterator[None]:
        if not self._moves:
            yield
            return
        self.experts.release()  # a backward pass leaves its last blocks
        module.to(self.device)
        try:
            yield
        finally:
            module.to("cpu")

    # --- the model ----------------------------------------------------------------------------------------------

    def tokens(self, x: Tensor) -> tuple[int, int, int]:
        """Token grid (F, h, w) of a latent."""
        t, h, w = self.card.patch
        return x.shape[2] // t, x.shape[3] // h, x.shape[4] // w

    def noised(self, x0: Tensor, sigma: float, eps: Tensor) -> Tensor:
        """(1-s) x0 + s eps."""
        return (1 - sigma) * x0 + sigma * eps

    def velocity(self, x: Tensor, sigma: float, text: Tensor, of: Sampled | None = None) -> Tensor:
        """Predicted velocity, fp32, same shape as ``x``.

        Args:
            of: which of the loop's passes this is, where the profile's cache may serve it; never while hooks are in the model.
        """
        known, self._foretold = self._foretold, None
        if known is not None and known[:4] == (x.data_ptr(), x._version, sigma, text.data_ptr()) and known[4].shape == x.shape:
            return known[5]
        found = self._run(x, sigma, text, of).float()
        self.forward_equivalents += self.cache.share
        return found

    def foretell(self, x: Tensor, sigma: float, text: Tensor, velocity: Tensor) -> None:
        """Have the next ``velocity`` return what a pass of ``taps`` found, if it is asked of this latent (not of an equal one,
        nor after a change in place), level and text."""
        self._foretold = (x.data_ptr(), x._version, sigma, text.data_ptr(), x, velocity)

    def trained_velocity(self, x: Tensor, sigma: float, text: Tensor, depth: float = 1.0, share: float = 1.0) -> Tensor:
        """``velocity`` with a graph behind it, for training weights that hooks or adapters put into the transformer.

        Counted with its backward pass at once. Adapters must stay installed until that is done: activations may be
        recomputed in it.

        Args:
            depth: part of the blocks that the backward pass goes through, from the last one to the first trained one.
            share: part of the run's latent frames that ``x`` has; a shorter clip costs less.
        """
        self.forward_equivalents += share * (1 + depth * (GRADIENT_COST - 1))
        with torch.enable_grad(), ExitStack() as stack:
            self._checkpoint_if_needed(x, self.card.blocks, stack, True)
            return self._run(x, sigma, text).float()

    def _run(self, x: Tensor, sigma: float, text: Tensor, of: Sampled | None = None) -> Tensor:
        time = (torch.tensor(sigma, dtype=torch.float32) * 1000).to(self.device).expand(x.shape[0])
        if self.card.per_token:
            time = time[:, None].expand(-1, math.prod(self.tokens(x)))
        with self.experts.running(self.card.low(sigma)) as transformer, self.cache.on(of, sigma, transformer):
            out: Tensor = transformer(
                hidden_states=x.to(self.dtype), timestep=time, encoder_hidden_states=text.to(self.dtype), return_dict=False,
                **self.control.inputs(x),
            )[0]  # fmt: skip
        return out

    def taps(self, x: Tensor, sigma: float, text: Tensor, names: Sequence[str], rope: bool = True, early: bool = True) -> Taps:
        """Inner tensors of named blocks, stopping right behind the last one needed.

        Args:
            x: latent; give it ``requires_grad`` under ``torch.enable_grad`` for gradients.
            sigma: noise level told to the model.
            text: embeddings.
            names: ``q@L``, ``k@L`` (1, S, heads, d), after norm and, with ``rope``, after rotary embedding;
                ``hidden@L`` and ``attn@L`` (1, S, D): output of block L and of its self-attention; ``velocity`` beside
                others: what ``velocity`` returns, by the same pass finished without gradients.
            early: stop there; otherwise the blocks behind run too, and change nothing but the time and memory it takes.

        Raises:
            KeyError: for another kind of name.
        """
        taps = Taps()
        inner = [name for name in names if name != VELOCITY]
        last = max(inner, key=self._depth)
        then = _go_on_blind if VELOCITY in names else _stop if early else _go_on
        with ExitStack() as stack:
            for name in inner:
                stack.enter_context(
                    self.hooked((self._module_of(name), self._keep(taps, name, then if name == last else _go_on)))
                )
            self._checkpoint_if_needed(x, self.card.blocks if then is _go_on else int(self._depth(last)), stack)
            stack.enter_context(torch.set_grad_enabled(torch.is_grad_enabled()))  # as it was, whatever a hook does
            stack.enter_context(suppress(_Reached))
            velocity = self._run(x, sigma, text)
            if VELOCITY in names:
                taps[VELOCITY] = velocity.float()
        share = share_of(self._depth(last), self.card.blocks, self.card.control_blocks)
        backward = share * (GRADIENT_COST - 1) if x.requires_grad else 0.0  # it starts at the last tap either way
        self.forward_equivalents += (share if then is _stop else 1.0) + backward
        rotary = self.experts.rope(x) if rope else None
        for name in inner:
            if name[0] in "qk" and name[1] == "@":
                heads = taps[name].unflatten(2, (self.card.heads, -1))
                taps[name] = rotate(heads, *rotary) if rotary else heads
        return taps

    def rotary(self, x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Rotary factors of a latent's tokens as if each stood elsewhere: (S, d/2, 2), cosine and sine by pair of channels.

        Args:
            rows, columns: shifts (F, h, w) in tokens, fractions too; zeros give the model's own factors.
        """
        rope = self.experts.rope
        cos, sin = (part[0, :, 0].float() for part in rope(x))
        angle = torch.atan2(rope.freqs_sin[1, 1::2], rope.freqs_cos[1, 0::2]).float()  # of one token further
        down, right = angle[rope.t_dim // 2 :].split([rope.h_dim // 2, rope.w_dim // 2])
        still = torch.zeros(len(cos), rope.t_dim // 2, device=cos.device)
        turn = torch.cat([still, rows.reshape(-1, 1).to(down) * down, columns.reshape(-1, 1).to(right) * right], 1)
        own = torch.complex(cos[:, 0::2], sin[:, 1::2])
        return torch.view_as_real(own * torch.polar(torch.ones_like(turn), turn))

    def rotated(self, factors: Callable[[], Tensor]) -> AbstractContextManager[None]:
        """A context in which every pass, taps too, has these rotary factors, asked for anew and of the form of ``rotary``."""

        def hook(module: nn.Module, args: Any, output: Any) -> tuple[Tensor, Tensor]:
            cos, sin = (part.repeat_interleave(2, -1)[None, :, None] for part in factors().unbind(-1))
            return cos, sin

        return self.hooked(("rope", hook))

    def _keep(self, taps: Taps, name: str, then: Callable[[], None]) -> Hook:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            first = name not in taps  # with checkpointing a hook fires again in the backward pass
            taps.setdefault(name, output)
            if first or then is _go_on_blind:  # what is computed again must be what was computed
                then()

        return hook

    def _module_of(self, name: str) -> str:
        kind, _, block = name.partition("@")
        tail = {"q": ".attn1.norm_q", "k": ".attn1.norm_k", "v": ".attn1.to_v", "attn": ".attn1", "hidden": ""}[kind]
        return f"blocks.{block}{tail}"

    def _depth(self, name: str) -> float:
        """Blocks that must run for a tap; within a block the order is v, q, k, attention, output."""
        kind, _, block = name.partition("@")
        return int(block) + {"v": 0.1, "q": 0.15, "k": TAP_SHARE, "attn": 0.5, "hidden": 1.0}[kind]

    def _checkpoint_if_needed(self, x: Tensor, blocks: int, stack: ExitStack, trains: bool = False) -> None:
        """Recompute activations in the backward pass only when keeping them would not fit."""
        if self.offload == "block" or not ((x.requires_grad or trains) and torch.is_grad_enabled()):
            return  # blocks that come in turn are checkpointed always
        f, h, w = self.tokens(x)
        size = torch.empty((), dtype=self.dtype).element_size()
        deep = blocks + self.card.control_blocks
        wanted = kept_activations(f * h * w, self.card.heads * self.card.head_dim, size, deep, self.card.per_token)
        if fits_kept(wanted, free_bytes(self.device)):
            return
        for expert in self.experts:
            expert.enable_gradient_checkpointing()
            stack.callback(expert.disable_gradient_checkpointing)

    @contextmanager
    def hooked(self, *hooks: tuple[str, Hook], before: bool = False) -> Iterator[None]:
        """Forward hooks on named transformer modules, of two transformers in both; a hook may return a replacement.

        Args:
            before: hooks get (module, inputs) and may replace the inputs, instead of (module, inputs, output).
        """
        modules = [(expert.get_submodule(name), hook) for expert in self.experts for name, hook in hooks]
        handles = [m.register_forward_pre_hook(h) if before else m.register_forward_hook(h) for m, h in modules]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _stop() -> None:
    raise _Reached


def _go_on() -> None:
    pass


def _go_on_blind() -> None:
    torch.set_grad_enabled(False)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding on interleaved pairs, as Wan's attention applies it; x (1, S, heads, d)."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    c, s = cos[..., 0::2], sin[..., 1::2]
    out = torch.empty_like(x)
    out[..., 0::2] = even * c - odd * s
    out[..., 1::2] = even * s + odd * c
    return out.type_as(x)


def _read_pipeline(folder: Path, dtype: torch.dtype, **parts: nn.Module | None) -> Any:
    """Parts in ``dtype`` but for those given, where None leaves one out; safetensors only."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()  # a second of loading needs no bars between the lines of a report
    transformers_logging.disable_progress_bar()
    with loading(folder):
        pipe: Any = DiffusionPipeline.from_pretrained(folder, **parts, dtype=dtype, use_safetensors=True, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe

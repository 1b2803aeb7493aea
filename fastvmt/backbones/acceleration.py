"""A profile on a loaded transformer: attention backend, compiled blocks, and diffusers' caches on sampling passes alone.

A tap leaves the model early and a skipped block has nothing to tap, so a cache is in the model during the loop's own passes of
unguided steps and out of it, with its hooks, in every other pass. What it remembers ends with the row of steps that it was for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from fastvmt.errors import SpecError
from fastvmt.model.profile import ATTENTION, NATIVE, Profile, cache_parts

WARM_UP = 3
"""Steps that ``taylorseer`` computes in full before it predicts."""


@dataclass(frozen=True)
class Sampled:
    """One of the loop's passes that a cache may serve: of which text (``cond``, ``uncond``), at which of how many steps."""

    text: str
    step: int
    steps: int


class Cache:
    """A cache of diffusers on the transformers of a model.

    Attributes:
        share: of the blocks, those that ran in the last pass.
    """

    def __init__(self, transformers: Sequence[Any], cache: str) -> None:
        self._cache, self.share = cache, 1.0
        self._own = {hook for transformer in transformers for hook in _hooks(transformer)}
        self._in: Any = None
        self._last = -1

    @contextmanager
    def on(self, of: Sampled | None, level: float, transformer: Any) -> Iterator[None]:
        """One pass: through the cache where it is one of ``Sampled`` and no method has hooks in the model, else without it."""
        self.share = 1.0
        if of is None or not self._cache or _hooks(transformer) - self._own:
            self.forget()
            yield
            return
        if of.step not in (self._last, self._last + 1) or transformer is not self._in:
            self.forget()
        if self._in is None:
            transformer.enable_cache(_config(self._cache))
        self._in, self._last = transformer, of.step
        facts = {"step_index": of.step, "num_inference_steps": of.steps, "sigma": level}
        try:
            with transformer.cache_context(of.text, **facts), self._counted():
                yield
        except BaseException:
            self.forget()  # what an unfinished pass left is no state to go on from
            raise

    def forget(self) -> None:
        """Take the cache and all that it holds out of the model."""
        if self._in is not None:
            self._in.disable_cache()
        self._in, self._last = None, -1

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Caches replace the call of a block, not of what is inside: whether the last one's projection ran, all of them did."""
        ran, blocks = [False], self._in.blocks
        handle = blocks[-1].attn1.to_q.register_forward_hook(lambda *_: ran.__setitem__(0, True))
        try:
            yield
        finally:
            handle.remove()
        first = 1 / len(blocks) if self._cache.startswith("first_block") else 0.0
        self.share = 1.0 if ran[0] else first


def _config(cache: str) -> Any:
    from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig
    from diffusers.hooks import SeaCacheConfig

    name, number = cache_parts(cache)
    if name == "first_block":
        return FirstBlockCacheConfig(threshold=number)
    if name == "sea":
        return SeaCacheConfig(threshold=number)
    # Its own names fit no module of Wan; the lite form does, and keeps the last layer's output instead of every attention's.
    return TaylorSeerCacheConfig(
        cache_interval=int(number), disable_cache_before_step=WARM_UP, use_lite_mode=True, taylor_factors_dtype=torch.float32
    )


def _hooks(transformer: Any) -> set[int]:
    """Numbers of the hooks that its modules call, which torch gives out once each."""
    return {n for module in transformer.modules() for n in (*module._forward_hooks, *module._forward_pre_hooks)}


def accelerate(transformers: Sequence[Any], profile: Profile) -> Cache:
    """Set backend and compiler of transformers that are on their device; the cache comes and goes with each pass."""
    for transformer in transformers:
        if profile.attention:
            set_attention(transformer, profile.attention)
        if profile.compile:
            # Hooks are part of what compiled code depends on; unless told so torch leaves them out, and a tap sees nothing.
            torch._dynamo.config.skip_nnmodule_hook_guards = False
            transformer.compile_repeated_blocks(backend=profile.compile)
    return Cache(transformers, profile.cache)


def set_attention(transformer: Any, name: str) -> None:
    """This transformer's attention backend, and no other model's: diffusers would set that of the process, too."""
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as Registry

    logger = logging.getLogger("diffusers.models.modeling_utils")
    before, level = Registry.get_active_backend()[0], logger.level
    logger.setLevel(logging.ERROR)  # it says on every call that this is experimental
    try:
        transformer.set_attention_backend(name)
    finally:
        logger.setLevel(level)
        Registry.set_active_backend(before)


def refuse_attention(name: str, head_dim: int, dtype: torch.dtype, device: str) -> None:
    """Try a backend on a few tokens, with its backward pass where it has one.

    Raises:
        SpecError: where it does not work here.
    """
    from diffusers.models import attention_dispatch as dispatch

    try:
        dispatch._check_attention_backend_requirements(dispatch.AttentionBackendName(name))
        q, k, v = (torch.ones(1, 16, 2, head_dim, dtype=dtype, device=device, requires_grad=ATTENTION[name]) for _ in range(3))
        out = dispatch.dispatch_attention_fn(q, k, v, backend=dispatch.AttentionBackendName(name))
        if ATTENTION[name]:
            out.float().sum().backward()
    except Exception as error:  # noqa: BLE001 - each backend has its own errors for what it cannot do
        kind = str(dtype).removeprefix("torch.")
        why = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        raise SpecError(
            f"--attention {name} does not work here on {device} in {kind}: {why}. Give another one, or leave it out ({NATIVE})."
        ) from None

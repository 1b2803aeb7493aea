"""Which profile a request means, and whether it can be had here: asked before anything is loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence

from fastvmt.backbones.card import Card
from fastvmt.core.spelling import shown
from fastvmt.errors import SpecError
from fastvmt.estimates.memory import gradient_depth
from fastvmt.model import MethodSpec, Profile
from fastvmt.model.profile import ATTENTION, NATIVE
from fastvmt.runner.settings import Request

VARIABLE = "DIFFUSERS_ATTN_BACKEND"


def profile_of(
    request: Request, card: Card, methods: Sequence[MethodSpec], sigmas: Sequence[float], dtype: str, device: str
) -> Profile:
    """
    Args:
        device: where the backend is tried; "" where that is not here.

    Raises:
        SpecError: for a backend that does not work here or has no backward pass for a method that needs one, an interval
            without any of the run's levels, a cache on a model without blocks to skip, and a backend named by the environment.
    """
    profile = Profile.of(*(getattr(request, name) or "" for name in ("attention", "compile", "cache", "cfg_interval")))
    if (silent := os.environ.get(VARIABLE, NATIVE)) != NATIVE and not request.attention:
        raise SpecError(f"{VARIABLE}={shown(silent)} would change every video and no key: give --attention, or unset it.")
    if profile.cfg_interval and not any(map(profile.guides, sigmas[:-1])):
        raise SpecError(
            f"--cfg-interval {request.cfg_interval}: none of the run's noise levels lies in it ({sigmas[0]:.4g} to "
            f"{sigmas[-2]:.4g}). Give a wider one, or --guidance 1 for no guidance."
        )
    if profile.cache and card.blocks < 2:
        raise SpecError(f"--cache {profile.cache}: {card.id} has one block, so there is none to skip. Leave it out.")
    if profile.cache and card.control_blocks:
        raise SpecError(
            f"--cache {profile.cache}: {card.id} adds its control branch between the blocks that a cache skips. Leave it out."
        )
    if profile.attention:
        _refuse_attention(profile.attention, card, methods, dtype, device)
    return profile


def _refuse_attention(name: str, card: Card, methods: Sequence[MethodSpec], dtype: str, device: str) -> None:
    needy = [spec.label for spec in methods if gradient_depth(spec, card)]
    if not ATTENTION[name] and needy:
        raise SpecError(
            f"--attention {name} has no backward pass, and {', '.join(needy)} need{'s' * (len(needy) == 1)} gradients. Give "
            f"another one ({', '.join(k for k, backward in ATTENTION.items() if backward)}), or leave the row out."
        )
    if device:
        import torch

        from fastvmt.backbones.acceleration import refuse_attention

        refuse_attention(name, card.head_dim, getattr(torch, dtype), device)

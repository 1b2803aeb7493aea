"""The VAE, a frame at a time where frames are largest: diffusers' numbers in less memory."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan
from support.places import ROOT

from fastvmt.backbones.frame_by_frame import take_frames_one_by_one
from fastvmt.backbones.vae import use_direct_convolutions
from fastvmt.testing.wan import SMALL_VAE


def both(direct: bool, **config: Any) -> tuple[Any, Any]:
    """diffusers' own of random weights, and the same one changed."""
    torch.manual_seed(0)
    own = AutoencoderKLWan(**config).requires_grad_(False).eval()
    changed = copy.deepcopy(own)
    take_frames_one_by_one(changed)
    for vae in (own, changed) if direct else ():
        use_direct_convolutions(vae)
    return own, changed


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("config", [{"base_dim": 16}, SMALL_VAE], ids=["wan", "small"])
def test_no_bit_changes_at_any_length(config: dict[str, Any], direct: bool) -> None:
    own, changed = both(direct, **config)
    for frames in (1, 5, 13):
        x = torch.randn(1, 3, frames, 32, 48)
        latents = [vae.encode(x).latent_dist.mode() for vae in (own, changed)]
        assert torch.equal(*latents)
        videos = [vae.decode(latents[0], return_dict=False)[0] for vae in (own, changed)]
        assert torch.equal(*videos) and videos[0].shape == x.shape


def test_a_vae_of_the_residual_kind_keeps_its_numbers_to_rounding() -> None:
    own, changed = both(
        True, base_dim=8, decoder_base_dim=12, z_dim=4, is_residual=True, in_channels=12, out_channels=12, patch_size=2,
        scale_factor_spatial=16, latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
    )  # fmt: skip
    x = torch.randn(1, 3, 9, 32, 32)
    latents = [vae.encode(x).latent_dist.mode() for vae in (own, changed)]
    torch.testing.assert_close(*latents)
    torch.testing.assert_close(*(vae.decode(latents[0], return_dict=False)[0] for vae in (own, changed)))


def test_it_holds_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from memory import allocated

    x, z = torch.zeros(1, 3, 9, 64, 64), torch.zeros(1, 16, 3, 8, 8)
    own, changed = both(True, base_dim=16)
    ways = [(allocated(lambda v=v: v.encode(x)), allocated(lambda v=v: v.decode(z))) for v in (own, changed)]
    assert all(less < 0.9 * more for more, less in zip(*ways, strict=True))

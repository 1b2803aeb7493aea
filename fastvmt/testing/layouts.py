"""Random weights in the layout of a published model: its parts and configs, with few blocks and, unless asked, small widths.

random_wan(folder, **layout("wan2.2-ti2v-5b"))               # some hundred kilobytes, for checks
random_wan(folder, **layout("wan2.2-ti2v-5b", wide=True))    # the model's own widths: 5 GB in fp32
"""

from __future__ import annotations

from typing import Any

from fastvmt.backbones import card as cards

_FFN = {"wan2.1-1.3b": 8960, "wan2.1-14b": 13824, "wan2.1-vace-1.3b": 8960, "wan2.2-ti2v-5b": 14336, "wan2.2-t2v-a14b": 13824}
_PIPELINE: dict[str, dict[str, Any]] = {
    "wan2.2-ti2v-5b": {"expand_timesteps": True}, "wan2.2-t2v-a14b": {"boundary_ratio": 0.875},
}  # fmt: skip
_NARROW: dict[str, Any] = {"heads": 4, "head_dim": 12, "ffn": 32, "text_dim": 16, "freq_dim": 16}
_VAE: dict[str, Any] = {"base_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}


def layout(name: str, blocks: int = 3, wide: bool = False) -> dict[str, Any]:
    """What ``random_wan`` takes for a named backbone.

    Args:
        name: of a backbone with a card, but for ``tiny``.
        blocks: of each transformer; half of them have a control block where the model has such.
        wide: the model's own widths, VAE too; the text encoder stays small.

    Raises:
        KeyError: for another name.
    """
    card = cards.load(name)
    mean = [0.1 * (c % 5 - 2) for c in range(card.latent_channels)]  # such that a part left out shows
    std = [0.5 + 0.1 * (c % 7) for c in range(card.latent_channels)]
    vae: dict[str, Any] = {"z_dim": card.latent_channels, "latents_mean": mean, "latents_std": std}
    if card.vae_spatial == 16:
        vae |= {"is_residual": True, "in_channels": 12, "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 16}
        vae |= {"base_dim": 160, "decoder_base_dim": 256}
    wider = {"heads": card.heads, "head_dim": card.head_dim, "ffn": _FFN[name], "freq_dim": 256, "text_dim": 4096}
    narrow = {"decoder_base_dim": 8} if card.vae_spatial == 16 else {}
    return {
        "blocks": blocks, "vae": vae if wide else vae | _VAE | narrow, "pipeline": _PIPELINE.get(name, {}),
        "control": tuple(range(0, blocks, 2)) if card.control_blocks else (), **(wider if wide else _NARROW),
    }  # fmt: skip

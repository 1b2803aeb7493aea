"""Where other packages keep what they fetched, told without loading torch: the cache of the hub and torch's home."""

from __future__ import annotations

import os
from pathlib import Path


def hub_snapshots(repo: str) -> Path:
    """Folder of a hub repository's snapshots, whether it is there or not."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "snapshots"


def torch_home() -> Path:
    """The folder in which ``torch.hub`` keeps things."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expandvars(os.environ.get("TORCH_HOME") or f"{cache}/torch")).expanduser()

"""Where other packages keep what they fetched, told without importing them: the cache of the hub and torch's home."""

from __future__ import annotations

import os
from pathlib import Path


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")


def _expanded(path: str | Path) -> Path:
    return Path(os.path.expandvars(path)).expanduser()


def hub_cache() -> Path:
    """The folder in which ``huggingface_hub`` keeps snapshots, by the same variables in the same order."""
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return _expanded(given or Path(os.environ.get("HF_HOME") or _user_cache() / "huggingface") / "hub")


def hub_snapshots(repo: str) -> Path:
    """Folder of a repository's snapshots, whether it is there or not."""
    return hub_cache() / f"models--{repo.replace('/', '--')}" / "snapshots"


def torch_home() -> Path:
    """The folder in which ``torch.hub`` keeps things."""
    return _expanded(os.environ.get("TORCH_HOME") or _user_cache() / "torch")

"""What the environment says: where things are kept, told without loading torch, and how long to wait."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from fastvmt.core.spelling import shown
from fastvmt.errors import UserError

MOST_SECONDS = 1_000_000


def hub_snapshots(repo: str) -> Path:
    """Folder of a hub repository's snapshots, whether it is there or not."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "snapshots"


def torch_home() -> Path:
    """The folder in which ``torch.hub`` keeps things."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return place("TORCH_HOME", f"{cache}/torch")


def place(variable: str, usual: str) -> Path:
    """The absolute path that an environment variable names, or the usual one where it is unset or empty.

    Raises:
        UserError: when the path begins with a home that is nowhere.
    """
    text = os.path.expandvars(os.environ.get(variable) or usual)
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise UserError(f"{variable}: the home folder of {shown(text)} is not known here. Set an absolute path.") from None


def seconds(variable: str, usual: float) -> float:
    """The seconds that an environment variable says, or the usual ones where it is unset or empty.

    Raises:
        ValueError: for what is no number from 0.1 to ``MOST_SECONDS``.
    """
    text = os.environ.get(variable) or str(usual)
    with suppress(ValueError):
        if 0.1 <= float(text) <= MOST_SECONDS:
            return float(text)
    raise ValueError(f"{variable}={shown(text)}: seconds from 0.1 to {MOST_SECONDS:,} are needed")

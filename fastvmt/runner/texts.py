"""The texts of a run, and where their embeddings lie, so that a run which has them all needs no text encoder. No torch here."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastvmt.core.content_address import digest
from fastvmt.core.disk.atomic import own_file
from fastvmt.jobs.run_config import RunConfig
from fastvmt.store.layout import CACHE

LOCK = ".texts.lock"


def texts_of(config: RunConfig) -> list[str]:
    """Every text that a job of the run hands to the model: prompts, captions, negative texts, and the empty one."""
    cases = config.suite.cases
    negative = [config.setting.negative if c.negative is None else c.negative for c in cases]
    return sorted({"", *negative, *(c.prompt for c in cases), *(c.caption for c in cases)})


def identity(config: RunConfig) -> tuple[str, str]:
    """What decides a run's tensors beside what they are made of: weights and dtype."""
    return config.setting.weights_digest, config.setting.dtype


def tensor_file(folder: Path, whose: tuple[str, ...], name: str) -> Path:
    """Where a tensor of that name is kept."""
    return folder / f"{digest([*whose, name])[:24]}.safetensors"


def name_of(text: str) -> str:
    """A text's name in the cache."""
    return f"text:{text}"


def not_encoded(root: Path, config: RunConfig) -> list[str]:
    """Texts of the run whose embeddings are not in its folder yet."""
    return [t for t in texts_of(config) if not tensor_file(root / CACHE, identity(config), name_of(t)).is_file()]


@contextmanager
def encoding(root: Path) -> Iterator[None]:
    """One process encodes while the others wait; where the file system has no locks, each may encode for itself."""
    with open(root / CACHE / LOCK, "a", opener=own_file) as handle:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield

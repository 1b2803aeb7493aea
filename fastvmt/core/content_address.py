"""Content addresses: canonical JSON and SHA-256.

A key must be the same on every machine and Python version, so canonical JSON sorts keys, uses no spaces, writes floats
by ``repr`` (shortest round trip), and refuses NaN, infinity and anything that is not plain data.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KEY_FORMAT = 1
"""Part of every key; raise it when the meaning of a key changes."""
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> str:
    """Plain data as the one JSON text that stands for it.

    Raises:
        TypeError: for a value that is not None, bool, int, float, str, list, tuple or a mapping with string keys.
        ValueError: for NaN or infinity.

    >>> canonical_json({"b": (1, 2.0), "a": None})
    '{"a":null,"b":[1,2.0]}'
    """
    return _CANONICAL.encode(_plain(value))


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"a key cannot hold {value}")
        return value
    if isinstance(value, dict | Mapping):  # a dict first: asking an abstract class takes long
        if any(not isinstance(k, str) for k in value):
            raise TypeError("a key's mappings need string keys")
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence):
        return [_plain(v) for v in value]
    raise TypeError(f"a key cannot hold {type(value).__name__}")


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of plain data."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def job_key(case: str, method: str, seed: int, setting: str) -> str:
    """Key of a job: ``digest`` of its parts, written out because runs ask for 100,000 of them.

    Args:
        case: the case's digest.
        method, setting: what determines the video of both, as ``canonical_json``.

    >>> parts = {"format": KEY_FORMAT, "case": "c", "method": {"m": 1}, "seed": 3, "setting": {"s": 2.0}}
    >>> job_key("c", canonical_json({"m": 1}), 3, canonical_json({"s": 2.0})) == digest(parts)
    True
    """
    text = f'{{"case":"{case}","format":{KEY_FORMAT},"method":{method},"seed":{seed},"setting":{setting}}}'
    return hashlib.sha256(text.encode()).hexdigest()


def noise_seed(seed: int, what: str) -> int:
    """Seed of the noise of one video, 63 bits.

    Args:
        seed: the user's; what: whose noise it is, a case's digest or a prompt.

    >>> noise_seed(0, "a red bus") == noise_seed(0, "a red bus") != noise_seed(1, "a red bus")
    True
    """
    return int.from_bytes(hashlib.sha256(f"{seed}|{what}".encode()).digest()[:8], "big") >> 1


def frames_digest(frames: NDArray[np.uint8]) -> str:
    """SHA-256 (hex) of decoded frames, uint8 RGB of shape (T, H, W, 3): the shape, then the bytes.

    Decoded frames and not file bytes, because encoders write different bytes for the same frames.
    """
    hasher = hashlib.sha256(canonical_json(list(frames.shape)).encode())
    hasher.update(frames.tobytes())
    return hasher.hexdigest()

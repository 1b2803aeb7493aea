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


def canonical_json(value: Any) -> str:
    """Plain data as the one JSON text that stands for it.

    Raises:
        TypeError: for a value that is not None, bool, int, float, str, list, tuple or a mapping with string keys.
        ValueError: for NaN or infinity.

    >>> canonical_json({"b": (1, 2.0), "a": None})
    '{"a":null,"b":[1,2.0]}'
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"a key cannot hold {value}")
        return value
    if isinstance(value, Mapping):
        if any(not isinstance(k, str) for k in value):
            raise TypeError("a key's mappings need string keys")
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence):
        return [_plain(v) for v in value]
    raise TypeError(f"a key cannot hold {type(value).__name__}")


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of plain data."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def joined_digest(parts: Mapping[str, str]) -> str:
    """``digest`` of a mapping whose values are canonical JSON already: parts that many keys share are written once.

    >>> joined_digest({"b": canonical_json([1]), "a": "2"}) == digest({"a": 2, "b": [1]})
    True
    """
    text = ",".join(f"{json.dumps(name, ensure_ascii=False)}:{parts[name]}" for name in sorted(parts))
    return hashlib.sha256(f"{{{text}}}".encode()).hexdigest()


def noise_seed(seed: int, what: str) -> int:
    """Seed of the noise of one video, 63 bits.

    Args:
        seed: the user's; what: whose noise it is, a case's digest or a prompt.

    >>> noise_seed(0, "a red bus") == noise_seed(0, "a red bus") != noise_seed(1, "a red bus")
    True
    """
    return int.from_bytes(hashlib.sha256(f"{seed}|{what}".encode()).digest()[:8], "big") >> 1


def record_digest(identity: str, timing_key: str | None, frames: str, reference: str, job: str) -> bytes:
    """SHA-256 that a metric record's key is the hex of, written out because tables and scans ask for 100,000 of them.

    Args:
        identity: the metric's, as ``canonical_json``.
        timing_key: of the video, for a timing; None for a metric of frames.
        frames, reference: digests of the video's frames and of its reference's.
        job: the job's key.

    >>> identity = {"metric": "m"}
    >>> record_digest(canonical_json(identity), None, "f", "r", "j").hex() == digest([identity, ["f", "r"], "j"])
    True
    """
    subject = f'["{frames}","{reference}"]' if timing_key is None else f'"{timing_key}"'
    return hashlib.sha256(f'[{identity},{subject},"{job}"]'.encode()).digest()


def frames_digest(frames: NDArray[np.uint8]) -> str:
    """SHA-256 (hex) of decoded frames, uint8 RGB of shape (T, H, W, 3): the shape, then the bytes.

    Decoded frames and not file bytes, because encoders write different bytes for the same frames.
    """
    hasher = hashlib.sha256(canonical_json(list(frames.shape)).encode())
    hasher.update(frames.tobytes())
    return hasher.hexdigest()

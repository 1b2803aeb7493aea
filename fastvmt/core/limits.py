"""How large a thing may be, and which texts and numbers are plain. Nothing heavy is imported."""

from __future__ import annotations

import math
import re
import unicodedata

MAX_SIDE, MAX_FRAMES, MAX_MEMORY = 8192, 20_000, 16 << 30
"""Of a clip: px of a side, frames, and bytes of all of them decoded."""
MOST_WHOLE = 2**63 - 1
"""The largest whole number that generators of random numbers, arrays and files take."""
_BREAKS = ("Cc", "Zl", "Zp")


def plain(text: str, lines: bool = False) -> bool:
    """Whether a text can be stored and printed: no controls, no half of a surrogate pair, and no line break but with ``lines``.

    >>> plain("a red bus"), plain("a\\nb"), plain("a\\nb", lines=True), plain("a\\0b", lines=True), plain("\\udcff")
    (True, False, True, False, False)
    """
    kinds = ((c, unicodedata.category(c)) for c in text)
    return not any(kind == "Cs" or (kind in _BREAKS and not (lines and c in "\n\r\t")) for c, kind in kinds)


def read_number(text: str, of: type) -> float:
    """A number as people type it: ASCII digits alone in a whole one.

    Raises:
        ValueError: for anything else.
    """
    text = text.strip()
    if not text.isascii() or "_" in text or (of is int and not re.fullmatch(r"[+-]?\d+", text)):
        raise ValueError(text)
    return int(text) if of is int else float(text)


def number(value: float) -> str:
    """
    >>> number(10_000), number(0.01), number(1e9), number(1.0)
    ('10,000', '0.01', '1,000,000,000', '1')
    """
    return f"{int(value):,}" if math.isfinite(value) and value == int(value) else f"{value:g}"

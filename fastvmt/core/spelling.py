"""How durations, sizes and foreign values are spelled, wherever a person reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

GIB, MIB = 2**30, 2**20
_COMPUTED = tuple("=+-@\t\r＝＋－＠")
"""How a cell begins that a spreadsheet takes for a formula."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_INSTALLED = re.compile(
    r"""(?:/[^/\s"'<>]+)*/(?:site-packages|dist-packages|lib/(?=python3))/?|""" + re.escape(f"{Path(__file__).parents[2]}/")
)
_QUOTED = re.compile(r"""(["'])(?:file://)?/(?!dev/|proc/|sys/)(?:[^/"'\n]+/)+([^/"'\n]+)(?=\1)""")
_ABSOLUTE = re.compile(r"""(?<![\w./~-])(?:file://)?/(?!dev/|proc/|sys/)(?:[^/\s"'<>|:;,()]+/)+""")
_WINDOWS = re.compile(r"""(?<!\w)[A-Za-z]:\\(?:[^\\\s"'<>|]+\\)+""")


def duration(seconds: float) -> str:
    """
    >>> duration(3), duration(90), duration(5400), duration(9000), duration(3600000)
    ('3.0 s', '90 s', '90 min', '2.5 h', '1,000 h')
    """
    if seconds < 600:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h" if seconds < 360_000 else f"{seconds / 3600:,.0f} h"


def gib(size: float) -> str:
    """Bytes as GiB, to a tenth.

    >>> gib(3 * 2**29)
    '1.5 GiB'
    """
    return f"{size / GIB:.1f} GiB"


def mib(size: float) -> str:
    """Bytes as MiB, below ten to a tenth.

    >>> mib(5 * 2**19), mib(1200 * 2**20)
    ('2.5 MiB', '1,200 MiB')
    """
    return f"{size / MIB:,.0f} MiB" if size >= 10 * MIB else f"{size / MIB:.1f} MiB"


def shown(value: Any, most: int = 40) -> str:
    """A value as short plain text: no control characters, cut where it is long."""
    text = "".join(c if c.isprintable() else "?" for c in str(value))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def value_shown(value: Any) -> str:
    """What somebody's code returned, for a reader: type, and shape or beginning.

    >>> value_shown("x" * 99)[:12], value_shown(None)
    ("str 'xxxxxxx", 'None')
    """
    if value is None:
        return "None"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{type(value).__name__} of shape {tuple(value.shape)} and {value.dtype}"
    if isinstance(value, tuple):
        return f"({', '.join(map(value_shown, value[:4]))})"
    try:
        return f"{type(value).__name__} {shown(repr(value), 60)}"
    except Exception:  # noqa: BLE001 - a class whose own words fail
        return type(value).__name__


def csv_cell(text: str) -> str:
    """A cell of a CSV file that no spreadsheet computes: ``'`` before what begins like a formula and is no number.

    >>> csv_cell("=1+1"), csv_cell("-0.5"), csv_cell("fastvmt:inner=3")
    ("'=1+1", '-0.5', 'fastvmt:inner=3')
    """
    return f"'{text}" if text.startswith(_COMPUTED) and not _NUMBER.fullmatch(text) else text


def public(text: str) -> str:
    """Text for a page or file that others read: of a path on this machine its last part, of code its place in its package.

    >>> public('File "/home/me/lib/site-packages/torch/nn.py", line 3')
    'File "torch/nn.py", line 3'
    >>> public("cannot open /home/me/clips/a.mp4: see https://example.org/a/b")
    'cannot open …/a.mp4: see https://example.org/a/b'
    """
    text = _INSTALLED.sub("", text)
    text = _QUOTED.sub(r"\1…/\2", text)
    return _WINDOWS.sub("…/", _ABSOLUTE.sub("…/", text))

"""Data inside a page."""

from __future__ import annotations

import json
from typing import Any


def json_text(value: Any) -> str:
    """JSON that may stand in a page's data block and in a script: ASCII alone, no <, > or &.

    Raises:
        ValueError: for a number that is not finite.
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

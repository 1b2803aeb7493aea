"""What a field of a stored model may hold. Run folders, baselines and studies come from anywhere: all is checked when read.

Keys and digests end up in names of files, words in lines of a terminal or a table, numbers in sums.
"""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, StringConstraints

from fastvmt.core.reading import LARGEST

MOST = 2**63 - 1
DEEPEST = 32

Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{0,64}$")]
"""A key or digest, or its beginning."""
Line = Annotated[str, StringConstraints(pattern=r"^[^\p{Cc}\u{2028}\u{2029}]*$", max_length=4096)]
"""Words on one line: no control characters."""
Label = Annotated[str, StringConstraints(pattern=r"^[^\p{Cc}\u{2028}\u{2029}]+$", max_length=4096)]
"""A name as the user typed it: a line that is not empty."""
Number = Annotated[float, Field(allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
Amount = Annotated[float, Field(allow_inf_nan=False, ge=0, le=LARGEST)]
"""Of seconds, joules, forward passes."""
Count = Annotated[int, Field(ge=0, le=MOST)]
Size = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""Of something that is there: pixels, frames, steps, the parts of a fraction."""
Seed = Annotated[int, Field(ge=-(2**63), le=2**64 - 1)]


Placing = Literal["none", "text", "vae", "block"]
OFFLOADS: tuple[Placing, ...] = get_args(Placing)
"""What leaves the device while it is not used, the least first: nothing; the text encoder, once texts are encoded; the VAE too;
and the transformer's blocks, each until its turn comes."""


def placing(value: Any) -> Any:
    """As it is named now: it was yes or no, for ``vae`` and ``text``, and in files these two still are."""
    return ("vae" if value else "text") if isinstance(value, bool) else value


def _in_files(name: Placing) -> bool | Placing:
    return name == "vae" if name in ("vae", "text") else name


Offload = Annotated[Placing, BeforeValidator(placing), PlainSerializer(_in_files, return_type=bool | Placing)]


def is_plain_name(name: str) -> bool:
    """Whether a name is that of a file in its folder and nothing else.

    >>> is_plain_name("frames.mkv"), is_plain_name("../frames.mkv"), is_plain_name(".lock"), is_plain_name("")
    (True, False, False, False)
    """
    return name == PurePath(name).name and name[:1] not in ("", ".") and name.isprintable() and len(name) < 128


def _plain_name(name: str) -> str:
    if not is_plain_name(name):
        raise ValueError("no plain name of a file")
    return name


FileName = Annotated[str, AfterValidator(_plain_name)]


def _facts(value: dict[str, Any], finite: bool = True) -> dict[str, Any]:
    """Plain data whose numbers can be computed with. Level by level: a large run has 100,000 of these."""
    level: list[Any] = [value]
    for _ in range(DEEPEST + 1):
        inner: list[Any] = []
        for outer in level:
            for part in outer.values() if isinstance(outer, dict) else outer:
                kind = type(part)
                if kind is float:
                    if finite and not math.isfinite(part):
                        raise ValueError(f"{part} is no number")
                elif kind is int:
                    if not -MOST <= part <= 2 * MOST + 1:
                        raise ValueError("a whole number beyond 64 bits")
                elif isinstance(part, dict | list | tuple):
                    inner.append(part)
        if not inner:
            return value
        level = inner
    raise ValueError(f"nested deeper than {DEEPEST}")


Facts = Annotated[dict[str, Any], AfterValidator(lambda value: _facts(value))]
"""What somebody else's code said of itself and keys are made of: parameters, identities."""
Details = Annotated[dict[str, Any], AfterValidator(lambda value: _facts(value, finite=False))]
"""What it said beside a number."""

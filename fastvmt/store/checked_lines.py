"""Lines of JSON that know when a bit of them has changed: their last key is the CRC-32 of the rest.

    {"key":"a","value":0.5,"crc32":"b2292457"}

A line without that key is taken as it is: an older version or another program wrote it.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from fastvmt.core.reading import check_json

_MARK = b',"crc32":"'
_TAIL = len(_MARK) + 10
Row = TypeVar("Row", bound=BaseModel)


def with_check(line: str) -> str:
    """A JSON object on one line, with its check.

    >>> with_check('{"a":1}')
    '{"a":1,"crc32":"561bacaf"}'
    """
    return f'{line[:-1]}{_MARK.decode()}{zlib.crc32(line.encode()):08x}"}}'


def without_check(line: bytes) -> bytes:
    r"""The line as it was before ``with_check``.

    Raises:
        ValueError: when it is not what was written.

    >>> without_check(b'{"a":1,"crc32":"561bacaf"}\n'), without_check(b'{"a":1}')
    (b'{"a":1}', b'{"a":1}')
    """
    line = line.rstrip(b"\r\n")
    if line[-_TAIL : -_TAIL + len(_MARK)] != _MARK:
        return line
    bare = line[:-_TAIL] + b"}"
    if f"{zlib.crc32(bare):08x}".encode() != line[-10:-2]:
        raise ValueError("the line's check differs")
    return bare


def rows(
    root: Path, path: Path, kind: type[Row], warnings: list[str], size: int | None = None,
    only: Callable[[bytes], bool] | None = None,
) -> Iterator[Row]:  # fmt: skip
    """The rows of a log below ``root``, or of its first ``size`` bytes, one by one, or of ``only`` some lines; a damaged line
    is passed over, and named in ``warnings``.
    """
    if not path.exists():
        return
    left = sys.maxsize if size is None else size
    with open(path, "rb") as file:  # line by line: the log of a large run must not be held twice
        for number, line in enumerate(file, start=1):
            left -= len(line)
            if left < 0:
                return
            if not line.strip() or (only is not None and not only(line)):
                continue
            try:
                yield kind.model_validate_json(check_json(without_check(line)))
            except ValueError:
                torn = not line.endswith(b"\n")
                what = "its last line was torn by a kill; dropped" if torn else f"line {number} is damaged; passed over"
                message = f"{path.relative_to(root)}: {what}."
                if message not in warnings:
                    warnings.append(message)

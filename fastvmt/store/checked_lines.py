"""Lines of JSON that know when a bit of them has changed: their last key is the CRC-32 of the rest.

    {"key":"a","value":0.5,"crc32":"b2292457"}

A line without that key is taken as it is: an older version or another program wrote it.
"""

from __future__ import annotations

import zlib

_MARK = b',"crc32":"'
_TAIL = len(_MARK) + 10


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

"""Which state of a method's code made a video: what ``version`` does not say when somebody forgot to raise it."""

from __future__ import annotations

import hashlib
import inspect
import sys
from functools import cache
from pathlib import Path

from fastvmt.plugins.method import Method


@cache
def code_digest(method: type[Method]) -> str:
    """Digest of the source files of a method's class and of the classes it is made of, the core's own left out; "" without."""
    modules = dict.fromkeys(c.__module__ for c in method.__mro__ if c not in (Method, object))
    digest = hashlib.sha256()
    for name in modules:
        try:
            digest.update(Path(inspect.getfile(sys.modules[name])).read_bytes())
        except (KeyError, TypeError, OSError):
            return ""
    return digest.hexdigest()[:16]

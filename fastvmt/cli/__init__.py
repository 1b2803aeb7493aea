"""What did the user type, and what does he see: ``bench``, a file a command or a group of them."""

from __future__ import annotations

import os
import sys
from typing import Any

from fastvmt.core.screen import status_line

__all__ = ["app", "guarded", "main"]
_SILENT = {"--help", "--version", "--json", "--show-completion", "--install-completion"}


def main() -> None:
    """Entry point. The first word comes before anything is imported that takes a while."""
    words = sys.argv[1:]
    if words and not words[0].startswith("-") and not _SILENT & set(words) and "_BENCH_COMPLETE" not in os.environ:
        status_line.begin(f"bench {words[0]}")
    try:
        from fastvmt.cli.program import main as run
    except KeyboardInterrupt:
        status_line.wipe()
        raise SystemExit(130) from None
    run()


def __getattr__(name: str) -> Any:
    if name in ("app", "guarded"):
        from fastvmt.cli import program

        return getattr(program, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

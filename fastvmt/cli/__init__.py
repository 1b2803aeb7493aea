"""What did the user type, and what does he see: ``bench``, a file a command or a group of them."""

from fastvmt.cli.program import app, guarded, main

__all__ = ["app", "guarded", "main"]

"""What did the user type, and what does he see: ``bench``, a file a command."""

from fastvmt.cli.program import app, main

__all__ = ["app", "main"]

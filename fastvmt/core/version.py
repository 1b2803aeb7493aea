"""The version, where everybody may read it and nothing else is loaded."""

__version__ = "0.1.0"

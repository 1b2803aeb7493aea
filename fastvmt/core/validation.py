"""What pydantic found wrong, in the words of a sentence."""

from __future__ import annotations

from pydantic import ValidationError


def first_problem(error: ValidationError) -> str:
    """One problem with its place, ``videos.3.seed: Field required``: a key that is not known before one that is missing."""
    found = error.errors()
    first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "literal_error":
        message = f"it is {first['input']!r}; {message[:1].lower()}{message[1:]}"
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {message}" if place else message
